/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <sys/stat.h>

#include "path-watch.h"
#include "sandbox.h"
#include "uapi-folder.h"

#define PARENT SANDBOX_DIR "/run"
#define FOLDER PARENT "/icewire"
#define PATH FOLDER "/socket"

static sd_event *event;
static unsigned n;

static void start(void)
{
        sandbox_enter();
        cr_assert_eq(mkdir(PARENT, 0755), 0);
        cr_assert_geq(sd_event_new(&event), 0);
}

static void stop(void)
{
        event = sd_event_unref(event);
}

TestSuite(path_watch, .init = start, .fini = stop);
TestSuite(uapi_folder, .init = start, .fini = stop);

static void on_path(PathWatch *watch, void *userdata)
{
        n++;
}

Test(path_watch, a_file_in_a_folder_that_is_there)
{
        PathWatch *watch;

        cr_assert_eq(mkdir(FOLDER, 0755), 0);
        cr_assert_eq(path_watch_new(event, PATH, on_path, NULL, &watch), 0);
        sandbox_write(FOLDER "/other", "");
        sandbox_write(FOLDER "/socket2", "");
        run_pending(event);
        cr_assert_eq(n, 0);
        sandbox_write(PATH, "");
        RUN_UNTIL(event, n > 0);
        run_pending(event);
        n = 0;
        cr_assert_eq(unlink(PATH), 0);
        run_pending(event);
        cr_assert_eq(n, 0, "that it goes is nothing to tell");
        cr_assert_eq(rename(FOLDER "/other", PATH), 0);
        RUN_UNTIL(event, n > 0);
        path_watch_free(watch);
}

Test(path_watch, a_folder_that_comes_and_goes)
{
        PathWatch *watch;

        cr_assert_eq(path_watch_new(event, PATH, on_path, NULL, &watch), 0);
        sandbox_write(PARENT "/other", "");
        cr_assert_eq(mkdir(FOLDER, 0755), 0);
        run_pending(event);
        cr_assert_eq(n, 0);
        sandbox_write(PATH, "");
        RUN_UNTIL(event, n == 1);

        sandbox_shell("rm -r " FOLDER);
        run_pending(event);
        cr_assert_eq(n, 1);
        /* The file is there before the folder is. */
        sandbox_shell("mkdir " PARENT "/new; touch " PARENT "/new/socket; mv " PARENT "/new " FOLDER);
        RUN_UNTIL(event, n == 2);
        path_watch_free(watch);
}

Test(path_watch, errors)
{
        PathWatch *watch = NULL;

        cr_assert_eq(path_watch_new(event, "relative/socket", on_path, NULL, &watch), -EINVAL);
        cr_assert_eq(path_watch_new(event, SANDBOX_DIR "/no/such/socket", on_path, NULL, &watch), -ENOENT);
        cr_assert_null(watch);
        cr_assert_null(path_watch_free(NULL));
}

/* The sockets of userspace WireGuard. */

static char seen[1024];

static void on_appeared(UapiFolder *folder, const char *name, void *userdata)
{
        strcat(strcat(seen, "+"), name);
}

static void on_gone(UapiFolder *folder, const char *name, void *userdata)
{
        strcat(strcat(seen, "-"), name);
}

static const UapiFolderCallbacks callbacks = {
        .appeared = on_appeared,
        .gone = on_gone,
};

static void expect_seen(const char *expected)
{
        RUN_UNTIL(event, strlen(seen) >= strlen(expected));
        run_pending(event);
        cr_assert_str_eq(seen, expected);
        seen[0] = '\0';
}

Test(uapi_folder, sockets_come_and_go)
{
        UapiFolder *folder;

        cr_assert_eq(mkdir(FOLDER, 0755), 0);
        sandbox_write(FOLDER "/wg0.sock", "");
        cr_assert_eq(uapi_folder_new(event, FOLDER, &callbacks, NULL, &folder), 0);
        cr_assert_str_eq(seen, "", "no callback from inside");
        uapi_folder_scan(folder);
        expect_seen("+wg0");
        sandbox_shell("cd " FOLDER
                      "; touch wg1 wg1.sock.x .sock wg1.socket a.b.c.d.e.f.g.hi.sock 'wg 1.sock'; "
                      "touch wg1.sock; mv wg1.sock wg2.sock; rm wg0.sock");
        expect_seen("+wg1-wg1+wg2-wg0");
        uapi_folder_free(folder);
}

Test(uapi_folder, the_folder_comes_later)
{
        UapiFolder *folder;

        cr_assert_eq(uapi_folder_new(event, FOLDER, &callbacks, NULL, &folder), 0);
        uapi_folder_scan(folder);
        sandbox_shell("mkdir " PARENT "/new; touch " PARENT "/new/wg0.sock; mv " PARENT "/new " FOLDER);
        expect_seen("+wg0");
        sandbox_shell("mv " FOLDER " " PARENT "/old; mkdir " FOLDER "; touch " FOLDER "/wg1.sock");
        expect_seen("+wg1");
        uapi_folder_free(folder);
        cr_assert_null(uapi_folder_free(NULL));
}

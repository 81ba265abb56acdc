/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Somebody without rights who calls over Varlink, while the test's loop answers: a process of its own, since
 * a server looks at whom it talks to. Functions that run there return its exit status, and assert nothing.
 */

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <systemd/sd-varlink.h>
#include <unistd.h>

#include "macro.h"
#include "string-util.h"

#define NOBODY 65534

/* A call, with parameters as JSON or NULL, and the error that is to come; NULL: none. */
typedef struct NobodysCall {
        const char *method, *parameters, *error;
} NobodysCall;

/* There: nobody from now on, and connected. */
static inline bool nobody_connect(const char *socket, sd_varlink **ret)
{
        return setgid(NOBODY) >= 0 && setuid(NOBODY) >= 0 && sd_varlink_connect_address(ret, socket) >= 0;
}

/* There: makes these calls, one after the other. 0, or which one, from 1 on, has not ended as it was to. */
static inline int nobody_calls(const char *socket, const NobodysCall *calls, size_t n)
{
        sd_varlink *link = NULL;

        if (!nobody_connect(socket, &link))
                return 100;
        for (size_t i = 0; i < n; i++) {
                sd_json_variant *parameters = NULL, *reply;
                const char *error = NULL;
                int r;

                if (calls[i].parameters)
                        (void) sd_json_parse(calls[i].parameters, 0, &parameters, NULL, NULL);
                r = sd_varlink_call(link, calls[i].method, parameters, &reply, &error);
                if ((r < 0 && !error) || !streq_ptr(error, calls[i].error))
                        return 1 + (int) i;
        }
        return 0;
}

static int nobody_on_exit(sd_event_source *s, const siginfo_t *info, void *userdata)
{
        *(int *) userdata = info->si_status;
        return 0;
}

/* Has f run there; its exit status comes into *status, which is -1 until then. */
static inline void nobody_run(sd_event *event, int (*f)(void), int *status)
{
        sigset_t mask;
        pid_t pid;

        *status = -1;
        cr_assert_eq(sigemptyset(&mask), 0);
        cr_assert_eq(sigaddset(&mask, SIGCHLD), 0);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0)
                _exit(f());
        cr_assert_geq(sd_event_add_child(event, NULL, pid, WEXITED, nobody_on_exit, status), 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real dbus-daemon. On it is somebody who has polkit's name and says what the test wants when it wants;
 * what polkit itself says is in polkit's own tests (agent-polkit). */

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "authority.h"
#include "bus.h"
#include "log.h"
#include "string-util.h"

static sd_event *event;
static SystemBus *system_bus;
static Authority *authority;

/* polkit */

static sd_bus *polkit;
static sd_bus_message *asked[AUTHORITY_QUESTIONS_PER_USER_MAX]; /* what is not answered yet; references */
static size_t n_asked;
static unsigned n_cancelled;
static char cancelled[64];

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        cr_assert_lt(n_asked, ELEMENTSOF(asked));
        asked[n_asked++] = sd_bus_message_ref(m);
        return 1;
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        const char *id;

        cr_assert_geq(sd_bus_message_read(m, "s", &id), 0);
        (void) snprintf(cancelled, sizeof(cancelled), "%s", id);
        n_cancelled++;
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable polkit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
                      SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelCheckAuthorization", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void polkit_start(void)
{
        polkit = bus_owner_of("org.freedesktop.PolicyKit1");
        cr_assert_geq(sd_bus_add_object_vtable(polkit, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                               "org.freedesktop.PolicyKit1.Authority", polkit_vtable, NULL),
                      0);
        cr_assert_geq(sd_bus_attach_event(polkit, event, 0), 0);
}

static void polkit_forget(void)
{
        while (n_asked > 0)
                sd_bus_message_unref(asked[--n_asked]);
}

static void polkit_stop(void)
{
        polkit_forget();
        polkit = sd_bus_flush_close_unref(polkit);
}

static void polkit_answer(bool allowed, bool challenge)
{
        cr_assert_gt(n_asked, 0);
        for (size_t i = 0; i < n_asked; i++)
                cr_assert_geq(sd_bus_reply_method_return(asked[i], "(bba{ss})", allowed, challenge, 0), 0);
        polkit_forget();
}

/* What was asked, in one line. */
static char *polkit_question(void)
{
        const char *kind, *action, *name, *value = NULL, *id;
        char *text;
        uint32_t flags;

        cr_assert_eq(n_asked, 1);
        cr_assert_geq(sd_bus_message_rewind(asked[0], true), 0);
        cr_assert_gt(sd_bus_message_enter_container(asked[0], 'r', "sa{sv}"), 0);
        cr_assert_gt(sd_bus_message_read(asked[0], "s", &kind), 0);
        cr_assert_gt(sd_bus_message_enter_container(asked[0], 'a', "{sv}"), 0);
        while (sd_bus_message_enter_container(asked[0], 'e', "sv") > 0) {
                cr_assert_gt(sd_bus_message_read(asked[0], "s", &name), 0);
                if (streq(name, "name"))
                        cr_assert_gt(sd_bus_message_read(asked[0], "v", "s", &value), 0);
                else
                        cr_assert_gt(sd_bus_message_skip(asked[0], "v"), 0);
                cr_assert_geq(sd_bus_message_exit_container(asked[0]), 0);
        }
        cr_assert_geq(sd_bus_message_exit_container(asked[0]), 0);
        cr_assert_geq(sd_bus_message_exit_container(asked[0]), 0);
        cr_assert_gt(sd_bus_message_read(asked[0], "s", &action), 0);
        cr_assert_geq(sd_bus_message_skip(asked[0], "a{ss}"), 0);
        cr_assert_gt(sd_bus_message_read(asked[0], "us", &flags, &id), 0);
        text = asprintf_safe("%s %s %s %u %s", kind, value ?: "-", action, flags, id);
        cr_assert_not_null(text);
        return text;
}

/* Callers */

typedef struct Caller {
        AuthorityQuestion *question;
        AuthorityVerdict verdict; /* PENDING: not yet */
        bool keeps;               /* the question, beyond its end */
} Caller;

static void on_verdict(AuthorityQuestion *question, AuthorityVerdict verdict, void *userdata)
{
        Caller *caller = userdata;

        cr_assert_eq(question, caller->question);
        cr_assert_eq(caller->verdict, AUTHORITY_PENDING, "told twice");
        caller->verdict = verdict;
        if (!caller->keeps)
                caller->question = authority_question_free(question);
}

static int ask(Caller *caller, const AuthoritySubject *subject, bool interactive)
{
        caller->verdict = AUTHORITY_PENDING;
        return authority_ask(authority, subject, AUTHORITY_RECONNECT, interactive, on_verdict, caller,
                             &caller->question);
}

static AuthoritySubject client_of(sd_bus *bus)
{
        AuthoritySubject subject = { .pidfd = -EBADF };

        cr_assert_geq(sd_bus_get_unique_name(bus, &subject.bus_name), 0);
        return subject;
}

static void start(void)
{
        log_set_max_level(LOG_ERR);
        sandbox_need_root();
        bus_set_up();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
        cr_assert_eq(authority_new(system_bus, &authority), 0);
}

static void start_bus(void)
{
        bus_start();
        RUN_UNTIL(event, system_bus_get(system_bus));
}

static void start_bus_with_polkit(void)
{
        start_bus();
        polkit_start();
}

/* Nobody, who is on the bus beside polkit. */
static sd_bus *nobody;
static AuthoritySubject subject_nobody;

static void start_nobody(void)
{
        nobody = bus_client_as(BUS_NOBODY);
        subject_nobody = client_of(nobody);
}

/* Until polkit has been asked. */
static void ask_polkit(Caller *caller, const AuthoritySubject *subject, bool interactive)
{
        cr_assert_eq(ask(caller, subject, interactive), AUTHORITY_PENDING);
        RUN_UNTIL(event, n_asked == 1);
}

static void stop(void)
{
        nobody = sd_bus_close_unref(nobody);
        polkit_stop();
        authority = authority_free(authority);
        system_bus = system_bus_free(system_bus);
        bus_stop();
        event = sd_event_unref(event);
}

TestSuite(authority, .init = start, .fini = stop, .timeout = 60);

Test(authority, lets_root_and_itself_in_without_asking)
{
        AuthoritySubject root = { .pidfd = -EBADF }, subject;
        Caller caller;
        sd_bus *bus;

        cr_assert_eq(ask(&caller, &root, false), AUTHORITY_ALLOWED, "also without a bus");
        start_bus_with_polkit();
        bus = bus_client();
        subject = client_of(bus);
        cr_assert_eq(ask(&caller, &subject, false), AUTHORITY_PENDING);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_ALLOWED);
        cr_assert_eq(n_asked, 0);
        sd_bus_close_unref(bus);

        cr_assert_eq(seteuid(1234), 0);
        root.uid = 1234;
        cr_assert_eq(ask(&caller, &root, false), AUTHORITY_ALLOWED);
        cr_assert_eq(seteuid(0), 0);
}

Test(authority, refuses_others_where_there_is_nobody_to_ask)
{
        AuthoritySubject process = { .pidfd = STDIN_FILENO, .uid = BUS_NOBODY };
        Caller caller;

        cr_assert_eq(ask(&caller, &process, false), AUTHORITY_UNAVAILABLE);
        start_bus();
        start_nobody();
        cr_assert_eq(ask(&caller, &subject_nobody, false), AUTHORITY_PENDING);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_UNAVAILABLE);
        process.pidfd = -EBADF;
        cr_assert_eq(ask(&caller, &process, false), AUTHORITY_UNAVAILABLE, "whose number may be another's");
}

/* As in a user namespace with this map. */
static void become_namespaced(const char *map)
{
        authority = authority_free(authority);
        cr_assert_eq(mount("tmpfs", "/proc", "tmpfs", 0, NULL), 0, "%m");
        cr_assert_eq(mkdir("/proc/self", 0755), 0);
        sandbox_write("/proc/self/uid_map", map);
        cr_assert_eq(authority_new(system_bus, &authority), 0);
        cr_assert_eq(umount("/proc"), 0, "%m");
}

/* The unit's sandbox does not have all users: the others are all the same one, and polkit would be asked
 * about that one. */
Test(authority, refuses_processes_of_users_whom_it_cannot_tell_apart)
{
        AuthoritySubject process = { .pidfd = STDIN_FILENO, .uid = BUS_NOBODY };
        Caller caller;

        become_namespaced("         0          0      65536\n");
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_CALLER_UNKNOWN);
        cr_assert_not_null(authority_verdict_explain(AUTHORITY_CALLER_UNKNOWN));
        process.uid = BUS_NOBODY - 1;
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_UNAVAILABLE);
        process.uid = 0;
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_ALLOWED);

        process.uid = BUS_NOBODY;
        become_namespaced("         0          0 4294967295\n");
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_UNAVAILABLE);
}

Test(authority, asks_polkit_about_others)
{
        static const struct {
                bool interactive, allowed, challenge;
                AuthorityVerdict verdict;
        } cases[] = {
                { false, true, false, AUTHORITY_ALLOWED },
                { true, true, true, AUTHORITY_ALLOWED },
                { true, false, false, AUTHORITY_DENIED },
                { false, false, true, AUTHORITY_NEEDS_INTERACTION },
        };

        start_bus_with_polkit();
        start_nobody();
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *question = NULL, *expected = NULL;
                Caller caller;

                ask_polkit(&caller, &subject_nobody, cases[i].interactive);
                question = polkit_question();
                expected = asprintf_safe("system-bus-name %s %s %u icewired-%zu", subject_nobody.bus_name,
                                         AUTHORITY_RECONNECT, cases[i].interactive, i + 1);
                cr_assert_str_eq(question, expected);
                polkit_answer(cases[i].allowed, cases[i].challenge);
                RUN_UNTIL(event, caller.verdict != AUTHORITY_PENDING);
                cr_assert_eq(caller.verdict, cases[i].verdict, "case %zu", i);
                cr_assert_eq(authority_verdict_explain(caller.verdict) == NULL,
                             cases[i].verdict == AUTHORITY_ALLOWED);
        }
        cr_assert_eq(n_cancelled, 0);
}

/* The verdict is not remembered. */
Test(authority, asks_each_time)
{
        AuthoritySubject process = { .uid = BUS_NOBODY };
        Caller caller;

        start_bus_with_polkit();
        process.pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
        cr_assert_geq(process.pidfd, 0);
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_free_ char *question = NULL;

                ask_polkit(&caller, &process, false);
                question = polkit_question();
                cr_assert_not_null(startswith(question, "unix-process - " AUTHORITY_RECONNECT " 0 "));
                polkit_answer(true, false);
                RUN_UNTIL(event, caller.verdict == AUTHORITY_ALLOWED);
        }
        close(process.pidfd);
}

Test(authority, takes_a_question_back)
{
        Caller caller;

        start_bus_with_polkit();
        start_nobody();
        ask_polkit(&caller, &subject_nobody, true);
        caller.question = authority_question_free(caller.question);
        RUN_UNTIL(event, n_cancelled == 1);
        cr_assert_str_eq(cancelled, "icewired-1");

        /* The answer that comes late is nobody's. */
        polkit_answer(true, false);
        run_pending(event);
        cr_assert_eq(caller.verdict, AUTHORITY_PENDING);

        /* One that polkit has not seen yet is not taken back from it. */
        cr_assert_eq(ask(&caller, &subject_nobody, true), AUTHORITY_PENDING);
        caller.question = authority_question_free(caller.question);
        run_pending(event);
        cr_assert_eq(n_asked, 0);
        cr_assert_eq(n_cancelled, 1);
}

Test(authority, notices_that_a_caller_leaves)
{
        Caller caller = { .keeps = true };

        start_bus_with_polkit();
        start_nobody();
        ask_polkit(&caller, &subject_nobody, true);
        nobody = sd_bus_close_unref(nobody);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_CALLER_GONE && n_cancelled == 1);
        caller.question = authority_question_free(caller.question);
}

Test(authority, does_not_ask_for_one_who_has_left)
{
        AuthoritySubject subject = { .bus_name = ":1.999" };
        Caller caller;

        start_bus_with_polkit();
        cr_assert_eq(ask(&caller, &subject, true), AUTHORITY_PENDING);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_CALLER_GONE);
        cr_assert_eq(n_asked, 0);
}

Test(authority, survives_polkit_and_the_bus)
{
        Caller caller;

        start_bus_with_polkit();
        start_nobody();
        ask_polkit(&caller, &subject_nobody, true);
        polkit_stop();
        RUN_UNTIL(event, caller.verdict == AUTHORITY_UNAVAILABLE);

        polkit_start(); /* anew */
        ask_polkit(&caller, &subject_nobody, true);
        bus_stop();
        RUN_UNTIL(event, caller.verdict == AUTHORITY_UNAVAILABLE && !system_bus_get(system_bus));
        nobody = sd_bus_close_unref(nobody);
        polkit_stop();
        bus_start();
        RUN_UNTIL(event, system_bus_get(system_bus));
        polkit_start();
        start_nobody();
        ask_polkit(&caller, &subject_nobody, false);

        /* Given up by ourselves. */
        system_bus_reset(system_bus);
        cr_assert_eq(caller.verdict, AUTHORITY_UNAVAILABLE);
}

Test(authority, limits_the_questions_of_each_user)
{
        AuthoritySubject process = { .uid = BUS_NOBODY, .pidfd = STDIN_FILENO };
        Caller callers[AUTHORITY_QUESTIONS_PER_USER_MAX] = {}, caller;

        start_bus_with_polkit();
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                cr_assert_eq(ask(&callers[i], &process, true), AUTHORITY_PENDING);
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_BUSY);
        RUN_UNTIL(event, n_asked == ELEMENTSOF(callers));

        /* … also of one whose name is known later; others may ask. */
        start_nobody();
        cr_assert_eq(ask(&caller, &subject_nobody, true), AUTHORITY_PENDING);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_BUSY);
        polkit_answer(false, false);
        RUN_UNTIL(event, callers[ELEMENTSOF(callers) - 1].verdict == AUTHORITY_DENIED);
        process.uid = BUS_NOBODY - 1;
        ask_polkit(&caller, &process, true);
        caller.question = authority_question_free(caller.question);
}

Test(authority, limits_the_questions_of_all)
{
        AuthoritySubject process = { .pidfd = STDIN_FILENO };
        static Caller callers[AUTHORITY_QUESTIONS_MAX];
        Caller caller;

        start_bus(); /* nobody answers before the loop runs */
        for (size_t i = 0; i < ELEMENTSOF(callers); i++) {
                process.uid = BUS_NOBODY - (uid_t) i;
                cr_assert_eq(ask(&callers[i], &process, true), AUTHORITY_PENDING);
        }
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_BUSY);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                callers[i].question = authority_question_free(callers[i].question);
        cr_assert_eq(ask(&caller, &process, true), AUTHORITY_PENDING);
        RUN_UNTIL(event, caller.verdict == AUTHORITY_UNAVAILABLE);
}

/* Root is among them, and is let in. */
Test(authority, limits_the_callers_who_are_not_known_yet)
{
        AuthoritySubject process = { .uid = BUS_NOBODY, .pidfd = STDIN_FILENO }, others, root;
        static Caller callers[AUTHORITY_UNKNOWN_MAX - 1];
        Caller caller, late;
        sd_bus *bus, *bus_of_root;

        start_bus_with_polkit();
        bus = bus_client_as(BUS_NOBODY);
        bus_of_root = bus_client();
        others = client_of(bus);
        root = client_of(bus_of_root);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                cr_assert_eq(ask(&callers[i], &others, true), AUTHORITY_PENDING);
        cr_assert_eq(ask(&caller, &root, true), AUTHORITY_PENDING);
        cr_assert_eq(ask(&late, &root, true), AUTHORITY_BUSY);
        cr_assert_eq(ask(&late, &process, true), AUTHORITY_PENDING, "who is known");
        RUN_UNTIL(event, caller.verdict == AUTHORITY_ALLOWED);
        RUN_UNTIL(event, n_asked == AUTHORITY_QUESTIONS_PER_USER_MAX);
        cr_assert_eq(callers[ELEMENTSOF(callers) - 1].verdict, AUTHORITY_BUSY);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                callers[i].question = authority_question_free(callers[i].question);
        late.question = authority_question_free(late.question);
        sd_bus_close_unref(bus);
        sd_bus_close_unref(bus_of_root);
}

/* A flood of them takes no more of the questions to polkit than others may. */
Test(authority, limits_the_questions_of_those_who_become_known)
{
        AuthoritySubject process = { .pidfd = STDIN_FILENO };
        static Caller callers[AUTHORITY_QUESTIONS_MAX];
        Caller caller;

        start_bus();
        start_nobody();
        cr_assert_eq(ask(&caller, &subject_nobody, true), AUTHORITY_PENDING);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++) {
                process.uid = BUS_NOBODY - 1 - (uid_t) i;
                cr_assert_eq(ask(&callers[i], &process, true), AUTHORITY_PENDING);
        }
        /* Nobody has polkit's name: the questions end one by one, after this one. */
        RUN_UNTIL(event, caller.verdict != AUTHORITY_PENDING);
        cr_assert_eq(caller.verdict, AUTHORITY_BUSY);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                callers[i].question = authority_question_free(callers[i].question);
}

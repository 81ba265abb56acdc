/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "authority.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include <utlist.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"
#include "time-util.h"

#define POLKIT "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* polkit(8), CheckAuthorizationFlags */
#define ALLOW_USER_INTERACTION 1

/* polkit may have to be started for it. */
#define TIMEOUT (30 * USEC_PER_SEC)
#define TIMEOUT_INTERACTIVE (5 * USEC_PER_MINUTE)

#define UID_UNKNOWN ((uid_t) - 1)

/* user_namespaces(7): what all users are called that have no number in this namespace. It can be set, but
 * not be read from inside of our sandbox. */
#define UID_OVERFLOW 65534

struct AuthorityQuestion {
        Authority *authority;
        char *bus_name; /* NULL: a process */
        const char *action;
        bool interactive;
        uid_t uid;
        char id[32];       /* polkit's name for it, to take it back */
        bool asked;        /* polkit has it */
        bool open;         /* the callback is to come */
        sd_bus_slot *call; /* whose answer is awaited */
        sd_bus_slot *gone; /* does the caller leave the bus? */
        authority_callback_t callback;
        void *userdata;
        AuthorityQuestion *prev, *next;
};

struct Authority {
        SystemBus *bus;
        SystemBusUser *user;
        AuthorityQuestion *questions;
        uint64_t n_asked;
        bool knows_all_users; /* UID_OVERFLOW is one user and no other */
        bool complained;      /* polkit's refusal to answer is in the log */
};

const char *authority_verdict_explain(AuthorityVerdict verdict)
{
        switch (verdict) {
        case AUTHORITY_DENIED:
                return "polkit does not allow it.";
        case AUTHORITY_NEEDS_INTERACTION:
                return "polkit wants a password, and the call does not allow that somebody is asked for it.";
        case AUTHORITY_UNAVAILABLE:
                return "polkit does not answer, and without it only root may do this.";
        case AUTHORITY_CALLER_UNKNOWN:
                return "icewired cannot tell by this socket which user is asking: ask by D-Bus (busctl call "
                       "org.icewire1), or with sudo.";
        case AUTHORITY_BUSY:
                return "Too many such questions are waiting for polkit.";
        default:
                return NULL;
        }
}

static int cancel(sd_bus *bus, const char *id)
{
        _cleanup_bus_message_ sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, POLKIT, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CancelCheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", id);
        /* One that is started for this has nothing to cancel. */
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        return r < 0 ? r : sd_bus_send(bus, m, /* ret_cookie= */ NULL);
}

static void take_back(AuthorityQuestion *q)
{
        sd_bus *bus = system_bus_get(q->authority->bus);
        int r;

        if (!TAKE_GENERIC(q->asked, false) || !bus)
                return;
        r = cancel(bus, q->id);
        if (r < 0)
                log_debug_errno(r, "Failed to take a question to polkit back, ignoring: %m");
}

static void close_question(AuthorityQuestion *q)
{
        q->call = sd_bus_slot_unref(q->call);
        q->gone = sd_bus_slot_unref(q->gone);
        if (q->open)
                DL_DELETE(q->authority->questions, q);
        q->open = false;
}

AuthorityQuestion *authority_question_free(AuthorityQuestion *q)
{
        if (!q)
                return NULL;
        take_back(q);
        close_question(q);
        free(q->bus_name);
        return mfree(q);
}

static void finish(AuthorityQuestion *q, AuthorityVerdict verdict)
{
        log_debug("%s for %s: %s", q->action, q->bus_name ?: "a process",
                  verdict == AUTHORITY_ALLOWED ? "allowed" : strna(authority_verdict_explain(verdict)));
        close_question(q);
        q->callback(q, verdict, q->userdata);
}

static bool is_always_allowed(uid_t uid)
{
        return uid == 0 || uid == geteuid();
}

static bool has_too_many(const Authority *a, uid_t uid)
{
        const AuthorityQuestion *q;
        unsigned n = 0;

        DL_FOREACH (a->questions, q)
                n += q->uid == uid;
        return n >= AUTHORITY_QUESTIONS_PER_USER_MAX;
}

/* Those about callers who are known, or those about the others. */
static bool is_full(const Authority *a, bool known)
{
        const AuthorityQuestion *q;
        unsigned n = 0;

        DL_FOREACH (a->questions, q)
                n += (q->uid != UID_UNKNOWN) == known;
        return n >= (known ? AUTHORITY_QUESTIONS_MAX : AUTHORITY_UNKNOWN_MAX);
}

static AuthorityVerdict read_answer(Authority *a, sd_bus_message *answer)
{
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        int allowed, challenge, r;

        if (error) {
                /* Anybody can make us ask, and so fill the log. */
                log_full_errno(a->complained ? LOG_DEBUG : LOG_WARNING, 0, "polkit does not answer: %s",
                               strna(error->message));
                a->complained = true;
                return AUTHORITY_UNAVAILABLE;
        }
        r = sd_bus_message_read(answer, "(bba{ss})", &allowed, &challenge, 0);
        if (r < 0) {
                log_debug_errno(r, "polkit's answer makes no sense: %m");
                return AUTHORITY_UNAVAILABLE;
        }
        a->complained = false;
        if (allowed)
                return AUTHORITY_ALLOWED;
        return challenge ? AUTHORITY_NEEDS_INTERACTION : AUTHORITY_DENIED;
}

static int on_checked(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        AuthorityQuestion *q = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(answer);

        /* Nobody needs an answer any longer that was waited for in vain. */
        if (!e || !sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY))
                q->asked = false;
        take_back(q);
        finish(q, read_answer(q->authority, answer));
        return 0;
}

/* (sa{sv}), polkit(8): Subject */
static int append_subject(sd_bus_message *m, const AuthorityQuestion *q, int pidfd)
{
        if (q->bus_name)
                return sd_bus_message_append(m, "(sa{sv})", "system-bus-name", 1, "name", "s", q->bus_name);
        return sd_bus_message_append(m, "(sa{sv})", "unix-process", 2, "pidfd", "h", pidfd, "uid", "i",
                                     (int32_t) q->uid);
}

static int ask_polkit(AuthorityQuestion *q, sd_bus *bus, int pidfd)
{
        _cleanup_bus_message_ sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, POLKIT, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CheckAuthorization");
        if (r >= 0)
                r = append_subject(m, q, pidfd);
        if (r < 0)
                return r;
        (void) snprintf(q->id, sizeof(q->id), "icewired-%" PRIu64, ++q->authority->n_asked);
        r = sd_bus_message_append(m, "sa{ss}us", q->action, 0, q->interactive ? ALLOW_USER_INTERACTION : 0,
                                  q->id);
        if (r >= 0)
                r = sd_bus_call_async(bus, &q->call, m, on_checked, q,
                                      q->interactive ? TIMEOUT_INTERACTIVE : TIMEOUT);
        if (r >= 0)
                q->asked = true;
        return r;
}

static int on_uid(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        AuthorityQuestion *q = userdata;
        uint32_t uid;

        q->call = sd_bus_slot_unref(q->call);
        if (sd_bus_message_is_method_error(answer, /* name= */ NULL) > 0 ||
            sd_bus_message_read(answer, "u", &uid) < 0)
                finish(q, AUTHORITY_CALLER_GONE);
        else if (is_always_allowed(uid))
                finish(q, AUTHORITY_ALLOWED);
        else if (is_full(q->authority, /* known= */ true) || has_too_many(q->authority, uid))
                finish(q, AUTHORITY_BUSY);
        else {
                q->uid = uid;
                if (ask_polkit(q, sd_bus_message_get_bus(answer), /* pidfd= */ -EBADF) < 0)
                        finish(q, AUTHORITY_UNAVAILABLE);
        }
        return 0;
}

static int on_owner_changed(sd_bus_message *signal, void *userdata, sd_bus_error *error)
{
        AuthorityQuestion *q = userdata;

        /* Unique names are never used again. */
        take_back(q);
        finish(q, AUTHORITY_CALLER_GONE);
        return 0;
}

static int on_match_added(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        if (sd_bus_message_is_method_error(answer, /* name= */ NULL) > 0)
                log_debug("The bus does not tell when a caller leaves, ignoring.");
        return 0;
}

/* Who it is has to be known before polkit is asked: root is let in without. The match comes first, so that
 * no end of the caller is missed: what is said to the bus is done in order. */
static int ask_for_uid(AuthorityQuestion *q, sd_bus *bus)
{
        char match[256];
        int r;

        (void) snprintf(match, sizeof(match),
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
                        q->bus_name);
        r = sd_bus_add_match_async(bus, &q->gone, match, on_owner_changed, on_match_added, q);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(bus, &q->call, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                        "org.freedesktop.DBus", "GetConnectionUnixUser", on_uid, q, "s",
                                        q->bus_name);
}

static int question_new(Authority *a, const AuthoritySubject *subject, const char *action, bool interactive,
                        AuthorityQuestion **ret)
{
        _cleanup_(authority_question_freep) AuthorityQuestion *q = new (AuthorityQuestion, 1);

        if (!q)
                return -ENOMEM;
        *q = (AuthorityQuestion) {
                .authority = a,
                .action = action,
                .interactive = interactive,
                .uid = subject->bus_name ? UID_UNKNOWN : subject->uid,
        };
        if (subject->bus_name) {
                q->bus_name = strdup(subject->bus_name);
                if (!q->bus_name)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(q);
        return 0;
}

/* Without any question; PENDING: one is needed. */
static AuthorityVerdict decide(Authority *a, const AuthoritySubject *subject)
{
        if (!subject->bus_name && is_always_allowed(subject->uid))
                return AUTHORITY_ALLOWED;
        if (!subject->bus_name && subject->uid == UID_OVERFLOW && !a->knows_all_users)
                return AUTHORITY_CALLER_UNKNOWN;
        if (!system_bus_get(a->bus) || (!subject->bus_name && subject->pidfd < 0))
                return AUTHORITY_UNAVAILABLE;
        if (is_full(a, /* known= */ !subject->bus_name) ||
            (!subject->bus_name && has_too_many(a, subject->uid)))
                return AUTHORITY_BUSY;
        return AUTHORITY_PENDING;
}

int authority_ask(Authority *a, const AuthoritySubject *subject, const char *action, bool interactive,
                  authority_callback_t callback, void *userdata, AuthorityQuestion **ret)
{
        _cleanup_(authority_question_freep) AuthorityQuestion *q = NULL;
        AuthorityVerdict verdict = decide(a, subject);
        sd_bus *bus = system_bus_get(a->bus);
        int r;

        if (verdict != AUTHORITY_PENDING)
                return verdict;
        r = question_new(a, subject, action, interactive, &q);
        if (r < 0)
                return r;
        r = q->bus_name ? ask_for_uid(q, bus) : ask_polkit(q, bus, subject->pidfd);
        if (r < 0)
                return r;
        q->callback = callback;
        q->userdata = userdata;
        q->open = true;
        DL_APPEND(a->questions, q);
        *ret = TAKE_PTR(q);
        return AUTHORITY_PENDING;
}

/* What the lost bus still owes comes as errors, unless it was given up by ourselves. */
static void on_lost(void *userdata)
{
        Authority *a = userdata;

        while (a->questions) {
                a->questions->asked = false;
                finish(a->questions, AUTHORITY_UNAVAILABLE);
        }
}

static void on_connected(sd_bus *bus, void *userdata)
{
        Authority *a = userdata;

        a->complained = false;
}

/* user_namespaces(7): in the first namespace, and in one that maps everybody, there is one line. */
static bool knows_all_users(void)
{
        _cleanup_free_ char *map = NULL;
        unsigned inside, outside, n;

        return read_full_file("/proc/self/uid_map", 4096, &map, /* ret_size= */ NULL) >= 0 &&
               sscanf(map, "%u %u %u", &inside, &outside, &n) == 3 && n == UINT32_MAX;
}

int authority_new(SystemBus *bus, Authority **ret)
{
        _cleanup_(authority_freep) Authority *a = new0(Authority, 1);
        int r;

        if (!a)
                return -ENOMEM;
        a->bus = bus;
        a->knows_all_users = knows_all_users();
        r = system_bus_add_user(bus, on_connected, on_lost, a, &a->user);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

Authority *authority_free(Authority *a)
{
        if (!a)
                return NULL;
        assert(!a->questions);
        system_bus_user_free(a->user);
        return mfree(a);
}

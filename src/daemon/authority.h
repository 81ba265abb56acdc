/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "system-bus.h"

/* Who may change something: root and our own user always, everybody else if polkit says so (on the system
 * bus, org.freedesktop.PolicyKit1.Authority's CheckAuthorization, polkit(8)). The question is asked without
 * waiting, and the verdict is good for the one call that it was asked for. Where there is no polkit or no
 * bus, everybody else is refused.
 *
 * polkit answers only its own actions' owner: the actions name our user (polkit/org.icewire1.policy). */

#define AUTHORITY_RECONNECT "org.icewire1.reconnect"
#define AUTHORITY_SET_POLICY "org.icewire1.set-policy"
#define AUTHORITY_RELOAD "org.icewire1.reload"
#define AUTHORITY_SET_LOG_LEVEL "org.icewire1.set-log-level"
/* Changes nothing here, but asks servers, with our credentials. */
#define AUTHORITY_DIAGNOSE "org.icewire1.diagnose"

/* As many questions may be open, at most so many of them of one user: people who are asked for a password
 * take their time. */
#define AUTHORITY_QUESTIONS_MAX 256
#define AUTHORITY_QUESTIONS_PER_USER_MAX 16
/* Callers on the bus of whom it is not known yet who they are, which takes a moment only. They have a limit
 * of their own: one of them may be root, who needs no polkit. */
#define AUTHORITY_UNKNOWN_MAX 1024

typedef enum AuthorityVerdict {
        AUTHORITY_ALLOWED,
        AUTHORITY_PENDING, /* of authority_ask() alone: the callback has the verdict */
        AUTHORITY_DENIED,
        AUTHORITY_NEEDS_INTERACTION, /* a person would have to be asked, which the caller did not allow */
        AUTHORITY_UNAVAILABLE,       /* there is nobody to ask */
        AUTHORITY_BUSY,              /* too many questions are open */
        AUTHORITY_CALLER_UNKNOWN,    /* a process of a user who has no number in our user namespace */
        AUTHORITY_CALLER_GONE,       /* of a caller on the bus: nobody is left to be answered */
        _AUTHORITY_VERDICT_MAX,
        _AUTHORITY_VERDICT_INVALID = -EINVAL,
} AuthorityVerdict;

/* For whoever is refused: why, and what to do. NULL for the verdicts that refuse nobody. */
const char *authority_verdict_explain(AuthorityVerdict verdict);

typedef struct Authority Authority;
typedef struct AuthorityQuestion AuthorityQuestion;

/* The bus must outlive it; its questions must not. -ENOMEM. */
int authority_new(SystemBus *bus, Authority **ret);
Authority *authority_free(Authority *a);
DEFINE_TRIVIAL_CLEANUP_FUNC(Authority *, authority_free);

/* Whom the question is about: a client of the bus by its unique name, or (NULL) a process. */
typedef struct AuthoritySubject {
        const char *bus_name;
        int pidfd; /* borrowed. A number would do for polkit too, but may be another process's by then:
                      without a pidfd it is AUTHORITY_UNAVAILABLE */
        uid_t uid; /* as it was when it connected */
} AuthoritySubject;

/* Once, never from inside authority_ask(). The question may be freed inside. */
typedef void (*authority_callback_t)(AuthorityQuestion *question, AuthorityVerdict verdict, void *userdata);

/* action: one of those above. interactive: may a person be asked? That takes minutes. PENDING: the caller
 * owns *ret; otherwise it is untouched and nobody is called. -ENOMEM and sd-bus's errors. */
int authority_ask(Authority *a, const AuthoritySubject *subject, const char *action, bool interactive,
                  authority_callback_t callback, void *userdata, AuthorityQuestion **ret);

/* One that is open is taken back, and the person who was asked sees the dialogue go. */
AuthorityQuestion *authority_question_free(AuthorityQuestion *question);
DEFINE_TRIVIAL_CLEANUP_FUNC(AuthorityQuestion *, authority_question_free);

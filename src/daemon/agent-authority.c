/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Varlink's callers before the authority: they wait as calls that are pending, which run again from the top.
 */

#include "agent-varlink-internal.h"
#include "log.h"
#include "string-util.h"

static void on_verdict(AuthorityQuestion *question, AuthorityVerdict verdict, void *userdata)
{
        Connection *c = userdata;
        int r;

        c->question = authority_question_free(question);
        c->verdict = verdict;
        r = sd_varlink_dispatch_again(c->link);
        if (r >= 0)
                return;
        /* It must not be there for another call. */
        c->verdict = AUTHORITY_PENDING;
        log_debug_errno(r, "Failed to go on with a call that polkit was asked about, ignoring: %m");
}

int agent_check_wait(const Connection *c)
{
        return c->question || c->wait ? -EBUSY : 0;
}

/* sd-varlink's errors are negative also when they were sent. */
static int refuse(sd_varlink *link, AuthorityVerdict verdict)
{
        const char *name = SD_VARLINK_ERROR_PERMISSION_DENIED;

        if (verdict == AUTHORITY_NEEDS_INTERACTION)
                name = SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED;
        if (verdict == AUTHORITY_BUSY)
                return sd_varlink_error_errno(link, -EBUSY);
        return sd_varlink_errorbo(link, name,
                                  SD_JSON_BUILD_PAIR_STRING("message", authority_verdict_explain(verdict)));
}

static int ask(Connection *c, const char *action, bool interactive)
{
        AuthoritySubject subject = { .pidfd = sd_varlink_get_peer_pidfd(c->link) };
        int r = sd_varlink_get_peer_uid(c->link, &subject.uid);

        if (r < 0)
                return r;
        c->action = action;
        return authority_ask(c->server->authority, &subject, action, interactive, on_verdict, c,
                             &c->question);
}

/* PENDING: there is none about this. */
static AuthorityVerdict take_verdict(Connection *c, const char *action)
{
        AuthorityVerdict verdict = TAKE_GENERIC(c->verdict, AUTHORITY_PENDING);

        return streq_ptr(TAKE_PTR(c->action), action) ? verdict : AUTHORITY_PENDING;
}

int agent_authorise(Connection *c, const char *action, bool interactive)
{
        int verdict = take_verdict(c, action), r;

        r = agent_check_wait(c);
        if (r < 0)
                return r;
        if (verdict == AUTHORITY_PENDING)
                verdict = ask(c, action, interactive);
        if (verdict < 0)
                return verdict;
        if (verdict == AUTHORITY_PENDING)
                return 1;
        return verdict == AUTHORITY_ALLOWED ? 0 : refuse(c->link, verdict);
}

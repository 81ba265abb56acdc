/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <utlist.h>

#include "agent-bus-internal.h"
#include "alloc-util.h"
#include "log.h"
#include "string-util.h"

/* Calls that may wait at once; each is a message that is kept. */
#define CALLS_MAX 1024

/* A call that waits: for polkit, or for what it needs. */
struct BusCall {
        AgentBus *server;
        sd_bus_message *message; /* a reference */
        agent_bus_then_t then;
        AuthorityQuestion *question; /* one of the two */
        VerbsWait *wait;
        BusCall *prev, *next;
};

static BusCall *call_free(BusCall *call)
{
        if (!call)
                return NULL;
        DL_DELETE(call->server->calls, call);
        authority_question_free(call->question);
        verbs_wait_free(call->wait);
        sd_bus_message_unref(call->message);
        return mfree(call);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(BusCall *, call_free);

static int call_new(AgentBus *b, sd_bus_message *m, agent_bus_then_t then, BusCall **ret,
                    sd_bus_error *error)
{
        BusCall *call;
        size_t n;

        DL_COUNT(b->calls, call, n);
        if (n >= CALLS_MAX)
                return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many calls are waiting.");
        call = new (BusCall, 1);
        if (!call)
                return -ENOMEM;
        *call = (BusCall) { .server = b, .message = sd_bus_message_ref(m), .then = then };
        DL_APPEND(b->calls, call);
        *ret = call;
        return 0;
}

void agent_bus_calls_stop(AgentBus *b)
{
        while (b->calls)
                call_free(b->calls);
}

/* What sd-bus does with the result of a method's handler. */
static void reply_error(sd_bus_message *m, int r, const sd_bus_error *error)
{
        if (sd_bus_error_is_set(error))
                r = sd_bus_reply_method_error(m, error);
        else if (r < 0)
                r = sd_bus_reply_method_errno(m, r, /* error= */ NULL);
        if (r < 0)
                log_debug_errno(r, "Failed to reply to a call, ignoring: %m");
}

/* Goes on with a call, which is over then. */
static void call_continue(BusCall *call)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = call->then(call->server, call->message, &error);

        reply_error(call->message, r, &error);
        call_free(call);
}

/* ---- Who may ---- */

static int refuse(AuthorityVerdict verdict, sd_bus_error *error)
{
        const char *name = SD_BUS_ERROR_ACCESS_DENIED;

        if (verdict == AUTHORITY_NEEDS_INTERACTION)
                name = SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED;
        else if (verdict == AUTHORITY_BUSY)
                name = SD_BUS_ERROR_LIMITS_EXCEEDED;
        return sd_bus_error_set(error, name, authority_verdict_explain(verdict));
}

static void on_verdict(AuthorityQuestion *question, AuthorityVerdict verdict, void *userdata)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        BusCall *call = userdata;

        call->question = authority_question_free(question);
        if (verdict == AUTHORITY_ALLOWED) {
                call_continue(call);
                return;
        }
        if (verdict != AUTHORITY_CALLER_GONE)
                reply_error(call->message, refuse(verdict, &error), &error);
        call_free(call);
}

int agent_bus_authorise(AgentBus *b, sd_bus_message *m, const char *action, agent_bus_then_t then,
                        sd_bus_error *error)
{
        AuthoritySubject subject = { .bus_name = sd_bus_message_get_sender(m), .pidfd = -EBADF };
        _cleanup_(call_freep) BusCall *call = NULL;
        int r;

        if (!subject.bus_name)
                return -EBADMSG;
        r = call_new(b, m, then, &call, error);
        if (r < 0)
                return r;
        r = authority_ask(b->authority, &subject, action,
                          sd_bus_message_get_allow_interactive_authorization(m), on_verdict, call,
                          &call->question);
        if (r < 0)
                return r;
        if (r != AUTHORITY_PENDING)
                return refuse(r, error);
        TAKE_PTR(call);
        return 1;
}

/* ---- What it needs ---- */

static void on_refreshed(void *userdata)
{
        BusCall *call = userdata;

        call->wait = NULL;
        call_continue(call);
}

int agent_bus_refresh(AgentBus *b, sd_bus_message *m, agent_bus_then_t then, sd_bus_error *error)
{
        _cleanup_(call_freep) BusCall *call = NULL;
        int r;

        r = call_new(b, m, then, &call, error);
        if (r < 0)
                return r;
        r = verbs_refresh(b->verbs, on_refreshed, call, &call->wait);
        if (r < 0)
                return r;
        if (r == 0)
                return then(b, m, error);
        TAKE_PTR(call);
        return 1;
}

static void on_report(sd_json_variant *report, bool finished, void *userdata)
{
        BusCall *call = userdata;

        if (!finished)
                return;
        call->wait = NULL;
        if (report)
                reply_error(call->message, agent_bus_reply_json(call->message, report), /* error= */ NULL);
        else
                reply_error(call->message, -ENOMEM, /* error= */ NULL);
        call_free(call);
}

int agent_bus_diagnose(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_(call_freep) BusCall *call = NULL;
        int r;

        r = call_new(b, m, /* then= */ NULL, &call, error);
        if (r < 0)
                return r;
        r = verbs_diagnose(b->verbs, on_report, call, &call->wait);
        if (r < 0)
                return r;
        TAKE_PTR(call);
        return 1;
}

/* ---- What comes by again ---- */

static void on_counters(void *userdata)
{
        BusCall *call = userdata;
        int r;

        call->wait = NULL;
        /* It stays in the list, to be known again. */
        r = sd_bus_enqueue_for_read(call->server->connection, call->message);
        if (r >= 0)
                return;
        reply_error(call->message, r, /* error= */ NULL);
        call_free(call);
}

int agent_bus_read_counters(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_(call_freep) BusCall *call = NULL;
        int r;

        r = call_new(b, m, /* then= */ NULL, &call, error);
        if (r < 0)
                return r;
        r = verbs_refresh(b->verbs, on_counters, call, &call->wait);
        if (r > 0)
                TAKE_PTR(call);
        return r;
}

bool agent_bus_comes_again(AgentBus *b, sd_bus_message *m)
{
        BusCall *call;

        DL_SEARCH_SCALAR(b->calls, call, message, m);
        if (!call)
                return false;
        call_free(call);
        return true;
}

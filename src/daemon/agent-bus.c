/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-bus-internal.h"
#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

/* org.freedesktop.DBus.RequestName, D-Bus Specification 0.43 */
#define NAME_IS_OURS 1

/* A bus that began before there was our user does not know yet who may have the name: it reads its policy
 * anew when somebody says so, and tells nobody. */
#define NAME_RETRY_DELAY_MIN USEC_PER_SEC
#define NAME_RETRY_DELAY_MAX USEC_PER_MINUTE

static void ask_again_later(AgentBus *b, const char *refusal);

static int on_name(sd_bus_message *answer, void *userdata, sd_bus_error *error)
{
        AgentBus *b = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(answer);
        uint32_t result;

        b->name = sd_bus_slot_unref(b->name);
        if (e) {
                ask_again_later(b, strna(e->message));
                return 0;
        }
        if (b->name_retry_delay > 0)
                log_info("The system bus does let us have the name " AGENT_BUS_NAME " now.");
        b->name_retry_delay = 0;
        if (sd_bus_message_read(answer, "u", &result) >= 0 && result != NAME_IS_OURS)
                log_notice("Somebody else has the name " AGENT_BUS_NAME
                           " on the system bus, waiting for it.");
        return 0;
}

static int ask_for_name(AgentBus *b)
{
        return sd_bus_request_name_async(b->connection, &b->name, AGENT_BUS_NAME, SD_BUS_NAME_QUEUE, on_name,
                                         b);
}

static int on_name_retry(sd_event_source *source, uint64_t t, void *userdata)
{
        AgentBus *b = userdata;
        int r = ask_for_name(b);

        if (r < 0)
                ask_again_later(b, strerror(-r));
        return 0;
}

/* The first refusal is for the log. */
static void ask_again_later(AgentBus *b, const char *refusal)
{
        bool first = b->name_retry_delay == 0;
        int r;

        log_full_errno(first ? LOG_WARNING : LOG_DEBUG, 0,
                       "The system bus does not let us have the name " AGENT_BUS_NAME ", asking again: %s",
                       refusal);
        b->name_retry_delay = first ? NAME_RETRY_DELAY_MIN
                                    : MIN(b->name_retry_delay * 2, NAME_RETRY_DELAY_MAX);
        r = event_arm_timer(b->event, &b->name_retry, b->name_retry_delay, on_name_retry, b, "bus-name");
        if (r < 0)
                log_warning_errno(r, "Failed to wait for the name " AGENT_BUS_NAME ", ignoring: %m");
}

sd_bus_slot **agent_bus_slot(AgentBus *b)
{
        assert(b->n_slots < ELEMENTSOF(b->slots));
        return &b->slots[b->n_slots++];
}

static int serve(AgentBus *b)
{
        int r;

        r = sd_bus_add_filter(b->connection, agent_bus_slot(b), agent_bus_filter, b);
        if (r < 0)
                return r;
        r = agent_bus_objects_serve(b);
        if (r < 0)
                return r;
        return ask_for_name(b);
}

static void on_connected(sd_bus *bus, void *userdata)
{
        AgentBus *b = userdata;
        int r;

        b->connection = bus;
        agent_bus_objects_start(b);
        r = serve(b);
        if (r < 0)
                log_warning_errno(r, "Failed to serve " AGENT_BUS_NAME " on the system bus, ignoring: %m");
}

static void on_lost(void *userdata)
{
        AgentBus *b = userdata;

        b->name = sd_bus_slot_unref(b->name);
        b->name_retry = event_source_disable_unref(b->name_retry);
        b->name_retry_delay = 0;
        while (b->n_slots > 0)
                sd_bus_slot_unref(TAKE_PTR(b->slots[--b->n_slots]));
        agent_bus_calls_stop(b);
        agent_bus_objects_stop(b);
        b->connection = NULL;
        b->backlog = 0;
}

int agent_bus_new(sd_event *event, SystemBus *bus, Verbs *verbs, Authority *authority, AgentBus **ret)
{
        _cleanup_(agent_bus_freep) AgentBus *b = new (AgentBus, 1);
        int r;

        if (!b)
                return -ENOMEM;
        *b = (AgentBus) {
                .event = sd_event_ref(event),
                .bus = bus,
                .verbs = verbs,
                .authority = authority,
                .listener = agent_bus_objects_listener,
        };
        b->listener.userdata = b;
        verbs_add_listener(verbs, &b->listener);
        r = system_bus_add_user(bus, on_connected, on_lost, b, &b->user);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

AgentBus *agent_bus_free(AgentBus *b)
{
        if (!b)
                return NULL;
        verbs_remove_listener(b->verbs, &b->listener);
        on_lost(b);
        system_bus_user_free(b->user);
        sd_event_unref(b->event);
        return mfree(b);
}

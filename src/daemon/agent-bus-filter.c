/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-bus-internal.h"
#include "string-util.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"

/* So many bytes may be on their way to a bus that is slow to take them, or more by one answer only. */
#define BACKLOG_MAX (32 * 1024 * 1024)
/* What an answer takes, roughly, and what each object adds to those that are about all. */
#define ANSWER_SIZE 4096
#define ANSWER_SIZE_OBJECT 4096
/* A bus that has not even taken so many refusals gets no more of them. */
#define UNSENT_MAX 4096

static bool is_about_all(sd_bus_message *m)
{
        return sd_bus_message_is_method_call(m, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") >
                       0 ||
               sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Introspectable", "Introspect") > 0 ||
               sd_bus_message_is_method_call(m, AGENT_BUS_INTERFACE_MANAGER, "ListPeers") > 0;
}

/* sd-bus keeps what the bus does not take, and sets no limit. What is on its way is counted from when there
 * was nothing: it cannot be more than that. */
static bool is_one_too_many(AgentBus *b, sd_bus_message *m, uint64_t unsent)
{
        if (unsent == 0)
                b->backlog = 0;
        if (b->backlog >= BACKLOG_MAX || unsent >= UNSENT_MAX)
                return true;
        b->backlog += ANSWER_SIZE;
        if (is_about_all(m))
                b->backlog += agent_bus_objects_count(b) * ANSWER_SIZE_OBJECT;
        return false;
}

static int refuse(uint64_t unsent, sd_bus_error *error)
{
        return unsent >= UNSENT_MAX ? 1
                                    : sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                                       "Earlier answers have not been taken yet.");
}

static bool is_counter(const char *property)
{
        return streq(property, "LastHandshakeUSec") || streq(property, "RxBytes") ||
               streq(property, "TxBytes");
}

/* Is it about what only WireGuard knows? What is to wait has nothing in it that nobody asked for. */
static bool asks_for_counters(sd_bus_message *m)
{
        const char *path = sd_bus_message_get_path(m), *interface, *property;
        bool asks = false;

        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") > 0)
                return streq_ptr(path, AGENT_BUS_PATH) && sd_bus_message_is_empty(m) > 0;
        if (!path || !startswith(path, AGENT_BUS_PATH_PEERS "/"))
                return false;
        if (sd_bus_message_is_method_call(m, PROPERTIES, "GetAll") > 0)
                asks = sd_bus_message_has_signature(m, "s") > 0 &&
                       sd_bus_message_read(m, "s", &interface) > 0 &&
                       (isempty(interface) || streq(interface, AGENT_BUS_INTERFACE_PEER));
        else if (sd_bus_message_is_method_call(m, PROPERTIES, "Get") > 0)
                asks = sd_bus_message_has_signature(m, "ss") > 0 &&
                       sd_bus_message_read(m, "ss", &interface, &property) > 0 &&
                       streq(interface, AGENT_BUS_INTERFACE_PEER) && is_counter(property);
        return sd_bus_message_rewind(m, /* complete= */ true) >= 0 && asks;
}

static bool sets_log(sd_bus_message *m)
{
        return streq_ptr(sd_bus_message_get_path(m), AGENT_BUS_PATH_LOG) &&
               sd_bus_message_is_method_call(m, PROPERTIES, "Set") > 0;
}

int agent_bus_filter(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        AgentBus *b = userdata;
        uint64_t unsent = 0;
        uint8_t type;

        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL ||
            agent_bus_comes_again(b, m))
                return 0;
        (void) sd_bus_get_n_queued_write(b->connection, &unsent);
        if (is_one_too_many(b, m, unsent))
                return refuse(unsent, error);
        if (asks_for_counters(m))
                return agent_bus_read_counters(b, m, error);
        if (sets_log(m))
                return agent_bus_set_log_level(b, m, error);
        return 0;
}

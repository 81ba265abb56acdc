/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.freedesktop.LogControl1(5), which "systemctl service-log-level" speaks. */

#include "agent-bus-internal.h"
#include "log.h"
#include "string-util.h"

static int get_level(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", log_level_to_string(log_get_max_level()));
}

static int get_target(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", log_goes_to_journal() ? "journal" : "console");
}

static int get_identifier(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", program_invocation_short_name);
}

/* The filter takes this before it gets here. */
static int set_level(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *value, void *userdata, sd_bus_error *error)
{
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "Nobody was asked who may do this.");
}

static int set_target(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *value, void *userdata, sd_bus_error *error)
{
        return sd_bus_error_set(error, SD_BUS_ERROR_NOT_SUPPORTED,
                                "icewired logs to the journal if that is where its standard error goes, and "
                                "otherwise to that.");
}

/* -EINVAL: *error says why. 0: it is another property. */
static int read_level(sd_bus_message *m, int *ret, sd_bus_error *error)
{
        const char *interface, *property, *name;
        int r, level;

        if (sd_bus_message_has_signature(m, "ssv") <= 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "An interface, a property and its value are to be given.");
        r = sd_bus_message_read(m, "ss", &interface, &property);
        if (r < 0)
                return r;
        if (!streq(interface, "org.freedesktop.LogControl1") || !streq(property, "LogLevel"))
                return 0;
        r = sd_bus_message_read(m, "v", "s", &name);
        if (r < 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "A log level is a string.");
        level = log_level_from_string(name);
        if (level < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "\"%s\" is no log level.",
                                         agent_bus_shown(name));
        *ret = level;
        return 1;
}

static int set_log_level(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        int r, level = -EINVAL; /* the compiler does not know that sd_bus_error_set() returns an error */

        r = sd_bus_message_rewind(m, /* complete= */ true);
        if (r >= 0)
                r = read_level(m, &level, error);
        if (r < 0)
                return r;
        log_set_max_level(level);
        return sd_bus_reply_method_return(m, NULL);
}

int agent_bus_set_log_level(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        int r, level;

        r = read_level(m, &level, error);
        if (r > 0)
                return agent_bus_authorise(b, m, AUTHORITY_SET_LOG_LEVEL, set_log_level, error);
        return r < 0 ? r : MIN(sd_bus_message_rewind(m, /* complete= */ true), 0);
}

const sd_bus_vtable agent_bus_log_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_level, set_level, 0, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_target, set_target, 0, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_identifier, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

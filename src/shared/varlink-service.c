/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-service.h"

#include <string.h>
#include <systemd/sd-varlink-idl.h>
#include <unistd.h>

#include "log.h"

#define COMMENT SD_VARLINK_FIELD_COMMENT

/* Signatures as systemd 257 has them; GetLogLevel, which came later, as of 262. */
/* clang-format off */

static SD_VARLINK_DEFINE_METHOD(Ping);

static SD_VARLINK_DEFINE_METHOD(Reload);

static SD_VARLINK_DEFINE_METHOD(SetLogLevel,
        COMMENT("Numbered as in syslog(3): 0 (emerg) to 7 (debug)"),
        SD_VARLINK_DEFINE_INPUT(level, SD_VARLINK_INT, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(GetLogLevel,
        COMMENT("Likewise"),
        SD_VARLINK_DEFINE_OUTPUT(level, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_METHOD(GetEnvironment,
        COMMENT("Each \"NAME=value\""),
        SD_VARLINK_DEFINE_OUTPUT(environment, SD_VARLINK_STRING, SD_VARLINK_NULLABLE | SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_ERROR(InconsistentEnvironment);

SD_VARLINK_DEFINE_INTERFACE(io_systemd_service, "io.systemd.service",
        SD_VARLINK_INTERFACE_COMMENT("What every service can be asked"),
        SD_VARLINK_SYMBOL_COMMENT("Answers if the service is alive"),
        &vl_method_Ping,
        SD_VARLINK_SYMBOL_COMMENT("Reads the configuration again; not implemented by services that have none. Needs a privilege"),
        &vl_method_Reload,
        SD_VARLINK_SYMBOL_COMMENT("What is logged from now on: all up to this level. Needs a privilege"),
        &vl_method_SetLogLevel,
        SD_VARLINK_SYMBOL_COMMENT("What is logged now"),
        &vl_method_GetLogLevel,
        SD_VARLINK_SYMBOL_COMMENT("The service's environment variables. Needs a privilege"),
        &vl_method_GetEnvironment,
        SD_VARLINK_SYMBOL_COMMENT("An environment variable has no name, or is no UTF-8"),
        &vl_error_InconsistentEnvironment);

/* clang-format on */

int varlink_require_privilege(sd_varlink *link)
{
        uid_t uid;
        int r;

        r = sd_varlink_get_peer_uid(link, &uid);
        if (r >= 0 && (uid == 0 || uid == geteuid()))
                return 0;
        return sd_varlink_error(link, SD_VARLINK_ERROR_PERMISSION_DENIED, /* parameters= */ NULL);
}

static int on_ping(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *userdata)
{
        static const sd_json_dispatch_field none[] = { {} };
        int r = sd_varlink_dispatch(link, parameters, none, /* userdata= */ NULL);

        return r != 0 ? r : sd_varlink_reply(link, /* parameters= */ NULL);
}

static int on_get_log_level(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                            void *userdata)
{
        static const sd_json_dispatch_field none[] = { {} };
        int r = sd_varlink_dispatch(link, parameters, none, /* userdata= */ NULL);

        return r != 0 ? r
                      : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_INTEGER("level", log_get_max_level()));
}

int varlink_service_read_log_level(sd_varlink *link, sd_json_variant *parameters, int *ret)
{
        static const sd_json_dispatch_field table[] = {
                { "level", SD_JSON_VARIANT_INTEGER, sd_json_dispatch_int, 0, SD_JSON_MANDATORY },
                {},
        };
        int level, r;

        r = sd_varlink_dispatch(link, parameters, table, &level);
        if (r != 0)
                return r;
        if (!log_level_to_string(level))
                return sd_varlink_error_invalid_parameter_name(link, "level");
        *ret = level;
        return 0;
}

static int on_set_log_level(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                            void *userdata)
{
        int level, r;

        r = varlink_service_read_log_level(link, parameters, &level);
        if (r != 0)
                return r;
        r = varlink_require_privilege(link);
        if (r < 0)
                return r;
        log_set_max_level(level);
        return sd_varlink_reply(link, /* parameters= */ NULL);
}

static bool environment_is_consistent(void)
{
        for (char **e = environ; e && *e; e++) {
                const char *equals = strchr(*e, '=');

                if (!equals || equals == *e)
                        return false;
        }
        return true;
}

/* Some set-ups have secrets there. */
static int on_get_environment(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata)
{
        static const sd_json_dispatch_field none[] = { {} };
        _cleanup_json_ sd_json_variant *list = NULL;
        int r;

        r = sd_varlink_dispatch(link, parameters, none, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = varlink_require_privilege(link);
        if (r < 0)
                return r;
        r = environment_is_consistent() ? sd_json_variant_new_array_strv(&list, environ) : -EUCLEAN;
        if (r == -EUCLEAN)
                return sd_varlink_error(link, "io.systemd.service.InconsistentEnvironment",
                                        /* parameters= */ NULL);
        return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("environment", list));
}

VARLINK_DEFINE_WITH_REPLY(Ping, on_ping)
VARLINK_DEFINE_WITH_REPLY(GetLogLevel, on_get_log_level)
VARLINK_DEFINE_WITH_REPLY(SetLogLevel, on_set_log_level)
VARLINK_DEFINE_WITH_REPLY(GetEnvironment, on_get_environment)

int varlink_service_add(sd_varlink_server *server, VarlinkMethod set_log_level)
{
        int r = sd_varlink_server_add_interface(server, &vl_interface_io_systemd_service);

        return r < 0 ? r
                     : sd_varlink_server_bind_method_many(
                               server, "io.systemd.service.Ping", on_ping_with_reply,
                               "io.systemd.service.GetLogLevel", on_get_log_level_with_reply,
                               "io.systemd.service.SetLogLevel",
                               set_log_level.call ?: on_set_log_level_with_reply,
                               "io.systemd.service.GetEnvironment", on_get_environment_with_reply);
}

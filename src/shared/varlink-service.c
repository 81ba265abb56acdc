/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-service.h"

#include <systemd/sd-varlink-idl.h>
#include <unistd.h>

#include "log.h"

static SD_VARLINK_DEFINE_METHOD(Ping);
static SD_VARLINK_DEFINE_METHOD(SetLogLevel, SD_VARLINK_FIELD_COMMENT("Numbered as in syslog(3)"),
                                SD_VARLINK_DEFINE_INPUT(level, SD_VARLINK_INT, 0));
static SD_VARLINK_DEFINE_METHOD(GetLogLevel, SD_VARLINK_DEFINE_OUTPUT(level, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_INTERFACE(io_systemd_service, "io.systemd.service",
                                   SD_VARLINK_INTERFACE_COMMENT("What every service can be asked"),
                                   SD_VARLINK_SYMBOL_COMMENT("Answers if the service is alive"),
                                   &vl_method_Ping, SD_VARLINK_SYMBOL_COMMENT("Root only"),
                                   &vl_method_SetLogLevel, &vl_method_GetLogLevel);

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

static int on_set_log_level(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                            void *userdata)
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
        r = varlink_require_privilege(link);
        if (r < 0)
                return r;
        log_set_max_level(level);
        return sd_varlink_reply(link, /* parameters= */ NULL);
}

int varlink_service_add(sd_varlink_server *server)
{
        int r = sd_varlink_server_add_interface(server, &vl_interface_io_systemd_service);

        return r < 0 ? r
                     : sd_varlink_server_bind_method_many(
                               server, "io.systemd.service.Ping", on_ping, "io.systemd.service.GetLogLevel",
                               on_get_log_level, "io.systemd.service.SetLogLevel", on_set_log_level);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-varlink-internal.h"
#include "metrics.h"
#include "varlink-metrics.h"

/* One in each reply; there always are some. */
static int stream(sd_varlink *link, const JsonArray *array)
{
        for (size_t i = 0; i < array->n; i++) {
                int r = i + 1 == array->n ? sd_varlink_reply(link, array->items[i])
                                          : sd_varlink_notify(link, array->items[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Has the call no parameters, and does it take several replies? 0; otherwise the error was sent and is to be
 * returned. */
static int check(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags)
{
        static const sd_json_dispatch_field none[] = { {} };
        int r = sd_varlink_dispatch(link, parameters, none, /* userdata= */ NULL);

        if (r != 0 || flags & SD_VARLINK_METHOD_MORE)
                return r;
        return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, /* parameters= */ NULL);
}

static int reply_list(Connection *c)
{
        _cleanup_(json_array_done) JsonArray array = {};
        int r = metrics_list(verbs_manager(c->server->verbs), &array);

        return r < 0 ? r : stream(c->link, &array);
}

static int method_list(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        Connection *c = userdata;
        int r = check(link, parameters, flags);

        if (r == 0)
                r = agent_check_wait(c);
        return r != 0 ? r : agent_answer_fresh(c, reply_list);
}

static int method_describe(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *userdata)
{
        _cleanup_(json_array_done) JsonArray array = {};
        int r = check(link, parameters, flags);

        if (r != 0)
                return r;
        r = metrics_describe(&array);
        return r < 0 ? r : stream(link, &array);
}

VARLINK_DEFINE_WITH_REPLY(List, method_list)
VARLINK_DEFINE_WITH_REPLY(Describe, method_describe)

int agent_metrics_bind(sd_varlink_server *server)
{
        return varlink_metrics_add(server, VARLINK_METHOD(method_list), VARLINK_METHOD(method_describe));
}

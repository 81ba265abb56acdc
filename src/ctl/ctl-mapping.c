/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-mapping.h"

#include "alloc-util.h"
#include "string-util.h"

#define STRING(name, type, member, flags)                                                                   \
        { name, SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(type, member), flags }

static int parse_stun_server(sd_json_variant *v, CtlStunServer *ret)
{
        static const sd_json_dispatch_field table[] = {
                STRING("address", CtlStunServer, address, SD_JSON_MANDATORY),
                STRING("mapped", CtlStunServer, mapped, SD_JSON_NULLABLE),
                STRING("error", CtlStunServer, error, SD_JSON_NULLABLE),
                { "roundTripTimeUSec", SD_JSON_VARIANT_UNSIGNED, sd_json_dispatch_uint64,
                  offsetof(CtlStunServer, round_trip_time), 0 },
                {},
        };

        *ret = (CtlStunServer) { .round_trip_time = USEC_INFINITY };
        return sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, ret) < 0 ? -EINVAL : 0;
}

static int dispatch_stun_servers(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                                 void *userdata)
{
        CtlMapping *m = userdata;
        size_t n = sd_json_variant_elements(v);

        free(m->servers);
        m->n_servers = 0;
        m->servers = new0(CtlStunServer, n + 1);
        if (!m->servers)
                return -ENOMEM;
        for (; m->n_servers < n; m->n_servers++) {
                int r = parse_stun_server(sd_json_variant_by_index(v, m->n_servers),
                                          &m->servers[m->n_servers]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int dispatch_tristate(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                             void *userdata)
{
        int *i = userdata;

        if (!sd_json_variant_is_null(v))
                *i = sd_json_variant_boolean(v);
        return 0;
}

int ctl_mapping_parse(sd_json_variant *v, CtlMapping *ret)
{
        static const sd_json_dispatch_field table[] = {
                STRING("link", CtlMapping, link, SD_JSON_NULLABLE),
                STRING("local", CtlMapping, local, SD_JSON_MANDATORY),
                STRING("mapped", CtlMapping, mapped, SD_JSON_NULLABLE),
                STRING("kind", CtlMapping, kind, SD_JSON_MANDATORY),
                { "portKept", SD_JSON_VARIANT_BOOLEAN, dispatch_tristate, offsetof(CtlMapping, port_kept),
                  SD_JSON_NULLABLE },
                STRING("hairpin", CtlMapping, hairpin, SD_JSON_MANDATORY),
                STRING("error", CtlMapping, error, SD_JSON_NULLABLE),
                { "servers", SD_JSON_VARIANT_ARRAY, dispatch_stun_servers, 0, SD_JSON_MANDATORY },
                {},
        };
        CtlMapping m = { .port_kept = -1 };
        int r;

        r = sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, &m);
        if (r < 0) {
                ctl_mapping_done(&m);
                return r == -ENOMEM ? r : -EINVAL;
        }
        *ret = m;
        return 0;
}

void ctl_mapping_done(CtlMapping *m)
{
        m->servers = mfree(m->servers);
        m->n_servers = 0;
}

char *ctl_mapping_advice(const CtlMapping *m)
{
        if (streq(m->kind, "varies"))
                return asprintf_safe(
                        "%s: the NAT shows another address or port to each server. A direct path is "
                        "found only to peers that can be reached from anywhere.",
                        m->local);
        if (streq(m->kind, "unknown") && m->n_servers > 0 && !m->error)
                return asprintf_safe(
                        "%s: no server answered. Something on the way blocks UDP, or the servers "
                        "are down.",
                        m->local);
        if (streq(m->kind, "single") && m->n_servers < 2)
                return asprintf_safe("%s: with a second STUN server the kind of NAT could be told.",
                                     m->local);
        return NULL;
}

/* Some server has neither answered nor had its time. */
static bool is_asking(const CtlMapping *m)
{
        for (size_t i = 0; i < m->n_servers; i++)
                if (!m->servers[i].mapped && !m->servers[i].error)
                        return true;
        return false;
}

CtlReach ctl_mapping_reach(const CtlMapping *m)
{
        if (streq(m->kind, "none"))
                return CTL_REACH_YES;
        if (streq(m->kind, "endpoint_independent"))
                return CTL_REACH_NAT;
        if (streq(m->kind, "single"))
                return CTL_REACH_MAYBE;
        if (streq(m->kind, "varies"))
                return CTL_REACH_HARDLY;
        if (m->error || is_asking(m))
                return CTL_REACH_UNKNOWN;
        return m->n_servers > 0 ? CTL_REACH_NO : CTL_REACH_LAN;
}

const char *ctl_reach_to_string(CtlReach reach)
{
        static const char *const table[_CTL_REACH_MAX] = {
                [CTL_REACH_UNKNOWN] = "not known",       [CTL_REACH_LAN] = "reachable on this network",
                [CTL_REACH_NO] = "not reachable by UDP", [CTL_REACH_HARDLY] = "hard to reach",
                [CTL_REACH_MAYBE] = "perhaps reachable", [CTL_REACH_NAT] = "reachable",
                [CTL_REACH_YES] = "reachable",
        };

        return table[reach];
}

char *ctl_mapping_explain(const CtlMapping *m, const char *what)
{
        const char *mapped = m->mapped ?: m->local;

        switch (ctl_mapping_reach(m)) {
        case CTL_REACH_YES:
                return asprintf_safe("%s at %s", what, mapped);
        case CTL_REACH_NAT:
                return asprintf_safe("%s at %s through a NAT", what, mapped);
        case CTL_REACH_MAYBE:
                return asprintf_safe("%s at %s, where one STUN server has seen it", what, mapped);
        case CTL_REACH_HARDLY:
                return asprintf_safe("%s behind a NAT that changes ports", what);
        case CTL_REACH_NO:
                return asprintf_safe("%s, since no STUN server answers", what);
        case CTL_REACH_LAN:
                return asprintf_safe("%s, with no STUN server to ask about the rest", what);
        default:
                return asprintf_safe("%s (%s)", what, m->error ?: "nobody has answered yet");
        }
}

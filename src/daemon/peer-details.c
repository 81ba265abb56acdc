/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>

#include "agent-json.h"
#include "carrier.h"
#include "peer-policy.h"
#include "varlink-util.h"

static int candidates_build_json(const IceCandidate *candidates, size_t n, sd_json_variant **ret)
{
        _cleanup_(json_array_done) JsonArray array = {};

        for (size_t i = 0; i < n; i++) {
                sd_json_variant *item = NULL;
                int r;

                r = json_array_take(&array, candidate_build_json(&candidates[i], &item), &item);
                if (r < 0)
                        return r;
        }
        return json_array_build(&array, ret);
}

static int pair_build_json(const IceCandidate *local, const IceCandidate *remote, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *l = NULL, *m = NULL;
        int r;

        r = candidate_build_json(local, &l);
        if (r >= 0)
                r = candidate_build_json(remote, &m);
        return r < 0 ? r
                     : sd_json_buildo(ret, SD_JSON_BUILD_PAIR_VARIANT("local", l),
                                      SD_JSON_BUILD_PAIR_VARIANT("remote", m));
}

static int set_candidates(sd_json_variant **v, const Session *s)
{
        _cleanup_json_ sd_json_variant *local = NULL, *remote = NULL;
        IceCandidate ours[SDP_CANDIDATES_MAX];
        const IceCandidate *theirs;
        bool complete;
        size_t n;
        int r;

        n = session_candidates(s, ours, &complete);
        r = candidates_build_json(ours, n, &local);
        if (r < 0)
                return r;
        n = ice_agent_remote_candidates(s->ice, &theirs);
        r = candidates_build_json(theirs, n, &remote);
        if (r >= 0)
                r = sd_json_variant_set_field(v, "local", local);
        if (r >= 0)
                r = sd_json_variant_set_field_boolean(v, "localComplete", complete);
        if (r >= 0)
                r = sd_json_variant_set_field(v, "remote", remote);
        return r < 0 ? r : sd_json_variant_set_field_boolean(v, "remoteComplete", s->remote_ended);
}

static int session_build_json(const Session *s, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL, *pair = NULL;
        bool in_use = carrier_session(s->peer) == s;
        char id[17];
        int r;

        (void) snprintf(id, sizeof(id), "%016" PRIx64, s->id);
        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("id", id),
                           BUILD_PAIR_ENUM("state", ice_state_to_string(ice_agent_state(s->ice))),
                           SD_JSON_BUILD_PAIR_BOOLEAN("controlling", s->controlling),
                           SD_JSON_BUILD_PAIR_BOOLEAN("inUse", in_use),
                           SD_JSON_BUILD_PAIR_BOOLEAN("shared", s->shared),
                           SD_JSON_BUILD_PAIR_UNSIGNED("startedUSec", boottime_to_realtime(s->started)));
        if (r >= 0)
                r = set_candidates(&v, s);
        if (r >= 0 && s->selected) {
                r = pair_build_json(&s->local, &s->remote, &pair);
                if (r >= 0)
                        r = sd_json_variant_set_field(&v, "selected", pair);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

static int sessions_build_json(const Peer *peer, sd_json_variant **ret)
{
        const Session *sessions[] = { peer->session, peer->old_session };
        _cleanup_(json_array_done) JsonArray array = {};

        for (size_t i = 0; i < ELEMENTSOF(sessions); i++) {
                sd_json_variant *item = NULL;
                int r;

                if (!sessions[i] || !sessions[i]->ice)
                        continue;
                r = json_array_take(&array, session_build_json(sessions[i], &item), &item);
                if (r < 0)
                        return r;
        }
        return json_array_build(&array, ret);
}

static int network_build_json(const Network *network, sd_json_variant **ret)
{
        return sd_json_buildo(ret, BUILD_PAIR_ENUM("ipv4", network_mapping_to_string(network->ipv4)),
                              BUILD_PAIR_ENUM("ipv6", network_mapping_to_string(network->ipv6)),
                              BUILD_PAIR_ENUM("policy", policy_to_string(network->policy)));
}

int peer_details_build_json(const Peer *peer, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL, *here = NULL, *there = NULL, *sessions = NULL,
                                       *changes = NULL;
        Network ours;
        int r;

        peer_describe_network(peer, &ours);
        r = peer_build_json(peer, &v);
        if (r >= 0)
                r = network_build_json(&ours, &here);
        if (r >= 0)
                r = network_build_json(&peer->network, &there);
        if (r >= 0)
                r = sessions_build_json(peer, &sessions);
        if (r >= 0)
                r = peer_changes_build_json(peer, &changes);
        return r < 0 ? r
                     : sd_json_buildo(ret, SD_JSON_BUILD_PAIR_VARIANT("peer", v),
                                      SD_JSON_BUILD_PAIR_VARIANT("here", here),
                                      SD_JSON_BUILD_PAIR_VARIANT("there", there),
                                      SD_JSON_BUILD_PAIR_VARIANT("sessions", sessions),
                                      SD_JSON_BUILD_PAIR_VARIANT("changes", changes));
}

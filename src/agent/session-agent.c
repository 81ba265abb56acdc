/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "log.h"
#include "manager.h"
#include "peer-policy.h"
#include "relays.h"
#include "session-internal.h"
#include "session-probes.h"
#include "try.h"

/* A session's ICE agent: with which servers it is made, and who hears what it has to say. */

static void on_state(IceAgent *ice, IceState state, void *userdata)
{
        Session *s = userdata;

        log_peer_full(s->peer, LOG_DEBUG, 0, "ICE is %s.", ice_state_to_string(state));
        /* Without a pair FAILED is soft: more candidates may come, and checks of the peer's longer than our
         * own last (with TCP candidates those are few). The timer decides. */
        if (s != s->peer->session && s != s->peer->old_session)
                return; /* still in the making: whoever makes it sees the error, or the timer does */
        session_probes_state_changed(s);
        if (s->selected && (state == ICE_STATE_CONNECTED || state == ICE_STATE_READY))
                try_session_revived(s);
        if (state == ICE_STATE_FAILED && s->selected) {
                session_remember_what_was_tried(s);
                try_session_failed(s, /* answered= */ true);
        }
}

static const IceAgentCallbacks ice_callbacks = {
        .candidate = session_on_candidate,
        .gathering_done = session_on_gathering_done,
        .state = on_state,
        .selected = session_on_selected,
        .data = session_on_data,
};

/* Where the link's port is seen from outside is asked for the link, not for each session. */
static size_t choose_servers(Session *s, const char *username, const char *password, IceServer *ret)
{
        const Manager *m = s->peer->link->manager;
        size_t n = 0;

        for (size_t i = 0; i < m->n_ice_servers; i++) {
                IceServer server = m->ice_servers[i];
                bool turn = server.kind != ICE_SERVER_STUN;

                if (turn ? !password || !peer_policy_allows_relays(s->peer) ||
                                    !relays_adapt(m, m->addresses, m->n_addresses, &server)
                         : s->shared)
                        continue;
                if (turn) {
                        server.username = username;
                        server.password = password;
                }
                if (server.kind == ICE_SERVER_TURN_UDP && s->n_udp_relays < ELEMENTSOF(s->udp_relays))
                        s->udp_relays[s->n_udp_relays++] = server.address;
                ret[n++] = server;
        }
        return n;
}

int session_make_agent(Session *s)
{
        Manager *m = s->peer->link->manager;
        _cleanup_free_ IceServer *servers = NULL;
        _cleanup_free_ char *username = NULL;
        _cleanup_erase_free_ char *password = NULL;
        int r;

        servers = new0(IceServer, m->n_ice_servers + 1);
        if (!servers)
                return -ENOMEM;
        s->relay_expires = USEC_INFINITY;
        s->relay_generation = m->relay_generation;
        r = relays_credentials(m, &username, &password, &s->relay_expires);
        if (r < 0 && r != -ENOENT)
                return r;
        r = ice_agent_new(m->event,
                          &(IceAgentParameters) {
                                  .controlling = s->controlling,
                                  .relay_only = s->peer->policy == POLICY_RELAY,
                                  .tcp = s->tcp,
                                  .local_addresses = m->addresses,
                                  .n_local_addresses = m->n_addresses,
                                  .servers = servers,
                                  .n_servers = choose_servers(s, username, password, servers),
                          },
                          &ice_callbacks, s, &s->ice);
        if (r < 0)
                return r;
        return ice_agent_gather(s->ice);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session-probes.h"

/* ---- What we ask ---- */

/* Where a pair ends at the peer's own address over UDP, the peer may have it without its icewired: then the
 * packet comes to WireGuard's port, and the redirect tells by the name that it is for the peer's probes. One
 * in disguise would be WireGuard's there, and one without is no news to the peer's ICE where it has the pair
 * itself. */
static bool peer_may_be_plain(const Session *s)
{
        return s->remote.type != ICE_CANDIDATE_RELAY && s->remote.transport == ICE_TRANSPORT_UDP;
}

static void send_in_disguise(Session *s, const void *message, size_t size)
{
        uint8_t disguised[STUN_CHECK_REQUEST_MAX];

        memcpy(disguised, message, size);
        stun_check_disguise(disguised);
        (void) ice_agent_send(s->ice, disguised, size);
}

static void send_request(Probe *probe, const void *request, size_t size)
{
        Session *s = probe->session;

        send_in_disguise(s, request, size);
        if (peer_may_be_plain(s))
                (void) ice_agent_send(s->ice, request, size);
}

static bool is_ready(const Probe *probe)
{
        IceState state = ice_agent_state(probe->session->ice);

        return state == ICE_STATE_CONNECTED || state == ICE_STATE_READY;
}

static void leave(Probe *probe)
{
        probe->session->probe = NULL;
        probe->session = NULL;
}

static const ProbeWay carried = { .is_ready = is_ready, .send = send_request, .leave = leave };

int session_probes_add(Session *s, Probe *probe)
{
        if (s->probe)
                return -EBUSY;
        s->probe = probe;
        probe->session = s;
        probe->way = &carried;
        return 0;
}

void session_probes_state_changed(Session *s)
{
        if (s->probe)
                s->probe->callbacks->ready(s->probe, s->probe->userdata);
}

/* ---- What comes ---- */

static void answer_request(Session *s, uint8_t *request, size_t size)
{
        _cleanup_(stun_check_credentials_erase) StunCheckCredentials credentials = {};
        uint8_t answer[STUN_CHECK_ANSWER_MAX];
        size_t n;

        if (!ratelimit_ok(&s->probe_limit, now(CLOCK_BOOTTIME)))
                return;
        stun_check_credentials_beside(&s->credentials, &credentials);
        if (stun_check_answer(&credentials, request, size, &s->remote.address, answer, &n) > 0)
                send_in_disguise(s, answer, n);
}

bool session_probes_take(Session *s, const void *data, size_t size)
{
        uint8_t message[STUN_CHECK_REQUEST_MAX];
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];

        if (!stun_check_is_disguised(data, size))
                return false;
        if (size > sizeof(message))
                return true; /* nobody's */
        memcpy(message, data, size);
        stun_check_disguise(message);
        if (stun_check_find_ufrag(message, size, ufrag))
                answer_request(s, message, size);
        else if (s->probe)
                (void) probe_take_answer(s->probe, message, size);
        return true;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "probe.h"

#include "link-probes.h"
#include "session-probes.h"

/* So long an answer may take, and so long a check is repeated: liveness.c waits no longer, whose probes of a
 * stream may queue up. */
#define CHECK_LIFETIME (16 * USEC_PER_SEC)

static Probe *probe_new(Peer *peer, const ProbeCallbacks *callbacks, void *userdata)
{
        Probe *probe = new0(Probe, 1);

        if (probe)
                *probe = (Probe) { .peer = peer, .callbacks = callbacks, .userdata = userdata };
        return probe;
}

int probe_new_plain(Peer *peer, const SocketAddress *local, const SocketAddress *remote,
                    const StunCheckCredentials *credentials, const ProbeCallbacks *callbacks, void *userdata,
                    Probe **ret)
{
        _cleanup_(probe_freep) Probe *probe = probe_new(peer, callbacks, userdata);
        int r;

        if (!probe)
                return -ENOMEM;
        probe->remote = *remote;
        probe->credentials = *credentials;
        r = link_probes_add(peer->link, local, probe);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(probe);
        return 0;
}

int probe_new_carried(Session *session, const ProbeCallbacks *callbacks, void *userdata, Probe **ret)
{
        _cleanup_(probe_freep) Probe *probe = probe_new(session->peer, callbacks, userdata);
        int r;

        if (!probe)
                return -ENOMEM;
        stun_check_credentials_beside(&session->credentials, &probe->credentials);
        r = session_probes_add(session, probe);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(probe);
        return 0;
}

Probe *probe_free(Probe *probe)
{
        if (!probe)
                return NULL;
        if (probe->way)
                probe->way->leave(probe);
        stun_check_free(probe->check);
        stun_check_credentials_erase(&probe->credentials);
        stun_check_credentials_erase(&probe->own.credentials);
        stun_check_credentials_erase(&probe->beside.credentials);
        return mfree(probe);
}

bool probe_is_ready(const Probe *probe)
{
        return probe->way->is_ready(probe);
}

static int begin_check(Probe *probe, usec_t t)
{
        if (probe->check && usec_sub(t, probe->checked) < CHECK_LIFETIME)
                return 0;
        probe->check = stun_check_free(probe->check);
        probe->checked = t;
        probe->n_sent = 0;
        return stun_check_new(&probe->credentials, &probe->check);
}

void probe_send(Probe *probe)
{
        usec_t t = now(CLOCK_BOOTTIME);
        const void *request;
        size_t size;

        if (!probe_is_ready(probe) || begin_check(probe, t) < 0)
                return;
        request = stun_check_request(probe->check, &size);
        probe->sent = t;
        probe->n_sent++;
        probe->way->send(probe, request, size);
}

bool probe_take_answer(Probe *probe, const void *data, size_t size)
{
        usec_t took = usec_sub(now(CLOCK_BOOTTIME), probe->sent);
        bool unambiguous = probe->n_sent == 1;

        if (!probe->check || !stun_check_is_answer(probe->check, data, size))
                return false;
        probe->check = stun_check_free(probe->check);
        probe->callbacks->answered(probe, unambiguous ? took : USEC_INFINITY, probe->userdata);
        return true;
}

void probe_session_is_over(Probe *probe)
{
        probe->session_is_over = true;
        link_probes_share_names(probe);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "probe.h"

#include "link-probes.h"

/* So long an answer may take, and so long a check is repeated. */
#define CHECK_LIFETIME (4 * USEC_PER_SEC)

int probe_new(Peer *peer, const SocketAddress *local, const SocketAddress *remote,
              const StunCheckCredentials *credentials, const ProbeCallbacks *callbacks, void *userdata,
              Probe **ret)
{
        _cleanup_(probe_freep) Probe *probe = new0(Probe, 1);
        int r;

        if (!probe)
                return -ENOMEM;
        *probe = (Probe) {
                .peer = peer,
                .local = *local,
                .remote = *remote,
                .credentials = *credentials,
                .callbacks = callbacks,
                .userdata = userdata,
                .answer_limit = { .interval = PROBE_REQUEST_INTERVAL, .burst = PROBE_REQUEST_BURST },
        };
        r = link_probes_add(peer->link, probe);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(probe);
        return 0;
}

Probe *probe_free(Probe *probe)
{
        if (!probe)
                return NULL;
        link_probes_remove(probe);
        stun_check_free(probe->check);
        stun_check_credentials_erase(&probe->credentials);
        return mfree(probe);
}

bool probe_is_ready(const Probe *probe)
{
        return probe_socket_fd(probe) >= 0;
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
        (void) sendto(probe_socket_fd(probe), request, size, MSG_NOSIGNAL | MSG_DONTWAIT, &probe->remote.sa,
                      socket_address_length(&probe->remote));
}

void probe_session_is_over(Probe *probe)
{
        probe->session_is_over = true;
        link_probes_share_ufrag(probe);
}

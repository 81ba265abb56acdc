/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "status-text.h"

#include "string-util.h"

typedef struct Count {
        size_t all, connected, direct;
} Count;

static Count count_peers(const Manager *m)
{
        Link *link, *next_link;
        Peer *peer, *next;
        Count n = {};

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        {
                bool connected = peer->state == PEER_STATE_CONNECTED;

                n.all++;
                n.connected += connected;
                n.direct += connected && peer->path.kind == PATH_DIRECT;
        }
        return n;
}

static char *rendezvous_text(const Manager *m)
{
        size_t up = manager_n_rendezvous_up(m);

        if (m->n_rendezvous == 0)
                return strdup("; no rendezvous is configured");
        if (up == m->n_rendezvous)
                return strdup("");
        return asprintf_safe("; %zu of %zu rendezvous %s down", m->n_rendezvous - up, m->n_rendezvous,
                             m->n_rendezvous - up == 1 ? "is" : "are");
}

char *status_text(const Manager *m)
{
        _cleanup_free_ char *rendezvous = rendezvous_text(m);
        Count n = count_peers(m);

        if (!rendezvous)
                return NULL;
        if (!m->broker_ready)
                return asprintf_safe("Waiting for icewire-broker; %zu peers known%s", n.all, rendezvous);
        return asprintf_safe("%zu of %zu peers connected, %zu directly%s%s", n.connected, n.all, n.direct,
                             m->redirect_known && m->redirect_kind == REDIRECT_PROXY
                                     ? "; WireGuard's port is not shared"
                                     : "",
                             rendezvous);
}

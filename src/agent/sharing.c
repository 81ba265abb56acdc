/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sharing.h"

#include "log-event.h"
#include "session.h"
#include "string-util.h"

/* What the broker is asked for. */
typedef struct Wish {
        int uplinks[MANAGER_ADDRESSES_MAX];
        size_t n_uplinks;
        SocketAddress relays[SHARING_RELAYS_MAX];
        size_t n_relays;
} Wish;

static void add_relay(Wish *w, const SocketAddress *a)
{
        for (size_t i = 0; i < w->n_relays; i++)
                if (socket_address_equal(&w->relays[i], a))
                        return;
        if (w->n_relays < ELEMENTSOF(w->relays))
                w->relays[w->n_relays++] = *a;
}

static void add_relays_of(Wish *w, const Session *s)
{
        for (size_t i = 0; s && i < s->n_udp_relays; i++)
                add_relay(w, &s->udp_relays[i]);
}

/* Sessions hold on to what they began with, though the configuration may have others by now. */
static void add_relays_in_use(Wish *w, const Manager *m)
{
        Link *link, *next_link;
        Peer *peer, *next;

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        {
                add_relays_of(w, peer->session);
                add_relays_of(w, peer->old_session);
        }
}

static void make_wish(const Manager *m, Wish *ret)
{
        Wish w = {};

        for (size_t i = 0; i < m->n_ice_servers; i++)
                if (m->ice_servers[i].kind == ICE_SERVER_TURN_UDP)
                        add_relay(&w, &m->ice_servers[i].address);
        add_relays_in_use(&w, m);
        if (m->rtnl)
                w.n_uplinks = addresses_uplinks(m->rtnl, &m->config->addresses, m->addresses, m->n_addresses,
                                                w.uplinks, ELEMENTSOF(w.uplinks));
        *ret = w;
}

static void log_news(RedirectKind kind, const char *reason)
{
        if (kind != REDIRECT_PROXY)
                log_event(LOG_INFO, 0, LOG_EVENT_REDIRECT_SETTLED,
                          (LOG_FIELD("ICEWIRE_REDIRECT=%s", redirect_kind_to_string(kind)),
                           LOG_FIELD("ICEWIRE_ERROR=%s", strempty(reason))),
                          "ICE shares WireGuard's ports by %s.%s%s", redirect_kind_to_string(kind),
                          reason ? " " : "", strempty(reason));
        else
                log_event(LOG_NOTICE, 0, LOG_EVENT_REDIRECT_LOST,
                          (LOG_FIELD("ICEWIRE_REDIRECT=%s", redirect_kind_to_string(kind)),
                           LOG_FIELD("ICEWIRE_ERROR=%s", strempty(reason))),
                          "WireGuard's ports are not shared, every path goes through this process: %s",
                          strna(reason));
}

static void settle(Manager *m, RedirectKind kind, const char *reason)
{
        bool news = m->redirect_kind != kind || !streq_ptr(m->redirect_reason, reason);
        bool awaited = !m->redirect_settled;

        if (news || !m->redirect_told)
                log_news(kind, reason);
        m->redirect_told = true;
        (void) free_and_strdup(&m->redirect_reason, reason);
        m->redirect_kind = kind;
        m->redirect_settled = m->redirect_known = true;
        /* Nobody is woken because a container has come or gone. */
        if (news || awaited)
                manager_sharing_settled(m, TAKE_GENERIC(m->redirect_forgotten, false));
}

static void on_redirect(Broker *b, int error, RedirectKind kind, const char *reason, void *userdata)
{
        Manager *m = userdata;

        m->redirect_call = NULL;
        if (error == -ECONNRESET)
                return; /* asked again when it is back */
        if (m->redirect_again) {
                sharing_refresh(m);
                return;
        }
        if (error < 0) {
                log_warning_errno(error, "icewire-broker failed to share WireGuard's ports: %m");
                settle(m, REDIRECT_PROXY, "icewire-broker failed to");
                return;
        }
        settle(m, kind, reason);
}

void sharing_refresh(Manager *m)
{
        Broker *b = m->broker;
        Wish w;
        int r;

        m->redirect_again = m->redirect_call;
        if (m->redirect_call || !m->broker_ready || !b->connected)
                return;
        make_wish(m, &w);
        r = b->ops->set_redirect(b, m->config->redirect, w.uplinks, w.n_uplinks, w.relays, w.n_relays,
                                 on_redirect, m, &m->redirect_call);
        if (r < 0) {
                log_warning_errno(r, "Failed to ask icewire-broker to share WireGuard's ports: %m");
                settle(m, REDIRECT_PROXY, "icewire-broker could not be asked to");
        }
}

void sharing_update(Manager *m)
{
        m->redirect_settled = false;
        sharing_refresh(m);
}

void sharing_lost(Manager *m)
{
        m->redirect_call = broker_call_free(m->redirect_call);
        m->redirect_settled = m->redirect_known = m->redirect_again = false;
        m->redirect_forgotten = true;
}

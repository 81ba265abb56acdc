/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "broker.h"
#include "config.h"
#include "link.h"
#include "relay-status.h"
#include "rendezvous.h"
#include "resolve.h"

/* The model: links, their peers, and what connects them. It knows the broker and the rendezvous only as
 * interfaces and tells whoever serves an API through ManagerCallbacks, once per turn of the event loop. */

typedef struct ManagerCallbacks {
        /* After the turn in which they changed, were added, or (removed) just before they are freed. */
        void (*link_changed)(Manager *m, Link *link, bool removed, void *userdata);
        void (*peer_changed)(Manager *m, Peer *peer, bool removed, void *userdata);
        void (*rendezvous_changed)(Manager *m, Rendezvous *r, void *userdata);
        /* The broker has come or gone, or ports are shared in another way. */
        void (*manager_changed)(Manager *m, void *userdata);
} ManagerCallbacks;

#define MANAGER_ADDRESSES_MAX 16

typedef struct ServerLookup ServerLookup;
typedef struct IgnoredLink IgnoredLink;
typedef struct RelayLeg RelayLeg;
typedef struct RelayQuestion RelayQuestion;

struct Manager {
        sd_event *event;                        /* a reference */
        Config *config;                         /* owned */
        Broker *broker;                         /* owned */
        Link *links;                            /* hash by name (field hh); owned */
        IgnoredLink *ignored;                   /* hash by name; links that the configuration leaves out */
        Peer *peers_by_topic;                   /* hash by topic_receive (field hh_topic) */
        Rendezvous *rendezvous[RENDEZVOUS_MAX]; /* owned */
        bool rendezvous_was_up[RENDEZVOUS_MAX];
        size_t n_rendezvous;
        ProxyPool *proxies;                /* owned */
        const ManagerCallbacks *callbacks; /* NULL: nobody listens */
        void *userdata;
        bool broker_ready; /* every link was told */
        bool dirty;        /* to be told to the API at the end of this turn */
        size_t opening;    /* bytes of envelopes that are being opened, of all peers */

        /* sharing.c: which data path shares WireGuard's ports with ICE */
        RedirectKind redirect_kind;
        char *redirect_reason;     /* of broker_redirect_callback_t */
        bool redirect_settled;     /* what was asked for last is in force */
        bool redirect_known;       /* what is in force, also while something else is asked for */
        bool redirect_told;        /* in the log */
        bool redirect_again;       /* something changed since it was asked */
        bool redirect_forgotten;   /* the broker has lost the sockets that it shared */
        bool mappings_doubted;     /* asked for anew when the redirect is settled */
        BrokerCall *redirect_call; /* in flight */

        /* host-network.c: our addresses that are worth offering */
        RtnlMonitor *rtnl; /* owned; NULL in unit tests, that call manager_set_addresses() themselves */
        SocketAddress addresses[MANAGER_ADDRESSES_MAX];
        size_t n_addresses;
        bool addresses_known;
        RtnlDefaultRoute routes[2]; /* IPv4's and IPv6's; the last that there was */
        sd_event_source *addresses_timer;
        usec_t addresses_due; /* CLOCK_BOOTTIME: when it fires at the latest; 0: it is not armed */

        /* servers.c: STUN and TURN servers, resolved */
        Resolver *resolver;     /* owned */
        ServerLookup *lookups;  /* in flight */
        IceServer *ice_servers; /* owned; without credentials, each session has its own (relays.h) */
        size_t n_ice_servers, ice_servers_allocated;
        sd_event_source *lookups_timer;
        bool lookups_overdue; /* negotiations do not wait for them any longer */
        RelayStatus *relays;  /* one for each TURN server of the configuration, in its order; relays.c's */
        size_t n_relays;
        RelayLeg *relay_legs;           /* what speaks TLS to them */
        RelayQuestion *relay_questions; /* they are being asked whether they work */
        usec_t relays_asked;            /* CLOCK_BOOTTIME, 0: not yet */
        unsigned relay_generation;      /* counts how often our credentials have become others */

        sd_event_source *flush; /* tells the API, once per turn */
        sd_event_source *trim_timer;
        sd_event_source *stop_timer;
        void (*on_stopped)(Manager *m, void *userdata);
        void *stop_userdata;
};

/* Takes ownership of config. Then: manager_set_broker(), manager_add_rendezvous()…, manager_start(). */
int manager_new(sd_event *event, Config *config, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(Manager *, manager_free);

/* For implementations of the two interfaces: what to give them as callbacks; userdata is the manager. */
extern const BrokerCallbacks manager_broker_callbacks;
extern const RendezvousCallbacks manager_rendezvous_callbacks;

/* Both take ownership. */
void manager_set_broker(Manager *m, Broker *broker);
int manager_add_rendezvous(Manager *m, Rendezvous *r);

/* Starts following addresses and resolving servers; the broker and the rendezvous drive the rest. */
int manager_start(Manager *m);

/* Says goodbye to every peer and calls back when that is said, or after a second. Paths are left as they
 * are. */
void manager_stop(Manager *m, void (*on_stopped)(Manager *m, void *userdata), void *userdata);

/* The new configuration (ownership moves) is in force: servers are resolved again, links that are no longer
 * ours are let go, every peer that has no good path tries again. The rendezvous are the caller's to rebuild:
 * manager_remove_rendezvous() before, manager_add_rendezvous() after. */
void manager_reload(Manager *m, Config *config);
void manager_remove_rendezvous(Manager *m, Rendezvous *r);

Link *manager_find_link(Manager *m, const char *name);

/* Every peer of every link, in no order. */
typedef void (*peer_verb_t)(Peer *peer);
void manager_for_each_peer(Manager *m, peer_verb_t verb);

size_t manager_n_rendezvous_up(const Manager *m);

/* What happens to the network, and what each calls for, the least that repairs:
 *
 *   an address of ours comes               paths that are not WireGuard's own are looked for again, beside
 *                                          what is in use
 *   one goes                               the same for all: WireGuard's last handshake no longer proves a
 *                                          path
 *   the default route leads elsewhere      the same, although no address changes, and the rendezvous
 *                                          connect anew: what they have may be dead and not know it
 *   the host has slept                     the same, and mappings in NATs are asked for anew
 *   a rendezvous is back                   who has no good path says so there, the others nothing
 *   a link comes, or with another key      its peers start from nothing
 *   a link listens at another port         paths found for the port before are looked for again
 *   a preshared key is another one         who has no handshake tries at once; others notice nothing
 *
 * An event that comes to nothing, such as an address that is announced again, calls for nothing. What is
 * about addresses, routes and sleep is in host-network.h. */

/* Are addresses and servers known, so that a negotiation can begin? */
bool manager_can_negotiate(const Manager *m);

/* For the model's own use: another link with the same keys may have the topics of this peer now. */
void manager_topics_released(Manager *m, const Peer *peer);

/* For sharing.c: what is shared how is known now. forgotten: the broker has lost the sockets that it had. */
void manager_sharing_settled(Manager *m, bool forgotten);

/* For the model's own use: after goodbyes were sent. */
void manager_check_stopped(Manager *m);

/* For the model's own use: the API is told about what is dirty after this turn. */
void manager_schedule_flush(Manager *m);

/* For the model's own use: much memory was freed, or is about to be, and will not be needed soon. */
void manager_schedule_trim(Manager *m);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "broker.h"
#include "config.h"
#include "link.h"
#include "rendezvous.h"

/* The model: links, their peers, and what connects them. It knows the broker and the rendezvous only as
 * interfaces and tells whoever serves an API through ManagerCallbacks, once per turn of the event loop. */

typedef struct ManagerCallbacks {
        /* After the turn in which they changed, were added, or (removed) just before they are freed. */
        void (*link_changed)(Manager *m, Link *link, bool removed, void *userdata);
        void (*peer_changed)(Manager *m, Peer *peer, bool removed, void *userdata);
        void (*rendezvous_changed)(Manager *m, Rendezvous *r, void *userdata);
} ManagerCallbacks;

#define MANAGER_RENDEZVOUS_MAX 16

struct Manager {
        sd_event *event;      /* a reference */
        Config *config;       /* owned */
        Broker *broker;       /* owned */
        RtnlMonitor *rtnl;    /* owned; NULL in unit tests: `test_addresses` counts instead */
        Link *links;          /* hash by name (field hh); owned */
        Peer *peers_by_topic; /* hash by topic_receive (field hh_topic) */
        Rendezvous *rendezvous[MANAGER_RENDEZVOUS_MAX]; /* owned */
        size_t n_rendezvous;
        ProxyPool *proxies;     /* owned */
        IceServer *ice_servers; /* resolved, owned; credentials are borrowed from config */
        size_t n_ice_servers;
        const ManagerCallbacks *callbacks; /* NULL: nobody listens */
        void *userdata;
        bool broker_ready; /* every link was told */

        struct ManagerWork *work; /* timers and queues; manager.c's own */
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

/* Starts following addresses; the broker and the rendezvous drive the rest. */
int manager_start(Manager *m);

/* The new configuration (ownership moves) is in force: servers are resolved again, links that are no longer
 * ours are let go, every peer that is not direct tries again. The rendezvous are rebuilt by the caller
 * before. */
int manager_reload(Manager *m, Config *config);

Link *manager_find_link(Manager *m, const char *name);

/* The best that can be said about all rendezvous: how many are up. */
size_t manager_n_rendezvous_up(const Manager *m);

/* For the model's own use: tell the API about it after this turn. */
void manager_mark_link_dirty(Manager *m, Link *link);
void manager_mark_peer_dirty(Manager *m, Peer *peer);

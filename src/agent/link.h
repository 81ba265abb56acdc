/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "mapping.h"
#include "peer.h"
#include "watch.h"

#define LINK_MAPPINGS_MAX 16 /* as many as our addresses */

/* A WireGuard interface that the broker has told us of. */
struct Link {
        Manager *manager; /* owner */
        char *name;
        UT_hash_handle hh; /* in manager->links */
        int ifindex;
        WireguardKind kind;
        WireguardKey public_key; /* zero: none */
        uint16_t listen_port;    /* 0: not bound */
        uint32_t fwmark;
        Peer *peers; /* hash by public key (field hh); owned */
        /* link-mappings.c: where STUN servers see the port, at each of our addresses; owned */
        Mapping *mappings[LINK_MAPPINGS_MAX];
        size_t n_mappings;
        ProbeSocket *probe_sockets; /* link-probes.c */
        Watch watch;                /* when the link is read next */
        sd_event_source *watch_timer;
        bool busy;           /* the reading that is being looked at shows traffic */
        bool present;        /* told since the broker was last (re)connected */
        BrokerCall *refresh; /* a reading in flight */
        bool dirty;          /* to be told to the API at the end of this turn */
};

int link_new(Manager *manager, const char *name, Link **ret);
Link *link_free(Link *link);

/* A new reading of the device: peers come, change and go. A new public key makes every peer start anew. */
int link_observe(Link *link, const WireguardDevice *device);

Peer *link_find_peer(Link *link, const WireguardKey *public_key);

/* Reads the device again; peer_observe() follows for each peer. One reading at a time is enough for all who
 * ask. */
void link_refresh(Link *link);

/* Something happens that a reading would show: there is one soon, as watch.h has it. */
void link_watch(Link *link);

/* WireGuard has sent a handshake initiation to this endpoint. */
void link_take_initiation(Link *link, const SocketAddress *endpoint);

/* Every peer of it that has no good path tries again now. */
void link_reconnect(Link *link);

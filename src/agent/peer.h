/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>
#include <uthash.h>

#include "broker.h"
#include "path.h"
#include "proxy.h"
#include "signalling.h"

typedef struct Link Link;
typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Session Session;

typedef enum PeerState {
        PEER_STATE_WAITING,     /* we say hello; the peer has not answered */
        PEER_STATE_NEGOTIATING, /* it has: ICE is looking for a path */
        PEER_STATE_CONNECTING,  /* a path was found; WireGuard's handshake is to come */
        PEER_STATE_CONNECTED,   /* WireGuard's handshake came through */
        PEER_STATE_FAILED,      /* see reason; tried again by and by */
        _PEER_STATE_MAX,
        _PEER_STATE_INVALID = -EINVAL,
} PeerState;

DECLARE_STRING_TABLE(peer_state, PeerState); /* "waiting", … */

/* Why the peer has not a direct path, from evidence. */
typedef enum PeerReason {
        PEER_REASON_NONE,            /* it has */
        PEER_REASON_BROKER_LOST,     /* icewire-broker is not there */
        PEER_REASON_NO_PRIVATE_KEY,  /* the link has none: nothing can be signed */
        PEER_REASON_NO_LISTEN_PORT,  /* the link is down or not bound to a port */
        PEER_REASON_RENDEZVOUS_DOWN, /* none is up */
        PEER_REASON_PEER_SILENT, /* nothing came from it: it is off, or one side has the wrong public key of
                                    the other */
        PEER_REASON_ENVELOPE_REFUSED, /* what came does not open: the preshared keys differ, or it is forged
                                       */
        PEER_REASON_NEGOTIATING,      /* wait a moment */
        PEER_REASON_NO_ADDRESS,       /* this host has no usable address */
        PEER_REASON_NO_PATH,          /* no candidate pair works */
        PEER_REASON_NO_HANDSHAKE,   /* the path is good, but WireGuard's handshake is not answered over it */
        PEER_REASON_NO_REDIRECT,    /* the pair is direct, but only the proxy can carry it here */
        PEER_REASON_NO_DIRECT_PAIR, /* only a relay connects the two */
        _PEER_REASON_MAX,
        _PEER_REASON_INVALID = -EINVAL,
} PeerReason;

DECLARE_STRING_TABLE(peer_reason, PeerReason); /* "none", "broker-lost", … */

/* One sentence for people: what it means and what to do. */
const char *peer_reason_explain(PeerReason reason);

typedef struct PeerCounters {
        uint64_t sessions; /* started */
        uint64_t paths;    /* selected */
        uint64_t envelopes_sent;
        uint64_t envelopes_received;
        uint64_t envelopes_refused; /* by the broker: forged, damaged, wrong preshared key */
        uint64_t envelopes_flooded; /* dropped before opening, over the rate limit */
        uint64_t messages_malformed;
} PeerCounters;

struct Peer {
        Link *link; /* owner */
        WireguardKey public_key;
        UT_hash_handle hh;       /* in link->peers */
        UT_hash_handle hh_topic; /* in manager->peers_by_topic, while topic_receive is set */

        /* As last read from the device; never any secret. */
        SocketAddress endpoint;
        usec_t last_handshake; /* CLOCK_REALTIME, 0: never */
        uint64_t rx_bytes, tx_bytes;
        uint16_t persistent_keepalive;
        IpPrefix *allowed_ips;
        size_t n_allowed_ips;

        PeerState state;
        PeerReason reason;
        char *reason_detail; /* the evidence, for people; NULL: none */
        Path path;
        PeerCounters counters;
        bool dirty; /* on the manager's list of what is to be told */

        Signalling signalling;
        char topic_send[65], topic_receive[65]; /* "": not derived */
        bool topics_known;
        Session *session;     /* negotiating, or the one that carries path */
        Session *old_session; /* carried the path until the present one did; kept until that has traffic */
        Proxy *proxy;

        struct PeerWork *work; /* timers and calls in flight; peer.c's own */
};

/* The peer is owned by its link. */
int peer_new(Link *link, const WireguardPeer *observed, Peer **ret);
Peer *peer_free(Peer *peer);

/* A new reading of the device. */
void peer_observe(Peer *peer, const WireguardPeer *observed);

/* Look for a path again, from the start, beside the one in use (if any). For people, and for every event
 * that may have changed what is possible. */
void peer_reconnect(Peer *peer);

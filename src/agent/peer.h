/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>
#include <uthash.h>

#include "attempts.h"
#include "broker.h"
#include "handover.h"
#include "history.h"
#include "log-event.h"
#include "network.h"
#include "path.h"
#include "peace.h"
#include "proxy.h"
#include "pulse.h"
#include "signalling.h"

typedef struct Link Link;
typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Session Session;
typedef struct PeerCall PeerCall;
typedef struct ProbeSocket ProbeSocket;

#define TOPIC_SIZE 65 /* 64 hexadecimal digits */
#define RENDEZVOUS_MAX 16

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
        PEER_REASON_NONE, /* it has */
        /* Somebody wants it so */
        PEER_REASON_POLICY_HERE,  /* ours */
        PEER_REASON_POLICY_THERE, /* the peer has said so */
        /* Nothing can be said to the peer */
        PEER_REASON_BROKER_LOST,     /* icewire-broker is not there */
        PEER_REASON_NO_PRIVATE_KEY,  /* the link has none: nothing can be signed */
        PEER_REASON_NO_LISTEN_PORT,  /* the link is down or not bound to a port */
        PEER_REASON_NO_ADDRESS,      /* this host has no usable address */
        PEER_REASON_RENDEZVOUS_DOWN, /* none is up */
        /* The peer does not answer */
        PEER_REASON_PEER_SILENT,      /* nothing has ever come from it: it is off, or one side has the wrong
                                         public      key of the other */
        PEER_REASON_PEER_OFFLINE,     /* it was there, and is no longer */
        PEER_REASON_ENVELOPE_REFUSED, /* what came does not open: the preshared keys differ, or it is forged
                                       */
        PEER_REASON_NEGOTIATING,      /* wait a moment */
        /* The network is in the way */
        PEER_REASON_RELAY_REFUSED,     /* no pair works, and our TURN servers refuse us */
        PEER_REASON_RELAY_UNREACHABLE, /* no pair works, and our TURN servers do not answer */
        PEER_REASON_UDP_BLOCKED_HERE,  /* no STUN server answers us, while TCP works */
        PEER_REASON_UDP_BLOCKED_THERE, /* the peer says so of its network */
        PEER_REASON_MAPPING_VARIES,    /* both NATs choose their ports by destination */
        PEER_REASON_NO_COMMON_FAMILY,  /* one has only IPv4, the other one only IPv6 */
        PEER_REASON_NO_PATH,           /* no candidate pair works, and we do not know why */
        PEER_REASON_NO_DIRECT_PAIR,    /* only a relay connects the two, and we do not know why */
        PEER_REASON_ONLY_TCP,          /* only TCP connects the two, likewise */
        /* It is WireGuard, or how we get at its port */
        PEER_REASON_PATH_DEAD,    /* the path is in use, but nothing comes by it any more */
        PEER_REASON_NO_HANDSHAKE, /* the path is good, but WireGuard's handshake is not answered over it */
        PEER_REASON_NO_REDIRECT,  /* the pair is direct, but only the proxy can carry it here */
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
        usec_t handshake_at;   /* the same in CLOCK_BOOTTIME, which nobody sets back */
        uint64_t rx_bytes, tx_bytes;
        bool rewritten;   /* since the reading before, as a whole: its keys and counters are gone */
        usec_t observed;  /* that reading; CLOCK_BOOTTIME */
        usec_t initiated; /* WireGuard's last handshake initiation that we were told of; CLOCK_BOOTTIME */
        uint16_t persistent_keepalive;
        uint32_t preshared_key_changes;
        IpPrefix *allowed_ips;
        size_t n_allowed_ips;

        PeerState state;
        PeerReason reason;
        char *reason_detail; /* the evidence, for people; NULL: none */
        Path path;           /* changed by peer_set_path() alone */
        History history;     /* of the path */
        PathCause because;   /* of the change that is under way; UNKNOWN: none is, or it is nobody's doing */
        usec_t because_since; /* CLOCK_BOOTTIME */
        PeerCounters counters;
        bool dirty; /* to be told to the API at the end of this turn */

        /* peer-policy.c: which paths it may have */
        Policy policy;
        bool policy_temporary;         /* set by a person until icewire.conf is read again */
        sd_event_source *policy_timer; /* ends a path that the policy forbids and nothing has replaced */

        /* exchange.c: what it and we say to each other */
        Network network;   /* what it has told of its own, last */
        bool said_goodbye; /* and nothing else since */
        unsigned n_asked;  /* how often it was asked for a session since it last said something */
        Signalling signalling;
        char topic_send[TOPIC_SIZE], topic_receive[TOPIC_SIZE]; /* "": not derived yet */
        RateLimit incoming[RENDEZVOUS_MAX]; /* by rendezvous: one that is flooded does not mute the others */
        PeerCall *calls;                    /* in flight at the broker */
        bool refused_since_accepted;        /* envelopes came that did not open */
        Message *early;                     /* candidates that overtook their offer or answer; NULL: none */

        /* try.c: when to try again */
        sd_event_source *retry_timer;
        bool suspect; /* ICE has lost the pair that carries the path: a new one is looked for, and the path
                         dropped if it really is dead */
        uint64_t suspect_since_packets; /* what the proxy had received by then */
        bool renew;                     /* a new path is wanted beside a good one */
        bool silent; /* what we last asked was not answered: the instance that we know may be gone */
        RateLimit hello_limit;

        bool path_is_dead;     /* whatever is found takes over */
        bool peer_is_stranded; /* so it says, and does not use the path */
        Attempts attempts;

        /* The newest negotiation; and the one before it, that carried the path when this one began and goes
         * when this one has taken over. Which of them carries it now: carrier_session(). */
        Session *session;
        Session *old_session;
        bool wants_tcp; /* the next session is to have TCP candidates: what was tried last has not led to a
                           direct path */
        bool needs_tcp; /* it is to have them whatever else: one without was broken off for that */
        unsigned sharing_failures; /* in a row: the broker does not share a session's sockets;
                                      peer_reconnect() gives it another chance */

        /* reliance.c: is an endpoint that is not ours still good? */
        sd_event_source *reliance_timer;
        bool stale;                 /* its handshake has grown old */
        uint64_t stale_tx_bytes;    /* sent by then */
        bool unanswered;            /* more was sent since then */
        unsigned handshakes_missed; /* paths in a row that got none; at least 1 while one is overdue */
        usec_t doubted; /* CLOCK_BOOTTIME: a handshake from before proves nothing; the peer has said
                           goodbye, an address of ours has gone, or a person asks for another path */

        Peace peace; /* peace.c: endpoints of others */
        Pulse pulse; /* pulse.c: does the path work? */

        /* path-switch.c: from the path in use to another beside it */
        Handover handover;
        sd_event_source *handover_timer;
        Path held;                          /* that other one, while it is held; its session is the newest */
        Path previous;                      /* the one that was left, while there is a way back */
        SocketAddress moved_from, moved_to; /* what the broker moves; unset: nothing */
        unsigned move;                      /* … and its number: what is said of one before is no news */
        uint64_t moved_packets;             /* so many were */
        bool switch_is_prepared;            /* the broker was asked to move what will be late */
        usec_t switch_at; /* CLOCK_BOOTTIME: when it has, the held path is taken; USEC_INFINITY: not yet */

        /* carrier.c: how the path gets to WireGuard */
        Proxy *proxy;
        sd_event_source *handshake_timer;
        unsigned handshake_step;
        RateLimit endpoint_limit; /* how often we insist on ours */
        bool handshake_overdue;
        usec_t handshake_courtesy;     /* for how long it is left to the peer to begin; 0: we begin */
        usec_t handshake_wanted_since; /* CLOCK_BOOTTIME; 0: none is waited for */
        usec_t handshake_before;       /* last_handshake by then: another one proves the path */
        bool endpoint_is_being_set;    /* a call is under way */
        bool follows_peer; /* WireGuard has had the path's endpoint, or proved another: where it sends now is
                              where the peer is */
        sd_event_source *endpoint_timer;
};

/* The peer is owned by its link. */
int peer_new(Link *link, const WireguardPeer *observed, Peer **ret);
Peer *peer_free(Peer *peer);

/* A new reading of the device. */
void peer_observe(Peer *peer, const WireguardPeer *observed);

/* Look for a path again, from the start, beside the one in use (if any): for every event that may have
 * changed what is possible. */
void peer_reconnect(Peer *peer);

/* The same where WireGuard seems to get through without us: for people, who know why, and when its port is
 * another one. */
void peer_reconnect_regardless(Peer *peer);

/* Does WireGuard reach the peer with no session of ours? Then we leave it alone, unless the peer asks. */
bool peer_is_self_reliant(const Peer *peer);

/* For the model's own files: the reason is decided anew from the evidence, and the API told if anything
 * changed. */
void peer_set_state(Peer *peer, PeerState state);
void peer_changed(Peer *peer);
void peer_update_reason(Peer *peer);

/* What carries the peer's traffic from now on; the one place where a path changes, so that it gets into the
 * history. path: copied; may be a changed copy of peer->path, or peer_no_path. Its cause is what
 * peer_because() said last, if that is not long ago, and otherwise follows from the change. */
void peer_set_path(Peer *peer, const Path *path);
extern const Path peer_no_path;

/* Whoever starts what may lead to another path says why, just before: the next change of the path, within
 * PEER_BECAUSE_MAX, is put down to this. */
#define PEER_BECAUSE_MAX USEC_PER_MINUTE
void peer_because(Peer *peer, PathCause cause);
/* The same for what may be a mere consequence of what somebody has named already. */
void peer_because_unless_known(Peer *peer, PathCause cause);

const char *peer_link_name(const Peer *peer);

/* The fields that every message about a peer has in the journal. */
#define PEER_LOG_FIELDS(peer)                                                                               \
        LOG_FIELD("ICEWIRE_LINK=%s", peer_link_name(peer)),                                                 \
                LOG_FIELD("ICEWIRE_PEER=%s", WIREGUARD_KEY_STR(&(peer)->public_key))

/* Those that one about a path of its has besides. */
#define PATH_LOG_FIELDS(path)                                                                               \
        LOG_FIELD("ICEWIRE_PATH=%s", path_kind_to_string((path)->kind)),                                    \
                LOG_FIELD("ICEWIRE_TRANSPORT=%s", path_transport_to_string((path)->transport)),             \
                LOG_FIELD("ICEWIRE_LOCAL=%s", SOCKET_ADDRESS_STR(&(path)->local.address)),                  \
                LOG_FIELD("ICEWIRE_REMOTE=%s", SOCKET_ADDRESS_STR(&(path)->remote.address))

#define log_peer_full(peer, level, error, format, ...)                                                      \
        log_full_fields(level, error, ((const char *const[]) { PEER_LOG_FIELDS(peer), NULL }),              \
                        "%s: peer %.8s…: " format, peer_link_name(peer),                                    \
                        WIREGUARD_KEY_STR(&(peer)->public_key) __VA_OPT__(, ) __VA_ARGS__)

/* The same as an event; fields: as for log_event(). */
#define log_peer_event(peer, level, error, event, fields, format, ...)                                      \
        log_event(level, error, event, (PEER_LOG_FIELDS(peer), LOG_EVENT_FIELDS fields NULL),               \
                  "%s: peer %.8s…: " format, peer_link_name(peer),                                          \
                  WIREGUARD_KEY_STR(&(peer)->public_key) __VA_OPT__(, ) __VA_ARGS__)

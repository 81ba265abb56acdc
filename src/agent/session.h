/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ice.h"
#include "peer.h"
#include "stun-check.h"

/* Of the peer's relays so many are remembered as not allowed: a host has one or two. */
#define SESSION_REFUSED_RELAYS_MAX 4
/* As many as libnice uses. */
#define SESSION_RELAYS_MAX 8

/* One ICE negotiation with a peer, from offer to selected pair, and as long as that pair carries the path:
 * its ICE agent keeps the pair alive. */
struct Session {
        Peer *peer;             /* owner */
        uint64_t id;            /* drawn by the controlling side */
        uint64_t peer_instance; /* whom it is with; signalling.h */
        bool controlling;
        bool described;    /* our description was sent */
        bool answered;     /* theirs is known */
        uint64_t answer;   /* the sequence number of the message that brought it */
        bool remote_ended; /* they will have no more candidates */
        SocketAddress
                refused_relays[SESSION_REFUSED_RELAYS_MAX]; /* theirs, that the policies do not allow */
        size_t n_refused_relays;
        IceAgent *ice;
        StunCheckCredentials credentials; /* of both, for probes of the path */
        Probe *probe;                     /* session-probes.c: that goes through it, lent; NULL: none */
        RateLimit probe_limit;            /* of what it answers */
        bool tcp;                         /* has TCP candidates as well */
        bool restart;                     /* with TCP candidates, as soon as nobody is in the midst of it */
        SocketAddress udp_relays[SESSION_RELAYS_MAX]; /* TURN servers that it may use over UDP */
        size_t n_udp_relays;
        unsigned relay_generation; /* of the credentials that it has for them */
        usec_t relay_expires;      /* CLOCK_REALTIME: when those are no longer good; USEC_INFINITY: never */
        bool shared;               /* its sockets share WireGuard's port */
        BrokerCall *sharing;       /* in flight: nothing is said or sent before */
        BrokerCall *sharing_again;
        Message *offer; /* to be answered then */

        IceCandidate candidates[SDP_CANDIDATES_MAX]; /* ours, as libnice has them */
        size_t n_candidates;
        bool gathering_done;
        bool untold;              /* there is something about ours that the peer does not know */
        sd_event_source *trickle; /* tells it, once per turn */

        bool selected;
        bool pair_shared; /* what it sends leaves from WireGuard's port */
        bool fed;         /* libnice has had packets of WireGuard's to send */
        IceCandidate local, remote;
        IceServerKind relay_kind; /* of our end's TURN server, where local is a relay */
        SocketAddress relay;
        void *early; /* what the peer's WireGuard sent before we had a pair; the last of it, NULL: nothing */
        size_t early_size;

        sd_event_source *timer; /* repeats the offer; then: patience */
        unsigned n_offers;
        sd_event_source *expiry; /* of the credentials for the relay that it uses */
        usec_t started;          /* CLOCK_BOOTTIME */
};

/* The controlling side: gathers and offers to this instance of the peer. */
int session_new_offer(Peer *peer, uint64_t peer_instance, Session **ret);

/* The controlled side: gathers and answers. */
int session_new_answer(Peer *peer, const Message *offer, Session **ret);

Session *session_free(Session *session);
DEFINE_TRIVIAL_CLEANUP_FUNC(Session *, session_free);

/* Our candidates as the peer is told of them, but for the lead that a relay has there; returns how many.
 * *ret_complete: there will be no more. */
size_t session_candidates(const Session *session, IceCandidate ret[static SDP_CANDIDATES_MAX],
                          bool *ret_complete);

/* The peer's answer, or a repeated offer (that is answered again), or candidates. */
void session_take_answer(Session *session, const Message *answer);
void session_repeat_description(Session *session);
void session_take_candidates(Session *session, const Message *candidates);

/* STUN servers see the link's port elsewhere now, or have all been asked. */
void session_mapping_changed(Session *session);

/* The broker may have forgotten its sockets. */
void session_share_again(Session *session);

/* The proxy that carries its pair is there. */
void session_deliver_early_data(Session *session);

/* Is its end of the pair at a TURN server that is no longer ours to use? It works on for a while. */
bool session_has_lost_its_relay(const Session *session);

/* What the selected pair's packets leave this host by. */
PathTransport session_transport(const Session *session);

/* Still looking for a pair with TCP candidates, for which libnice takes long, when another one, begun now,
 * would have none? */
bool session_is_too_slow(const Session *session);

/* Does the pair need nobody but WireGuard and the network on this side? */
bool session_is_plain(const Session *session);

static inline bool session_is_selected(const Session *session)
{
        return session && session->selected;
}

/* Still looking for its first pair? */
static inline bool session_is_negotiating(const Session *session)
{
        return session && !session->selected;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker.h"
#include "ice-candidate.h"
#include "stun-client.h"

/* What the STUN servers say of one port at one of our addresses: of a link's port, which the broker shares
 * with a socket of ours, or (where it cannot) of that socket's own port, which still tells what kind of NAT
 * there is. */

typedef enum MappingState {
        MAPPING_STATE_SHARING, /* the broker is asked for the link's port */
        MAPPING_STATE_ASKING,  /* some server has not answered yet */
        MAPPING_STATE_SETTLED, /* all have, or have had MAPPING_PATIENCE */
        MAPPING_STATE_FAILED,  /* the port is not shared; see error */
        _MAPPING_STATE_MAX,
        _MAPPING_STATE_INVALID = -EINVAL,
} MappingState;

DECLARE_STRING_TABLE(mapping_state, MappingState); /* "sharing", … */

/* RFC 4787 section 4.1 has the words; MAPPING_VARIES is its address-dependent or address and port-dependent
 * mapping. */
typedef enum MappingKind {
        MAPPING_UNKNOWN,              /* no answer */
        MAPPING_NONE,                 /* no NAT: the servers see the address and port that we have */
        MAPPING_SINGLE,               /* one server's word only */
        MAPPING_ENDPOINT_INDEPENDENT, /* servers at different addresses see the same */
        MAPPING_VARIES,               /* they do not */
        _MAPPING_KIND_MAX,
        _MAPPING_KIND_INVALID = -EINVAL,
} MappingKind;

DECLARE_STRING_TABLE(mapping_kind, MappingKind); /* "unknown", "none", … */

/* Does the NAT bring back what we send to our own mapped address? */
typedef enum MappingHairpin {
        MAPPING_HAIRPIN_UNKNOWN, /* not tested, or there is no NAT */
        MAPPING_HAIRPIN_TESTING,
        MAPPING_HAIRPIN_YES,
        MAPPING_HAIRPIN_NO,
        _MAPPING_HAIRPIN_MAX,
        _MAPPING_HAIRPIN_INVALID = -EINVAL,
} MappingHairpin;

DECLARE_STRING_TABLE(mapping_hairpin, MappingHairpin); /* "unknown", … */

typedef struct MappingServer {
        SocketAddress address;
        SocketAddress mapped;   /* its last answer; unset: none, or it did not answer when asked last */
        int error;              /* 0: answered; -EINPROGRESS: asked; else as of stun_client_callback_t */
        usec_t round_trip_time; /* of the last answer */
        usec_t asked;           /* CLOCK_BOOTTIME; 0: never */
} MappingServer;

#define MAPPING_SERVERS_MAX STUN_CLIENT_SERVERS_MAX
#define MAPPING_PATIENCE (3 * USEC_PER_SEC)

typedef struct Mapping Mapping;

/* mapped or kind are different, or the state is SETTLED or FAILED now; never from inside a call of the
 * owner's. The mapping may be freed inside. */
typedef void (*mapping_callback_t)(Mapping *mapping, void *userdata);

/* Read only; whoever made it owns it. */
struct Mapping {
        /* The facts */
        SocketAddress local;  /* with the port that is asked about */
        SocketAddress mapped; /* as most servers see it, of equals what was there before; unset: unknown */
        MappingKind kind;
        bool port_kept; /* mapped has local's port */
        MappingHairpin hairpin;
        MappingState state;
        int error; /* FAILED: -ENOTSUP (nothing shares ports here), -ECONNRESET (the broker went), … */
        MappingServer servers[MAPPING_SERVERS_MAX];
        size_t n_servers;

        /* mapping.c's own */
        sd_event *event;
        Broker *broker; /* NULL: of our own port */
        char *link;
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        StunClient *client;
        BrokerCall *call;
        bool shared;
        bool wanted;
        bool hairpin_wanted;
        sd_event_source *patience_timer;
        sd_event_source *refresh_timer;
        mapping_callback_t callback;
        void *userdata;
};

/* Starts at once. local: one of our addresses, its port is ignored. port: the link's; with broker and link
 * it is shared. broker: borrowed; NULL: about the port of a socket of our own (link and port are ignored).
 * servers: those of another family are left out, and what exceeds MAPPING_SERVERS_MAX; without any it is
 * SETTLED at once and nothing is shared. errno of the system calls (-EADDRNOTAVAIL). */
int mapping_new(sd_event *event, Broker *broker, const char *link, const SocketAddress *local, uint16_t port,
                const SocketAddress *servers, size_t n_servers, mapping_callback_t callback, void *userdata,
                Mapping **ret);
/* Gives the shared socket back. The broker may be lost but not freed. */
Mapping *mapping_free(Mapping *mapping);
DEFINE_TRIVIAL_CLEANUP_FUNC(Mapping *, mapping_free);

/* Other servers from now on: those that are new are asked, what the others said stays. */
void mapping_set_servers(Mapping *mapping, const SocketAddress *servers, size_t n_servers);

/* The broker has forgotten the socket (its connection was lost, or something else shares ports now): nothing
 * is asked until mapping_share_again(), which then asks all. What is known stays until there are answers. */
void mapping_sharing_lost(Mapping *mapping);
void mapping_share_again(Mapping *mapping);

/* While somebody needs it the mapping is kept alive and up to date, with a question at most every 25 s, and
 * FAILED tries to share again as often. Initially not. */
void mapping_set_wanted(Mapping *mapping, bool wanted);

/* Asks every server anew (unless that is under way), and tests the hairpin as well if that is wanted; FAILED
 * tries to share again. */
void mapping_ask(Mapping *mapping, bool hairpin);

/* Is an answer of a server, of the broker or of the hairpin test still waited for? */
bool mapping_is_busy(const Mapping *mapping);

/* ---- Pure functions ---- */

typedef struct MappingVerdict {
        MappingKind kind;
        SocketAddress mapped; /* unset: unknown */
} MappingVerdict;

/* What the answers mean together. held: what was thought so far (or unset), the best among equals. A server
 * that sees `local` itself where others see something else is on our side of the NAT and tells nothing. */
MappingVerdict mapping_judge(const SocketAddress *local, const MappingServer *servers, size_t n,
                             const SocketAddress *held);

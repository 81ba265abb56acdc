/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "ice-candidate.h"
#include "time-util.h"

/* One ICE negotiation, on libnice: one NiceAgent with one stream of one component and its own GMainContext
 * on the sd-event loop. Whatever reaches libnice has been sanitised here, so that no input makes it abort.
 * Callbacks may come from inside any call except ice_agent_free(), and may free the agent. */

typedef struct IceAgent IceAgent;

typedef enum IceState {
        ICE_STATE_GATHERING,
        ICE_STATE_CHECKING,
        ICE_STATE_CONNECTED, /* a pair is selected; better ones may follow */
        ICE_STATE_READY,     /* nothing better will come; that a pair dies later is not noticed here */
        ICE_STATE_FAILED,    /* soft: a candidate that comes later may revive it */
        _ICE_STATE_MAX,
        _ICE_STATE_INVALID = -EINVAL,
} IceState;

DECLARE_STRING_TABLE(ice_state, IceState); /* "gathering", … */

typedef enum IceServerKind {
        ICE_SERVER_STUN,
        ICE_SERVER_TURN_UDP,
        ICE_SERVER_TURN_TCP,
        ICE_SERVER_TURN_TLS,
        _ICE_SERVER_KIND_MAX,
        _ICE_SERVER_KIND_INVALID = -EINVAL,
} IceServerKind;

DECLARE_STRING_TABLE(ice_server_kind, IceServerKind); /* "stun", "turn-udp", "turn-tcp", "turn-tls" */

typedef struct IceServer {
        IceServerKind kind;
        SocketAddress address; /* resolved */
        SocketAddress
                leg; /* TURN_TLS: what speaks TLS to it for us (tls-leg.h), of a local address's family */
        const char *username; /* TURN, long-term credentials (RFC 8489 section 9.2) */
        const char *password; /* secret */
        size_t number;        /* for whoever makes the list */
} IceServer;

typedef struct IceAgentParameters {
        bool controlling;
        bool tcp;                             /* ICE-TCP candidates as well */
        bool relay_only;                      /* no candidates but relays, and pairs of those alone */
        const SocketAddress *local_addresses; /* those to gather on; ports are ignored */
        size_t n_local_addresses;
        const IceServer *servers; /* copied */
        size_t n_servers;
} IceAgentParameters;

typedef struct IceAgentCallbacks {
        /* A local candidate to signal. */
        void (*candidate)(IceAgent *agent, const IceCandidate *candidate, void *userdata);
        /* No more local candidates will come, unless a STUN server answers after more than 3 s: then one
         * still does. */
        void (*gathering_done)(IceAgent *agent, void *userdata);
        void (*state)(IceAgent *agent, IceState state, void *userdata);
        /* A pair was selected; fires again for each better one. */
        void (*selected)(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote,
                         void *userdata);
        /* Data (never STUN) that came through libnice: over the selected relayed or TCP path, or before a
         * data socket was opened. */
        void (*data)(IceAgent *agent, const void *data, size_t size, void *userdata);
} IceAgentCallbacks;

/* Makes an agent with fresh local credentials (ICE_LOCAL_UFRAG_SIZE, ICE_LOCAL_PWD_SIZE); it keeps a
 * reference to the event. At most 16 local addresses are used, and none beyond place 48 of the host's own
 * list (libnice aborts at 64). Of the TURN servers 8 are used: those over TCP when those over UDP have given
 * no allocation for a moment, and those by TLS when those over TCP have not, either. -EINVAL: no usable
 * local address, or a TURN server without credentials or leg; -EMFILE: too near to the limit of open files
 * (libnice would abort); -ENOMEM. The callbacks' table must outlive the agent. */
int ice_agent_new(sd_event *event, const IceAgentParameters *parameters, const IceAgentCallbacks *callbacks,
                  void *userdata, IceAgent **ret);

/* No callback comes after this. TURN allocations are given back in the background. Accepts NULL, returns
 * NULL; may be called from a callback. */
IceAgent *ice_agent_free(IceAgent *agent);
DEFINE_TRIVIAL_CLEANUP_FUNC(IceAgent *, ice_agent_free);

const char *ice_agent_ufrag(const IceAgent *agent);
const char *ice_agent_pwd(const IceAgent *agent);
IceState ice_agent_state(const IceAgent *agent);

/* Starts gathering, once; host candidates are reported before this returns. -EALREADY; -EADDRNOTAVAIL: no
 * socket could be bound. */
int ice_agent_gather(IceAgent *agent);

/* Once, before or after gathering, before any remote candidate. -EINVAL if they break RFC 8839 section 5.4;
 * -EALREADY. */
int ice_agent_set_remote_credentials(IceAgent *agent, const char *ufrag, const char *pwd);

/* 1 taken, 0 ignored (a duplicate, more than ICE_REMOTE_CANDIDATES_MAX, a transport or family that we have
 * no local candidate for, an address that cannot be a peer's); -ENOTCONN before the credentials. */
int ice_agent_add_remote_candidate(IceAgent *agent, const IceCandidate *candidate);

/* Those that were taken, lent until the next is. Returns how many. */
size_t ice_agent_remote_candidates(const IceAgent *agent, const IceCandidate **ret);

/* The peer will send no more candidates: FAILED is then final after the checks' own time, without waiting
 * for more (RFC 8863). */
int ice_agent_end_of_candidates(IceAgent *agent);

/* After `selected`, for a UDP pair whose local side is not relayed: a non-blocking UDP socket that shares
 * the local candidate's port with libnice. A classic BPF program of the SO_REUSEPORT group gives to this
 * socket what looks like WireGuard, and everything else (STUN, a TURN server's ChannelData) to libnice. Of
 * several on one port the oldest receives, until it is closed (ice-data-socket.h). The caller owns *ret and
 * may use recvmmsg, GSO and GRO on it. -EOPNOTSUPP for a relayed or TCP pair (use ice_agent_send()); errno
 * of the system calls. */
int ice_agent_open_data_socket(IceAgent *agent, int *ret);

/* Sends one datagram over the selected pair. -EAGAIN: the socket is full, drop it as a network would;
 * -EMSGSIZE: empty or longer than a UDP datagram; -ENOTCONN. */
int ice_agent_send(IceAgent *agent, const void *data, size_t size);

/* Which TURN server has our end of the selected pair: its kind, and its address as it was given. -ENOENT:
 * our end is no relay; -ENOTCONN: there is no pair. */
int ice_agent_selected_server(IceAgent *agent, IceServerKind *ret_kind, SocketAddress *ret_address);

/* The TCP connection that the selected pair's packets leave by: to the peer, to the TURN server or to its
 * TLS leg; borrowed as well. remote: the pair's. -EOPNOTSUPP: they leave over UDP; -ENOENT: it has gone. */
int ice_agent_connection(IceAgent *agent, const IceCandidate *remote);

/* The file descriptors of the agent's UDP sockets, for larger buffers: borrowed, good until the loop runs
 * again. The caller frees *ret. */
int ice_agent_sockets(IceAgent *agent, int **ret, size_t *ret_n);

/* Round-trip time of the last check of the selected pair, USEC_INFINITY if unknown. libnice (0.1.22, 0.1.23)
 * tells of none, so for now it is always unknown: measure with a probe of one's own. */
usec_t ice_agent_round_trip_time(const IceAgent *agent);

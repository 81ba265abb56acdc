/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <nice/agent.h>

#include "glib-loop.h"
#include "ice.h"

/* Below ice.c: one NiceAgent with its context, set up with every guard that libnice needs, and torn down in
 * the background. It outlives the IceAgent that owns it until its TURN allocations have been given back. */

/* libnice's own limits (NICE_CANDIDATE_MAX_*): beyond them it aborts. */
#define ICE_TURN_SERVERS_MAX NICE_CANDIDATE_MAX_TURN_SERVERS
#define ICE_LOCAL_ADDRESSES_MAX 16
/* How far down the host's own list of addresses a local address may stand. libnice asserts < 64 anew for
 * each candidate and pair, so there is room for addresses that come later. */
#define ICE_LOCAL_ADDRESS_INDEX_MAX 48

typedef struct IceEngine {
        NiceAgent *nice;
        unsigned stream;
        GlibContext *context;
        IceAgent *owner;      /* NULL once it is closing: nothing is delivered any more */
        GObject *last_socket; /* while closing; not referenced, but watched */
        GSource *rest;        /* while closing, not referenced: until surplus allocations are given back */
        usec_t rests_until;   /* that is, CLOCK_MONOTONIC; 0: it does not */
        bool orphaned;        /* the event loop has ended */
        bool tcp;
        bool has_relay;
        size_t n_addresses[2]; /* IPv4, IPv6 */
        size_t n_allocations;  /* asked for, each from one address */
        usec_t gathered;       /* CLOCK_MONOTONIC, when it last came to its end; 0: is under way */
} IceEngine;

/* The IceAgent's side: what libnice reports, in our own types. Each may free the agent. */
void ice_agent_on_local_candidate(IceAgent *agent, const IceCandidate *candidate);
void ice_agent_on_gathering_done(IceAgent *agent);
void ice_agent_on_state(IceAgent *agent, IceState state);
void ice_agent_on_selected(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote);
void ice_agent_on_data(IceAgent *agent, const void *data, size_t size);

/* addresses: usable ones, from ice_engine_filter_addresses(). n_queries: STUN queries that the agent will
 * make from each. -EMFILE, -ENOMEM, -EINVAL. */
int ice_engine_new(sd_event *event, const IceAgentParameters *parameters, const SocketAddress *addresses,
                   size_t n_addresses, size_t n_queries, const char *ufrag, const char *pwd, IceAgent *owner,
                   IceEngine **ret);

/* Lets go of the engine, which closes itself: at once, or after the TURN servers have answered. Accepts
 * NULL, returns NULL; may be called from anything that the engine calls. */
IceEngine *ice_engine_close(IceEngine *engine);

/* Of the wanted local addresses those that libnice can bear, each once; at most ICE_LOCAL_ADDRESSES_MAX. */
size_t ice_engine_filter_addresses(const SocketAddress *addresses, size_t n, SocketAddress *ret);

/* How long libnice waits, with nothing left to check, before it says FAILED. */
void ice_engine_set_patience(IceEngine *engine, usec_t patience);

/* How much later libnice's timers may come, and so everything that it does by itself. */
void ice_engine_set_slack(IceEngine *engine, usec_t slack);

/* After gathering has begun: it goes on, and ends once more; not where this fails. -ENOSPC: there are
 * ICE_TURN_SERVERS_MAX already; -EAFNOSUPPORT: there is no local address to ask it from; -EHOSTUNREACH: no
 * connection to it could be begun. */
int ice_engine_add_relay(IceEngine *engine, const IceServer *server);

/* Once. Reports host candidates before it returns; -EADDRNOTAVAIL if no socket could be bound. */
int ice_engine_gather(IceEngine *engine);

int ice_engine_set_remote_credentials(IceEngine *engine, const char *ufrag, const char *pwd);

/* 1 taken, 0 ignored by libnice. */
int ice_engine_add_remote_candidate(IceEngine *engine, const IceCandidate *candidate);

/* The fd of libnice's UDP socket that the selected pair sends from, borrowed; -EOPNOTSUPP where the local
 * side is relayed or TCP; -ENOTCONN. */
int ice_engine_selected_fd(IceEngine *engine);

/* Where the TURN server of the selected pair's local side is, and whether it is spoken to over UDP. -ENOENT:
 * that side is no relay; -ENOTCONN. */
int ice_engine_selected_relay(IceEngine *engine, bool *ret_udp, SocketAddress *ret_address);

/* The TCP connection that the selected pair's packets leave by, borrowed. -ENOENT: it is not known, or that
 * pair is not one with `remote`; -ENOTCONN. */
int ice_engine_connection(IceEngine *engine, const SocketAddress *remote);

/* Its TCP connection to a TURN server, borrowed; -ENOENT. */
int ice_engine_relay_connection(IceEngine *engine, const SocketAddress *relay);

/* The file descriptors of its UDP sockets, borrowed. The caller frees *ret. */
int ice_engine_sockets(IceEngine *engine, int **ret, size_t *ret_n);

/* One datagram over the selected pair. -EAGAIN, -ENOTCONN. */
int ice_engine_send(IceEngine *engine, const void *data, size_t size);

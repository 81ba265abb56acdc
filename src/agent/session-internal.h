/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"
#include "session.h"

/* What the parts of a session have for each other: its life (session.c), its ICE agent (session-agent.c),
 * what the peer is told (session-description.c) and tells (session-remote.c), the selected pair
 * (session-pair.c), TCP candidates (session-tcp.c), and its sockets with the broker (session-sharing.c). */

/* --- session.c --- */

/* What is due then follows from the session: a restart, the offer again, or the end of patience. */
int session_arm_timer(Session *session, usec_t delay);

/* With it goes a restart that was about to come: what is known then is considered anew. One that has been is
 * remembered. */
void session_disarm_timer(Session *session);

/* The checks can begin: it ends if they have found nothing for as long as they can take. */
int session_begin_patience(Session *session);

/* --- session-agent.c --- */

/* Makes the session's ICE agent, and has it gather. Errors of ice_agent_new() and ice_agent_gather(). */
int session_make_agent(Session *session);

/* --- session-description.c --- */

void session_on_candidate(IceAgent *ice, const IceCandidate *candidate, void *userdata);
void session_on_gathering_done(IceAgent *ice, void *userdata);

/* There will be no more of them: if none is at a TURN server, though one was wanted, the servers are asked
 * why.
 */
void session_consider_relays(const Session *session);

/* --- session-remote.c --- */

/* The first that the peer tells: the checks begin. */
int session_take_description(Session *session, const SdpDescription *sdp);

/* More of its candidates, also those that are known. */
void session_take_remote_candidates(Session *session, const SdpDescription *sdp);

/* Is this the address of a relay of the peer's that the policies do not allow? */
bool session_is_refused_relay(const Session *session, const IceCandidate *remote);

/* --- session-pair.c --- */

void session_on_selected(IceAgent *ice, const IceCandidate *local, const IceCandidate *remote,
                         void *userdata);
void session_on_data(IceAgent *ice, const void *data, size_t size, void *userdata);

/* --- session-tcp.c --- */

/* offer: the peer's; NULL: it is ours. A path that is lost is not the time for it, since libnice takes
 * longer to settle on a pair then; unless a session without was broken off for that. */
bool session_wants_tcp(const Peer *peer, const Message *offer);

/* A controlling agent with TCP candidates nominates only once (RFC 6544 section 8), and may have been too
 * quick: so what has not led to a direct path over UDP is tried the other way next time. */
void session_remember_what_was_tried(Session *session);

/* There is news of the network, here or at the peer's: does UDP lead nowhere? */
void session_consider_tcp(Session *session);

/* The peer has candidates over TCP: it has found out that UDP leads nowhere, which only the controlling side
 * can act on. */
void session_consider_peers_tcp(Session *session, const SdpDescription *sdp);

/* --- session-sharing.c --- */

/* Its sockets share the link's port from now on, or as soon as the broker has answered. */
int session_share(Session *session, broker_done_callback_t callback, BrokerCall **ret);
void session_stop_sharing(Session *session);

/* libnice's own sockets carry STUN, and the data of relayed pairs. */
void session_grow_buffers(Session *session);

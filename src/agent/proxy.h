/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "ice.h"
#include "socket-address.h"

/* The userspace data path: WireGuard's endpoint for a peer is a loopback address of ours (127.128.0.0/9, one
 * per proxied peer), and what arrives there goes out over the peer's path, and back. Batched (recvmmsg,
 * sendmmsg), with UDP GSO and GRO where the kernel has them. */

typedef struct ProxyPool
        ProxyPool; /* hands out loopback addresses and owns the buffers that all proxies share */
typedef struct Proxy Proxy;

#define PROXY_BUFFER_SIZE (4 * 1024 * 1024) /* bytes, each way, each socket */

typedef struct ProxyCounters {
        uint64_t out_packets, out_bytes; /* WireGuard to network */
        uint64_t in_packets, in_bytes;   /* network to WireGuard */
        uint64_t late_packets;           /* of these: not by the path in use, but by one before */
        uint64_t dropped;                /* the other side was full, or there was none */
        uint64_t strangers;              /* neither from WireGuard nor from the peer: ignored */
} ProxyCounters;

/* grow: asked once for each new socket, to force its buffers to PROXY_BUFFER_SIZE (icewired may not, the
 * broker may); NULL: only what net.core.*mem_max allows. */
typedef void (*proxy_grow_t)(int fd, void *userdata);

int proxy_pool_new(sd_event *event, proxy_grow_t grow, void *userdata, ProxyPool **ret);
ProxyPool *proxy_pool_free(ProxyPool *pool); /* after all its proxies */
DEFINE_TRIVIAL_CLEANUP_FUNC(ProxyPool *, proxy_pool_free);

/* Is this an address of our block? Such an endpoint in a device is ours (perhaps from before a restart),
 * never a peer's. */
bool proxy_address_is_ours(const SocketAddress *a);

/* wireguard_port: where the link listens on loopback. -EADDRINUSE: the block is used up; errno of the system
 * calls. */
int proxy_new(ProxyPool *pool, uint16_t wireguard_port, Proxy **ret);
Proxy *proxy_free(Proxy *proxy);
DEFINE_TRIVIAL_CLEANUP_FUNC(Proxy *, proxy_free);

/* What WireGuard's endpoint for the peer has to be. */
const SocketAddress *proxy_endpoint(const Proxy *proxy);
const ProxyCounters *proxy_counters(const Proxy *proxy);

/* Those by the path in use. What WireGuard's full socket has lost is in no count, late or not: at least
 * none. */
uint64_t proxy_fresh_packets(const ProxyCounters *c);

/* Carry over a UDP socket (see ice_agent_open_data_socket()) to `remote`; the fd becomes the proxy's, also
 * on failure. Only what comes from `remote` (or that of a socket that lingers) is delivered.
 * Replaces the carrier before it; what still arrives on a replaced socket is delivered for PROXY_LINGER
 * more. */
#define PROXY_LINGER (2 * USEC_PER_SEC)
int proxy_set_socket(Proxy *proxy, int fd, const SocketAddress *remote);

/* ICE has verified another pair of the session that is carried, and the peer may send by it already: what
 * comes to the socket from there is delivered as well, until the next proxy_set_…(). */
void proxy_admit(Proxy *proxy, const SocketAddress *remote);

/* Carry over an ICE agent (a relayed or TCP pair); lent, and taken back by proxy_forget_agent() before it is
 * freed. connection: the TCP connection by which its packets leave (ice_agent_connection()), lent for the
 * same time, or negative. While that takes no more, packets wait in WireGuard's socket, where some are lost
 * if they are too many, as at any bottleneck. framed: it has packets after their lengths (RFC 4571), and
 * they are written to it past the agent, many at once; not for an agent that has had packets from WireGuard
 * itself, since it may have half of one left to write. Where the connection is no good the agent has them
 * all. */
void proxy_set_agent(Proxy *proxy, IceAgent *agent, int connection, bool framed);
void proxy_forget_agent(Proxy *proxy, IceAgent *agent);

/* The agent's packets leave by another connection by now: it has them all. */
void proxy_forget_connection(Proxy *proxy);

/* What WireGuard sends goes through the agent, not past it. */
bool proxy_feeds_agent(const Proxy *proxy);

/* Told when WireGuard has sent and nothing has come from the peer for so long that the path is probably dead
 * (silence.h); again from time to time as long as that lasts. The callback may free the proxy. */
typedef void (*proxy_silent_t)(Proxy *proxy, void *userdata);
void proxy_on_silence(Proxy *proxy, proxy_silent_t callback, void *userdata);

/* Told of each wake-up in which WireGuard has sent something that is not its own business, as keepalives and
 * handshakes are. The callback leaves the proxy as it is. */
typedef void (*proxy_traffic_t)(Proxy *proxy, void *userdata);
void proxy_on_traffic(Proxy *proxy, proxy_traffic_t callback, void *userdata);

/* Data that an ICE agent received: to WireGuard. late: it is not the agent whose pair is in use. */
void proxy_deliver(Proxy *proxy, const void *data, size_t size, bool late);

void proxy_set_wireguard_port(Proxy *proxy, uint16_t wireguard_port);

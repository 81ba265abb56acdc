/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "rtnl.h"
#include "socket-address.h"

/* Which local addresses are candidates and which interfaces a LAN rendezvous uses: uplinks, not loopback,
 * containers, bridges that only join containers, tunnels or WireGuard links. Pure functions over what
 * rtnetlink told (shared/rtnl). */

typedef struct AddressPolicy {
        char **interfaces;         /* globs: only these; NULL: all that make sense */
        char **exclude_interfaces; /* globs */
} AddressPolicy;

/* May this interface carry our traffic to peers? has_default_route: in any family, by this interface.
 * `interfaces` forces what it names, except loopback and WireGuard links; exclude_interfaces wins. A
 * userspace WireGuard link cannot be told from other tunnels (kind "tun"): no uplink unless it is named.
 * policy: NULL is the default. */
bool interface_is_uplink(const RtnlLink *link, bool has_default_route, const AddressPolicy *policy);

/* Fills `ret` with the usable addresses, at most `max`: interfaces with a default route first; within an
 * interface IPv6 before IPv4, stable before temporary. Not: tentative, deprecated or duplicate ones, IPv6
 * link-local ones, IPv4 link-local ones where there are others, more than a few of each family on one
 * interface, and those of a family whose default route by that interface only waits for a better one to go:
 * WireGuard sends by the better one, and ICE must not find a path that it does not take. Returns how many;
 * ports are 0. */
size_t addresses_collect(const RtnlMonitor *monitor, const AddressPolicy *policy, SocketAddress *ret,
                         size_t max);

/* The interfaces (ifindex) of addresses_collect() that have these addresses, each once, at most `max`;
 * another interface with one of them (loopback, of a service's address) is none. Returns how many. */
size_t addresses_uplinks(const RtnlMonitor *monitor, const AddressPolicy *policy,
                         const SocketAddress *addresses, size_t n, int *ret, size_t max);

/* May this be a peer's address as seen from here? Not: unspecified, loopback, multicast, IPv6 link-local,
 * IPv4-mapped, or an address inside the AllowedIPs of one of our links (it would go through the tunnel that
 * it is to carry), except for those that mean "everything" (length 0 or 1). */
bool address_is_usable_remote(const SocketAddress *a, const IpPrefix *tunnelled, size_t n_tunnelled);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "addresses.h"

#include <fnmatch.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#include "string-util.h"

/* --- interfaces --- */

static bool strv_contains(const char *const *list, size_t n, const char *s)
{
        for (size_t i = 0; i < n; i++)
                if (streq(list[i], s))
                        return true;
        return false;
}
#define IN_TABLE(table, s) strv_contains((table), ELEMENTSOF(table), (s))

static bool matches_any(char **globs, const char *name)
{
        for (char **glob = globs; glob && *glob; glob++)
                if (fnmatch(*glob, name, /* flags= */ 0) == 0)
                        return true;
        return false;
}

/* What sits directly on hardware, or is a view of it: an address there is an address in a real network. */
static bool kind_is_physical(const char *kind)
{
        static const char *const kinds[] = {
                "", /* hardware, and what a hypervisor passes off as such */
                "bond", "hsr", "ipvlan", "macsec", "macvlan", "rmnet", "team", "virt_wifi", "vlan", "wwan",
        };

        return IN_TABLE(kinds, kind);
}

/* A tunnel leads somewhere by way of another interface, which is a candidate itself: a path through the
 * tunnel is never shorter, and two tunnels that carry each other are a loop. "tun" is also what userspace
 * WireGuard and most VPN clients have. The others have no network behind them: "dummy" and "vrf" hold
 * addresses for the host alone, macvtap and ipvtap belong to virtual machines. */
static bool kind_is_no_network(const char *kind)
{
        static const char *const kinds[] = {
                "amt",     "bareudp", "dummy",     "erspan",    "fou",       "geneve", "gre",  "gretap",
                "gtp",     "ifb",     "ip6erspan", "ip6gre",    "ip6gretap", "ip6tnl", "ipip", "ipvtap",
                "macvtap", "nlmon",   "ovpn",      "sit",       "tun",       "vcan",   "vrf",  "vti",
                "vti6",    "vxcan",   "vxlan",     "wireguard", "xfrm",
        };

        return IN_TABLE(kinds, kind);
}

/* The same by ARPHRD type, for tunnels whose driver does not tell its kind. */
static bool type_is_tunnel(unsigned short type)
{
        return type == ARPHRD_TUNNEL || type == ARPHRD_TUNNEL6 || type == ARPHRD_SIT ||
               type == ARPHRD_IPGRE || type == ARPHRD_IP6GRE;
}

/* How container engines, libvirt, systemd-nspawn and Kubernetes networks call the host's end of a veth pair.
 * Inside of the container the other end has a name like "eth0", and is the uplink. */
static bool name_is_container_end(const char *name)
{
        static const char *const prefixes[] = { "cali",   "cni", "docker", "flannel", "lxc",  "nerdctl",
                                                "podman", "tap", "vb-",    "ve-",     "veth", "vnet" };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (startswith(name, prefixes[i]))
                        return true;
        return false;
}

/* What belongs to a bridge, a bond, a team or a switch carries no addresses of its own that count: the
 * master does. A member of a VRF keeps its own. */
static bool is_slave(const RtnlLink *link)
{
        return link->master != 0 && !streq(link->slave_kind, "vrf");
}

static bool makes_sense(const RtnlLink *link, bool has_default_route)
{
        if (is_slave(link) || kind_is_no_network(link->kind) || type_is_tunnel(link->type))
                return false;
        if (kind_is_physical(link->kind))
                return true;
        /* Without a default route a veth may still join two hosts (a lab, a point-to-point set-up). */
        if (streq(link->kind, "veth") || streq(link->kind, "netkit"))
                return has_default_route || !name_is_container_end(link->name);
        /* A bridge joins containers or virtual machines, unless the host itself reaches the world by it. The
         * same question decides for PPP (a DSL line, or a tunnel), Open vSwitch, batman-adv, and what we
         * have never heard of. */
        return has_default_route;
}

bool interface_is_uplink(const RtnlLink *link, bool has_default_route, const AddressPolicy *policy)
{
        /* No policy makes these an uplink: nobody is behind loopback, and WireGuard is what is to be
         * carried. */
        if ((link->flags & IFF_LOOPBACK) || link->type == ARPHRD_LOOPBACK || streq(link->kind, "wireguard"))
                return false;
        /* IFF_RUNNING: there is a carrier. */
        if ((link->flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING))
                return false;
        if (policy && matches_any(policy->exclude_interfaces, link->name))
                return false;
        /* The administrator knows better than we: named is wanted, not named is not. */
        if (policy && policy->interfaces)
                return matches_any(policy->interfaces, link->name);
        return makes_sense(link, has_default_route);
}

/* --- own addresses --- */

/* A host may have hundreds of addresses on one interface (a hosting server). They all lead to the same place
 * by the same wire, so a few do; each further one costs checks with every candidate of every peer. */
#define PER_FAMILY_MAX 4

/* In the order in which they are taken. */
typedef enum AddressRank {
        RANK_IPV6,
        /* A temporary address (RFC 8981) is given up within a day or two, and the path with it: the stable
         * ones go first. One of them is offered all the same, since the kernel prefers it as the source of
         * what is not bound, which is what the peer's firewall then sees. */
        RANK_IPV6_TEMPORARY,
        RANK_IPV4,
        RANK_IPV4_SECONDARY,
        /* Good for two hosts with a cable between them, and for nothing else: only if there is no other. */
        RANK_IPV4_LINK_LOCAL,
        _RANK_MAX,
        _RANK_INVALID = -EINVAL,
} AddressRank;

static bool is_usable(const RtnlAddress *a)
{
        /* An optimistic address (RFC 4429) may be used while its uniqueness is still checked. */
        if ((a->flags & IFA_F_TENTATIVE) && !(a->flags & IFA_F_OPTIMISTIC))
                return false;
        /* Deprecated: lives on for old connections; a new one must not start with it. */
        if (a->flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED))
                return false;
        return a->scope < RT_SCOPE_HOST && !socket_address_is_unspecified(&a->address) &&
               !socket_address_is_loopback(&a->address) && !socket_address_is_multicast(&a->address);
}

/* IPv6 link-local addresses are left out: they need a zone, which means nothing to the other host. */
static AddressRank address_rank(const RtnlAddress *a)
{
        bool local = socket_address_is_link_local(&a->address);

        if (!is_usable(a))
                return _RANK_INVALID;
        if (a->address.sa.sa_family == AF_INET6)
                return local ? _RANK_INVALID : a->flags & IFA_F_TEMPORARY ? RANK_IPV6_TEMPORARY : RANK_IPV6;
        return local ? RANK_IPV4_LINK_LOCAL : a->flags & IFA_F_SECONDARY ? RANK_IPV4_SECONDARY : RANK_IPV4;
}

typedef struct Collection {
        SocketAddress *addresses;
        size_t n;
        size_t max;
} Collection;

static size_t take_rank(const RtnlAddress *addresses, size_t n, int ifindex, AddressRank rank, size_t limit,
                        Collection *c)
{
        size_t taken = 0;

        for (size_t i = 0; i < n && taken < limit && c->n < c->max; i++)
                if (addresses[i].ifindex == ifindex && address_rank(addresses + i) == rank) {
                        c->addresses[c->n++] = addresses[i].address;
                        taken++;
                }
        return taken;
}

/* The metric that default routes by uplinks have while the best of them is there. */
static int64_t best_metric(const RtnlMonitor *monitor, const AddressPolicy *policy, int family)
{
        size_t n;
        const RtnlLink *links = rtnl_monitor_links(monitor, &n);
        int64_t best = INT64_MAX;

        for (size_t i = 0; i < n; i++) {
                int64_t metric = rtnl_monitor_default_metric(monitor, links[i].ifindex, family);

                if (metric >= 0 && metric < best && interface_is_uplink(links + i, true, policy))
                        best = metric;
        }
        return best;
}

/* Unless somebody has named it. */
static bool is_reserve(const RtnlMonitor *monitor, const AddressPolicy *policy, int ifindex, int family)
{
        return !(policy && policy->interfaces) &&
               rtnl_monitor_default_metric(monitor, ifindex, family) > best_metric(monitor, policy, family);
}

static void collect_link(const RtnlMonitor *monitor, const AddressPolicy *policy, int ifindex, Collection *c)
{
        size_t n, v6 = 0, v4 = 0;
        const RtnlAddress *addresses = rtnl_monitor_addresses(monitor, &n);
        bool no_v6 = is_reserve(monitor, policy, ifindex, AF_INET6);
        bool no_v4 = is_reserve(monitor, policy, ifindex, AF_INET);

        if (!no_v6) {
                v6 = take_rank(addresses, n, ifindex, RANK_IPV6, PER_FAMILY_MAX, c);
                v6 += take_rank(addresses, n, ifindex, RANK_IPV6_TEMPORARY, 1, c);
        }
        if (!no_v4) {
                v4 = take_rank(addresses, n, ifindex, RANK_IPV4, PER_FAMILY_MAX, c);
                v4 += take_rank(addresses, n, ifindex, RANK_IPV4_SECONDARY, PER_FAMILY_MAX - v4, c);
        }
        if (v6 + v4 == 0 && !no_v4)
                take_rank(addresses, n, ifindex, RANK_IPV4_LINK_LOCAL, 1, c);
}

size_t addresses_collect(const RtnlMonitor *monitor, const AddressPolicy *policy, SocketAddress *ret,
                         size_t max)
{
        Collection c = { .addresses = ret, .max = max };
        size_t n;
        const RtnlLink *links = rtnl_monitor_links(monitor, &n);

        /* The way to the Internet first, so that it is not what `max` cuts off. */
        for (int with_default = 1; with_default >= 0; with_default--)
                for (size_t i = 0; i < n; i++)
                        if ((links[i].default_routes > 0) == with_default &&
                            interface_is_uplink(links + i, with_default, policy))
                                collect_link(monitor, policy, links[i].ifindex, &c);
        return c.n;
}

static bool link_has_any(const RtnlMonitor *monitor, int ifindex, const SocketAddress *addresses, size_t n)
{
        size_t n_all;
        const RtnlAddress *all = rtnl_monitor_addresses(monitor, &n_all);

        for (size_t i = 0; i < n_all; i++)
                if (all[i].ifindex == ifindex && socket_addresses_contain_ip(addresses, n, &all[i].address))
                        return true;
        return false;
}

size_t addresses_uplinks(const RtnlMonitor *monitor, const AddressPolicy *policy,
                         const SocketAddress *addresses, size_t n, int *ret, size_t max)
{
        size_t n_links, k = 0;
        const RtnlLink *links = rtnl_monitor_links(monitor, &n_links);

        for (size_t i = 0; i < n_links && k < max; i++)
                if (interface_is_uplink(links + i, links[i].default_routes > 0, policy) &&
                    link_has_any(monitor, links[i].ifindex, addresses, n))
                        ret[k++] = links[i].ifindex;
        return k;
}

/* --- the peers' addresses --- */

/* AllowedIPs of 0.0.0.0/0, or halves of it, say "everything else", not where the peer's networks are:
 * whoever configures such a tunnel keeps WireGuard's own packets out of it (fwmark and a policy rule). */
#define TUNNELLED_LENGTH_MIN 2

bool address_is_usable_remote(const SocketAddress *a, const IpPrefix *tunnelled, size_t n_tunnelled)
{
        if (!socket_address_is_set(a) || socket_address_is_unspecified(a) || socket_address_is_loopback(a) ||
            socket_address_is_multicast(a))
                return false;
        if (a->sa.sa_family == AF_INET6 &&
            (socket_address_is_link_local(a) || IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)))
                return false;
        /* 0.0.0.0/8 is "this network" (RFC 1122, section 3.2.1.3). */
        if (a->sa.sa_family == AF_INET && ntohl(a->in.sin_addr.s_addr) >> 24 == 0)
                return false;
        for (size_t i = 0; i < n_tunnelled; i++)
                if (tunnelled[i].length >= TUNNELLED_LENGTH_MIN && ip_prefix_contains(tunnelled + i, a))
                        return false;
        return true;
}

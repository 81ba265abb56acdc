/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A network device whose cable is in the test's hand: what the host sends comes out, what the test puts in,
 * the host receives. With or without a link-layer header. */

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "sandbox.h"
#include "udp-packet.h"

#define WIRE_NAME "uplink"

/* Of the host, and of all others. */
static const uint8_t wire_mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 1 },
                     wire_other_mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 2 };

typedef struct Wire {
        int fd;     /* the cable */
        int sender; /* an AF_PACKET socket, which sends frames as they are */
        int ifindex;
        bool link; /* there is a link-layer header */
} Wire;

/* Up, without any address, so that nothing is on it but what is sent on purpose. */
static inline Wire wire_open(bool link)
{
        struct ifreq ifr = { .ifr_name = WIRE_NAME,
                             .ifr_flags = (short) ((link ? IFF_TAP : IFF_TUN) | IFF_NO_PI) };
        Wire w = { .fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), .link = link };

        cr_assert_geq(w.fd, 0, "/dev/net/tun: %m");
        cr_assert_eq(ioctl(w.fd, TUNSETIFF, &ifr), 0, "%m");
        w.ifindex = (int) if_nametoindex(WIRE_NAME);
        cr_assert_gt(w.ifindex, 0);
        sandbox_write("/proc/sys/net/ipv6/conf/" WIRE_NAME "/disable_ipv6", "1");
        if (link)
                sandbox_shell("ip link set " WIRE_NAME " address 02:00:00:00:00:01");
        sandbox_shell("ip link set " WIRE_NAME " up mtu 8500");

        w.sender = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        cr_assert_geq(w.sender, 0);
        cr_assert_eq(setsockopt(w.sender, SOL_PACKET, PACKET_VNET_HDR, &(int) { 1 }, sizeof(int)), 0);
        return w;
}

/* Gives the host 192.0.2.1/24 and 2001:db8::1/64, and neighbours for everybody else there and beyond. */
static inline void wire_configure(const Wire *w)
{
        sandbox_write("/proc/sys/net/ipv6/conf/" WIRE_NAME "/accept_dad", "0");
        sandbox_write("/proc/sys/net/ipv6/conf/" WIRE_NAME "/router_solicitations", "0");
        sandbox_write("/proc/sys/net/ipv6/conf/" WIRE_NAME "/disable_ipv6", "0");
        sandbox_shell("ip addr add 192.0.2.1/24 dev " WIRE_NAME);
        sandbox_shell("ip addr add 2001:db8::1/64 dev " WIRE_NAME " nodad");
        if (w->link) {
                sandbox_shell("ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:02 dev " WIRE_NAME);
                sandbox_shell("ip neigh add 2001:db8::fe lladdr 02:00:00:00:00:02 dev " WIRE_NAME);
                sandbox_shell("ip route add default via 192.0.2.254");
                sandbox_shell("ip route add default via 2001:db8::fe");
        } else {
                sandbox_shell("ip route add default dev " WIRE_NAME);
                sandbox_shell("ip -6 route add default dev " WIRE_NAME);
        }
}

/* From the host, as if one of its programs had sent it. `header` may ask for offloads; NULL: none. */
static inline void wire_send(const Wire *w, const Packet *packet, const struct virtio_net_hdr *header)
{
        uint8_t buffer[sizeof(struct virtio_net_hdr) + sizeof(packet->bytes)] = {};
        struct sockaddr_ll to = {
                .sll_family = AF_PACKET,
                .sll_ifindex = w->ifindex,
        };
        size_t size = sizeof(struct virtio_net_hdr) + packet->size;

        if (w->link)
                memcpy(&to.sll_protocol, packet->bytes + 12, sizeof(to.sll_protocol));
        else
                to.sll_protocol = htobe16(packet->bytes[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6);
        if (header)
                memcpy(buffer, header, sizeof(*header));
        memcpy(buffer + sizeof(struct virtio_net_hdr), packet->bytes, packet->size);
        cr_assert_eq(sendto(w->sender, buffer, size, 0, (struct sockaddr *) &to, sizeof(to)), (ssize_t) size,
                     "%m");
}

/* To the host. */
static inline void wire_inject(const Wire *w, const Packet *packet)
{
        cr_assert_eq(write(w->fd, packet->bytes, packet->size), (ssize_t) packet->size, "%m");
}

/* What the host has sent; waits for it. */
static inline size_t wire_receive(const Wire *w, uint8_t *ret, size_t size)
{
        struct pollfd p = { .fd = w->fd, .events = POLLIN };
        ssize_t n;

        cr_assert_eq(poll(&p, 1, SANDBOX_PATIENCE / USEC_PER_MSEC), 1, "nothing has come out");
        n = read(w->fd, ret, size);
        cr_assert_gt(n, 0, "%m");
        return (size_t) n;
}

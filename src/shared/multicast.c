/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "multicast.h"

#include <netinet/in.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "ratelimit.h"

/* Datagrams per wake-up and socket: others on the loop have their turn too. */
#define RECEIVE_BATCH 16

#define USELESS_INTERVAL (500 /* usec */)
#define USELESS_BURST 4000
#define DEAF_TIME (250 * USEC_PER_MSEC)

typedef struct MulticastSocket {
        Multicast *multicast;
        MulticastMembership membership;
        SocketAddress group;
        int fd;
        sd_event_source *io;
        bool wanted; /* while the memberships change */
} MulticastSocket;

struct Multicast {
        unsigned n_ref; /* the owner's, and one while it calls back */
        sd_event *event;
        multicast_callback_t callback; /* NULL: the owner has freed it */
        void *userdata;
        MulticastSocket *sockets[MULTICAST_MEMBERSHIPS_MAX];
        size_t n_sockets;
        RateLimit useless;
        sd_event_source *deaf_timer;
        uint8_t buffer[MULTICAST_PACKET_MAX];
};

static const uint8_t magic_and_version[] = { 'i', 'c', 'e', 'w', 1 };

/* ---- Packets ---- */

int multicast_packet_parse(const void *data, size_t size, MulticastPacket *ret)
{
        const uint8_t *p = data;

        if (size <= MULTICAST_HEADER_SIZE || memcmp(p, magic_and_version, 4) != 0)
                return -EBADMSG;
        if (p[4] != magic_and_version[4])
                return -EPROTONOSUPPORT;
        if (size > MULTICAST_PACKET_MAX)
                return -EMSGSIZE;
        memcpy(ret->topic, p + sizeof(magic_and_version), sizeof(ret->topic));
        ret->envelope = p + MULTICAST_HEADER_SIZE;
        ret->size = size - MULTICAST_HEADER_SIZE;
        return 0;
}

ssize_t multicast_packet_build(const MulticastPacket *packet, uint8_t buf[static MULTICAST_PACKET_MAX])
{
        if (packet->size == 0)
                return -EINVAL;
        if (packet->size > MULTICAST_ENVELOPE_MAX)
                return -EMSGSIZE;
        memcpy(buf, magic_and_version, sizeof(magic_and_version));
        memcpy(buf + sizeof(magic_and_version), packet->topic, sizeof(packet->topic));
        memcpy(buf + MULTICAST_HEADER_SIZE, packet->envelope, packet->size);
        return (ssize_t) (MULTICAST_HEADER_SIZE + packet->size);
}

/* ---- One socket ---- */

static MulticastSocket *multicast_socket_free(MulticastSocket *s)
{
        if (!s)
                return NULL;
        event_source_disable_unref(s->io);
        safe_close(s->fd);
        return mfree(s);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(MulticastSocket *, multicast_socket_free);

static int set_int(int fd, int level, int option, int value)
{
        return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* IP_MULTICAST_ALL (ip(7)) off: only what comes by the interface that this socket joined, not by what any
 * other socket of the host has joined. */
static int join_ipv4(MulticastSocket *s)
{
        struct ip_mreqn group = { .imr_multiaddr = s->group.in.sin_addr,
                                  .imr_ifindex = s->membership.ifindex };
        int r;

        r = set_int(s->fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
        if (r >= 0)
                r = set_int(s->fd, IPPROTO_IP, IP_MULTICAST_TTL, 1);
        if (r >= 0)
                r = set_int(s->fd, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
        if (r < 0)
                return r;
        if (setsockopt(s->fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)) < 0)
                return -errno;
        return setsockopt(s->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ? -errno : 0;
}

static int join_ipv6(MulticastSocket *s)
{
        struct ipv6_mreq group = {
                .ipv6mr_multiaddr = s->group.in6.sin6_addr,
                .ipv6mr_interface = (unsigned) s->membership.ifindex,
        };
        int r;

        r = set_int(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 1);
        if (r >= 0)
                r = set_int(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
        if (r >= 0)
                r = set_int(s->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, s->membership.ifindex);
        if (r < 0)
                return r;
        return setsockopt(s->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &group, sizeof(group)) < 0 ? -errno : 0;
}

/* Bound to the group, so that nothing sent to one of our own addresses gets in. With the zone of a
 * link-local address the kernel binds the IPv6 socket to the interface as well. */
static int multicast_socket_open(MulticastSocket *s)
{
        bool ipv6 = s->membership.family == AF_INET6;
        int r;

        r = socket_address_from_ip(ipv6 ? MULTICAST_GROUP_IPV6 : MULTICAST_GROUP_IPV4, MULTICAST_PORT,
                                   &s->group);
        if (r < 0)
                return r;
        s->fd = socket(s->membership.family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
                return -errno;
        r = set_int(s->fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (r < 0)
                return r;
        if (ipv6) {
                s->group.in6.sin6_scope_id = (uint32_t) s->membership.ifindex;
                r = set_int(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
                if (r < 0)
                        return r;
        }
        if (bind(s->fd, &s->group.sa, socket_address_length(&s->group)) < 0)
                return -errno;
        return ipv6 ? join_ipv6(s) : join_ipv4(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int multicast_join(Multicast *m, const MulticastMembership *membership)
{
        _cleanup_(multicast_socket_freep) MulticastSocket *s = NULL;
        int r;

        if (m->n_sockets >= ELEMENTSOF(m->sockets))
                return -ENOSPC;
        s = new0(MulticastSocket, 1);
        if (!s)
                return -ENOMEM;
        *s = (MulticastSocket) { .multicast = m, .membership = *membership, .fd = -EBADF, .wanted = true };
        r = multicast_socket_open(s);
        if (r < 0)
                return r;
        r = event_add_io(m->event, &s->io, s->fd, EPOLLIN, on_io, s, "multicast");
        if (r < 0)
                return r;
        m->sockets[m->n_sockets++] = TAKE_PTR(s);
        return 0;
}

/* ---- All of them ---- */

int multicast_new(sd_event *event, multicast_callback_t callback, void *userdata, Multicast **ret)
{
        Multicast *m = new0(Multicast, 1);

        if (!m)
                return -ENOMEM;
        m->n_ref = 1;
        m->event = sd_event_ref(event);
        m->callback = callback;
        m->userdata = userdata;
        m->useless = (RateLimit) { .interval = USELESS_INTERVAL, .burst = USELESS_BURST };
        *ret = m;
        return 0;
}

static void multicast_unref(Multicast *m)
{
        if (--m->n_ref > 0)
                return;
        sd_event_unref(m->event);
        free(m);
}

Multicast *multicast_free(Multicast *m)
{
        if (!m)
                return NULL;
        m->callback = NULL;
        (void) multicast_set_memberships(m, /* memberships= */ NULL, 0);
        m->deaf_timer = event_source_disable_unref(m->deaf_timer);
        multicast_unref(m);
        return NULL;
}

static MulticastSocket *multicast_find(Multicast *m, const MulticastMembership *membership)
{
        for (size_t i = 0; i < m->n_sockets; i++)
                if (m->sockets[i]->membership.ifindex == membership->ifindex &&
                    m->sockets[i]->membership.family == membership->family)
                        return m->sockets[i];
        return NULL;
}

static void multicast_leave_unwanted(Multicast *m)
{
        for (size_t i = 0; i < m->n_sockets;) {
                if (m->sockets[i]->wanted) {
                        i++;
                        continue;
                }
                multicast_socket_free(m->sockets[i]);
                m->sockets[i] = m->sockets[--m->n_sockets];
        }
}

size_t multicast_set_memberships(Multicast *m, const MulticastMembership *memberships, size_t n)
{
        size_t n_joined = 0;
        int r;

        for (size_t i = 0; i < m->n_sockets; i++)
                m->sockets[i]->wanted = false;
        for (size_t i = 0; i < n; i++) {
                MulticastSocket *s = multicast_find(m, &memberships[i]);

                if (s)
                        s->wanted = true;
        }
        /* An interface that is gone makes room for the new one. */
        multicast_leave_unwanted(m);
        for (size_t i = 0; i < n; i++) {
                if (multicast_find(m, &memberships[i]))
                        continue;
                r = multicast_join(m, &memberships[i]);
                if (r < 0)
                        log_debug_errno(r, "Failed to join a multicast group on interface %d, ignoring: %m",
                                        memberships[i].ifindex);
                else
                        n_joined++;
        }
        return n_joined;
}

size_t multicast_n_memberships(const Multicast *m)
{
        return m->n_sockets;
}

int multicast_send(Multicast *m, const void *data, size_t size)
{
        int n_sent = 0, error = -ENOTCONN;

        for (size_t i = 0; i < m->n_sockets; i++) {
                const MulticastSocket *s = m->sockets[i];

                if (sendto(s->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, &s->group.sa,
                           socket_address_length(&s->group)) < 0)
                        error = -errno;
                else
                        n_sent++;
        }
        return n_sent > 0 ? n_sent : error;
}

/* ---- Receiving ---- */

static void multicast_set_deaf(Multicast *m, bool deaf)
{
        for (size_t i = 0; i < m->n_sockets; i++)
                (void) sd_event_source_set_enabled(m->sockets[i]->io, deaf ? SD_EVENT_OFF : SD_EVENT_ON);
}

static int on_hear_again(sd_event_source *s, uint64_t t, void *userdata)
{
        multicast_set_deaf(userdata, /* deaf= */ false);
        return 0;
}

/* The kernel drops what comes meanwhile: at the cost of a buffer, not of our time. */
static void multicast_rest(Multicast *m)
{
        int r;

        r = event_arm_timer(m->event, &m->deaf_timer, DEAF_TIME, on_hear_again, m, "multicast-deaf");
        if (r < 0) {
                log_debug_errno(r, "Failed to arm the timer of a multicast flood, ignoring: %m");
                return;
        }
        multicast_set_deaf(m, /* deaf= */ true);
}

/* Is there more to read on this socket, and may it be? */
static bool multicast_receive(Multicast *m, int fd)
{
        ssize_t n;
        bool useful;

        n = recv(fd, m->buffer, sizeof(m->buffer), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0)
                return false;
        useful = m->callback(m, m->buffer, (size_t) n, m->userdata);
        if (!m->callback)
                return false;
        if (useful || ratelimit_ok(&m->useless, now(CLOCK_BOOTTIME)))
                return true;
        multicast_rest(m);
        return false;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        const MulticastSocket *s = userdata;
        Multicast *m = s->multicast;
        MulticastMembership membership = s->membership;

        m->n_ref++;
        for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
                if (!multicast_receive(m, fd))
                        break;
                /* The callback may have left this interface, and the socket be gone. */
                s = multicast_find(m, &membership);
                if (!s || s->fd != fd)
                        break;
        }
        multicast_unref(m);
        return 0;
}

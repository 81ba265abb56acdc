/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "datagrams.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "macro.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* UDP_MAX_SEGMENTS before Linux 6.9; and what fits into one IP packet. */
#define SEGMENTS_MAX 64
#define SEND_MAX 65000

/* One message for sendmmsg(2): consecutive entries that can go as one. */
typedef struct Group {
        size_t first, n;  /* entries */
        size_t size;      /* bytes */
        size_t segment;   /* bytes */
        size_t n_segment; /* datagrams */
        bool closed;      /* ends with a short one: nothing can follow */
} Group;

typedef union SegmentControl {
        char buffer[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
} SegmentControl;

size_t datagrams_count(const Datagrams *d)
{
        return d->segment > 0 ? (d->size + d->segment - 1) / d->segment : 1;
}

void datagrams_enable_receive_offload(int fd)
{
        int one = 1;

        (void) setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
}

/* ---- receive ---- */

static size_t message_segment(struct msghdr *msg, size_t size)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
                if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
                        int segment;

                        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
                        if (segment > 0 && (size_t) segment < size)
                                return (size_t) segment;
                }
        return size;
}

int datagrams_receive(int fd, uint8_t *buffers, size_t buffer_size, Datagrams *ret, size_t n)
{
        struct mmsghdr messages[DATAGRAMS_BATCH_MAX] = {};
        struct iovec iov[DATAGRAMS_BATCH_MAX];
        struct sockaddr_storage sources[DATAGRAMS_BATCH_MAX];
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control[DATAGRAMS_BATCH_MAX];
        int k, m = 0;

        for (size_t i = 0; i < n; i++) {
                iov[i] = (struct iovec) { buffers + i * buffer_size, buffer_size };
                messages[i].msg_hdr = (struct msghdr) {
                        .msg_name = sources + i,
                        .msg_namelen = sizeof(sources[i]),
                        .msg_iov = iov + i,
                        .msg_iovlen = 1,
                        .msg_control = control + i,
                        .msg_controllen = sizeof(control[i]),
                };
        }
        k = recvmmsg(fd, messages, (unsigned) n, MSG_DONTWAIT, NULL);
        if (k < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        for (int i = 0; i < k; i++) {
                struct msghdr *msg = &messages[i].msg_hdr;

                if (messages[i].msg_len == 0 || (msg->msg_flags & MSG_TRUNC) ||
                    socket_address_from_sockaddr(msg->msg_name, msg->msg_namelen, &ret[m].source) < 0)
                        continue;
                ret[m].data = iov[i].iov_base;
                ret[m].size = messages[i].msg_len;
                ret[m].segment = message_segment(msg, messages[i].msg_len);
                m++;
        }
        /* An empty datagram is not the end of what there is. */
        return m;
}

/* ---- send ---- */

static bool group_takes(const Group *g, const Datagrams *d)
{
        size_t n = datagrams_count(d);

        return !g->closed && g->size + d->size <= SEND_MAX && g->n_segment + n <= SEGMENTS_MAX &&
               (d->segment == g->segment || (n == 1 && d->size < g->segment));
}

static void group_add(Group *g, const Datagrams *d)
{
        g->n++;
        g->size += d->size;
        g->n_segment += datagrams_count(d);
        g->closed = d->size % g->segment != 0;
}

static size_t make_groups(const Datagrams *d, size_t n, bool join, Group *ret)
{
        size_t k = 0;

        for (size_t i = 0; i < n; i++) {
                if (k == 0 || !join || !group_takes(ret + k - 1, d + i))
                        ret[k++] = (Group) { .first = i, .segment = d[i].segment };
                group_add(ret + k - 1, d + i);
        }
        return k;
}

static void set_segment(struct msghdr *msg, SegmentControl *control, size_t segment)
{
        struct cmsghdr *c;
        uint16_t value = (uint16_t) segment;

        msg->msg_control = control;
        msg->msg_controllen = sizeof(*control);
        c = CMSG_FIRSTHDR(msg);
        *c = (struct cmsghdr) {
                .cmsg_level = IPPROTO_UDP,
                .cmsg_type = UDP_SEGMENT,
                .cmsg_len = CMSG_LEN(sizeof(value)),
        };
        memcpy(CMSG_DATA(c), &value, sizeof(value));
}

/* An error that was waiting on the socket (an ICMP message, say) is reported once in place of a send. */
static ssize_t send_single(int fd, const SocketAddress *to, const void *data, size_t size)
{
        for (unsigned i = 0; i < 2; i++) {
                ssize_t k = sendto(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa,
                                   socket_address_length(to));

                if (k >= 0 || errno == EAGAIN || errno == ENOBUFS)
                        return k;
        }
        return -1;
}

static size_t send_singly(int fd, const SocketAddress *to, const Datagrams *d, size_t n)
{
        size_t lost = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t at = 0; at < d[i].size; at += d[i].segment)
                        if (send_single(fd, to, d[i].data + at, MIN(d[i].segment, d[i].size - at)) < 0)
                                lost++;
        return lost;
}

static void fill_message(const SocketAddress *to, const Datagrams *d, const Group *g, struct iovec *iov,
                         SegmentControl *control, struct msghdr *ret)
{
        *ret = (struct msghdr) {
                .msg_name = (void *) &to->sa,
                .msg_namelen = socket_address_length(to),
                .msg_iov = iov,
                .msg_iovlen = g->n,
        };
        for (size_t i = 0; i < g->n; i++)
                iov[i] = (struct iovec) { d[g->first + i].data, d[g->first + i].size };
        if (g->n_segment > 1)
                set_segment(ret, control, g->segment);
}

/* A group was refused. Segmented: try it in pieces, and if the device (EIO) or the kernel (EINVAL,
 * ENOPROTOOPT) cannot segment, never join again. EMSGSIZE is the path's doing, and only of this size. */
static size_t send_refused(int fd, const SocketAddress *to, const Datagrams *d, const Group *g,
                           bool *segmentation, int error)
{
        if (g->n_segment > 1 && (error == EIO || error == EINVAL || error == ENOPROTOOPT))
                *segmentation = false;
        return send_singly(fd, to, d + g->first, g->n);
}

static size_t groups_count(const Group *g, size_t n)
{
        size_t count = 0;

        for (size_t i = 0; i < n; i++)
                count += g[i].n_segment;
        return count;
}

size_t datagrams_send(int fd, const SocketAddress *to, const Datagrams *d, size_t n, bool *segmentation)
{
        struct mmsghdr messages[DATAGRAMS_BATCH_MAX] = {};
        struct iovec iov[DATAGRAMS_BATCH_MAX];
        SegmentControl control[DATAGRAMS_BATCH_MAX] = {};
        Group groups[DATAGRAMS_BATCH_MAX];
        size_t n_groups, sent = 0, lost = 0;

        n_groups = make_groups(d, n, *segmentation, groups);
        for (size_t i = 0; i < n_groups; i++)
                fill_message(to, d, groups + i, iov + groups[i].first, control + i, &messages[i].msg_hdr);
        while (sent < n_groups) {
                int k = sendmmsg(fd, messages + sent, (unsigned) (n_groups - sent),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (k > 0) {
                        sent += (size_t) k;
                        continue;
                }
                if (errno == EAGAIN || errno == ENOBUFS)
                        return lost + groups_count(groups + sent, n_groups - sent);
                lost += send_refused(fd, to, d, groups + sent, segmentation, errno);
                sent++;
        }
        return lost;
}

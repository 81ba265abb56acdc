/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netlink.h"

#include <limits.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "random-util.h"

/* The kernel fills dump messages up to 32 KiB; a notification of a link with hundreds of virtual functions
 * may be larger. */
#define RECEIVE_SIZE (64U * 1024U)
/* Datagrams read in one turn of the loop, so that a flood of notifications does not starve the others. */
#define RECEIVE_BURST 32
/* For bursts of notifications (a container host that starts everything at once). */
#define RECEIVE_QUEUE_SIZE (4 * 1024 * 1024)

struct NetlinkSlot {
        Netlink *nl;
        NetlinkSlot *next;
        uint32_t sequence;
        bool dump;
        bool interrupted;         /* NLM_F_DUMP_INTR was seen */
        struct nlmsghdr *request; /* owned; NULL once it is sent */
        usec_t deadline;          /* CLOCK_BOOTTIME */
        netlink_message_callback_t on_message;
        netlink_done_callback_t on_done;
        void (*destroy)(void *userdata);
        void *userdata;
};

struct Netlink {
        sd_event *event; /* a reference */
        int fd;
        uint32_t sequence;      /* of the last request */
        uint32_t dump_sequence; /* the dump that the kernel is at, 0: none; outlives its slot */
        usec_t dump_deadline;   /* when to stop believing in it */
        bool writable_wanted;   /* the socket was full */
        NetlinkSlot *slots;     /* in the order of the calls; owned */
        netlink_message_callback_t on_notification;
        netlink_done_callback_t on_overrun;
        void *notification_userdata;
        usec_t timeout;
        sd_event_source *io;
        sd_event_source *timer;
        unsigned n_users; /* callers on the stack that will look at us again */
        bool closed;
        uint8_t *buffer; /* RECEIVE_SIZE bytes */
};

/* Callbacks may close the socket: the memory stays until the last function on the stack has let go. */
static void netlink_enter(Netlink *nl)
{
        nl->n_users++;
}

static void netlink_leave(Netlink *nl)
{
        if (--nl->n_users > 0 || !nl->closed)
                return;
        free(nl->buffer);
        sd_event_unref(nl->event);
        free(nl);
}

/* --- slots --- */

static void slot_drop_request(NetlinkSlot *slot)
{
        if (!slot->request)
                return;
        erase(slot->request, slot->request->nlmsg_len);
        slot->request = mfree(slot->request);
}

static void slot_destroy(NetlinkSlot *slot)
{
        slot_drop_request(slot);
        if (slot->destroy)
                slot->destroy(slot->userdata);
        free(slot);
}

NetlinkSlot *netlink_slot_free(NetlinkSlot *slot)
{
        NetlinkSlot **p;

        if (!slot)
                return NULL;
        for (p = &slot->nl->slots; *p && *p != slot; p = &(*p)->next)
                ;
        /* From inside its own on_done: slot_finish() does the rest. */
        if (!*p)
                return NULL;
        *p = slot->next;
        slot_destroy(slot);
        return NULL;
}

void netlink_slot_set_destroy(NetlinkSlot *slot, void (*destroy)(void *userdata))
{
        slot->destroy = destroy;
}

static NetlinkSlot *find_slot(Netlink *nl, uint32_t sequence)
{
        for (NetlinkSlot *slot = nl->slots; slot; slot = slot->next)
                if (slot->sequence == sequence && !slot->request)
                        return slot;
        return NULL;
}

/* Ends a request. The slot leaves the list first, so that the callback may do what it wants. */
static void slot_finish(NetlinkSlot *slot, int error)
{
        Netlink *nl = slot->nl;
        NetlinkSlot **p;

        for (p = &nl->slots; *p != slot; p = &(*p)->next)
                ;
        *p = slot->next;
        if (slot->on_done)
                slot->on_done(nl, error, slot->userdata);
        slot_destroy(slot);
}

/* Ends what the kernel knows of and what was called up to now; what callbacks start is not touched. */
static void finish_sent(Netlink *nl, int error)
{
        uint32_t last = nl->sequence;
        NetlinkSlot *slot;

        do {
                for (slot = nl->slots; slot; slot = slot->next)
                        if (!slot->request && (int32_t) (slot->sequence - last) <= 0)
                                break;
                if (slot)
                        slot_finish(slot, error);
        } while (slot && !nl->closed);
}

/* --- sending --- */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata);

void netlink_set_timeout(Netlink *nl, usec_t timeout)
{
        nl->timeout = timeout;
}

static usec_t deadline_from_now(const Netlink *nl)
{
        return usec_add(now(CLOCK_BOOTTIME), nl->timeout);
}

static int want_writable(Netlink *nl, bool wanted)
{
        int r;

        if (nl->writable_wanted == wanted)
                return 0;
        r = sd_event_source_set_io_events(nl->io, EPOLLIN | (wanted ? EPOLLOUT : 0));
        if (r >= 0)
                nl->writable_wanted = wanted;
        return r;
}

/* 1: sent; 0: it has to wait. */
static int slot_send(NetlinkSlot *slot)
{
        Netlink *nl = slot->nl;
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

        if (slot->dump && nl->dump_sequence != 0)
                return 0;
        if (sendto(nl->fd, slot->request, slot->request->nlmsg_len, MSG_DONTWAIT,
                   (struct sockaddr *) &kernel, sizeof(kernel)) < 0) {
                if (errno == EAGAIN || errno == EINTR)
                        return want_writable(nl, /* wanted= */ true);
                return -errno;
        }
        slot->deadline = deadline_from_now(nl);
        if (slot->dump) {
                nl->dump_sequence = slot->sequence;
                nl->dump_deadline = slot->deadline;
        }
        slot_drop_request(slot);
        return 1;
}

/* Sends what had to wait. Not from inside netlink_call(): it may end requests. */
static void flush_requests(Netlink *nl)
{
        NetlinkSlot *slot = nl->slots;
        int r;

        (void) want_writable(nl, /* wanted= */ false);
        while (slot && !nl->writable_wanted) {
                r = slot->request ? slot_send(slot) : 1;
                if (r >= 0) {
                        slot = slot->next;
                        continue;
                }
                slot_finish(slot, r);
                if (nl->closed)
                        return;
                slot = nl->slots;
        }
}

static int arm_timer(Netlink *nl)
{
        int enabled = SD_EVENT_OFF;

        if (nl->timer)
                (void) sd_event_source_get_enabled(nl->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return 0;
        return event_arm_timer(nl->event, &nl->timer, nl->timeout, on_timeout, nl, "netlink-timeout");
}

static int slot_new(Netlink *nl, const struct nlmsghdr *message, NetlinkSlot **ret)
{
        NetlinkSlot *slot = new0(NetlinkSlot, 1);

        if (!slot)
                return -ENOMEM;
        slot->request = memdup_suffix0(message, message->nlmsg_len);
        if (!slot->request) {
                free(slot);
                return -ENOMEM;
        }
        slot->nl = nl;
        slot->dump = (message->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
        slot->deadline = deadline_from_now(nl);
        /* 0 is what notifications have that nobody asked for. */
        if (++nl->sequence == 0)
                nl->sequence = 1;
        slot->sequence = slot->request->nlmsg_seq = nl->sequence;
        slot->request->nlmsg_pid = 0;
        slot->request->nlmsg_flags |= NLM_F_REQUEST | (slot->dump ? 0 : NLM_F_ACK);
        *ret = slot;
        return 0;
}

int netlink_call(Netlink *nl, const struct nlmsghdr *message, netlink_message_callback_t on_message,
                 netlink_done_callback_t on_done, void *userdata, NetlinkSlot **ret_slot)
{
        NetlinkSlot *slot = NULL, **tail;
        int r;

        r = arm_timer(nl);
        if (r < 0)
                return r;
        r = slot_new(nl, message, &slot);
        if (r < 0)
                return r;
        slot->on_message = on_message;
        slot->on_done = on_done;
        slot->userdata = userdata;
        for (tail = &nl->slots; *tail; tail = &(*tail)->next)
                ;
        *tail = slot;
        if (!nl->writable_wanted) {
                r = slot_send(slot);
                if (r < 0) {
                        netlink_slot_free(slot);
                        return r;
                }
        }
        if (ret_slot)
                *ret_slot = slot;
        return 0;
}

/* --- receiving --- */

static const NetlinkPolicy error_policy[NLMSGERR_ATTR_MAX + 1] = {
        [NLMSGERR_ATTR_MSG] = { .type = MNL_TYPE_NUL_STRING },
};

static void log_extended_ack(const struct nlmsghdr *message, size_t offset, int error)
{
        const struct nlattr *table[NLMSGERR_ATTR_MAX + 1];
        size_t size = mnl_nlmsg_get_payload_len(message);

        if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || size < offset)
                return;
        if (netlink_parse_attributes(mnl_nlmsg_get_payload_offset(message, offset), size - offset,
                                     error_policy, NLMSGERR_ATTR_MAX, table) >= 0 &&
            table[NLMSGERR_ATTR_MSG])
                log_debug_errno(error, "The kernel says about a netlink request: %s (%m)",
                                mnl_attr_get_str(table[NLMSGERR_ATTR_MSG]));
}

/* What NLMSG_ERROR holds: 0 is an acknowledgement. The request comes back too, unless it was capped. */
static int acknowledged_error(const struct nlmsghdr *message)
{
        const struct nlmsgerr *e = mnl_nlmsg_get_payload(message);
        size_t offset = sizeof(*e);

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*e) || e->error > 0 || e->error < -4095)
                return -EBADMSG;
        if (!(message->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len >= sizeof(e->msg))
                offset += MNL_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
        log_extended_ack(message, offset, e->error);
        return e->error;
}

/* What ends a dump: its payload is 0 or an error. */
static int dump_error(const struct nlmsghdr *message)
{
        int error = 0;

        if (mnl_nlmsg_get_payload_len(message) >= sizeof(error)) {
                memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
                log_extended_ack(message, sizeof(error), error);
        }
        return error < -4095 ? -EBADMSG : MIN(error, 0);
}

static void on_answer_end(Netlink *nl, NetlinkSlot *slot, uint32_t sequence, int error)
{
        if (nl->dump_sequence == sequence)
                nl->dump_sequence = 0;
        if (slot)
                slot_finish(slot, error < 0 ? error : slot->interrupted ? -EINTR : 0);
        if (!nl->closed)
                flush_requests(nl);
        /* Nothing is under way: sleep undisturbed. */
        if (!nl->closed && !nl->slots && nl->dump_sequence == 0)
                event_disarm_timer(nl->timer);
}

static void on_answer(Netlink *nl, const struct nlmsghdr *message)
{
        uint32_t sequence = message->nlmsg_seq;
        NetlinkSlot *slot = find_slot(nl, sequence);
        int r;

        if (nl->dump_sequence == sequence)
                nl->dump_deadline = deadline_from_now(nl);
        if (slot) {
                slot->deadline = deadline_from_now(nl);
                if (message->nlmsg_flags & NLM_F_DUMP_INTR)
                        slot->interrupted = true;
        }
        switch (message->nlmsg_type) {
        case NLMSG_NOOP:
                return;
        case NLMSG_ERROR:
                on_answer_end(nl, slot, sequence, acknowledged_error(message));
                return;
        case NLMSG_DONE:
                on_answer_end(nl, slot, sequence, dump_error(message));
                return;
        default:
                if (message->nlmsg_type < NLMSG_MIN_TYPE || !slot || !slot->on_message)
                        return;
                r = slot->on_message(nl, message, slot->userdata);
                /* The callback may have freed the slot or the socket. */
                if (r < 0 && !nl->closed && (slot = find_slot(nl, sequence)))
                        slot_finish(slot, r);
        }
}

static void on_notification(Netlink *nl, const struct nlmsghdr *message)
{
        int r;

        if (message->nlmsg_type < NLMSG_MIN_TYPE || !nl->on_notification)
                return;
        r = nl->on_notification(nl, message, nl->notification_userdata);
        if (r < 0)
                log_debug_errno(r, "Failed to handle a netlink notification, ignoring: %m");
}

static void on_datagram(Netlink *nl, size_t size, bool multicast)
{
        const struct nlmsghdr *message = (const struct nlmsghdr *) nl->buffer;
        int left = (int) size;

        while (!nl->closed && mnl_nlmsg_ok(message, left)) {
                if (multicast)
                        on_notification(nl, message);
                else
                        on_answer(nl, message);
                message = mnl_nlmsg_next(message, &left);
        }
}

/* Which messages are lost nobody knows: neither what a request did nor what changed. */
static void on_overrun(Netlink *nl, int error)
{
        finish_sent(nl, error);
        if (!nl->closed && nl->on_overrun)
                nl->on_overrun(nl, error, nl->notification_userdata);
}

/* The group a message was sent to; 0 for the answer to a request of ours. A sequence number alone does not
 * tell: notifications carry that of whoever caused them. */
static unsigned message_group(struct msghdr *mh)
{
        for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
                struct nl_pktinfo info;

                if (c->cmsg_level != SOL_NETLINK || c->cmsg_type != NETLINK_PKTINFO ||
                    c->cmsg_len < CMSG_LEN(sizeof(info)))
                        continue;
                memcpy(&info, CMSG_DATA(c), sizeof(info));
                return info.group;
        }
        return 0;
}

/* 1: there may be more; 0: there is none. */
static int receive_datagram(Netlink *nl)
{
        union {
                struct cmsghdr header;
                uint8_t space[CMSG_SPACE(sizeof(struct nl_pktinfo))];
        } control = {};
        struct sockaddr_nl from = {};
        struct iovec iov = { .iov_base = nl->buffer, .iov_len = RECEIVE_SIZE };
        struct msghdr mh = { .msg_name = &from,
                             .msg_namelen = sizeof(from),
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control) };
        ssize_t n;

        n = recvmsg(nl->fd, &mh, MSG_DONTWAIT);
        if (n < 0) {
                if (errno == ENOBUFS)
                        on_overrun(nl, -ENOBUFS);
                return errno == EINTR || errno == ENOBUFS ? 1 : errno == EAGAIN ? 0 : -errno;
        }
        /* Any process may send to any netlink socket: only the kernel has the number 0. */
        if (mh.msg_namelen == sizeof(from) && from.nl_pid == 0) {
                if (mh.msg_flags & MSG_TRUNC)
                        on_overrun(nl, -EMSGSIZE);
                else
                        on_datagram(nl, (size_t) n, message_group(&mh) != 0);
        }
        /* WireGuard's answers hold private keys. */
        erase(nl->buffer, (size_t) n);
        return 1;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        Netlink *nl = userdata;
        int r = 1;

        netlink_enter(nl);
        if (nl->writable_wanted && (revents & EPOLLOUT))
                flush_requests(nl);
        for (unsigned i = 0; i < RECEIVE_BURST && r > 0 && !nl->closed; i++)
                r = receive_datagram(nl);
        if (r < 0)
                log_debug_errno(r, "Failed to read from a netlink socket, ignoring: %m");
        netlink_leave(nl);
        return 0;
}

/* The requests of which nothing was heard for too long; the dump of which nobody waits for the end any
 * more. */
static void expire_requests(Netlink *nl, usec_t t)
{
        NetlinkSlot *slot;

        if (nl->dump_sequence != 0 && nl->dump_deadline <= t)
                nl->dump_sequence = 0;
        do {
                for (slot = nl->slots; slot; slot = slot->next)
                        if (slot->deadline <= t)
                                break;
                if (slot)
                        slot_finish(slot, -ETIMEDOUT);
        } while (slot && !nl->closed);
}

/* The timer is not moved with every message: it fires, looks, and is armed for what is left. */
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        Netlink *nl = userdata;
        usec_t t = now(CLOCK_BOOTTIME), next;

        netlink_enter(nl);
        expire_requests(nl, t);
        if (!nl->closed)
                flush_requests(nl);
        if (!nl->closed) {
                next = nl->dump_sequence != 0 ? nl->dump_deadline : USEC_INFINITY;
                for (NetlinkSlot *slot = nl->slots; slot; slot = slot->next)
                        next = MIN(next, slot->deadline);
                if (next != USEC_INFINITY)
                        (void) event_arm_timer(nl->event, &nl->timer, usec_sub(next, t), on_timeout, nl,
                                               "netlink-timeout");
        }
        netlink_leave(nl);
        return 0;
}

/* --- the socket --- */

static int enable_option(int fd, int option)
{
        return setsockopt(fd, SOL_NETLINK, option, &(int) { 1 }, sizeof(int)) < 0 ? -errno : 0;
}

static int set_options(int fd, int protocol)
{
        int size = RECEIVE_QUEUE_SIZE, r;

        /* Without the group's number answers and notifications cannot be told apart. */
        r = enable_option(fd, NETLINK_PKTINFO);
        if (r < 0)
                return r;
        (void) enable_option(fd, NETLINK_EXT_ACK);
        /* An error without the request: no copy of what we sent. */
        (void) enable_option(fd, NETLINK_CAP_ACK);
        if (protocol == NETLINK_ROUTE)
                (void) enable_option(fd, NETLINK_GET_STRICT_CHK);
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        return 0;
}

static int open_socket(int protocol)
{
        struct sockaddr_nl any = { .nl_family = AF_NETLINK };
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        if (fd < 0)
                return -errno;
        r = set_options(fd, protocol);
        if (r < 0)
                return r;
        if (bind(fd, (struct sockaddr *) &any, sizeof(any)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

uint32_t netlink_port(const Netlink *nl)
{
        struct sockaddr_nl address = {};
        socklen_t size = sizeof(address);

        (void) getsockname(nl->fd, (struct sockaddr *) &address, &size);
        return address.nl_pid;
}

int netlink_open(sd_event *event, int protocol, Netlink **ret)
{
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        int r;

        nl = new (Netlink, 1);
        if (!nl)
                return -ENOMEM;
        *nl = (Netlink) { .event = sd_event_ref(event),
                          .fd = -EBADF,
                          .timeout = NETLINK_TIMEOUT,
                          .sequence = (uint32_t) random_u64() };
        nl->buffer = new (uint8_t, RECEIVE_SIZE);
        if (!nl->buffer)
                return -ENOMEM;
        nl->fd = open_socket(protocol);
        if (nl->fd < 0)
                return nl->fd;
        r = event_add_io(event, &nl->io, nl->fd, EPOLLIN, on_io, nl, "netlink");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(nl);
        return 0;
}

Netlink *netlink_close(Netlink *nl)
{
        if (!nl || nl->closed)
                return NULL;
        netlink_enter(nl);
        nl->closed = true;
        while (nl->slots)
                netlink_slot_free(nl->slots);
        nl->io = sd_event_source_disable_unref(nl->io);
        nl->timer = sd_event_source_disable_unref(nl->timer);
        nl->fd = safe_close(nl->fd);
        netlink_leave(nl);
        return NULL;
}

int netlink_subscribe(Netlink *nl, unsigned group, netlink_message_callback_t on_message,
                      netlink_done_callback_t overrun_callback, void *userdata)
{
        if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
                return -errno;
        nl->on_notification = on_message;
        nl->on_overrun = overrun_callback;
        nl->notification_userdata = userdata;
        return 0;
}

/* --- attributes --- */

static int check_attribute(const struct nlattr *attribute, const NetlinkPolicy *policy)
{
        switch (policy->type) {
        case MNL_TYPE_BINARY:
                return mnl_attr_get_payload_len(attribute) >= policy->min_size ? 0 : -EBADMSG;
        case MNL_TYPE_STRING:
        case MNL_TYPE_NUL_STRING:
                return mnl_attr_validate2(attribute, policy->type, policy->min_size) < 0 ? -EBADMSG : 0;
        default:
                return mnl_attr_validate(attribute, policy->type) < 0 ? -EBADMSG : 0;
        }
}

int netlink_parse_attributes(const void *payload, size_t size, const NetlinkPolicy *policy, unsigned max,
                             const struct nlattr **table)
{
        const struct nlattr *attribute = payload;
        size_t left = size;

        memset(table, 0, (max + 1) * sizeof(*table));
        while (left > 0) {
                size_t step;
                unsigned type;

                if (!mnl_attr_ok(attribute, (int) MIN(left, (size_t) INT_MAX)))
                        return -EBADMSG;
                type = mnl_attr_get_type(attribute);
                if (type <= max && policy[type].type != MNL_TYPE_UNSPEC) {
                        if (check_attribute(attribute, policy + type) < 0)
                                return -EBADMSG;
                        table[type] = attribute;
                }
                /* The last one may lack its padding. */
                step = MNL_ALIGN((size_t) attribute->nla_len);
                left -= MIN(step, left);
                attribute = (const struct nlattr *) ((const uint8_t *) attribute + step);
        }
        return 0;
}

int netlink_parse_nested(const struct nlattr *nest, const NetlinkPolicy *policy, unsigned max,
                         const struct nlattr **table)
{
        return netlink_parse_attributes(mnl_attr_get_payload(nest), mnl_attr_get_payload_len(nest), policy,
                                        max, table);
}

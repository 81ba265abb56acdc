/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libmnl/libmnl.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "time-util.h"

/* A netlink socket on sd-event, shaped like sd-netlink: requests with slots, dumps, notifications. libmnl
 * builds and walks the bytes. Nothing blocks; any function may be called from inside any callback. */

typedef struct Netlink Netlink;
typedef struct NetlinkSlot NetlinkSlot;

/* A request ends with -ETIMEDOUT after this long without a message of its answer. */
#define NETLINK_TIMEOUT (10 * USEC_PER_SEC)

/* One message of the answer (also each one of a dump): 0 to go on, a negative errno to give the request up.
 * The message is lent and overwritten afterwards.
 */
typedef int (*netlink_message_callback_t)(Netlink *nl, const struct nlmsghdr *message, void *userdata);
/* The request is done: 0, the kernel's error, what on_message returned, -EINTR (a dump that was changed
 * under way and should be repeated), -ENOBUFS (the kernel dropped messages, the outcome is not known),
 * -ETIMEDOUT. Never called from inside netlink_call(). The slot is gone. */
typedef void (*netlink_done_callback_t)(Netlink *nl, int error, void *userdata);

/* protocol: NETLINK_ROUTE, NETLINK_GENERIC. Extended acknowledgements are on: their text is logged at debug
 * level. So is strict checking for NETLINK_ROUTE, where the kernel has it (4.20): filters in dump requests
 * work. */
int netlink_open(sd_event *event, int protocol, Netlink **ret);
/* Also frees all slots that are left; their callbacks do not come. Accepts NULL, returns NULL. */
Netlink *netlink_close(Netlink *nl);
DEFINE_TRIVIAL_CLEANUP_FUNC(Netlink *, netlink_close);

/* The socket's address (nl_pid): unique among those of its protocol in a network namespace. */
uint32_t netlink_port(const Netlink *nl);

/* Instead of NETLINK_TIMEOUT, for what is called from now on. */
void netlink_set_timeout(Netlink *nl, usec_t timeout);

/* Sends a copy of a request (sequence number and NLM_F_REQUEST are filled in; NLM_F_ACK too, unless it is a
 * dump) and overwrites the copy afterwards. Dumps wait for each other, since the kernel does one at a time;
 * everything waits while the socket is full. The slot keeps the request's callbacks: freeing it makes sure
 * that they do not come. ret_slot may be NULL: the request floats. -ENOMEM, or the error of sendto(2). */
int netlink_call(Netlink *nl, const struct nlmsghdr *message, netlink_message_callback_t on_message,
                 netlink_done_callback_t on_done, void *userdata, NetlinkSlot **ret_slot);
/* Accepts NULL, returns NULL; does nothing from inside the slot's own on_done. */
NetlinkSlot *netlink_slot_free(NetlinkSlot *slot);
DEFINE_TRIVIAL_CLEANUP_FUNC(NetlinkSlot *, netlink_slot_free);

/* Called with the slot's userdata when the slot goes, for whatever reason (after on_done). */
void netlink_slot_set_destroy(NetlinkSlot *slot, void (*destroy)(void *userdata));

/* Joins a multicast group. One handler for all groups of the socket, the last one given; what it returns is
 * only logged. on_overrun (may be NULL): the kernel dropped some (ENOBUFS), read everything again. */
int netlink_subscribe(Netlink *nl, unsigned group, netlink_message_callback_t on_message,
                      netlink_done_callback_t on_overrun, void *userdata);

/* Attributes by a policy table, in the manner of the kernel's nla_policy. */
typedef struct NetlinkPolicy {
        enum mnl_attr_data_type type; /* MNL_TYPE_UNSPEC: not wanted */
        size_t min_size;              /* for MNL_TYPE_BINARY and strings; 0: any */
} NetlinkPolicy;

/* Fills table[0 … max] with the attributes between (payload is aligned to 4 bytes; the last one of a kind
 * counts; NULL where there is none); those that are unknown or not wanted are skipped; -EBADMSG for one that
 * breaks the policy or does not fit. `policy` has max + 1 entries as well. */
int netlink_parse_attributes(const void *payload, size_t size, const NetlinkPolicy *policy, unsigned max,
                             const struct nlattr **table);
/* The same for what is inside of an attribute. */
int netlink_parse_nested(const struct nlattr *nest, const NetlinkPolicy *policy, unsigned max,
                         const struct nlattr **table);

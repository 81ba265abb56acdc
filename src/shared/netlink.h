/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libmnl/libmnl.h>
#include <systemd/sd-event.h>

#include "macro.h"

/* A netlink socket on sd-event, shaped like sd-netlink: requests with slots, dumps, notifications. libmnl
 * builds and walks the bytes. */

typedef struct Netlink Netlink;
typedef struct NetlinkSlot NetlinkSlot;

/* One message of the answer (also each one of a dump): 0 to go on, a negative errno to give the request up.
 */
typedef int (*netlink_message_callback_t)(Netlink *nl, const struct nlmsghdr *message, void *userdata);
/* The request is done: 0, the kernel's error, -EINTR (a dump that was changed under way and should be
 * repeated), -ENOBUFS. Never called from inside netlink_call(). The slot is gone. */
typedef void (*netlink_done_callback_t)(Netlink *nl, int error, void *userdata);

/* protocol: NETLINK_ROUTE, NETLINK_GENERIC. Extended acknowledgements are on: their text is logged at debug
 * level. */
int netlink_open(sd_event *event, int protocol, Netlink **ret);
Netlink *netlink_close(Netlink *nl);
DEFINE_TRIVIAL_CLEANUP_FUNC(Netlink *, netlink_close);

/* Sends a request (sequence number and NLM_F_REQUEST are filled in; NLM_F_ACK too, unless it is a dump). The
 * slot keeps the request's callbacks: freeing it makes sure that they do not come. ret_slot may be NULL: the
 * request floats. */
int netlink_call(Netlink *nl, struct nlmsghdr *message, netlink_message_callback_t on_message,
                 netlink_done_callback_t on_done, void *userdata, NetlinkSlot **ret_slot);
NetlinkSlot *netlink_slot_free(NetlinkSlot *slot);
DEFINE_TRIVIAL_CLEANUP_FUNC(NetlinkSlot *, netlink_slot_free);

/* Multicast: one handler for what nobody asked for; on_overrun: the kernel dropped some (ENOBUFS), read
 * everything again. */
int netlink_subscribe(Netlink *nl, unsigned group, netlink_message_callback_t on_message,
                      netlink_done_callback_t on_overrun, void *userdata);

/* Attributes by a policy table, in the manner of the kernel's nla_policy. */
typedef struct NetlinkPolicy {
        enum mnl_attr_data_type type;
        size_t min_size; /* for MNL_TYPE_BINARY and strings; 0: any */
} NetlinkPolicy;

/* Fills table[0 … max] with the attributes between; unknown ones are skipped; -EBADMSG for one that breaks
 * the policy. */
int netlink_parse_attributes(const void *payload, size_t size, const NetlinkPolicy *policy, unsigned max,
                             const struct nlattr **table);

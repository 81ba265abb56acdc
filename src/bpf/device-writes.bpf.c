/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When somebody has written a WireGuard device, whoever it is, the broker hears of it: the kernel notifies
 * nobody (Linux 6.18), and a device whose peers were replaced has lost the endpoints that icewire has found.
 * A function of the kernel's own is watched for that, by which every request to generic netlink goes; where
 * there is none of that name, or no BTF, links are read again now and then, as they are anyway. */

#include <stdbool.h>

#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>

#include <bpf/bpf_helpers.h>

#include "device-writes.h"

char LICENSE[] SEC("license") = "GPL";

/* As much of the kernel's types as is read here; where things are, libbpf finds in the kernel's BTF. */
#define KERNEL_TYPE __attribute__((preserve_access_index))

struct ns_common {
        unsigned int inum;
} KERNEL_TYPE;

struct net {
        struct ns_common ns;
} KERNEL_TYPE;

typedef struct {
        struct net *net;
} KERNEL_TYPE possible_net_t;

struct sock_common {
        possible_net_t skc_net;
} KERNEL_TYPE;

struct sock {
        struct sock_common __sk_common;
} KERNEL_TYPE;

struct sk_buff {
        struct sock *sk;
        char cb[48];
} KERNEL_TYPE;

struct netlink_skb_parms {
        __u32 portid;
} KERNEL_TYPE;

/* Of the broker's network namespace, as its file in /proc has it. */
const volatile __u32 device_writes_namespace = 0;
/* What generic netlink has for WireGuard; 0: not known. The broker writes it. */
__u16 device_writes_family = 0;
/* The broker's own socket (nl_pid), which is not told of. */
__u32 device_writes_port = 0;
/* How many have begun and have ended, the kernel being done with them; and when the last began
 * (CLOCK_MONOTONIC). The broker reads them. */
__u64 device_writes_begun = 0;
__u64 device_writes_ended = 0;
__u64 device_writes_last = 0;

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, DEVICE_WRITES_RING);
} device_writes SEC(".maps");

/* The sender's port, in NETLINK_CB(skb). */
static __always_inline __u32 sender_of(const struct sk_buff *skb)
{
        const struct netlink_skb_parms *parms = (const void *) skb->cb;
        __u32 port = 0;

        (void) bpf_probe_read_kernel(&port, sizeof(port), __builtin_preserve_access_index(&parms->portid));
        return port;
}

/* Somebody else writes a device of this namespace. skb->sk is the kernel's own socket, in the namespace of
 * who asks. */
static __always_inline bool is_write(const struct sk_buff *skb, const struct nlmsghdr *request)
{
        struct genlmsghdr header;

        if (device_writes_family == 0 || request->nlmsg_type != device_writes_family ||
            skb->sk->__sk_common.skc_net.net->ns.inum != device_writes_namespace)
                return false;
        return bpf_probe_read_kernel(&header, sizeof(header), request + 1) >= 0 &&
               header.cmd == WG_CMD_SET_DEVICE && sender_of(skb) != device_writes_port;
}

/* Before it, and before it waits for its turn: one request after the other is processed (genl_lock()). */
SEC("fentry/genl_rcv_msg")
int icewire_device_begun(const __u64 *ctx)
{
        /* genl_rcv_msg(skb, nlh, extack) */
        if (!is_write((const void *) ctx[0], (const void *) ctx[1]))
                return 0;
        device_writes_last = bpf_ktime_get_ns();
        __sync_fetch_and_add(&device_writes_begun, 1);
        return 0;
}

/* After it: what was written can be read, even if not all of it was taken. */
SEC("fexit/genl_rcv_msg")
int icewire_device_written(const __u64 *ctx)
{
        /* The arguments, and what it returned. */
        int error = (int) ctx[3];
        __u32 poke = 0;

        if (!is_write((const void *) ctx[0], (const void *) ctx[1]))
                return 0;
        __sync_fetch_and_add(&device_writes_ended, 1);
        /* Full: it is read soon. */
        if (error != -EPERM)
                (void) bpf_ringbuf_output(&device_writes, &poke, sizeof(poke), 0);
        return 0;
}

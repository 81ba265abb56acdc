/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When somebody has written a WireGuard device, whoever it is, the broker hears of it: the kernel notifies
 * nobody (Linux 6.18), and a device whose peers were replaced has lost the endpoints that icewire has found.
 * A function of the kernel's own is watched for that, by which every request to generic netlink goes; where
 * there is none of that name, or no BTF, links are read again now and then, as they are anyway. */

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
} KERNEL_TYPE;

/* Of the broker's network namespace, as its file in /proc has it. */
const volatile __u32 device_writes_namespace = 0;
/* What generic netlink has for WireGuard; 0: not known. The broker writes it. */
__u16 device_writes_family = 0;

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, DEVICE_WRITES_RING);
} device_writes SEC(".maps");

/* After it: what was written can be read, even if not all of it was taken. skb->sk is the kernel's own
 * socket, in the namespace of who asked. */
SEC("fexit/genl_rcv_msg")
int icewire_device_written(const __u64 *ctx)
{
        /* genl_rcv_msg(skb, nlh, extack), and what it returned */
        const struct sk_buff *skb = (const void *) ctx[0];
        const struct nlmsghdr *request = (const void *) ctx[1];
        int error = (int) ctx[3];
        struct genlmsghdr header;
        __u32 poke = 0;

        if (device_writes_family == 0 || request->nlmsg_type != device_writes_family || error == -EPERM ||
            skb->sk->__sk_common.skc_net.net->ns.inum != device_writes_namespace)
                return 0;
        if (bpf_probe_read_kernel(&header, sizeof(header), request + 1) < 0 ||
            header.cmd != WG_CMD_SET_DEVICE)
                return 0;
        /* Full: it is read soon. */
        (void) bpf_ringbuf_output(&device_writes, &poke, sizeof(poke), 0);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When somebody has written a WireGuard device, whoever it is, the broker hears of it: the kernel notifies
 * nobody (Linux 6.18), and a device whose peers were replaced has lost the endpoints that icewire has found.
 * A function of the kernel's own is watched for that, by which every request to generic netlink goes; where
 * there is none of that name, or no BTF, links are read again now and then, as they are anyway. */

#include <stdbool.h>

#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "device-writes.h"

char LICENSE[] SEC("license") = "GPL";

/* As much of the kernel's types as is read here; where things are, libbpf finds in the kernel's BTF. */
#define KERNEL_TYPE __attribute__((preserve_access_index))

struct ns_common {
        unsigned int inum;
} KERNEL_TYPE;

struct user_namespace {
        int level;
} KERNEL_TYPE;

struct net {
        struct ns_common ns;
        struct user_namespace *user_ns;
} KERNEL_TYPE;

/* Two numbers of 32 bits before 6.3. */
typedef struct {
        __u64 val;
} kernel_cap_t;

struct cred {
        kernel_cap_t cap_effective;
        struct user_namespace *user_ns;
} KERNEL_TYPE;

struct task_struct {
        const struct cred *cred;
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
 * (CLOCK_MONOTONIC). The broker reads them: as long as they differ, somebody writes. */
__u64 device_writes_begun = 0;
__u64 device_writes_ended = 0;
__u64 device_writes_last = 0;
/* How often those were given up whose end was not seen. */
__u64 device_writes_round = 0;

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, DEVICE_WRITES_RING);
} device_writes SEC(".maps");

/* Who has begun and was counted, by thread, and in which round: an end counts only with its beginning, since
 * the broker may tell the family, and the programs be attached, while somebody is in the middle. */
struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, 1024);
        __type(key, __u32);
        __type(value, __u64);
} device_writers SEC(".maps");

/* The sender's port, in NETLINK_CB(skb). */
static __always_inline __u32 sender_of(const struct sk_buff *skb)
{
        const struct netlink_skb_parms *parms = (const void *) skb->cb;
        __u32 port = 0;

        (void) bpf_probe_read_kernel(&port, sizeof(port), __builtin_preserve_access_index(&parms->portid));
        return port;
}

/* Generic netlink will refuse it: cap_capable() (Linux 5.6 to 6.18). There may be more reasons for that, but
 * who needs nothing to ask, and asks on and on, is not to make anybody wait. */
static __always_inline bool is_refused(const struct net *net)
{
        const struct task_struct *task = (const void *) bpf_get_current_task();
        const struct cred *cred = BPF_CORE_READ(task, cred);
        const struct user_namespace *theirs = BPF_CORE_READ(cred, user_ns),
                                    *wanted = BPF_CORE_READ(net, user_ns);
        __u64 capabilities = 0;

        /* One that is above may have its owner. */
        if (theirs != wanted)
                return BPF_CORE_READ(wanted, level) <= BPF_CORE_READ(theirs, level);
        (void) bpf_probe_read_kernel(&capabilities, sizeof(capabilities),
                                     __builtin_preserve_access_index(&cred->cap_effective));
        /* Where the first of two numbers is the upper half, the lower one has no such bit. */
        return !((capabilities | capabilities >> 32) & (1ULL << CAP_NET_ADMIN));
}

/* Somebody else writes a device of this namespace. skb->sk is the kernel's own socket, in the namespace of
 * who asks. */
static __always_inline bool is_write(const struct sk_buff *skb, const struct nlmsghdr *request)
{
        struct genlmsghdr header;
        const struct net *net;

        if (device_writes_family == 0 || request->nlmsg_type != device_writes_family)
                return false;
        net = skb->sk->__sk_common.skc_net.net;
        return net->ns.inum == device_writes_namespace &&
               bpf_probe_read_kernel(&header, sizeof(header), request + 1) >= 0 &&
               header.cmd == WG_CMD_SET_DEVICE && sender_of(skb) != device_writes_port && !is_refused(net);
}

/* An end may be missed: BPF does not run a program that was interrupted on this CPU once more, and there may
 * be more writers than the table takes. If nobody has begun for so long, all have ended. */
static __always_inline void give_up_lost(__u64 time)
{
        __u64 lost = device_writes_begun - device_writes_ended, last = device_writes_last;

        if (lost == 0 || time <= last + DEVICE_WRITE_MAX ||
            __sync_val_compare_and_swap(&device_writes_last, last, time) != last)
                return;
        __sync_fetch_and_add(&device_writes_round, 1);
        __sync_fetch_and_add(&device_writes_ended, lost);
}

/* Before it, and before it waits for its turn: one request after the other is processed (genl_lock()). */
SEC("fentry/genl_rcv_msg")
int icewire_device_begun(const __u64 *ctx)
{
        __u32 thread = (__u32) bpf_get_current_pid_tgid();
        __u64 time = bpf_ktime_get_ns(), round;

        /* genl_rcv_msg(skb, nlh, extack) */
        if (!is_write((const void *) ctx[0], (const void *) ctx[1]))
                return 0;
        give_up_lost(time);
        device_writes_last = time;
        __sync_fetch_and_add(&device_writes_begun, 1);
        round = device_writes_round;
        (void) bpf_map_update_elem(&device_writers, &thread, &round, BPF_ANY);
        return 0;
}

/* Whether its beginning was counted. */
static __always_inline bool count_end(void)
{
        __u32 thread = (__u32) bpf_get_current_pid_tgid();
        const __u64 *round = bpf_map_lookup_elem(&device_writers, &thread);

        if (!round)
                return false;
        if (*round == device_writes_round)
                __sync_fetch_and_add(&device_writes_ended, 1);
        (void) bpf_map_delete_elem(&device_writers, &thread);
        return true;
}

/* After it: what was written can be read, even if not all of it was taken. */
SEC("fexit/genl_rcv_msg")
int icewire_device_written(const __u64 *ctx)
{
        /* The arguments, and what it returned. */
        int error = (int) ctx[3];
        __u32 poke = 0;

        if (!count_end()) {
                if (!is_write((const void *) ctx[0], (const void *) ctx[1]))
                        return 0;
                /* Late, but it is known that there was one. */
                __sync_fetch_and_add(&device_writes_begun, 1);
                __sync_fetch_and_add(&device_writes_ended, 1);
        }
        /* Full: it is read soon. */
        if (error != -EPERM)
                (void) bpf_ringbuf_output(&device_writes, &poke, sizeof(poke), 0);
        return 0;
}

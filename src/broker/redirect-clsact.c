/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-clsact.h"

#include <bpf/libbpf.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/time.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"

/* Early, since a filter before ours that says "accept" ends the walk. */
#define PRIORITY 0x1ce

/* The handle says whose the qdisc is, also to the next broker. */
#define HANDLE_QDISC_FOREIGN 1U
#define HANDLE_QDISC_OURS 2U

#define HOOK(index, point)                                                                                  \
        (struct bpf_tc_hook)                                                                                \
        {                                                                                                   \
                .sz = sizeof(struct bpf_tc_hook), .ifindex = (index), .attach_point = (point)               \
        }

/* What one dump of filters found. */
typedef struct Filters {
        uint32_t handle; /* of ours; 0: none */
        size_t foreign;
} Filters;

static int socket_open(struct mnl_socket **ret)
{
        /* The kernel answers a dump inside of the system call; this is for a kernel that does not. */
        static const struct timeval patience = { .tv_sec = 1 };
        struct mnl_socket *nl;

        nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
        if (!nl)
                return -errno;
        if (setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
            mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
                int r = -errno;

                mnl_socket_close(nl);
                return r;
        }
        *ret = nl;
        return 0;
}

static void socket_closep(struct mnl_socket **nl)
{
        if (*nl)
                mnl_socket_close(*nl);
}
#define _cleanup_socket_ _cleanup_(socket_closep)

/* Of a kernel object whose kind is `type`: those of `parent` at a link; all of them if they are 0. */
static int dump(uint16_t type, int ifindex, uint32_t parent, mnl_cb_t on_message, void *userdata)
{
        _cleanup_socket_ struct mnl_socket *nl = NULL;
        _Alignas(8) char request[MNL_NLMSG_HDRLEN + sizeof(struct tcmsg)];
        _cleanup_free_ char *answer = NULL;
        struct nlmsghdr *message = mnl_nlmsg_put_header(request);
        struct tcmsg *tc = mnl_nlmsg_put_extra_header(message, sizeof(*tc));
        ssize_t n;
        int r;

        r = socket_open(&nl);
        if (r < 0)
                return r;
        answer = new (char, MNL_SOCKET_DUMP_SIZE);
        if (!answer)
                return -ENOMEM;
        message->nlmsg_type = type;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        message->nlmsg_seq = 1;
        tc->tcm_ifindex = ifindex;
        tc->tcm_parent = parent;
        if (mnl_socket_sendto(nl, message, message->nlmsg_len) < 0)
                return -errno;
        do {
                n = mnl_socket_recvfrom(nl, answer, MNL_SOCKET_DUMP_SIZE);
                if (n < 0)
                        return -errno;
                r = mnl_cb_run(answer, (size_t) n, 1, mnl_socket_get_portid(nl), on_message, userdata);
                if (r < 0)
                        return -errno;
        } while (r > MNL_CB_STOP);
        return 0;
}

static int on_attribute(const struct nlattr *attribute, void *userdata)
{
        const struct nlattr **table = userdata;

        if (mnl_attr_get_type(attribute) <= TCA_MAX)
                table[mnl_attr_get_type(attribute)] = attribute;
        return MNL_CB_OK;
}

static bool attribute_is(const struct nlattr *attribute, const char *s)
{
        return attribute && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0 &&
               streq(mnl_attr_get_str(attribute), s);
}

static bool is_our_program(const struct nlattr *options)
{
        const struct nlattr *attribute;

        if (!options)
                return false;
        mnl_attr_for_each_nested(attribute,
                                 options) if (mnl_attr_get_type(attribute) == TCA_BPF_NAME &&
                                              mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >=
                                                      0) return startswith(mnl_attr_get_str(attribute),
                                                                           REDIRECT_CLSACT_PREFIX);
        return false;
}

static int on_filter(const struct nlmsghdr *message, void *userdata)
{
        const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
        const struct nlattr *table[TCA_MAX + 1] = {};
        Filters *filters = userdata;

        if (message->nlmsg_type != RTM_NEWTFILTER ||
            mnl_attr_parse(message, sizeof(*tc), on_attribute, table) < 0)
                return MNL_CB_OK;
        /* A chain of filters is listed without a handle first. */
        if (tc->tcm_handle == 0)
                return MNL_CB_OK;
        if (TC_H_MAJ(tc->tcm_info) >> 16 == PRIORITY && attribute_is(table[TCA_KIND], "bpf") &&
            is_our_program(table[TCA_OPTIONS]))
                filters->handle = tc->tcm_handle;
        else
                filters->foreign++;
        return MNL_CB_OK;
}

static int list_filters(int ifindex, enum bpf_tc_attach_point point, Filters *ret)
{
        Filters filters = {};
        uint32_t parent = TC_H_MAKE(TC_H_CLSACT,
                                    point == BPF_TC_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
        int r;

        r = dump(RTM_GETTFILTER, ifindex, parent, on_filter, &filters);
        /* No such link; no such qdisc. */
        if (r < 0 && r != -ENODEV && r != -EINVAL)
                return r;
        *ret = filters;
        return 0;
}

static int detach_one(int ifindex, enum bpf_tc_attach_point point, uint32_t handle)
{
        struct bpf_tc_hook hook = HOOK(ifindex, point);
        DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .handle = handle, .priority = PRIORITY);

        return bpf_tc_detach(&hook, &options);
}

static int attach_one(int ifindex, enum bpf_tc_attach_point point, uint32_t handle, int fd)
{
        struct bpf_tc_hook hook = HOOK(ifindex, point);
        DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = fd, .handle = handle, .priority = PRIORITY);

        return bpf_tc_attach(&hook, &options);
}

static int delete_qdisc(int ifindex)
{
        struct bpf_tc_hook hook = HOOK(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);

        return bpf_tc_hook_destroy(&hook);
}

int redirect_clsact_attach(int ifindex, int ingress_fd, int egress_fd)
{
        struct bpf_tc_hook hook = HOOK(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
        uint32_t handle;
        int r;

        r = bpf_tc_hook_create(&hook);
        if (r < 0 && r != -EEXIST)
                return r;
        handle = r == -EEXIST ? HANDLE_QDISC_FOREIGN : HANDLE_QDISC_OURS;
        r = attach_one(ifindex, BPF_TC_INGRESS, handle, ingress_fd);
        if (r >= 0) {
                r = attach_one(ifindex, BPF_TC_EGRESS, handle, egress_fd);
                if (r < 0)
                        (void) detach_one(ifindex, BPF_TC_INGRESS, handle);
        }
        if (r < 0 && handle == HANDLE_QDISC_OURS)
                (void) delete_qdisc(ifindex);
        return r;
}

int redirect_clsact_is_attached(int ifindex)
{
        Filters ingress, egress;
        int r;

        r = list_filters(ifindex, BPF_TC_INGRESS, &ingress);
        if (r < 0)
                return r;
        r = list_filters(ifindex, BPF_TC_EGRESS, &egress);
        if (r < 0)
                return r;
        return ingress.handle != 0 && egress.handle != 0;
}

int redirect_clsact_detach(int ifindex)
{
        Filters ingress, egress;
        int r, q;

        r = list_filters(ifindex, BPF_TC_INGRESS, &ingress);
        if (r < 0)
                return r;
        r = list_filters(ifindex, BPF_TC_EGRESS, &egress);
        if (r < 0)
                return r;
        if (ingress.handle != 0)
                r = detach_one(ifindex, BPF_TC_INGRESS, ingress.handle);
        if (egress.handle != 0) {
                q = detach_one(ifindex, BPF_TC_EGRESS, egress.handle);
                r = r < 0 ? r : q;
        }
        if (r >= 0 && MAX(ingress.handle, egress.handle) == HANDLE_QDISC_OURS &&
            ingress.foreign + egress.foreign == 0)
                r = delete_qdisc(ifindex);
        return r == -ENODEV || r == -ENOENT ? 0 : r;
}

/* The links that have a clsact qdisc. */
typedef struct Links {
        int *ifindexes;
        size_t n, allocated;
} Links;

static int on_qdisc(const struct nlmsghdr *message, void *userdata)
{
        const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
        const struct nlattr *table[TCA_MAX + 1] = {};
        Links *links = userdata;

        if (message->nlmsg_type != RTM_NEWQDISC ||
            mnl_attr_parse(message, sizeof(*tc), on_attribute, table) < 0 ||
            !attribute_is(table[TCA_KIND], "clsact"))
                return MNL_CB_OK;
        if (GROW_ARRAY(links->ifindexes, links->allocated, links->n + 1) < 0) {
                errno = ENOMEM;
                return MNL_CB_ERROR;
        }
        links->ifindexes[links->n++] = tc->tcm_ifindex;
        return MNL_CB_OK;
}

int redirect_clsact_sweep(void)
{
        Links links = {};
        int r, q;

        r = dump(RTM_GETQDISC, 0, 0, on_qdisc, &links);
        for (size_t i = 0; i < links.n; i++) {
                q = redirect_clsact_detach(links.ifindexes[i]);
                r = r < 0 ? r : q;
        }
        free(links.ifindexes);
        return r;
}

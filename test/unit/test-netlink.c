/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "netlink.h"

#include <linux/rtnetlink.h>

#include "event-util.h"
#include "sandbox.h"

/* --- attributes --- */

enum { A_U8 = 1, A_U16, A_U32, A_U64, A_STRING, A_BINARY, A_NESTED, A_UNWANTED, _A_MAX };

static const NetlinkPolicy policy[_A_MAX] = {
        [A_U8] = { .type = MNL_TYPE_U8 },
        [A_U16] = { .type = MNL_TYPE_U16 },
        [A_U32] = { .type = MNL_TYPE_U32 },
        [A_U64] = { .type = MNL_TYPE_U64 },
        [A_STRING] = { .type = MNL_TYPE_NUL_STRING },
        [A_BINARY] = { .type = MNL_TYPE_BINARY, .min_size = 6 },
        [A_NESTED] = { .type = MNL_TYPE_NESTED },
};

typedef struct Attributes {
        _Alignas(8) uint8_t bytes[1024];
        struct nlmsghdr *message;
} Attributes;

static void attributes_start(Attributes *a)
{
        a->message = mnl_nlmsg_put_header(a->bytes);
}

static int attributes_parse(const Attributes *a, const struct nlattr **table)
{
        return netlink_parse_attributes(mnl_nlmsg_get_payload(a->message),
                                        mnl_nlmsg_get_payload_len(a->message), policy, _A_MAX - 1, table);
}

Test(attributes, are_found_by_type)
{
        const struct nlattr *table[_A_MAX], *inner[_A_MAX];
        struct nlattr *nest;
        Attributes a;

        attributes_start(&a);
        mnl_attr_put_u8(a.message, A_U8, 8);
        mnl_attr_put_u16(a.message, A_U16, 16);
        mnl_attr_put_u32(a.message, A_U32, 1);
        mnl_attr_put_u32(a.message, A_U32, 32);
        mnl_attr_put_u64(a.message, A_U64, UINT64_C(1) << 63);
        mnl_attr_put_strz(a.message, A_STRING, "text");
        mnl_attr_put(a.message, A_BINARY, 7, "binary");
        nest = mnl_attr_nest_start(a.message, A_NESTED);
        mnl_attr_put_u8(a.message, A_U8, 9);
        mnl_attr_nest_end(a.message, nest);
        mnl_attr_put_u8(a.message, A_UNWANTED, 1);
        mnl_attr_put_u8(a.message, 4711, 1);

        cr_assert_eq(attributes_parse(&a, table), 0);
        cr_assert_eq(mnl_attr_get_u8(table[A_U8]), 8);
        cr_assert_eq(mnl_attr_get_u16(table[A_U16]), 16);
        cr_assert_eq(mnl_attr_get_u32(table[A_U32]), 32, "the last one counts");
        cr_assert_eq(mnl_attr_get_u64(table[A_U64]), UINT64_C(1) << 63);
        cr_assert_str_eq(mnl_attr_get_str(table[A_STRING]), "text");
        cr_assert_eq(mnl_attr_get_payload_len(table[A_BINARY]), 7);
        cr_assert_null(table[A_UNWANTED]);
        cr_assert_null(table[0]);
        cr_assert_eq(netlink_parse_nested(table[A_NESTED], policy, _A_MAX - 1, inner), 0);
        cr_assert_eq(mnl_attr_get_u8(inner[A_U8]), 9);
        cr_assert_null(inner[A_U16]);
}

Test(attributes, that_break_the_policy_are_refused)
{
        static const struct {
                uint16_t type;
                size_t size;
        } wrong[] = { { A_U8, 2 },  { A_U16, 1 },    { A_U32, 3 },    { A_U32, 0 },
                      { A_U64, 4 }, { A_STRING, 0 }, { A_STRING, 3 }, { A_BINARY, 5 } };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const struct nlattr *table[_A_MAX];
                Attributes a;

                attributes_start(&a);
                mnl_attr_put(a.message, wrong[i].type, wrong[i].size, "abcdefgh");
                cr_assert_eq(attributes_parse(&a, table), -EBADMSG, "case %zu", i);
        }
}

Test(attributes, that_do_not_fit_are_refused)
{
        const struct nlattr *table[_A_MAX];
        Attributes a;
        size_t size;

        attributes_start(&a);
        mnl_attr_put_u32(a.message, A_U32, 1);
        mnl_attr_put_strz(a.message, A_STRING, "12345");
        size = mnl_nlmsg_get_payload_len(a.message);
        for (size_t cut = 1; cut < size; cut++) {
                _cleanup_free_ void *copy = malloc(cut);
                int r;

                memcpy(copy, mnl_nlmsg_get_payload(a.message), cut);
                r = netlink_parse_attributes(copy, cut, policy, _A_MAX - 1, table);
                /* Whole after the first attribute, and where only padding is missing. */
                cr_assert_eq(r, cut == 8 || cut >= size - 2 ? 0 : -EBADMSG, "cut to %zu of %zu", cut, size);
        }
        cr_assert_eq(netlink_parse_attributes(NULL, 0, policy, _A_MAX - 1, table), 0);
}

/* --- requests --- */

typedef struct Request {
        Netlink *nl;
        NetlinkSlot *slot;
        unsigned n_messages;
        unsigned n_done;
        int error;
        int return_value;
        bool free_slot;
        bool close;
        bool calling;
        unsigned *order, place;
} Request;

static int on_message(Netlink *nl, const struct nlmsghdr *message, void *userdata)
{
        Request *r = userdata;

        cr_assert(!r->calling);
        r->n_messages++;
        if (r->free_slot)
                r->slot = netlink_slot_free(r->slot);
        if (r->close)
                r->nl = netlink_close(r->nl);
        return r->return_value;
}

static void on_done(Netlink *nl, int error, void *userdata)
{
        Request *r = userdata;

        cr_assert(!r->calling);
        r->n_done++;
        r->error = error;
        if (r->order)
                r->place = ++*r->order;
        /* Allowed and without effect. */
        r->slot = netlink_slot_free(r->slot);
        if (r->close)
                r->nl = netlink_close(r->nl);
}

/* ifindex 0: all of them. */
static void get_links(Netlink *nl, int ifindex, Request *request)
{
        uint8_t buf[128] __attribute__((aligned(4)));
        struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
        struct ifinfomsg *ifi;

        message->nlmsg_type = RTM_GETLINK;
        message->nlmsg_flags = ifindex == 0 ? NLM_F_DUMP : 0;
        ifi = mnl_nlmsg_put_extra_header(message, sizeof(*ifi));
        ifi->ifi_index = ifindex;
        request->nl = nl;
        request->calling = true;
        cr_assert_eq(netlink_call(nl, message, on_message, on_done, request, &request->slot), 0);
        request->calling = false;
}

static void setup(sd_event **event, Netlink **nl)
{
        cr_assert_geq(sd_event_new(event), 0);
        cr_assert_eq(netlink_open(*event, NETLINK_ROUTE, nl), 0);
}

/* More links than fit into one datagram. */
static void make_many_links(void)
{
        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell(
                "for i in $(seq 60); do echo link add v$i type veth peer name w$i; done | ip -batch -");
}

Test(request, is_answered_and_acknowledged)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Request r = {};

        setup(&event, &nl);
        get_links(nl, 1, &r);
        RUN_UNTIL(event, r.n_done > 0);
        cr_assert_eq(r.error, 0);
        cr_assert_eq(r.n_messages, 1);
}

Test(request, gets_the_kernels_error)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Request r = {};

        setup(&event, &nl);
        get_links(nl, 0x7ffffff0, &r);
        RUN_UNTIL(event, r.n_done > 0);
        cr_assert_eq(r.error, -ENODEV);
        cr_assert_eq(r.n_messages, 0);
}

Test(request, may_float)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        uint8_t buf[128] __attribute__((aligned(4)));
        struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
        Request r = {};

        setup(&event, &nl);
        message->nlmsg_type = RTM_GETLINK;
        message->nlmsg_flags = NLM_F_DUMP;
        mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
        cr_assert_eq(netlink_call(nl, message, on_message, on_done, &r, /* ret_slot= */ NULL), 0);
        RUN_UNTIL(event, r.n_done > 0);
        cr_assert_geq(r.n_messages, 1);
        /* Without callbacks too, and without anybody waiting for the answer. */
        cr_assert_eq(netlink_call(nl, message, NULL, NULL, NULL, /* ret_slot= */ NULL), 0);
        run_pending(event);
}

Test(request, ends_with_what_its_callback_returns)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Request r = { .return_value = -EXDEV }, second = {};

        make_many_links();
        setup(&event, &nl);
        get_links(nl, 0, &r);
        get_links(nl, 0, &second);
        RUN_UNTIL(event, r.n_done > 0);
        cr_assert_eq(r.error, -EXDEV);
        cr_assert_eq(r.n_messages, 1);
        RUN_UNTIL(event, second.n_done > 0);
        cr_assert_eq(second.error, 0);
        cr_assert_eq(second.n_messages, 121);
}

Test(dump, has_many_parts_and_waits_its_turn)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        unsigned order = 0;
        Request a = { .order = &order }, b = { .order = &order }, c = { .order = &order };

        make_many_links();
        setup(&event, &nl);
        get_links(nl, 0, &a);
        get_links(nl, 0, &b);
        get_links(nl, 1, &c);
        RUN_UNTIL(event, order == 3);
        cr_assert_eq(a.error, 0);
        cr_assert_eq(b.error, 0);
        cr_assert_eq(c.error, 0);
        cr_assert_eq(a.n_messages, 121);
        cr_assert_eq(b.n_messages, 121);
        cr_assert_eq(c.n_messages, 1);
        cr_assert_lt(a.place, b.place);
}

Test(dump, that_is_cancelled_makes_way_for_the_next)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Request a = {}, b = { .free_slot = true }, c = {};

        make_many_links();
        setup(&event, &nl);
        get_links(nl, 0, &a);
        get_links(nl, 0, &b);
        get_links(nl, 0, &c);
        netlink_slot_free(a.slot);
        RUN_UNTIL(event, c.n_done > 0);
        cr_assert_eq(a.n_messages + a.n_done, 0);
        cr_assert_eq(b.n_messages, 1, "it freed its slot in the first");
        cr_assert_eq(b.n_done, 0);
        cr_assert_eq(c.n_messages, 121);
        cr_assert_eq(c.error, 0);
}

Test(dump, that_is_still_waiting_can_be_cancelled)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Request a = {}, b = {};

        setup(&event, &nl);
        get_links(nl, 0, &a);
        get_links(nl, 0, &b);
        netlink_slot_free(b.slot);
        RUN_UNTIL(event, a.n_done > 0);
        run_pending(event);
        cr_assert_eq(b.n_messages + b.n_done, 0);
}

Test(socket, may_be_closed_in_any_callback)
{
        _cleanup_event_ sd_event *event = NULL;
        Request a = { .close = true }, b = { .close = true }, other = {};
        Netlink *nl;

        setup(&event, &nl);
        get_links(nl, 1, &a);
        get_links(nl, 0, &other);
        RUN_UNTIL(event, a.n_messages > 0);
        run_pending(event);
        cr_assert_eq(a.n_done, 0);

        cr_assert_eq(netlink_open(event, NETLINK_ROUTE, &nl), 0);
        get_links(nl, 0x7ffffff0, &b);
        get_links(nl, 0, &other);
        RUN_UNTIL(event, b.n_done > 0);
        run_pending(event);
        cr_assert_eq(other.n_messages + other.n_done, 0);
        cr_assert_null(netlink_close(NULL));
}

/* The kernel's FIB_LOOKUP socket drops what is too short without a word. */
Test(request, times_out)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        uint8_t buf[128] __attribute__((aligned(4)));
        struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
        Request r = {}, dump = {}, queued = {};

        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(netlink_open(event, NETLINK_FIB_LOOKUP, &nl), 0);
        netlink_set_timeout(nl, 50 * USEC_PER_MSEC);
        message->nlmsg_type = NLMSG_MIN_TYPE;
        cr_assert_eq(netlink_call(nl, message, on_message, on_done, &r, &r.slot), 0);
        message->nlmsg_flags = NLM_F_DUMP;
        cr_assert_eq(netlink_call(nl, message, on_message, on_done, &dump, &dump.slot), 0);
        cr_assert_eq(netlink_call(nl, message, on_message, on_done, &queued, &queued.slot), 0);
        RUN_UNTIL(event, r.n_done > 0 && dump.n_done > 0 && queued.n_done > 0);
        cr_assert_eq(r.error, -ETIMEDOUT);
        cr_assert_eq(dump.error, -ETIMEDOUT);
        cr_assert_eq(queued.error, -ETIMEDOUT);
        cr_assert_null(r.slot);
}

/* --- notifications --- */

typedef struct Listener {
        unsigned n_messages;
        unsigned n_overruns;
        int error;
} Listener;

static int on_notification(Netlink *nl, const struct nlmsghdr *message, void *userdata)
{
        ((Listener *) userdata)->n_messages++;
        return 0;
}

static void on_overrun(Netlink *nl, int error, void *userdata)
{
        Listener *listener = userdata;

        listener->n_overruns++;
        listener->error = error;
}

Test(notifications, are_told_apart_from_answers)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Listener listener = {};
        Request r = {};

        sandbox_need_root();
        sandbox_enter_bare();
        setup(&event, &nl);
        cr_assert_eq(netlink_subscribe(nl, RTNLGRP_LINK, on_notification, on_overrun, &listener), 0);
        sandbox_shell("ip link set lo up");
        RUN_UNTIL(event, listener.n_messages > 0);
        get_links(nl, 1, &r);
        sandbox_shell("ip link set lo down");
        RUN_UNTIL(event, r.n_done > 0 && listener.n_messages > 1);
        cr_assert_eq(r.n_messages, 1);
        cr_assert_eq(r.error, 0);
        cr_assert_eq(listener.n_overruns, 0);
}

Test(notifications, that_were_dropped_are_reported)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Listener listener = {};
        Request waiting = {}, after = {};

        sandbox_need_root();
        sandbox_enter_bare();
        setup(&event, &nl);
        cr_assert_eq(netlink_subscribe(nl, RTNLGRP_LINK, on_notification, on_overrun, &listener), 0);
        get_links(nl, 1, &waiting);
        sandbox_shell(
                "for i in $(seq 8000); do echo link set lo mtu $((2000 + i %% 2)); done | ip -batch -");
        RUN_UNTIL(event, listener.n_overruns > 0);
        cr_assert_eq(listener.error, -ENOBUFS);
        /* Its answer may be among what was lost, for all that anyone knows. */
        RUN_UNTIL(event, waiting.n_done > 0);
        /* And on it goes. */
        get_links(nl, 0, &after);
        RUN_UNTIL(event, after.n_done > 0);
        cr_assert_eq(after.error, 0);
}

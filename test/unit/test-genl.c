/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "genl.h"

#include <linux/genetlink.h>

#include "event-util.h"
#include "sandbox.h"

typedef struct Result {
        unsigned n;
        int error;
        uint16_t family;
} Result;

static void on_family(int error, uint16_t family, void *userdata)
{
        Result *result = userdata;

        result->n++;
        result->error = error;
        result->family = family;
}

static void setup(sd_event **event, Netlink **nl)
{
        cr_assert_geq(sd_event_new(event), 0);
        cr_assert_eq(netlink_open(*event, NETLINK_GENERIC, nl), 0);
}

Test(genl, finds_a_family)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Result result = {};

        setup(&event, &nl);
        cr_assert_eq(genl_resolve_family(nl, "nlctrl", on_family, &result, /* ret_slot= */ NULL), 0);
        cr_assert_eq(result.n, 0);
        RUN_UNTIL(event, result.n > 0);
        cr_assert_eq(result.error, 0);
        cr_assert_eq(result.family, GENL_ID_CTRL);
}

Test(genl, has_no_family_of_that_name)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Result result = {};

        setup(&event, &nl);
        cr_assert_eq(genl_resolve_family(nl, "no-such-thing", on_family, &result, NULL), 0);
        RUN_UNTIL(event, result.n > 0);
        cr_assert_eq(result.error, -ENOENT);
        cr_assert_eq(genl_resolve_family(nl, "longer-than-any-name", on_family, &result, NULL), -EINVAL);
}

Test(genl, does_not_call_back_when_cancelled)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        Result cancelled = {}, result = {}, closed = {};
        NetlinkSlot *slot;

        setup(&event, &nl);
        cr_assert_eq(genl_resolve_family(nl, "nlctrl", on_family, &cancelled, &slot), 0);
        cr_assert_eq(genl_resolve_family(nl, "nlctrl", on_family, &result, /* ret_slot= */ NULL), 0);
        netlink_slot_free(slot);
        RUN_UNTIL(event, result.n > 0);
        cr_assert_eq(cancelled.n, 0);
        /* One that is under way when the socket goes: a leak would show. */
        cr_assert_eq(genl_resolve_family(nl, "nlctrl", on_family, &closed, /* ret_slot= */ NULL), 0);
        nl = netlink_close(nl);
        run_pending(event);
        cr_assert_eq(closed.n, 0);
}

Test(genl, starts_a_message)
{
        _Alignas(4) uint8_t buf[64];
        struct nlmsghdr *message = genl_start_message(buf, 77, NLM_F_DUMP, 3, 2);
        const struct genlmsghdr *genl = mnl_nlmsg_get_payload(message);

        cr_assert_eq(message->nlmsg_type, 77);
        cr_assert_eq(message->nlmsg_flags, NLM_F_DUMP);
        cr_assert_eq(message->nlmsg_len, sizeof(*message) + sizeof(*genl));
        cr_assert_eq(genl->cmd, 3);
        cr_assert_eq(genl->version, 2);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The programs, loaded into this kernel, whether it has WireGuard or not: generic netlink's own family takes
 * its place, and a command that it has not that of writing a device. */

#include "device-watch.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "event-util.h"
#include "genl.h"
#include "sandbox.h"

typedef struct Fixture {
        sd_event *event;
        DeviceWatch *watch;
        Netlink *ours, *other;
        unsigned n_told;
} Fixture;

static void on_written(void *userdata)
{
        unsigned *n = userdata;

        (*n)++;
}

static Fixture set_up(void)
{
        Fixture f = {};
        int r;

        sandbox_need_root();
        sandbox_enter_bare();
        cr_assert_geq(sd_event_new(&f.event), 0);
        r = device_watch_new(&f.watch);
        if (r < 0)
                cr_skip_test("this kernel cannot be watched: %s", strerror(-r));
        cr_assert_eq(netlink_open(f.event, NETLINK_GENERIC, &f.ours), 0);
        cr_assert_eq(netlink_open(f.event, NETLINK_GENERIC, &f.other), 0);
        return f;
}

static void tear_down(Fixture *f)
{
        netlink_close(f->ours);
        netlink_close(f->other);
        device_watch_free(f->watch);
        sd_event_unref(f->event);
}

static void on_answer(Netlink *nl, int error, void *userdata)
{
        cr_assert_eq(error, -EOPNOTSUPP);
        *(bool *) userdata = true;
}

/* Whoever asks. The kernel is done with it when this returns. */
static void request(Fixture *f, Netlink *nl, uint8_t command)
{
        uint8_t buf[128] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *message = genl_start_message(buf, GENL_ID_CTRL, 0, command, 1);
        bool answered = false;

        cr_assert_eq(netlink_call(nl, message, NULL, on_answer, &answered, NULL), 0);
        RUN_UNTIL(f->event, answered);
}

/* How often others have written so far, nobody being at it. */
static uint64_t count(const Fixture *f)
{
        uint64_t n;

        cr_assert(device_watch_is_quiet(f->watch, &n));
        return n;
}

Test(device_watch, tells_and_counts_what_others_write)
{
        Fixture f = set_up();

        cr_assert_eq(device_watch_start(f.watch, f.event, on_written, &f.n_told), 0);
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 0, "it does not know the family yet");

        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 1);
        RUN_UNTIL(f.event, f.n_told == 1);
        request(&f, f.other, WG_CMD_SET_DEVICE);
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 3);
        tear_down(&f);
}

Test(device_watch, does_not_mind_what_is_no_writing_of_others)
{
        Fixture f = set_up();

        cr_assert_eq(device_watch_start(f.watch, f.event, on_written, &f.n_told), 0);
        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        cr_assert_neq(netlink_port(f.ours), 0);
        cr_assert_neq(netlink_port(f.ours), netlink_port(f.other));
        request(&f, f.ours, WG_CMD_SET_DEVICE);
        request(&f, f.other, WG_CMD_SET_DEVICE + 1);
        cr_assert_eq(count(&f), 0);

        /* In another network namespace. */
        cr_assert_eq(unshare(CLONE_NEWNET), 0);
        netlink_close(f.other);
        cr_assert_eq(netlink_open(f.event, NETLINK_GENERIC, &f.other), 0);
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 0);
        run_pending(f.event);
        cr_assert_eq(f.n_told, 0);
        tear_down(&f);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The programs, loaded into this kernel, whether it has WireGuard or not: generic netlink's own family takes
 * its place, and a command that it has not that of writing a device. What they count is poked at, so that
 * this is a part of what it tests. */

#include "device-watch.c"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <sys/wait.h>

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

/* Asks, and needs not be told what comes of it. */
static void send_request(int fd)
{
        uint8_t buf[128] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *message = genl_start_message(buf, GENL_ID_CTRL, NLM_F_REQUEST, WG_CMD_SET_DEVICE,
                                                      1);

        cr_assert_eq(send(fd, message, message->nlmsg_len, 0), message->nlmsg_len, "%m");
}

/* The namespace's is the one that this process had before. */
static int send_as_root_of_another(int fd)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (unshare(CLONE_NEWUSER) < 0)
                        _exit(77);
                send_request(fd);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

Test(device_watch, does_not_mind_who_may_not_write)
{
        Fixture f = set_up();
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

        cr_assert_geq(fd, 0);
        cr_assert_eq(device_watch_start(f.watch, f.event, on_written, &f.n_told), 0);
        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        cr_assert_eq(seteuid(65534), 0);
        send_request(fd);
        cr_assert_eq(seteuid(0), 0);
        cr_assert_eq(count(&f), 0);
        (void) send_as_root_of_another(fd);
        cr_assert_eq(count(&f), 0);
        run_pending(f.event);
        cr_assert_eq(f.n_told, 0);

        send_request(fd);
        cr_assert_eq(count(&f), 1, "this one may");
        close(fd);
        tear_down(&f);
}

static bool is_quiet(const Fixture *f)
{
        uint64_t n;

        return device_watch_is_quiet(f->watch, &n);
}

/* The last one was when the machine was booted, which has to be long enough ago. */
static void let_time_pass(const Fixture *f)
{
        const struct timespec then = { .tv_sec = DEVICE_WRITE_MAX / 1000000000 + 1 };

        cr_assert_eq(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL), 0);
        f->watch->skeleton->bss->device_writes_last = 0;
}

Test(device_watch, is_not_quiet_while_somebody_writes)
{
        Fixture f = set_up();

        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        request(&f, f.other, WG_CMD_SET_DEVICE);
        f.watch->skeleton->bss->device_writes_begun++;
        cr_assert_not(is_quiet(&f));
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_not(is_quiet(&f), "somebody else's end is not his");
        f.watch->skeleton->bss->device_writes_ended++;
        cr_assert_eq(count(&f), 3);
        tear_down(&f);
}

Test(device_watch, forgets_an_end_that_was_missed)
{
        Fixture f = set_up();

        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        request(&f, f.other, WG_CMD_SET_DEVICE);
        f.watch->skeleton->bss->device_writes_begun++;
        cr_assert_not(is_quiet(&f));
        let_time_pass(&f);
        cr_assert(is_quiet(&f), "nothing takes that long");
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 3, "and not after the next one either");
        tear_down(&f);
}

/* As when the family is told, or the programs are attached, while somebody is in the middle. */
Test(device_watch, counts_no_end_without_its_beginning)
{
        Fixture f = set_up();
        uint32_t thread = (uint32_t) gettid();
        uint64_t round = 0;

        device_watch_set_family(f.watch, GENL_ID_CTRL, netlink_port(f.ours));
        bpf_link__destroy(f.watch->skeleton->links.icewire_device_begun);
        f.watch->skeleton->links.icewire_device_begun = NULL;
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 1, "there was one");

        /* One that began, but before all were given up. */
        f.watch->skeleton->bss->device_writes_round = 1;
        cr_assert_eq(bpf_map_update_elem(bpf_map__fd(f.watch->skeleton->maps.device_writers), &thread,
                                         &round, BPF_ANY),
                     0);
        request(&f, f.other, WG_CMD_SET_DEVICE);
        cr_assert_eq(count(&f), 1);
        tear_down(&f);
}

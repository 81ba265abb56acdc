/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What icewired tells the service manager: that it is fit, or nothing; and how it is. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd-util.h"
#include "log.h"
#include "status-text.h"
#include "watchdog.h"

/* The linker sends calls of now() here: also on a machine that has just booted there is a past. */
usec_t __real_now(clockid_t clock);
usec_t __wrap_now(clockid_t clock);
usec_t __wrap_now(clockid_t clock)
{
        return __real_now(clock) + 24 * USEC_PER_HOUR;
}

#define INTERVAL (30 * USEC_PER_MSEC)

static sd_event *event;
static Manager *manager;
static Broker broker;
static Rendezvous rendezvous;
static int service_manager = -EBADF;

/* A name in the abstract namespace is free as soon as this process ends. */
static void listen_for_notifications(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char name[64];
        int n;

        n = snprintf(name, sizeof(name), "@icewire-test-watchdog-%d", getpid());
        memcpy(address.sun_path, name, (size_t) n);
        address.sun_path[0] = '\0';
        service_manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(service_manager, 0);
        cr_assert_eq(bind(service_manager, (struct sockaddr *) &address,
                          (socklen_t) (offsetof(struct sockaddr_un, sun_path) + (size_t) n)),
                     0);
        setenv("NOTIFY_SOCKET", name, 1);
}

static void watch(bool on)
{
        char text[32];

        snprintf(text, sizeof(text), "%" PRIu64, (uint64_t) (3 * INTERVAL));
        if (on)
                setenv("WATCHDOG_USEC", text, 1);
        else
                unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
}

static void start(void)
{
        static const RendezvousOps ops = { .connects = true };
        Config *config;

        log_set_max_level(LOG_EMERG);
        listen_for_notifications();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", "", 0, &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        rendezvous.ops = &ops;
        rendezvous.name = (char *) "server";
        rendezvous.active = broker.active = now(CLOCK_MONOTONIC);
        manager->broker = &broker;
        manager->rendezvous[0] = &rendezvous;
        manager->n_rendezvous = 1;
}

static void stop(void)
{
        manager->broker = NULL;
        manager->n_rendezvous = 0;
        manager_free(manager);
        sd_event_unref(event);
        close(service_manager);
}

/* Whether the watchdog was fed within some of its turns. */
static bool is_fed(void)
{
        usec_t end = now(CLOCK_MONOTONIC) + 5 * INTERVAL;
        bool fed = false;
        char text[64];
        ssize_t n;

        while (!fed && now(CLOCK_MONOTONIC) < end) {
                cr_assert_geq(sd_event_run(event, INTERVAL), 0);
                while ((n = recv(service_manager, text, sizeof(text) - 1, 0)) > 0) {
                        text[n] = '\0';
                        fed = fed || strstr(text, "WATCHDOG=1");
                }
        }
        return fed;
}

Test(watchdog, is_fed_while_parts_are_at_work)
{
        Watchdog *w;

        start();
        watch(true);
        cr_assert_eq(watchdog_new(event, manager, &w), 1);
        cr_assert(is_fed(), "the broker and the server are away, and both are tried");

        broker.connected = true;
        rendezvous.active = 0;
        cr_assert_not(is_fed(), "nobody tries the server any more");
        cr_assert_not(is_fed());
        rendezvous.state = RENDEZVOUS_STATE_UP;
        cr_assert(is_fed());

        broker.connected = false;
        broker.active = 0;
        cr_assert_not(is_fed(), "nobody tries the broker any more");
        broker.active = now(CLOCK_MONOTONIC);
        cr_assert(is_fed());
        watchdog_free(w);
        cr_assert_not(is_fed());
        stop();
}

/* One that waits for the network does not try. */
Test(watchdog, multicast_has_no_part)
{
        static const RendezvousOps ops = {};
        Watchdog *w;

        start();
        watch(true);
        broker.connected = true;
        rendezvous.ops = &ops;
        rendezvous.state = RENDEZVOUS_STATE_DOWN;
        rendezvous.active = 0;
        cr_assert_eq(watchdog_new(event, manager, &w), 1);
        cr_assert(is_fed());
        watchdog_free(w);
        stop();
}

Test(watchdog, none_is_asked_for)
{
        Watchdog *w = (Watchdog *) &event;

        start();
        watch(false);
        cr_assert_eq(watchdog_new(event, manager, &w), 0);
        cr_assert_null(w);
        cr_assert_not(is_fed());
        cr_assert_null(watchdog_free(NULL));
        stop();
}

static void expect_status(const char *expected)
{
        char *text = status_text(manager);

        cr_expect_str_eq(text, expected);
        free(text);
}

Test(watchdog, status)
{
        start();
        expect_status("Waiting for icewire-broker; 0 peers known; 1 of 1 rendezvous is down");
        manager->broker_ready = true;
        expect_status("0 of 0 peers connected, 0 directly; 1 of 1 rendezvous is down");
        rendezvous.state = RENDEZVOUS_STATE_UP;
        expect_status("0 of 0 peers connected, 0 directly");
        manager->redirect_settled = manager->redirect_known = true;
        manager->redirect_kind = REDIRECT_PROXY;
        expect_status("0 of 0 peers connected, 0 directly; WireGuard's port is not shared");
        manager->n_rendezvous = 0;
        manager->redirect_kind = REDIRECT_EBPF;
        expect_status("0 of 0 peers connected, 0 directly; no rendezvous is configured");
        stop();
}

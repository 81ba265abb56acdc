/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real dbus-daemon that comes and goes. */

#include <sys/un.h>

#include "bus.h"
#include "system-bus.h"

static sd_event *event;
static SystemBus *system_bus;

/* A user that counts, and asks the bus for something that is awaited when it ends. */
typedef struct User {
        SystemBusUser *user;
        unsigned n_connected, n_lost, n_answers;
        sd_bus_slot *call;
        bool leaves; /* when it is told */
} User;

static void start(void)
{
        bus_set_up();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
}

static void stop(void)
{
        system_bus = system_bus_free(system_bus);
        bus_stop();
        event = sd_event_unref(event);
}

TestSuite(system_bus, .init = start, .fini = stop, .timeout = 60);

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        User *user = userdata;

        user->n_answers++;
        return 0;
}

static void on_connected(sd_bus *bus, void *userdata)
{
        User *user = userdata;

        cr_assert_eq(bus, system_bus_get(system_bus));
        user->n_connected++;
        cr_assert_geq(sd_bus_call_method_async(bus, &user->call, "org.freedesktop.DBus",
                                               "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId",
                                               on_answer, user, NULL),
                      0);
        if (user->leaves)
                user->user = system_bus_user_free(user->user);
}

static void on_lost(void *userdata)
{
        User *user = userdata;

        cr_assert_null(system_bus_get(system_bus));
        user->n_lost++;
        user->call = sd_bus_slot_unref(user->call);
}

static void user_add(User *user)
{
        cr_assert_eq(system_bus_add_user(system_bus, on_connected, on_lost, user, &user->user), 0);
}

static void user_remove(User *user)
{
        user->call = sd_bus_slot_unref(user->call);
        user->user = system_bus_user_free(user->user);
}

Test(system_bus, comes_late_and_comes_back)
{
        User early = {}, late = {};

        user_add(&early);
        run_pending(event);
        cr_assert_eq(early.n_connected, 0);
        cr_assert_null(system_bus_get(system_bus));

        bus_start();
        RUN_UNTIL(event, early.n_answers == 1);
        user_add(&late);
        cr_assert_eq(late.n_connected, 1, "told at once of what is there");
        RUN_UNTIL(event, late.n_answers == 1);

        bus_stop();
        RUN_UNTIL(event, early.n_lost == 1 && late.n_lost == 1);
        bus_start();
        RUN_UNTIL(event, early.n_answers == 2 && late.n_answers == 2);
        cr_assert_eq(early.n_connected, 2);
        user_remove(&early);
        user_remove(&late);
}

Test(system_bus, users_leave_when_they_are_told)
{
        User leaving = { .leaves = true }, staying = {};

        user_add(&leaving);
        user_add(&staying);
        bus_start();
        RUN_UNTIL(event, leaving.n_answers == 1 && staying.n_answers == 1);
        bus_stop();
        RUN_UNTIL(event, staying.n_lost == 1);
        cr_assert_eq(leaving.n_lost, 0);
        user_remove(&leaving);
        user_remove(&staying);
}

Test(system_bus, is_given_up_and_connected_to_anew)
{
        User user = {};

        user_add(&user);
        bus_start();
        RUN_UNTIL(event, user.n_answers == 1);
        system_bus_reset(system_bus);
        cr_assert_eq(user.n_lost, 1);
        RUN_UNTIL(event, user.n_answers == 2);
        user_remove(&user);
}

/* Its socket takes nobody in. */
typedef struct FullBus {
        int listener, clients[8];
        size_t n_clients;
} FullBus;

static int unix_socket(struct sockaddr_un *ret)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        cr_assert_geq(fd, 0);
        *ret = (struct sockaddr_un) { .sun_family = AF_UNIX, .sun_path = BUS_PATH };
        return fd;
}

static void full_bus_open(FullBus *b)
{
        struct sockaddr_un sa;

        sandbox_shell("mkdir -p " BUS_FOLDER);
        *b = (FullBus) { .listener = unix_socket(&sa) };
        cr_assert_eq(bind(b->listener, (struct sockaddr *) &sa, sizeof(sa)), 0, "%m");
        cr_assert_eq(listen(b->listener, 0), 0);
        do {
                cr_assert_lt(b->n_clients, ELEMENTSOF(b->clients));
                b->clients[b->n_clients++] = unix_socket(&sa);
        } while (connect(b->clients[b->n_clients - 1], (struct sockaddr *) &sa, sizeof(sa)) == 0);
        cr_assert_eq(errno, EAGAIN);
}

static void full_bus_close(FullBus *b)
{
        close(b->listener);
        while (b->n_clients > 0)
                close(b->clients[--b->n_clients]);
        cr_assert_eq(unlink(BUS_PATH), 0);
}

Test(system_bus, is_tried_again_while_it_has_no_room)
{
        usec_t end = now(CLOCK_MONOTONIC) +
                     3 * USEC_PER_SEC / 2; /* a try at the start, one after a second */
        SystemBus *own = system_bus_free(system_bus);
        FullBus full;

        full_bus_open(&full);
        cr_assert_eq(system_bus_new(event, "test", &own), 0);
        while (now(CLOCK_MONOTONIC) < end)
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        cr_assert_null(system_bus_get(own));
        full_bus_close(&full);
        bus_start();
        RUN_UNTIL(event, system_bus_get(own));
        system_bus = own;
}

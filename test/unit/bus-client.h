/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client of the test's bus on the test's own loop, where it must not wait: each call runs the loop until
 * its answer is there. And what it hears of org.icewire1's signals. */

#include "agent-bus.h"
#include "bus.h"
#include "string-util.h"
#include "system-bus.h"

#define MANAGER_PATH "/org/icewire1"

typedef struct BusClient {
        sd_event *event;
        sd_bus *bus;
        sd_bus_message *answer;       /* a reference; to the last call */
        sd_bus_message *signals[256]; /* references */
        size_t n_signals;
        unsigned n_answers;
} BusClient;

static int bus_client_on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        BusClient *c = userdata;

        sd_bus_message_unref(c->answer);
        c->answer = sd_bus_message_ref(m);
        c->n_answers++;
        return 0;
}

static int bus_client_on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        BusClient *c = userdata;

        cr_assert_lt(c->n_signals, ELEMENTSOF(c->signals));
        c->signals[c->n_signals++] = sd_bus_message_ref(m);
        return 0;
}

static inline void bus_client_forget(BusClient *c)
{
        while (c->n_signals > 0)
                sd_bus_message_unref(c->signals[--c->n_signals]);
        c->answer = sd_bus_message_unref(c->answer);
}

/* Waits until org.icewire1 is on the bus. */
static inline void bus_client_open(BusClient *c, sd_event *event, uid_t uid)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;

        *c = (BusClient) { .event = event, .bus = bus_client_as(uid) };
        cr_assert_geq(sd_bus_add_match(c->bus, NULL,
                                       "type='signal',sender='" AGENT_BUS_NAME
                                       "',path_namespace='" MANAGER_PATH "'",
                                       bus_client_on_signal, c),
                      0);
        while (sd_bus_get_name_creds(c->bus, AGENT_BUS_NAME, 0, NULL) < 0) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "org.icewire1 does not come");
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        }
        cr_assert_geq(sd_bus_attach_event(c->bus, event, 0), 0);
        run_pending(event);
}

static inline void bus_client_close(BusClient *c)
{
        bus_client_forget(c);
        c->bus = sd_bus_close_unref(c->bus);
}

/* Sends a call with its message's flag for interaction as given. */
static inline void bus_client_send(BusClient *c, bool interactive, const char *path, const char *interface,
                                   const char *member, const char *types, ...)
{
        sd_bus_message *m;
        va_list ap;

        cr_assert_geq(sd_bus_message_new_method_call(c->bus, &m, AGENT_BUS_NAME, path, interface, member),
                      0);
        cr_assert_geq(sd_bus_message_set_allow_interactive_authorization(m, interactive), 0);
        if (types) {
                va_start(ap, types);
                cr_assert_geq(sd_bus_message_appendv(m, types, ap), 0);
                va_end(ap);
        }
        cr_assert_geq(sd_bus_call_async(c->bus, NULL, m, bus_client_on_answer, c, 0), 0);
        sd_bus_message_unref(m);
}

/* The answer is lent, until the next. */
#define bus_client_call(c, path, interface, ...)                                                            \
        ({                                                                                                  \
                unsigned _before = (c)->n_answers;                                                          \
                bus_client_send((c), false, path, interface, __VA_ARGS__);                                  \
                RUN_UNTIL((c)->event, (c)->n_answers > _before);                                            \
                (c)->answer;                                                                                \
        })

#define EXPECT_BUS_ERROR(c, expected)                                                                       \
        do {                                                                                                \
                const sd_bus_error *_e = sd_bus_message_get_error((c)->answer);                             \
                cr_assert_not_null(_e, "no error");                                                         \
                cr_assert_str_eq(_e->name, expected, "%s: %s", _e->name, _e->message);                      \
                cr_assert(!isempty(_e->message));                                                           \
        } while (false)

#define EXPECT_BUS_SUCCESS(c)                                                                               \
        do {                                                                                                \
                const sd_bus_error *_e = sd_bus_message_get_error((c)->answer);                             \
                cr_assert_null(_e, "%s: %s", _e->name, _e->message);                                        \
        } while (false)

/* How many signals have come by this name; the last is left in *ret, if there is one. */
static inline size_t bus_client_count(const BusClient *c, const char *member, const char *path,
                                      sd_bus_message **ret)
{
        size_t n = 0;

        for (size_t i = 0; i < c->n_signals; i++) {
                if (!streq(sd_bus_message_get_member(c->signals[i]), member) ||
                    !streq(sd_bus_message_get_path(c->signals[i]), path))
                        continue;
                n++;
                if (ret)
                        *ret = c->signals[i];
        }
        return n;
}

/* The names of the properties that a PropertiesChanged has, each behind a blank. The caller owns them. */
static inline char *bus_changed_names(sd_bus_message *m)
{
        const char *interface, *name;
        char *names = strdup("");

        cr_assert_geq(sd_bus_message_rewind(m, true), 0);
        cr_assert_gt(sd_bus_message_read(m, "s", &interface), 0);
        cr_assert_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                char *more;

                cr_assert_gt(sd_bus_message_read(m, "s", &name), 0);
                cr_assert_gt(sd_bus_message_skip(m, "v"), 0);
                cr_assert_geq(sd_bus_message_exit_container(m), 0);
                more = asprintf_safe("%s %s", names, name);
                free(names);
                names = more;
        }
        return names;
}

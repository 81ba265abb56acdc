/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "history.h"

static Path path_at(PathKind kind, uint16_t port)
{
        Path path = { .kind = kind,
                      .local = { .type = ICE_CANDIDATE_HOST },
                      .remote = { .type = ICE_CANDIDATE_SRFLX } };

        cr_assert_eq(socket_address_from_ip("192.0.2.1", 51820, &path.local.address), 0);
        cr_assert_eq(socket_address_from_ip("2001:db8::1", port, &path.remote.address), 0);
        return path;
}

static const Path no_path = { .round_trip_time = USEC_INFINITY };

static int record(History *h, const Path *path, PathCause cause)
{
        return history_record(h, path, cause, 1000 + h->n, 10 + h->n);
}

Test(history, nothing_has_happened)
{
        History h = {};

        cr_assert_eq(history_count(&h), 0);
        cr_assert_eq(record(&h, &no_path, PATH_CAUSE_PATH_LOST), 0, "there was none before");
        cr_assert_eq(history_count(&h), 0);
        cr_assert_null(h.entries);
        history_done(&h);
}

Test(history, a_change_is_from_to_when_and_why)
{
        Path direct = path_at(PATH_DIRECT, 1), relayed = path_at(PATH_RELAYED, 2);
        HistoryChange change;
        History h = {};

        relayed.remote.type = ICE_CANDIDATE_RELAY;
        relayed.remote.transport = ICE_TRANSPORT_TCP_SO;
        cr_assert_eq(history_record(&h, &relayed, PATH_CAUSE_UNKNOWN, 7, 3), 1);
        cr_assert_eq(history_record(&h, &direct, PATH_CAUSE_ADDRESS_CHANGED, 8, 4), 1);
        cr_assert_eq(history_count(&h), 2);
        history_get(&h, 0, &change);
        cr_assert_eq(change.from.kind, PATH_NONE);
        cr_assert_eq(change.cause, PATH_CAUSE_FIRST_PATH);
        cr_assert_eq(change.to.remote_type, ICE_CANDIDATE_RELAY);
        cr_assert_eq(change.to.transport, ICE_TRANSPORT_TCP_SO);
        history_get(&h, 1, &change);
        cr_assert_eq(change.realtime, 8);
        cr_assert_eq(change.boottime, 4);
        cr_assert_eq(change.from.kind, PATH_RELAYED);
        cr_assert_eq(change.to.kind, PATH_DIRECT);
        cr_assert_eq(change.cause, PATH_CAUSE_ADDRESS_CHANGED);
        cr_assert(socket_address_equal(&change.from.remote, &relayed.remote.address));
        cr_assert(socket_address_equal(&change.to.local, &direct.local.address));
        history_done(&h);
}

Test(history, what_is_the_same_is_no_change)
{
        Path path = path_at(PATH_DIRECT, 1);
        History h = {};

        cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
        path.since = 5;
        path.round_trip_time = 6;
        path.remote.priority = 7;
        cr_assert_eq(record(&h, &path, PATH_CAUSE_POLICY), 0);
        path.kind = PATH_PROXIED;
        cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
        path.local.type = ICE_CANDIDATE_SRFLX;
        cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
        path.remote.transport = ICE_TRANSPORT_TCP_ACTIVE;
        cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
        history_done(&h);
}

Test(history, a_path_of_wireguards_own_has_an_endpoint_only)
{
        Path path = { .kind = PATH_DIRECT };
        HistoryChange change;
        History h = {};

        cr_assert_eq(socket_address_from_ip("192.0.2.9", 9, &path.endpoint), 0);
        cr_assert_eq(record(&h, &path, PATH_CAUSE_ENDPOINT_BY_OTHERS), 1);
        history_get(&h, 0, &change);
        cr_assert(socket_address_equal(&change.to.remote, &path.endpoint));
        cr_assert_not(socket_address_is_set(&change.to.local));
        history_done(&h);
}

Test(history, causes_that_follow_from_the_change)
{
        Path one = path_at(PATH_DIRECT, 1), other = path_at(PATH_DIRECT, 2);
        static const PathCause expected[] = { PATH_CAUSE_FIRST_PATH, PATH_CAUSE_BETTER_PATH,
                                              PATH_CAUSE_PATH_LOST, PATH_CAUSE_PATH_FOUND };
        const Path *paths[] = { &one, &other, &no_path, &one };
        HistoryChange change;
        History h = {};

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                cr_assert_eq(record(&h, paths[i], PATH_CAUSE_UNKNOWN), 1);
                history_get(&h, i, &change);
                cr_assert_eq(change.cause, expected[i], "%zu: %s", i, path_cause_to_string(change.cause));
        }
        history_done(&h);
}

/* Over a long time, the last ones are kept, and each is from where the one before it has led. */
Test(history, the_last_ones_are_kept)
{
        HistoryChange change;
        History h = {};

        for (unsigned n = 1; n <= 1000; n++) {
                Path path = path_at(PATH_DIRECT, (uint16_t) n);
                size_t count = MIN((size_t) n, (size_t) HISTORY_MAX);

                cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
                cr_assert_eq(history_count(&h), count);
                for (size_t i = 0; i < count; i++) {
                        unsigned port = n - (unsigned) (count - 1 - i);

                        history_get(&h, i, &change);
                        cr_assert_eq(socket_address_port(&change.to.remote), port);
                        cr_assert_eq(change.realtime, 1000 + port - 1);
                        if (port > 1)
                                cr_assert_eq(socket_address_port(&change.from.remote), port - 1);
                        else
                                cr_assert_eq(change.from.kind, PATH_NONE);
                }
        }
        cr_assert_leq(h.allocated, (size_t) HISTORY_MAX + 1);
        history_done(&h);
}

Test(history, it_costs_what_is_in_it)
{
        Path path = path_at(PATH_DIRECT, 1);
        History h = {};

        cr_assert_eq(record(&h, &path, PATH_CAUSE_UNKNOWN), 1);
        cr_assert_leq(h.allocated * sizeof(*h.entries), 512);
        history_done(&h);
        cr_assert_null(h.entries);
        history_done(&h);
}

Test(history, causes_have_names)
{
        for (PathCause c = 0; c < _PATH_CAUSE_MAX; c++)
                cr_assert_eq(path_cause_from_string(path_cause_to_string(c)), c);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is told of a peer's negotiations, of two real ones. */

#include "agent-json.h"
#include "json.h"
#include "string-util.h"
#include "varlink-util.h"
#include "world.h"

static sd_json_variant *describe(Side *side)
{
        sd_json_variant *v;

        cr_assert_eq(peer_details_build_json(peer_of(side), &v), 0);
        return v;
}

static sd_json_variant *first(sd_json_variant *v, const char *array)
{
        sd_json_variant *item = sd_json_variant_by_index(at(v, array), 0);

        cr_assert_not_null(item, "%s is empty", array);
        return item;
}

static bool has_candidate(sd_json_variant *session, const char *array, sd_json_variant *address)
{
        sd_json_variant *candidates = at(session, array);

        for (size_t i = 0; i < sd_json_variant_elements(candidates); i++)
                if (sd_json_variant_equal(at(sd_json_variant_by_index(candidates, i), "address"), address))
                        return true;
        return false;
}

Test(peer_details, before_anything)
{
        World *w = world_new();
        sd_json_variant *v;

        start(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a));
        v = describe(&w->a);
        cr_assert_str_eq(string_at(at(v, "peer"), "state"), "waiting");
        cr_assert_eq(sd_json_variant_elements(at(v, "sessions")), 0);
        cr_assert_eq(sd_json_variant_elements(at(v, "changes")), 0);
        cr_assert_str_eq(string_at(at(v, "there"), "ipv4"), "unknown");
        cr_assert_str_eq(string_at(at(v, "here"), "policy"), "auto");
        sd_json_variant_unref(v);
        world_free(w);
}

Test(peer_details, of_a_negotiation)
{
        World *w = world_new_shared();
        sd_json_variant *a, *b, *session, *pair;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w) && peer_of(&w->a)->session && peer_of(&w->b)->session);
        a = describe(&w->a);
        b = describe(&w->b);
        session = first(a, "sessions");
        cr_assert_str_eq(string_at(session, "id"), string_at(first(b, "sessions"), "id"));
        cr_assert_eq(strlen(string_at(session, "id")), 16);
        cr_assert(sd_json_variant_boolean(at(session, "controlling")));
        cr_assert_not(sd_json_variant_boolean(at(first(b, "sessions"), "controlling")));
        cr_assert(sd_json_variant_boolean(at(session, "inUse")));
        cr_assert(sd_json_variant_boolean(at(session, "shared")));
        cr_assert_leq(number_at(session, "startedUSec"), now(CLOCK_REALTIME));

        /* What b is told, and has taken, is what a has. */
        pair = at(session, "selected");
        cr_assert(has_candidate(session, "local", at(at(pair, "local"), "address")));
        cr_assert(has_candidate(session, "remote", at(at(pair, "remote"), "address")));
        cr_assert(has_candidate(first(b, "sessions"), "remote", at(at(pair, "local"), "address")));
        cr_assert_gt(number_at(first(session, "local"), "priority"), 0);

        cr_assert_str_eq(string_at(first(a, "changes"), "cause"), "first_path");
        cr_assert_str_eq(string_at(at(a, "peer"), "state"), "connected");
        cr_assert_str_eq(string_at(at(a, "there"), "policy"), "auto");
        sd_json_variant_unref(a);
        sd_json_variant_unref(b);
        world_free(w);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What both APIs do with the model, around one that a fake broker would fill. */

#include "json.h"
#include "model.h"
#include "peer-policy.h"
#include "string-util.h"

static WireguardDevice *devices[2];

static void add_link(size_t i, const char *name, const uint8_t *peers, size_t n)
{
        devices[i] = model_device(name, (uint8_t) (i + 1));
        for (size_t k = 0; k < n; k++)
                model_add_peer(devices[i], peers[k]);
        model_tell(devices[i]);
}

static int on_reload(void *userdata, unsigned *ret_n_problems, char **ret_message)
{
        *ret_n_problems = 4;
        return 0;
}

/* wg0 has the peers 1, 2 and 3, and wg1 has 1 and 9. */
static void set_up(void)
{
        model_set_up(on_reload);
        add_link(0, "wg0", (const uint8_t[]) { 1, 2, 3 }, 3);
        add_link(1, "wg1", (const uint8_t[]) { 1, 9 }, 2);
        run_pending(event);
}

static void tear_down(void)
{
        model_tear_down();
        for (size_t i = 0; i < ELEMENTSOF(devices); i++)
                devices[i] = wireguard_device_free(devices[i]);
}

TestSuite(verbs, .init = set_up, .fini = tear_down, .timeout = 60);

static Peer *peer_at(const char *link, uint8_t number)
{
        Peer *peer = link_find_peer(manager_find_link(manager, link),
                                    &(WireguardKey) { .bytes = { number } });

        cr_assert_not_null(peer);
        return peer;
}

/* ---- Which peers ---- */

static int note(Peer *peer, void *userdata)
{
        char *names = userdata;

        (void) sprintf(names + strlen(names), "%s/%u ", peer->link->name, peer->public_key.bytes[0]);
        return 0;
}

#define expect_peers(expected, ...)                                                                         \
        do {                                                                                                \
                char _names[128] = "";                                                                      \
                int _r = verbs_for_each_peer(verbs, &(PeerSelection) { __VA_ARGS__ }, note, _names);        \
                cr_assert_str_eq(_names, expected);                                                         \
                cr_assert_eq(_r, (int) strspn_words(_names));                                               \
        } while (false)

static size_t strspn_words(const char *s)
{
        size_t n = 0;

        for (; *s; s++)
                n += *s == ' ';
        return n;
}

Test(verbs, peers_are_chosen)
{
        peer_at("wg0", 2)->state = PEER_STATE_CONNECTED;
        peer_at("wg0", 2)->path.kind = PATH_RELAYED;
        peer_at("wg1", 9)->state = PEER_STATE_CONNECTED;
        peer_at("wg1", 9)->path.kind = PATH_DIRECT;

        expect_peers("wg0/1 wg0/2 wg0/3 wg1/1 wg1/9 ", );
        expect_peers("wg1/1 wg1/9 ", .link = "wg1");
        expect_peers("wg0/1 wg1/1 ", .peer.bytes = { 1 });
        expect_peers("wg1/1 ", .link = "wg1", .peer.bytes = { 1 });
        expect_peers("wg0/2 wg1/9 ", .states = 1u << PEER_STATE_CONNECTED);
        expect_peers("wg1/9 ", .paths = 1u << PATH_DIRECT);
        expect_peers("wg0/2 wg1/9 ", .paths = 1u << PATH_DIRECT | 1u << PATH_RELAYED);
        expect_peers("wg0/2 ", .link = "wg0", .states = 1u << PEER_STATE_CONNECTED);
        expect_peers("", .states = 1u << PEER_STATE_FAILED);
        expect_peers("", .peer.bytes = { 1 }, .paths = 1u << PATH_RELAYED);
}

static int fail(Peer *peer, void *userdata)
{
        unsigned *n = userdata;

        return ++*n == 2 ? -EXFULL : 0;
}

Test(verbs, what_is_not_there_is_an_error)
{
        PeerSelection everybody = {};
        unsigned n = 0;

        cr_assert_eq(verbs_check_selection(verbs, &everybody), 0);
        cr_assert_eq(verbs_check_selection(verbs, &(PeerSelection) { .link = "wg2" }), -ENODEV);
        cr_assert_eq(verbs_check_selection(verbs, &(PeerSelection) { .peer.bytes = { 4 } }), -ENOENT);
        cr_assert_eq(verbs_check_selection(verbs, &(PeerSelection) { .link = "wg0", .peer.bytes = { 9 } }),
                     -ENOENT);
        cr_assert_eq(verbs_check_selection(verbs, &(PeerSelection) { .link = "wg2", .peer.bytes = { 9 } }),
                     -ENODEV);
        cr_assert_eq(verbs_for_each_peer(verbs, &(PeerSelection) { .peer.bytes = { 4 } }, fail, &n),
                     -ENOENT);
        cr_assert_eq(n, 0);
        cr_assert_eq(verbs_for_each_peer(verbs, &everybody, fail, &n), -EXFULL);
        cr_assert_eq(n, 2);
}

/* ---- What changes something ---- */

Test(verbs, reconnect)
{
        cr_assert_eq(verbs_reconnect(verbs, &(PeerSelection) { .link = "wg0", .peer.bytes = { 2 } }), 1);
        cr_assert(peer_at("wg0", 2)->renew);
        cr_assert_eq(peer_at("wg0", 2)->because, PATH_CAUSE_RECONNECT_REQUESTED);
        cr_assert_not(peer_at("wg0", 1)->renew);
        cr_assert_eq(verbs_reconnect(verbs, &(PeerSelection) { .link = "wg7" }), -ENODEV);
}

Test(verbs, policy)
{
        cr_assert_eq(verbs_set_policy(verbs, &(PeerSelection) { .peer.bytes = { 1 } }, POLICY_OFF), 2);
        cr_assert_eq(peer_at("wg0", 1)->policy, POLICY_OFF);
        cr_assert(peer_at("wg1", 1)->policy_temporary);
        cr_assert_eq(peer_at("wg1", 9)->policy, POLICY_AUTO);
        cr_assert_eq(verbs_set_policy(verbs, &(PeerSelection) { .peer.bytes = { 7 } }, POLICY_OFF), -ENOENT);
}

Test(verbs, reload)
{
        char *message = NULL;
        unsigned n = 0;

        cr_assert_eq(verbs_reload(verbs, &n, &message), 0);
        cr_assert_eq(n, 4);
        cr_assert_null(message);
}

/* ---- What takes time ---- */

typedef struct Waiter {
        VerbsWait *wait;
        unsigned n, n_finished;
        struct Waiter *ends, *starts; /* when it is called */
} Waiter;

static void on_refreshed(void *userdata)
{
        Waiter *w = userdata;

        w->wait = NULL;
        w->n++;
        if (w->ends)
                w->ends->wait = verbs_wait_free(w->ends->wait);
        if (w->starts)
                cr_assert_eq(verbs_refresh(verbs, on_refreshed, w->starts, &w->starts->wait), 1);
}

static void refresh(Waiter *w)
{
        cr_assert_eq(verbs_refresh(verbs, on_refreshed, w, &w->wait), 1);
}

Test(verbs, one_reading_for_all_who_wait)
{
        Waiter a = {}, b = {}, gone = {};
        BrokerCall *c;
        int n;

        refresh(&a);
        refresh(&b);
        refresh(&gone);
        DL_COUNT(calls, c, n);
        cr_assert_eq(n, 2, "one for each link");
        verbs_wait_free(gone.wait);
        devices[0]->peers[0].rx_bytes = 77;
        answer_with(0, devices[0]);
        cr_assert_eq(a.n, 1);
        cr_assert_eq(b.n, 1);
        cr_assert_eq(gone.n, 0);
        cr_assert_eq(peer_at("wg0", 1)->rx_bytes, 77);
}

/* Who is called may end others, and what is begun then is another reading. */
Test(verbs, who_is_told_may_do_anything)
{
        Waiter next = {}, ended = {}, first = { .ends = &ended, .starts = &next };

        refresh(&first);
        refresh(&ended);
        answer_with(0, devices[0]);
        cr_assert_eq(first.n, 1);
        cr_assert_eq(ended.n, 0);
        cr_assert_eq(next.n, 0);
        answer_with(0, devices[0]);
        cr_assert_eq(next.n, 1);
}

Test(verbs, without_a_broker_nothing_is_fresher)
{
        Waiter w = {};

        broker.connected = false;
        cr_assert_eq(verbs_refresh(verbs, on_refreshed, &w, &w.wait), 0);
        cr_assert_null(w.wait);
}

static void on_report(sd_json_variant *report, bool finished, void *userdata)
{
        Waiter *w = userdata;

        w->n++;
        cr_assert_eq(number_at(report, "pending") == 0, finished);
        if (!finished)
                return;
        w->n_finished++;
        w->wait = NULL;
        if (w->ends)
                w->ends->wait = verbs_wait_free(w->ends->wait);
}

Test(verbs, one_diagnosis_for_all_who_wait)
{
        Waiter b = {}, gone = {}, ended = {}, a = { .ends = &ended };

        cr_assert_eq(verbs_diagnose(verbs, on_report, &a, &a.wait), 0);
        cr_assert_eq(verbs_diagnose(verbs, on_report, &b, &b.wait), 0);
        cr_assert_eq(verbs_diagnose(verbs, on_report, &gone, &gone.wait), 0);
        cr_assert_eq(verbs_diagnose(verbs, on_report, &ended, &ended.wait), 0);
        cr_assert_eq(a.n, 0);
        verbs_wait_free(gone.wait);
        RUN_UNTIL(event, b.n_finished);
        cr_assert_eq(a.n_finished, 1);
        cr_assert_eq(gone.n, 0);
        cr_assert_eq(ended.n_finished, 0);
}

/* ---- What changes ---- */

typedef struct Listener {
        VerbsListener listener;
        unsigned n_links, n_peers, n_rendezvous, n_removed;
        struct Listener *silences; /* removed when this one is called */
} Listener;

static void heard(Listener *l, unsigned *n, bool removed)
{
        *n += 1;
        l->n_removed += removed;
        if (l->silences)
                verbs_remove_listener(verbs, &l->silences->listener);
        l->silences = NULL;
}

static void on_link(Link *link, bool removed, void *userdata)
{
        heard(userdata, &((Listener *) userdata)->n_links, removed);
}

static void on_peer(Peer *peer, bool removed, void *userdata)
{
        heard(userdata, &((Listener *) userdata)->n_peers, removed);
}

static void on_rendezvous(Rendezvous *r, bool removed, void *userdata)
{
        heard(userdata, &((Listener *) userdata)->n_rendezvous, removed);
}

static void listen_all(Listener *l)
{
        l->listener = (VerbsListener) {
                .link_changed = on_link,
                .peer_changed = on_peer,
                .rendezvous_changed = on_rendezvous,
                .userdata = l,
        };
        verbs_add_listener(verbs, &l->listener);
}

Test(verbs, listeners_hear_of_changes)
{
        Listener a = {}, deaf = {}, b = {};

        listen_all(&a);
        verbs_add_listener(verbs, &deaf.listener);
        listen_all(&b);
        broker.callbacks->link_removed(&broker, "wg1", manager);
        run_pending(event);
        cr_assert_eq(a.n_links, 1);
        cr_assert_eq(a.n_peers, 2);
        cr_assert_eq(a.n_removed, 3);
        cr_assert_eq(b.n_removed, 3);
        verbs_tell_rendezvous(verbs, &(Rendezvous) {}, /* removed= */ true);
        cr_assert_eq(a.n_rendezvous, 1);
        verbs_remove_listener(verbs, &a.listener);
        verbs_remove_listener(verbs, &deaf.listener);
        verbs_tell_rendezvous(verbs, &(Rendezvous) {}, /* removed= */ false);
        cr_assert_eq(a.n_rendezvous, 1);
        cr_assert_eq(b.n_rendezvous, 2);
        verbs_remove_listener(verbs, &b.listener);
}

/* Itself, or the one whose turn is next. */
Test(verbs, a_listener_may_go_while_all_are_told)
{
        Listener self = {}, next = {}, last = {};

        listen_all(&self);
        listen_all(&next);
        listen_all(&last);
        self.silences = &self;
        next.silences = &last;
        verbs_tell_rendezvous(verbs, &(Rendezvous) {}, /* removed= */ false);
        cr_assert_eq(self.n_rendezvous, 1);
        cr_assert_eq(next.n_rendezvous, 1);
        cr_assert_eq(last.n_rendezvous, 0);
        verbs_tell_rendezvous(verbs, &(Rendezvous) {}, /* removed= */ false);
        cr_assert_eq(self.n_rendezvous, 1);
        cr_assert_eq(next.n_rendezvous, 2);
        verbs_remove_listener(verbs, &next.listener);
}

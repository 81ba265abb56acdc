/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <utlist.h>

#include "event-util.h"
#include "string-util.h"
#include "world.h"

/* A call that the fake broker answers at a later turn of the loop, one after the other, as the real one
 * does.
 */
struct BrokerCall {
        Side *side;
        broker_data_callback_t on_data;
        broker_done_callback_t on_done;
        broker_topics_callback_t on_topics;
        broker_device_callback_t on_device;
        broker_redirect_callback_t on_redirect;
        broker_move_callback_t on_move;
        bool sets_endpoint;
        void *userdata;
        int error;
        char *data;
        size_t size;
        WireguardKey key;
        SocketAddress endpoint;
        int keepalive;
        uint64_t packets;
        char send[TOPIC_STRLEN], receive[TOPIC_STRLEN];
        BrokerCall *prev, *next;
};

BrokerCall *broker_call_free(BrokerCall *c)
{
        if (!c)
                return NULL;
        DL_DELETE(c->side->broker->calls, c);
        free(c->data);
        free(c);
        return NULL;
}

static int set_endpoint_now(BrokerCall *c)
{
        WireguardPeer *peer = wireguard_device_find_peer(c->side->device, &c->key);

        if (!peer)
                return -ENOENT;
        if (c->side->refuses_endpoints)
                return -EIO;
        if (socket_address_is_set(&c->endpoint))
                change_endpoint(c->side, &c->endpoint);
        if (c->keepalive > 0 && peer->persistent_keepalive == 0)
                wireguard_keep_alive(c->side);
        if (c->keepalive >= 0)
                peer->persistent_keepalive = (uint16_t) c->keepalive;
        return 0;
}

static bool shares(const Side *side)
{
        return side->world->redirect && !side->world->redirect_withdrawn && !side->shares_nothing;
}

/* lost: 0, or why there is no answer. */
static void finish_call(BrokerCall *c, int lost)
{
        Side *side = c->side;
        Broker *b = &side->broker->b;
        int error = lost < 0 ? lost : c->error;

        /* The callback may free everything but the call, which is over. */
        if (c->on_data)
                c->on_data(b, error, c->data, c->size, error < 0 ? "refused by the fake broker" : NULL,
                           c->userdata);
        else if (c->on_topics)
                c->on_topics(b, error, c->send, c->receive, c->userdata);
        else if (c->on_device)
                c->on_device(b, error, side->device, c->userdata);
        else if (c->on_redirect)
                c->on_redirect(b, lost, shares(side) ? REDIRECT_EBPF : REDIRECT_PROXY,
                               shares(side) ? NULL : "the test shares nothing", c->userdata);
        else if (c->on_move)
                c->on_move(b, error, error < 0 ? 0 : c->packets + side->moved_packets, c->userdata);
        else if (c->on_done)
                c->on_done(b, lost == 0 && c->sets_endpoint ? set_endpoint_now(c) : error, c->userdata);
        broker_call_free(c);
}

static int on_answer(sd_event_source *source, void *userdata);

static void schedule_answer(FakeBroker *f)
{
        cr_assert_geq(event_defer_once(f->side->world->event, &f->answer, on_answer, f->side, "fake-broker"),
                      0);
}

static int on_answer(sd_event_source *source, void *userdata)
{
        Side *side = userdata;

        if (side->broker->calls)
                finish_call(side->broker->calls, /* lost= */ 0);
        if (side->broker && side->broker->calls)
                schedule_answer(side->broker);
        return 0;
}

static BrokerCall *call_new(Broker *b, void *userdata)
{
        FakeBroker *f = (FakeBroker *) b;
        BrokerCall *c = new0(BrokerCall, 1);

        *c = (BrokerCall) { .side = f->side, .userdata = userdata };
        DL_APPEND(f->calls, c);
        schedule_answer(f);
        return c;
}

EnvelopeKeys keys_of(Side *side, const WireguardKey *peer)
{
        return (EnvelopeKeys) {
                .private_key = &side->private_key,
                .public_key = &side->public_key,
                .peer = peer,
                .preshared_key = &side->preshared_key,
        };
}

static int fake_seal(Broker *b, const char *link, const WireguardKey *peer, const void *body, size_t size,
                     broker_data_callback_t callback, void *userdata, BrokerCall **ret)
{
        EnvelopeKeys keys = keys_of(((FakeBroker *) b)->side, peer);
        BrokerCall *c = call_new(b, userdata);

        c->on_data = callback;
        c->error = envelope_seal(&keys, body, size, (uint8_t **) &c->data, &c->size);
        *ret = c;
        return 0;
}

static int fake_open(Broker *b, const char *link, const WireguardKey *peer, const void *envelope,
                     size_t size, broker_data_callback_t callback, void *userdata, BrokerCall **ret)
{
        EnvelopeKeys keys = keys_of(((FakeBroker *) b)->side, peer);
        BrokerCall *c = call_new(b, userdata);

        c->on_data = callback;
        c->error = envelope_open(&keys, envelope, size, &c->data, &c->size, NULL);
        *ret = c;
        return 0;
}

static int fake_derive_topics(Broker *b, const char *link, const WireguardKey *peer,
                              broker_topics_callback_t callback, void *userdata, BrokerCall **ret)
{
        EnvelopeKeys keys = keys_of(((FakeBroker *) b)->side, peer);
        BrokerCall *c = call_new(b, userdata);

        c->on_topics = callback;
        c->error = envelope_derive_topics(&keys, c->send, c->receive);
        *ret = c;
        return 0;
}

static int fake_set_endpoint(Broker *b, const char *link, const WireguardKey *key,
                             const SocketAddress *endpoint, int keepalive, broker_done_callback_t callback,
                             void *userdata, BrokerCall **ret)
{
        BrokerCall *c = call_new(b, userdata);

        c->on_done = callback;
        c->sets_endpoint = true;
        c->key = *key;
        c->endpoint = *endpoint;
        c->keepalive = keepalive;
        *ret = c;
        return 0;
}

static int fake_read_link(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                          BrokerCall **ret)
{
        BrokerCall *c = call_new(b, userdata);

        c->side->n_readings++;
        c->on_device = callback;
        *ret = c;
        return 0;
}

static int fake_set_redirect(Broker *b, RedirectMode mode, const int *uplinks, size_t n_uplinks,
                             const SocketAddress *relays, size_t n_relays,
                             broker_redirect_callback_t callback, void *userdata, BrokerCall **ret)
{
        BrokerCall *c = call_new(b, userdata);

        c->side->n_redirect_calls++;
        c->on_redirect = callback;
        *ret = c;
        return 0;
}

static RedirectSocket describe_socket(Side *side, int fd, const char *ufrag, bool keeps_relays)
{
        RedirectSocket s = { .wireguard_port = side->device->listen_port, .keeps_relays = keeps_relays };
        socklen_t size = sizeof(s.local), cookie_size = sizeof(s.cookie);

        cr_assert_geq(getsockname(fd, &s.local.sa, &size), 0);
        cr_assert_geq(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &cookie_size), 0);
        strcpy(s.ufrag, ufrag);
        return s;
}

/* The real thing, by the programs on loopback. */
static int fake_add_sockets(Broker *b, const char *link, const char *ufrag, bool keeps_relays,
                            const int *fds, size_t n, broker_done_callback_t callback, void *userdata,
                            BrokerCall **ret)
{
        BrokerCall *c = call_new(b, userdata);
        World *w = c->side->world;

        cr_assert_not_null(w->redirect);
        cr_assert_str_eq(link, "wg0");
        for (size_t i = 0; i < n && !c->side->leaves_elsewhere; i++) {
                RedirectSocket s = describe_socket(c->side, fds[i], ufrag, keeps_relays);

                cr_assert_lt(w->n_shared, ELEMENTSOF(w->shared));
                c->error = w->refuses_sockets ? -ENOSPC : w->redirect->ops->add(w->redirect, &s);
                if (c->error >= 0)
                        w->shared[w->n_shared++] = s;
        }
        c->on_done = callback;
        *ret = c;
        return 0;
}

static void take_back(World *w, size_t i)
{
        w->redirect->ops->remove(w->redirect, &w->shared[i]);
        w->shared[i] = w->shared[--w->n_shared];
}

static int fake_remove_sockets(Broker *b, const char *ufrag)
{
        World *w = ((FakeBroker *) b)->side->world;

        for (size_t i = w->n_shared; i > 0 && w->redirect; i--)
                if (streq(w->shared[i - 1].ufrag, ufrag))
                        take_back(w, i - 1);
        return 0;
}

static RedirectMove to_move(const Side *side, const FakeMove *move)
{
        return (RedirectMove) {
                .wireguard_port = side->device->listen_port,
                .from = move->from,
                .to = move->to,
        };
}

/* By the kernel's time, whatever the test makes of the product's. */
static int move_now(Side *side, const FakeMove *m, uint64_t *ret_packets)
{
        World *w = side->world;
        RedirectMove move = to_move(side, m);
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        if (m->seconds > 0)
                return redirect_moves_set(&w->moves, w->redirect, side, &move,
                                          ((usec_t) t.tv_sec + m->seconds) * USEC_PER_SEC, ret_packets);
        *ret_packets = redirect_moves_end(&w->moves, w->redirect, &move);
        return 0;
}

/* The real thing as well, unless the test wants an error. */
static int fake_move_source(Broker *b, const char *link, const SocketAddress *from, const SocketAddress *to,
                            unsigned seconds, broker_move_callback_t callback, void *userdata,
                            BrokerCall **ret)
{
        Side *side = ((FakeBroker *) b)->side;
        BrokerCall *c;

        cr_assert_str_eq(link, "wg0");
        if (from->sa.sa_family != to->sa.sa_family)
                return -EAFNOSUPPORT;
        cr_assert_lt(side->n_moves, ELEMENTSOF(side->moves));
        side->moves[side->n_moves++] = (FakeMove) { *from, *to, seconds };
        c = call_new(b, userdata);
        c->error = shares(side) ? side->move_error : -ENOTSUP;
        if (c->error >= 0)
                c->error = move_now(side, &side->moves[side->n_moves - 1], &c->packets);
        c->on_move = callback;
        *ret = c;
        return 0;
}

static int fake_grow_buffers(Broker *b, const int *fds, size_t n)
{
        return 0;
}

static Broker *fake_broker_free(Broker *b)
{
        FakeBroker *f = (FakeBroker *) b;

        while (f->calls)
                broker_call_free(f->calls);
        sd_event_source_disable_unref(f->answer);
        f->side->broker = NULL;
        free(f);
        return NULL;
}

const BrokerOps fake_broker_ops = {
        .seal = fake_seal,
        .open = fake_open,
        .derive_topics = fake_derive_topics,
        .set_endpoint = fake_set_endpoint,
        .read_link = fake_read_link,
        .grow_buffers = fake_grow_buffers,
        .set_redirect = fake_set_redirect,
        .add_sockets = fake_add_sockets,
        .remove_sockets = fake_remove_sockets,
        .move_source = fake_move_source,
        .free = fake_broker_free,
};

void tell_link(Side *side)
{
        side->broker->b.callbacks->link_changed(&side->broker->b, side->device, side->manager);
}

void tell_initiation(Side *side, const SocketAddress *endpoint)
{
        Broker *b = &side->broker->b;

        if (b->callbacks->handshake_initiated)
                b->callbacks->handshake_initiated(b, "wg0", endpoint, side->manager);
}

void lose_broker(Side *side)
{
        World *w = side->world;
        Broker *b = &side->broker->b;

        for (size_t i = w->n_shared; i > 0; i--)
                if (w->shared[i - 1].wireguard_port == side->device->listen_port)
                        take_back(w, i - 1);
        redirect_moves_forget(&w->moves, w->redirect, side);
        b->connected = false;
        while (side->broker->calls)
                finish_call(side->broker->calls, -ECONNRESET);
        manager_broker_callbacks.lost(b, -ECONNRESET, side->manager);
}

void find_broker(Side *side)
{
        side->broker->b.connected = true;
        tell_link(side);
        manager_broker_callbacks.ready(&side->broker->b, side->manager);
}

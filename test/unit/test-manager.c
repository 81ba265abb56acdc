/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The model with everything real but the broker (which seals with real keys in this process), the rendezvous
 * (a bus in memory, that loses and replays at will) and WireGuard (a UDP socket): ICE, proxies and packets
 * are the product's. Each test is a process of its own with an own network namespace, whose loopback has a
 * public address. */

#include <criterion/criterion.h>
#include <linux/filter.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "carrier.h"
#include "envelope.h"
#include "event-util.h"
#include "exchange.h"
#include "fd-util.h"
#include "hpke.h"
#include "log.h"
#include "manager.h"
#include "proxy-internal.h"
#include "random-util.h"
#include "redirect-backend.h"
#include "sandbox.h"
#include "session.h"
#include "sharing.h"
#include "string-util.h"
#include "try.h"
#include "uptime.h"

#define HOST_ADDRESS "192.0.2.1"
#define RECORD_MAX 256

typedef struct World World;
typedef struct Side Side;

/* A call that the fake broker answers at the next turn of the loop, as the real one does. */
struct BrokerCall {
        Side *side;
        sd_event_source *source;
        broker_data_callback_t on_data;
        broker_done_callback_t on_done;
        broker_topics_callback_t on_topics;
        broker_device_callback_t on_device;
        broker_redirect_callback_t on_redirect;
        bool sets_endpoint;
        void *userdata;
        int error;
        char *data;
        size_t size;
        WireguardKey key;
        SocketAddress endpoint;
        int keepalive;
        char send[TOPIC_STRLEN], receive[TOPIC_STRLEN];
        BrokerCall *prev, *next;
};

typedef struct FakeRendezvous {
        Rendezvous r;
        Side *side;
        char topics[8][TOPIC_STRLEN];
        size_t n_topics;
        unsigned n_network_changes;
        sd_event_source *subscribed;
} FakeRendezvous;

typedef struct FakeBroker {
        Broker b;
        Side *side;
        BrokerCall *calls;
} FakeBroker;

struct Side {
        World *world;
        WireguardKey private_key, public_key, preshared_key;
        Manager *manager;
        FakeBroker *broker;
        FakeRendezvous *rendezvous;
        WireguardDevice *device;
        int wireguard; /* the fake one's socket */
        sd_event_source *wireguard_source;
        sd_event_source *initiation, *response; /* under way */
        bool answers_handshakes;
        bool refuses_endpoints;
        bool shares_nothing;       /* its kernel has no redirect */
        bool leaves_elsewhere;     /* its packets go by an interface without the redirect's programs */
        unsigned n_redirect_calls; /* how often the broker was asked for the redirect */
        bool initiated;            /* an initiation of ours waits for its answer */
        bool tired;                /* has tried in vain not long ago, and does not initiate */
        unsigned n_packets;        /* data received */
};

typedef struct Delivery {
        World *world;
        Side *to;
        char topic[TOPIC_STRLEN];
        void *envelope;
        size_t size;
        struct Delivery *prev, *next;
} Delivery;

struct World {
        sd_event *event;
        Side a, b; /* a has the smaller key */
        Delivery *deliveries;
        sd_event_source *deliver;
        bool hole; /* each side has another rendezvous, which it asks first and which loses everything */
        unsigned n_lost; /* there */
        unsigned lose;   /* so many messages are lost */
        unsigned copies; /* each message arrives so often */
        usec_t delay;    /* what each of WireGuard's handshake messages takes */
        Delivery *record[RECORD_MAX];
        size_t n_record;
        bool stopped;

        RedirectBackend *redirect; /* NULL: nothing is shared */
        bool redirect_withdrawn;   /* nor from now on, but what is shared can be given back */
        RedirectSocket shared[16];
        size_t n_shared;
        bool refuses_sockets;
};

static int on_deliver(sd_event_source *source, void *userdata)
{
        World *w = userdata;
        Delivery *d = w->deliveries;

        if (!d)
                return 0;
        DL_DELETE(w->deliveries, d);
        if (w->deliveries)
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (d->to->rendezvous && d->to->rendezvous->r.state == RENDEZVOUS_STATE_UP)
                for (size_t i = 0; i < d->to->rendezvous->n_topics; i++)
                        if (streq(d->to->rendezvous->topics[i], d->topic)) {
                                Rendezvous *r = &d->to->rendezvous->r;

                                r->callbacks->envelope(r, d->topic, d->envelope, d->size, r->userdata);
                                break;
                        }
        free(d->envelope);
        free(d);
        return 0;
}

static void deliver(World *w, Side *to, const char *topic, const void *envelope, size_t size)
{
        Delivery *d = new0(Delivery, 1);

        *d = (Delivery) { .world = w, .to = to, .envelope = memdup_suffix0(envelope, size), .size = size };
        strcpy(d->topic, topic);
        DL_APPEND(w->deliveries, d);
        cr_assert_geq(event_defer_once(w->event, &w->deliver, on_deliver, w, "deliver"), 0);
}

static int fake_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        Side *from = ((FakeRendezvous *) r)->side;
        World *w = from->world;
        Side *to = from == &w->a ? &w->b : &w->a;

        if (w->n_record < RECORD_MAX) {
                Delivery *d = w->record[w->n_record++] = new0(Delivery, 1);

                *d = (Delivery) { .to = to, .envelope = memdup_suffix0(envelope, size), .size = size };
                strcpy(d->topic, topic);
        }
        if (w->lose > 0) {
                w->lose--;
                return 0;
        }
        for (unsigned i = 0; i < w->copies; i++)
                deliver(w, to, topic, envelope, size);
        return 0;
}

static int on_fake_subscribed(sd_event_source *source, void *userdata)
{
        FakeRendezvous *f = userdata;

        for (size_t i = 0; i < f->n_topics && f->r.state == RENDEZVOUS_STATE_UP; i++)
                f->r.callbacks->subscribed(&f->r, f->topics[i], f->r.userdata);
        return 0;
}

static int fake_subscribe(Rendezvous *r, const char *topic)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        strcpy(f->topics[f->n_topics++], topic);
        return event_defer_once(f->side->world->event, &f->subscribed, on_fake_subscribed, f, "subscribed");
}

static int fake_unsubscribe(Rendezvous *r, const char *topic)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        for (size_t i = 0; i < f->n_topics; i++)
                if (streq(f->topics[i], topic)) {
                        f->n_topics--;
                        memmove(f->topics[i], f->topics[f->n_topics], TOPIC_STRLEN);
                }
        return 0;
}

static Rendezvous *fake_rendezvous_free(Rendezvous *r)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        sd_event_source_disable_unref(f->subscribed);
        f->side->rendezvous = NULL;
        rendezvous_done(r);
        free(f);
        return NULL;
}

static void fake_network_changed(Rendezvous *r)
{
        ((FakeRendezvous *) r)->n_network_changes++;
}

static const RendezvousOps fake_rendezvous_ops = {
        .subscribe = fake_subscribe,
        .unsubscribe = fake_unsubscribe,
        .publish = fake_publish,
        .network_changed = fake_network_changed,
        .free = fake_rendezvous_free,
};

/* A rendezvous that takes everything and delivers nothing. */
static int hole_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        ((FakeRendezvous *) r)->side->world->n_lost++;
        return 0;
}

static int hole_listen(Rendezvous *r, const char *topic)
{
        return 0;
}

static Rendezvous *hole_free(Rendezvous *r)
{
        rendezvous_done(r);
        return mfree(r);
}

static const RendezvousOps hole_ops = {
        .subscribe = hole_listen,
        .unsubscribe = hole_listen,
        .publish = hole_publish,
        .free = hole_free,
};

static Rendezvous *hole_new(Side *side)
{
        FakeRendezvous *f = new0(FakeRendezvous, 1);

        *f = (FakeRendezvous) { .r = { .ops = &hole_ops,
                                       .callbacks = &manager_rendezvous_callbacks,
                                       .userdata = side->manager,
                                       .name = strdup("hole"),
                                       .state = RENDEZVOUS_STATE_UP },
                                .side = side };
        return &f->r;
}

static void set_rendezvous_up(Side *side, bool up)
{
        rendezvous_set_state(&side->rendezvous->r, up ? RENDEZVOUS_STATE_UP : RENDEZVOUS_STATE_DOWN,
                             up ? NULL : "switched off by the test");
        if (up)
                cr_assert_geq(event_defer_once(side->world->event, &side->rendezvous->subscribed,
                                               on_fake_subscribed, side->rendezvous, "subscribed"),
                              0);
}

BrokerCall *broker_call_free(BrokerCall *c)
{
        if (!c)
                return NULL;
        DL_DELETE(c->side->broker->calls, c);
        sd_event_source_disable_unref(c->source);
        free(c->data);
        free(c);
        return NULL;
}

static void wireguard_initiate(Side *side);

static int set_endpoint_now(BrokerCall *c)
{
        WireguardPeer *peer = wireguard_device_find_peer(c->side->device, &c->key);

        if (!peer)
                return -ENOENT;
        if (c->side->refuses_endpoints)
                return -EIO;
        peer->endpoint = c->endpoint;
        if (c->keepalive > 0 && peer->persistent_keepalive == 0) {
                peer->persistent_keepalive = (uint16_t) c->keepalive;
                wireguard_initiate(c->side);
        }
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
        else if (c->on_done)
                c->on_done(b, lost == 0 && c->sets_endpoint ? set_endpoint_now(c) : error, c->userdata);
        broker_call_free(c);
}

static int on_call(sd_event_source *source, void *userdata)
{
        finish_call(userdata, /* lost= */ 0);
        return 0;
}

static BrokerCall *call_new(Broker *b, void *userdata)
{
        FakeBroker *f = (FakeBroker *) b;
        BrokerCall *c = new0(BrokerCall, 1);

        *c = (BrokerCall) { .side = f->side, .userdata = userdata };
        DL_APPEND(f->calls, c);
        cr_assert_geq(sd_event_add_defer(f->side->world->event, &c->source, on_call, c), 0);
        return c;
}

static EnvelopeKeys keys_of(Side *side, const WireguardKey *peer)
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

/* What of WireGuard matters here: a keepalive that is switched on starts a handshake; whoever takes an
 * initiation forgets its own, so that two which cross undo each other (and this one never tries again); and
 * the source of what is authentic becomes the endpoint. */
enum { TYPE_INITIATION = 1, TYPE_RESPONSE = 2, TYPE_DATA = 4, TYPE_KEEPALIVE = 5 };
enum { INITIATION_SIZE = 148, PACKET_SIZE = 64 };

static void wireguard_send(Side *side, uint8_t type)
{
        const SocketAddress *to = &side->device->peers[0].endpoint;
        /* On the wire a keepalive is data. */
        uint8_t packet[INITIATION_SIZE] = { MIN(type, TYPE_DATA), [4] = type };

        /* An endpoint that the test has made up is not reachable. */
        (void) sendto(side->wireguard, packet, type == TYPE_INITIATION ? INITIATION_SIZE : PACKET_SIZE, 0,
                      &to->sa, socket_address_length(to));
}

static int on_initiation(sd_event_source *source, uint64_t t, void *userdata)
{
        wireguard_send(userdata, TYPE_INITIATION);
        return 0;
}

static int on_response(sd_event_source *source, uint64_t t, void *userdata)
{
        wireguard_send(userdata, TYPE_RESPONSE);
        return 0;
}

static void wireguard_initiate(Side *side)
{
        if (side->tired)
                return;
        side->initiated = true;
        cr_assert_geq(event_arm_timer(side->world->event, &side->initiation, side->world->delay,
                                      on_initiation, side, "initiation"),
                      0);
}

static void wireguard_respond(Side *side)
{
        cr_assert_geq(event_arm_timer(side->world->event, &side->response, side->world->delay, on_response,
                                      side, "response"),
                      0);
}

static void wireguard_receive(Side *side, uint8_t type, const SocketAddress *from)
{
        WireguardPeer *peer = &side->device->peers[0];

        if (side->device->n_peers == 0 || !side->answers_handshakes)
                return;
        if (type == TYPE_RESPONSE && !side->initiated)
                return;
        peer->endpoint = *from;
        if (type == TYPE_DATA)
                side->n_packets++;
        if (type == TYPE_INITIATION)
                wireguard_respond(side);
        if (type == TYPE_RESPONSE)
                wireguard_send(side, TYPE_KEEPALIVE);
        /* Either side is sure with what it gets after its own message. */
        if (type == TYPE_RESPONSE || type == TYPE_KEEPALIVE)
                peer->last_handshake = now(CLOCK_REALTIME);
        if (type == TYPE_INITIATION || type == TYPE_RESPONSE)
                side->initiated = false;
}

static int on_wireguard(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        SocketAddress from;
        socklen_t length = sizeof(from);
        uint8_t packet[INITIATION_SIZE];

        if (recvfrom(fd, packet, sizeof(packet), 0, &from.sa, &length) >= PACKET_SIZE)
                wireguard_receive(userdata, packet[4], &from);
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

static int fake_grow_buffers(Broker *b, const int *fds, size_t n)
{
        return 0;
}

static Broker *fake_broker_free(Broker *b)
{
        FakeBroker *f = (FakeBroker *) b;

        while (f->calls)
                broker_call_free(f->calls);
        f->side->broker = NULL;
        free(f);
        return NULL;
}

static const BrokerOps fake_broker_ops = {
        .seal = fake_seal,
        .open = fake_open,
        .derive_topics = fake_derive_topics,
        .set_endpoint = fake_set_endpoint,
        .read_link = fake_read_link,
        .grow_buffers = fake_grow_buffers,
        .set_redirect = fake_set_redirect,
        .add_sockets = fake_add_sockets,
        .remove_sockets = fake_remove_sockets,
        .free = fake_broker_free,
};

static void make_key(WireguardKey *private_key, WireguardKey *public_key)
{
        random_bytes(private_key, sizeof(*private_key));
        cr_assert_geq(x25519_public_key(private_key, public_key), 0);
}

static uint16_t open_wireguard(Side *side)
{
        SocketAddress a;
        socklen_t size = sizeof(a);

        cr_assert_geq(socket_address_from_ip("0.0.0.0", 0, &a), 0);
        side->wireguard = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(side->wireguard, 0);
        cr_assert_geq(bind(side->wireguard, &a.sa, socket_address_length(&a)), 0);
        cr_assert_geq(getsockname(side->wireguard, &a.sa, &size), 0);
        cr_assert_geq(event_add_io(side->world->event, &side->wireguard_source, side->wireguard, EPOLLIN,
                                   on_wireguard, side, "wireguard"),
                      0);
        return socket_address_port(&a);
}

static void add_peer(Side *side)
{
        const World *w = side->world;
        WireguardPeer *peer;

        cr_assert_geq(wireguard_device_add_peer(side->device,
                                                side == &w->a ? &w->b.public_key : &w->a.public_key, &peer),
                      0);
}

static void make_device(Side *side)
{
        cr_assert_geq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &side->device), 0);
        side->device->public_key = side->public_key;
        side->device->listen_port = open_wireguard(side);
        side->answers_handshakes = true;
        add_peer(side);
}

static void tell_link(Side *side)
{
        side->broker->b.callbacks->link_changed(&side->broker->b, side->device, side->manager);
}

/* What icewired does at its start. */
static void start(Side *side)
{
        Config *config;
        SocketAddress address;

        cr_assert_geq(config_parse("test", "", 0, &config, NULL), 0);
        cr_assert_geq(manager_new(side->world->event, config, &side->manager), 0);

        side->broker = new0(FakeBroker, 1);
        *side->broker = (FakeBroker) {
                .b = { .ops = &fake_broker_ops,
                       .callbacks = &manager_broker_callbacks,
                       .userdata = side->manager,
                       .connected = true },
                .side = side,
        };
        manager_set_broker(side->manager, &side->broker->b);

        if (side->world->hole)
                cr_assert_geq(manager_add_rendezvous(side->manager, hole_new(side)), 0);
        side->rendezvous = new0(FakeRendezvous, 1);
        *side->rendezvous = (FakeRendezvous) {
                .r = { .ops = &fake_rendezvous_ops,
                       .callbacks = &manager_rendezvous_callbacks,
                       .userdata = side->manager,
                       .name = strdup("bus"),
                       .state = RENDEZVOUS_STATE_UP },
                .side = side,
        };
        cr_assert_geq(manager_add_rendezvous(side->manager, &side->rendezvous->r), 0);

        cr_assert_geq(socket_address_from_ip(HOST_ADDRESS, 0, &address), 0);
        manager_set_addresses(side->manager, &address, 1);
        tell_link(side);
        manager_broker_callbacks.ready(&side->broker->b, side->manager);
}

static void stop(Side *side)
{
        side->manager = manager_free(side->manager);
}

/* Calls end, and what was shared is forgotten. */
static void lose_broker(Side *side)
{
        World *w = side->world;
        Broker *b = &side->broker->b;

        for (size_t i = w->n_shared; i > 0; i--)
                if (w->shared[i - 1].wireguard_port == side->device->listen_port)
                        take_back(w, i - 1);
        b->connected = false;
        while (side->broker->calls)
                finish_call(side->broker->calls, -ECONNRESET);
        manager_broker_callbacks.lost(b, -ECONNRESET, side->manager);
}

static void find_broker(Side *side)
{
        side->broker->b.connected = true;
        tell_link(side);
        manager_broker_callbacks.ready(&side->broker->b, side->manager);
}

static Peer *peer_of(Side *side)
{
        return side->manager->links ? side->manager->links->peers : NULL;
}

static void enter_network(void)
{
        sandbox_enter();
        sandbox_shell("ip address add " HOST_ADDRESS "/32 dev lo");
}

static World *world_new(void)
{
        World *w = new0(World, 1);

        enter_network();
        cr_assert_geq(sd_event_new(&w->event), 0);
        w->copies = 1;
        make_key(&w->a.private_key, &w->a.public_key);
        do
                make_key(&w->b.private_key, &w->b.public_key);
        while (wireguard_key_compare(&w->a.public_key, &w->b.public_key) >= 0);
        w->a.world = w->b.world = w;
        make_device(&w->a);
        make_device(&w->b);
        return w;
}

/* One where both hosts share their WireGuard's ports, by the programs on loopback. */
static World *world_new_shared(void)
{
        World *w = world_new();
        int lo = (int) if_nametoindex("lo");
        char *message = NULL;

        cr_assert_eq(redirect_ebpf_new(&w->redirect, &message), 0, "%s", strna(message));
        cr_assert_eq(w->redirect->ops->set_uplinks(w->redirect, &lo, 1), 0);
        return w;
}

static void world_free(World *w)
{
        stop(&w->a);
        stop(&w->b);
        cr_assert_eq(w->n_shared, 0, "what was shared is given back");
        redirect_backend_free(w->redirect);
        while (w->deliveries) {
                Delivery *d = w->deliveries;

                DL_DELETE(w->deliveries, d);
                free(d->envelope);
                free(d);
        }
        for (size_t i = 0; i < w->n_record; i++) {
                free(w->record[i]->envelope);
                free(w->record[i]);
        }
        sd_event_source_disable_unref(w->deliver);
        /* Agents give their allocations and sources back in the background. */
        while (sd_event_run(w->event, 0) > 0)
                ;
        wireguard_device_free(w->a.device);
        wireguard_device_free(w->b.device);
        sd_event_source_disable_unref(w->a.initiation);
        sd_event_source_disable_unref(w->b.initiation);
        sd_event_source_disable_unref(w->a.response);
        sd_event_source_disable_unref(w->b.response);
        sd_event_source_disable_unref(w->a.wireguard_source);
        sd_event_source_disable_unref(w->b.wireguard_source);
        safe_close(w->a.wireguard);
        safe_close(w->b.wireguard);
        sd_event_unref(w->event);
        free(w);
}

/* Until nothing is under way any more. */
static void settle(World *w)
{
        while (sd_event_run(w->event, 50 * USEC_PER_MSEC) > 0)
                ;
}

/* A timer of the product's elapses now. */
static void elapse(sd_event_source *timer)
{
        int enabled;

        cr_assert_geq(sd_event_source_get_enabled(timer, &enabled), 0);
        cr_assert_neq(enabled, SD_EVENT_OFF);
        cr_assert_geq(sd_event_source_set_time_relative(timer, 0), 0);
}

/* For what keeps a timer going. */
static void run_for(World *w, usec_t duration)
{
        usec_t end = now(CLOCK_MONOTONIC) + duration;

        while (now(CLOCK_MONOTONIC) < end)
                cr_assert_geq(sd_event_run(w->event, 10 * USEC_PER_MSEC), 0);
}

static bool is_connected(Side *side)
{
        return side->manager && peer_of(side) && peer_of(side)->state == PEER_STATE_CONNECTED;
}

static bool both_connected(World *w)
{
        return is_connected(&w->a) && is_connected(&w->b);
}

static bool a_has_packet(World *w)
{
        return w->a.n_packets > 0;
}

static bool b_has_packet(World *w)
{
        return w->b.n_packets > 0;
}

static void check_traffic(World *w)
{
        w->a.n_packets = w->b.n_packets = 0;
        wireguard_send(&w->a, TYPE_DATA);
        RUN_UNTIL(w->event, b_has_packet(w));
        wireguard_send(&w->b, TYPE_DATA);
        RUN_UNTIL(w->event, a_has_packet(w));
}

Test(manager, connects)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NO_REDIRECT);
        cr_assert_eq(peer_of(&w->b)->path.remote.address.in.sin_addr.s_addr,
                     peer_of(&w->a)->path.local.address.in.sin_addr.s_addr);
        settle(w);
        cr_assert_eq(w->a.device->peers[0].persistent_keepalive, 25);
        cr_assert_eq(w->b.device->peers[0].persistent_keepalive, 25);
        world_free(w);
}

Test(manager, initiations_do_not_cross)
{
        World *w = world_new();

        w->delay = 20 * USEC_PER_MSEC;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

/* The controlling side is as patient as the negotiation was long, not more. */
Test(manager, peer_whose_wireguard_cannot_begin)
{
        World *w = world_new();
        const Peer *peer;

        w->b.tired = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        peer = peer_of(&w->a);
        cr_assert(peer->signalling.controlling);
        cr_assert_gt(peer->handshake_courtesy, 0);
        cr_assert_leq(peer->handshake_courtesy,
                      MAX(100 * USEC_PER_MSEC, now(CLOCK_BOOTTIME) - peer->session->started));
        check_traffic(w);
        world_free(w);
}

static bool b_has_a_session(World *w)
{
        return peer_of(&w->b)->session;
}

static bool a_has_a_path(World *w)
{
        return peer_of(&w->a)->path.kind != PATH_NONE;
}

/* Keeps the answers to its own checks from a side: it is good for the other side, but has no pair. */
static void deafen(Side *side, bool deaf)
{
        static struct sock_filter program[] = {
                /* the message type, behind the UDP header: a STUN success response? */
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 8),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0101, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, 0),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        };
        struct sock_fprog fprog = { .len = 4, .filter = program };
        _cleanup_free_ int *fds = NULL;
        size_t n;

        cr_assert_geq(ice_agent_sockets(peer_of(side)->session->ice, &fds, &n), 0);
        cr_assert_gt(n, 0);
        for (size_t i = 0; i < n; i++)
                cr_assert_geq(setsockopt(fds[i], SOL_SOCKET, deaf ? SO_ATTACH_FILTER : SO_DETACH_FILTER,
                                         &fprog, sizeof(fprog)),
                              0);
}

/* a has its pair before b, and its WireGuard sends at once what it does not send again for 5 s. */
static void send_before_b_has_its_pair(World *w, uint8_t type)
{
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, b_has_a_session(w));
        deafen(&w->b, true);
        RUN_UNTIL(w->event, a_has_a_path(w));
        w->a.device->peers[0].endpoint = *proxy_endpoint(peer_of(&w->a)->proxy);
        w->a.initiated = type == TYPE_INITIATION;
        w->a.tired = true;
        wireguard_send(&w->a, type);
        run_for(w, 100 * USEC_PER_MSEC);
        cr_assert_eq(peer_of(&w->b)->path.kind, PATH_NONE);
        cr_assert(!b_has_packet(w));
        deafen(&w->b, false);
}

Test(manager, what_is_sent_before_the_other_side_has_its_pair_arrives)
{
        World *w = world_new();

        send_before_b_has_its_pair(w, TYPE_DATA);
        RUN_UNTIL(w->event, b_has_packet(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, initiation_that_comes_early_is_not_crossed)
{
        World *w = world_new();

        w->delay = 50 * USEC_PER_MSEC;
        send_before_b_has_its_pair(w, TYPE_INITIATION);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static void lose_response(Side *side)
{
        side->response = sd_event_source_disable_unref(side->response);
}

static bool b_responds(World *w)
{
        return w->b.response;
}

/* And it is answered, but nothing comes of it: then it is b's turn. */
Test(manager, answer_to_an_early_initiation_is_lost)
{
        World *w = world_new();

        w->delay = 50 * USEC_PER_MSEC;
        send_before_b_has_its_pair(w, TYPE_INITIATION);
        RUN_UNTIL(w->event, b_responds(w));
        lose_response(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, connects_when_everything_arrives_three_times)
{
        World *w = world_new();

        w->copies = 3;
        start(&w->b);
        start(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        settle(w);
        /* Copies do not make sessions. */
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_eq(peer_of(&w->b)->counters.sessions, 1);
        world_free(w);
}

/* What one rendezvous takes goes to the others all the same. */
Test(manager, publishes_to_every_rendezvous)
{
        World *w = world_new();

        w->hole = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(w->n_lost, w->n_record);
        /* One message, however often it went out. */
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent + peer_of(&w->b)->counters.envelopes_sent,
                     w->n_record);
        world_free(w);
}

Test(manager, connects_although_messages_are_lost)
{
        World *w = world_new();

        w->lose = 4;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_lost_its_path(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_NONE;
}

static bool on_stopped_called(World *w)
{
        return w->stopped;
}

static World *stopping_world;

static void on_stopped(Manager *m, void *userdata)
{
        stopping_world->stopped = true;
}

Test(manager, says_goodbye)
{
        World *w = stopping_world = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        manager_stop(w->b.manager, on_stopped);
        RUN_UNTIL(w->event, on_stopped_called(w));
        RUN_UNTIL(w->event, a_lost_its_path(w));
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_WAITING);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_PEER_SILENT);
        world_free(w);
}

static bool has_selected_after(Side *side, uint64_t session)
{
        const Session *s = peer_of(side)->session;

        return s && s->id != session && s->selected;
}

static bool uses_its_path(Side *side)
{
        return socket_address_equal(&side->device->peers[0].endpoint, &peer_of(side)->path.endpoint);
}

static Side *other_side(Side *side)
{
        return side == &side->world->a ? &side->world->b : &side->world->a;
}

/* Nobody hears of it. */
static void kill_side(Side *side)
{
        World *w = side->world;

        w->lose = UINT32_MAX;
        stop(side);
        settle(w);
        w->lose = 0;
}

/* The side is killed and starts anew, and both find each other. */
static void check_comes_back(World *w, Side *side)
{
        Side *other = other_side(side);
        uint64_t before = peer_of(other)->session->id;

        kill_side(side);
        start(side);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, has_selected_after(other, before));
        /* The handshake from before is proof enough, so that they were connected before this: */
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
}

static void check_restart(World *w, Side *side)
{
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_comes_back(w, side);
}

Test(manager, controlling_side_is_killed_and_comes_back)
{
        World *w = world_new();

        check_restart(w, &w->a);
        world_free(w);
}

Test(manager, controlled_side_is_killed_and_comes_back)
{
        World *w = world_new();

        check_restart(w, &w->b);
        world_free(w);
}

Test(manager, says_that_the_peer_is_silent)
{
        World *w = world_new();

        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_WAITING);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_PEER_SILENT);
        world_free(w);
}

static bool a_refuses_envelopes(World *w)
{
        return peer_of(&w->a)->reason == PEER_REASON_ENVELOPE_REFUSED;
}

Test(manager, says_that_preshared_keys_differ)
{
        World *w = world_new();

        random_bytes(&w->a.preshared_key, sizeof(w->a.preshared_key));
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, a_refuses_envelopes(w));
        cr_assert_gt(peer_of(&w->a)->counters.envelopes_refused, 0);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        world_free(w);
}

Test(manager, waits_for_the_rendezvous)
{
        World *w = world_new();

        start(&w->a);
        set_rendezvous_up(&w->a, false);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_RENDEZVOUS_DOWN);
        cr_assert_str_eq(peer_of(&w->a)->reason_detail, "switched off by the test");
        set_rendezvous_up(&w->a, true);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_has_no_handshake(World *w)
{
        return peer_of(&w->a)->reason == PEER_REASON_NO_HANDSHAKE;
}

Test(manager, says_that_the_handshake_is_refused)
{
        World *w = world_new();

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a)->state == PEER_STATE_CONNECTING);
        settle(w);
        cr_assert_neq(peer_of(&w->a)->reason, PEER_REASON_NO_HANDSHAKE, "not at once");
        /* Three tries of WireGuard's have passed. */
        peer_of(&w->a)->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTING);
        world_free(w);
}

Test(manager, replays_and_floods_change_nothing)
{
        World *w = world_new();
        size_t n;
        uint64_t session;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        session = peer_of(&w->b)->session->id;
        n = w->n_record;
        cr_assert_gt(n, 3);
        for (unsigned round = 0; round < 50; round++)
                for (size_t i = 0; i < n; i++)
                        deliver(w, w->record[i]->to, w->record[i]->topic, w->record[i]->envelope,
                                w->record[i]->size);
        settle(w);
        cr_assert(both_connected(w));
        cr_assert_eq(peer_of(&w->b)->session->id, session);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_gt(peer_of(&w->b)->counters.envelopes_flooded, 0);
        check_traffic(w);
        world_free(w);
}

/* Seals what this side says to the other, without sending it. */
static Delivery *withhold_hello(Side *from, Side *to)
{
        EnvelopeKeys keys = keys_of(from, &to->public_key);
        Message m = { .type = MESSAGE_HELLO };
        Delivery *d = new0(Delivery, 1);
        _cleanup_free_ char *body = NULL;

        signalling_stamp(&peer_of(from)->signalling, peer_of(to)->signalling.instance, &m);
        cr_assert_geq(message_format(&m, &body), 0);
        cr_assert_geq(envelope_seal(&keys, body, strlen(body), (uint8_t **) &d->envelope, &d->size), 0);
        return d;
}

Test(manager, hello_that_comes_late_changes_nothing)
{
        World *w = world_new();
        uint64_t accepted;
        Delivery *late;
        Peer *a;

        start(&w->a);
        start(&w->b);
        late = withhold_hello(&w->b, &w->a);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        a = peer_of(&w->a);
        accepted = a->signalling.counters[SIGNALLING_ACCEPT];
        deliver(w, &w->a, a->topic_receive, late->envelope, late->size);
        settle(w);
        cr_assert_eq(a->counters.sessions, 1);
        cr_assert_eq(a->signalling.counters[SIGNALLING_ACCEPT], accepted + 1);
        cr_assert(both_connected(w));
        free(late->envelope);
        free(late);
        world_free(w);
}

Test(manager, replayed_hello_costs_one_answer)
{
        World *w = world_new();
        size_t n_before;

        /* Recorded from an instance of b that is gone when a starts. */
        start(&w->b);
        settle(w);
        stop(&w->b);
        cr_assert_gt(w->n_record, 0);
        start(&w->a);
        settle(w);
        n_before = w->n_record;
        for (unsigned i = 0; i < 30; i++)
                deliver(w, &w->a, w->record[0]->topic, w->record[0]->envelope, w->record[0]->size);
        settle(w);
        cr_assert_leq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_leq(w->n_record - n_before, 8);
        /* And the real one still gets through. */
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

/* Whoever floods all topics at once does not make a queue of it at the broker. */
Test(manager, what_waits_to_be_opened_is_bounded)
{
        static const uint8_t garbage[RENDEZVOUS_ENVELOPE_MAX];
        World *w = world_new();
        uint64_t n_received = 0, n_opened;
        PeerCounters before;
        Peer *a;

        start(&w->a);
        settle(w);
        a = peer_of(&w->a);
        before = a->counters;
        for (size_t rendezvous = 0; rendezvous < RENDEZVOUS_MAX; rendezvous++)
                for (size_t i = 0; i < 40; i++, n_received++)
                        exchange_receive(a, rendezvous, garbage, sizeof(garbage));
        cr_assert_gt(n_received * sizeof(garbage), 2 * EXCHANGE_OPENING_MAX);
        settle(w);
        n_opened = a->counters.envelopes_refused - before.envelopes_refused;
        cr_assert_gt(n_opened, 0);
        cr_assert_leq(n_opened * sizeof(garbage), EXCHANGE_OPENING_MAX);
        cr_assert_eq(n_opened + a->counters.envelopes_flooded - before.envelopes_flooded, n_received);
        cr_assert_eq(w->a.manager->opening, 0);

        /* It was nobody's place for ever. */
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

static bool a_has_no_peer(World *w)
{
        return !peer_of(&w->a);
}

Test(manager, follows_peers_that_go_and_come)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        w->a.device->n_peers = 0;
        tell_link(&w->a);
        RUN_UNTIL(w->event, a_has_no_peer(w));
        cr_assert_eq(w->a.rendezvous->n_topics, 0);
        add_peer(&w->a);
        tell_link(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_has_our_endpoint(World *w)
{
        return proxy_address_is_ours(&w->a.device->peers[0].endpoint);
}

/* As networkd does when it configures the link anew. */
static void rewrite_endpoint(Side *side)
{
        cr_assert_geq(socket_address_from_string("198.51.100.9:1", &side->device->peers[0].endpoint), 0);
        tell_link(side);
}

Test(manager, restores_its_endpoint_but_does_not_fight)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(a_has_our_endpoint(w));
        for (unsigned i = 0; i < 10; i++) {
                rewrite_endpoint(&w->a);
                settle(w);
        }
        cr_assert(!a_has_our_endpoint(w));
        /* But what was rewritten in a hurry is not given up. */
        RUN_UNTIL(w->event, a_has_our_endpoint(w));
        world_free(w);
}

Test(manager, restores_its_endpoint_while_something_else_is_asked_of_the_broker)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        exchange_receive(peer_of(&w->a), 0, "forged", 6);
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(a_has_our_endpoint(w));
        world_free(w);
}

Test(manager, endpoint_that_cannot_be_set_is_set_later)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        w->a.refuses_endpoints = true;
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(!a_has_our_endpoint(w));
        w->a.refuses_endpoints = false;
        elapse(peer_of(&w->a)->endpoint_timer);
        RUN_UNTIL(w->event, a_has_our_endpoint(w));
        check_traffic(w);
        world_free(w);
}

static bool a_is_proxied(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_PROXIED;
}

/* WireGuard has found its way by itself. A handshake takes two. */
static void shake_hands_before(World *w)
{
        Side *sides[] = { &w->a, &w->b };

        for (size_t i = 0; i < ELEMENTSOF(sides); i++) {
                WireguardPeer *peer = &sides[i]->device->peers[0];

                cr_assert_geq(socket_address_from_string("198.51.100.9:51820", &peer->endpoint), 0);
                peer->last_handshake = now(CLOCK_REALTIME);
        }
}

Test(manager, leaves_a_static_endpoint_that_works_alone)
{
        World *w = world_new();
        WireguardPeer *peer = &w->a.device->peers[0];

        shake_hands_before(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTED);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NONE);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        /* It works no longer: now we look for a path. */
        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        RUN_UNTIL(w->event, a_is_proxied(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, survives_the_broker)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        lose_broker(&w->a);
        settle(w);
        cr_assert(both_connected(w));
        check_traffic(w);
        find_broker(&w->a);
        settle(w);
        cr_assert(both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_reconnected(World *w)
{
        return peer_of(&w->a)->counters.sessions >= 2 && peer_of(&w->a)->session &&
               peer_of(&w->a)->session->selected && !peer_of(&w->a)->old_session;
}

static void check_reconnect(World *w, Side *who)
{
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        peer_reconnect(peer_of(who));
        cr_assert(both_connected(w), "the path in use stays");
        RUN_UNTIL(w->event, a_reconnected(w));
        check_traffic(w);
}

static bool a_found_another_path(World *w)
{
        return peer_of(&w->a)->counters.paths >= 2 && both_connected(w);
}

static bool a_waits(World *w)
{
        return peer_of(&w->a)->state == PEER_STATE_WAITING;
}

/* WireGuard sends, and nothing comes back for longer than its keepalives explain. */
static void make_silent(Side *side)
{
        peer_of(side)->proxy->silence.heard = 1;
        wireguard_send(side, TYPE_DATA);
}

Test(manager, looks_for_another_path_when_the_peer_is_silent)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.paths, 1);
        make_silent(&w->a);
        RUN_UNTIL(w->event, a_found_another_path(w));
        check_traffic(w);
        world_free(w);
}

/* Both have a pair that has died before any handshake came through, and nobody tells them. */
Test(manager, looks_for_another_path_when_nothing_comes_but_the_handshake_is_due)
{
        World *w = world_new();

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a)->state == PEER_STATE_CONNECTING);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        peer_of(&w->a)->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        make_silent(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths >= 2);
        world_free(w);
}

Test(manager, notices_that_a_silent_peer_is_gone)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        w->lose = UINT32_MAX;
        stop(&w->b);
        settle(w);
        cr_assert(is_connected(&w->a));
        make_silent(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->suspect);
        while (!a_waits(w)) {
                if (session_is_negotiating(peer_of(&w->a)->session))
                        elapse(peer_of(&w->a)->session->timer);
                elapse(peer_of(&w->a)->retry_timer);
                cr_assert_geq(sd_event_run(w->event, 100 * USEC_PER_MSEC), 0);
        }
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        world_free(w);
}

Test(manager, controlling_side_reconnects)
{
        World *w = world_new();

        check_reconnect(w, &w->a);
        world_free(w);
}

Test(manager, controlled_side_reconnects)
{
        World *w = world_new();

        check_reconnect(w, &w->b);
        world_free(w);
}

Test(manager, asks_nothing_of_a_link_without_port_or_key)
{
        World *w = world_new();
        uint16_t port = w->a.device->listen_port;

        w->a.device->listen_port = 0;
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NO_LISTEN_PORT);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        w->a.device->listen_port = port;
        tell_link(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

static bool a_has_a_new_path(World *w)
{
        Peer *peer = peer_of(&w->a);

        return !peer->suspect && peer->counters.sessions >= 2 && peer->session && peer->session->selected;
}

Test(manager, path_lost_while_the_rendezvous_is_down_is_replaced_later)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        set_rendezvous_up(&w->a, false);
        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        settle(w);
        set_rendezvous_up(&w->a, true);
        RUN_UNTIL(w->event, a_has_a_new_path(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, old_session_that_fails_without_a_new_one_is_replaced)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        set_rendezvous_up(&w->b, false);
        peer_reconnect(peer_of(&w->a)); /* b does not hear it */
        cr_assert(peer_of(&w->a)->old_session);
        set_rendezvous_up(&w->a, false);
        peer_reconnect(peer_of(&w->a));
        cr_assert(!session_is_negotiating(peer_of(&w->a)->session));
        cr_assert(peer_of(&w->a)->session, "the one that carries the path is the newest again");
        set_rendezvous_up(&w->a, true);
        set_rendezvous_up(&w->b, true);
        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        RUN_UNTIL(w->event, a_has_a_new_path(w));
        world_free(w);
}

Test(manager, last_of_many_address_changes_counts)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        for (int i = 0; i < 6; i++)
                peer_reconnect(peer_of(&w->a));
        RUN_UNTIL(w->event, a_reconnected(w));
        check_traffic(w);
        world_free(w);
}

/* On a host whose containers come and go there may be no pause to wait for. */
Test(manager, looks_at_addresses_that_change_all_the_time, .timeout = 90)
{
        World *w = world_new();
        unsigned n_at_start;
        usec_t end;

        start(&w->a);
        cr_assert_geq(manager_start(w->a.manager), 0);
        RUN_UNTIL(w->event, w->a.rendezvous->n_network_changes > 0); /* the first reading is complete */
        n_at_start = w->a.rendezvous->n_network_changes;
        end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        for (unsigned i = 0; w->a.rendezvous->n_network_changes == n_at_start; i++) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "no change is looked at");
                sandbox_shell("ip address %s 192.0.2.77/32 dev lo", i % 2 ? "del" : "add");
                cr_assert_geq(sd_event_run(w->event, 20 * USEC_PER_MSEC), 0);
        }
        world_free(w);
}

static bool a_is_not_self_reliant(World *w)
{
        return peer_of(&w->a)->path.kind != PATH_DIRECT;
}

/* WireGuard tells nobody that an endpoint has stopped to work. */
Test(manager, notices_a_static_endpoint_that_stops_to_work)
{
        World *w = world_new();
        WireguardPeer *peer = &w->a.device->peers[0];

        cr_assert_geq(socket_address_from_string("198.51.100.9:51820", &peer->endpoint), 0);
        peer->last_handshake = now(CLOCK_REALTIME) - 178 * USEC_PER_SEC;
        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        RUN_UNTIL(w->event, peer_of(&w->a)->stale);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        elapse(peer_of(&w->a)->reliance_timer);
        RUN_UNTIL(w->event, a_is_not_self_reliant(w));
        world_free(w);
}

Test(manager, address_change_leaves_a_static_endpoint_alone)
{
        World *w = world_new();
        SocketAddress addresses[2];

        shake_hands_before(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_geq(socket_address_from_ip(HOST_ADDRESS, 0, &addresses[0]), 0);
        cr_assert_geq(socket_address_from_ip("127.0.0.1", 0, &addresses[1]), 0);
        manager_set_addresses(w->a.manager, addresses, 2);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTED);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        world_free(w);
}

/* A configuration moves from one link to another. */
Test(manager, second_link_with_the_same_keys_takes_over)
{
        World *w = world_new();
        WireguardDevice *wg0, *wg1;
        WireguardPeer *p;

        start(&w->a);
        wg0 = w->a.device;
        settle(w);
        cr_assert_geq(wireguard_device_new("wg1", WIREGUARD_KIND_KERNEL, &wg1), 0);
        wg1->public_key = w->a.public_key;
        wg1->listen_port = 5555;
        cr_assert_geq(wireguard_device_add_peer(wg1, &w->b.public_key, &p), 0);
        w->a.device = wg1;
        tell_link(&w->a);
        settle(w);
        cr_assert(isempty(manager_find_link(w->a.manager, "wg1")->peers->topic_receive));
        manager_broker_callbacks.link_removed(&w->a.broker->b, "wg0", w->a.manager);
        settle(w);
        cr_assert(!isempty(manager_find_link(w->a.manager, "wg1")->peers->topic_receive));
        wireguard_device_free(wg0);
        world_free(w);
}

static Config *config_from(const char *text)
{
        Config *config;

        cr_assert_geq(config_parse("test", text, strlen(text), &config, NULL), 0);
        return config;
}

Test(manager, reload_lets_links_go_and_takes_them_back)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        manager_reload(w->a.manager, config_from("[Agent]\nIgnoreLinks=wg0\n"));
        settle(w);
        cr_assert_null(w->a.manager->links);
        manager_reload(w->a.manager, config_from(""));
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

/* Only the checks were lost for a moment, and then a message too. */
Test(manager, suspicion_does_not_kill_a_path_that_works)
{
        World *w = world_new();
        usec_t end;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        w->lose = 3;
        try_session_failed(peer_of(&w->b)->session, /* answered= */ true);
        end = now(CLOCK_MONOTONIC) + 8 * USEC_PER_SEC;
        while (peer_of(&w->b)->suspect && now(CLOCK_MONOTONIC) < end) {
                wireguard_send(&w->a, TYPE_DATA);
                cr_assert_geq(sd_event_run(w->event, 100 * USEC_PER_MSEC), 0);
                cr_assert_neq(peer_of(&w->b)->path.kind, PATH_NONE);
        }
        cr_assert(!peer_of(&w->b)->suspect);
        world_free(w);
}

static bool b_has_dropped_its_path(World *w)
{
        return peer_of(&w->b)->path.kind == PATH_NONE;
}

Test(manager, suspicion_kills_a_path_that_is_dead)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        w->lose = UINT32_MAX;
        stop(&w->a);
        settle(w);
        try_session_failed(peer_of(&w->b)->session, /* answered= */ true);
        cr_assert_neq(peer_of(&w->b)->path.kind, PATH_NONE, "not at once");
        RUN_UNTIL(w->event, b_has_dropped_its_path(w));
        cr_assert_eq(peer_of(&w->b)->state, PEER_STATE_WAITING);
        world_free(w);
}

/* --- the redirect --- */

static bool is_direct(const Side *side)
{
        const Peer *peer = side->manager->links->peers;

        return peer && peer->state == PEER_STATE_CONNECTED && peer->path.kind == PATH_DIRECT;
}

static bool both_direct(World *w)
{
        return is_direct(&w->a) && is_direct(&w->b);
}

static void expect_direct(Side *side, const Side *other)
{
        const Peer *peer = peer_of(side);
        const SocketAddress *endpoint = &side->device->peers[0].endpoint;

        cr_assert_eq(peer->reason, PEER_REASON_NONE);
        cr_assert_null(peer->proxy);
        cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(endpoint), HOST_ADDRESS);
        cr_assert_eq(socket_address_port(endpoint), other->device->listen_port);
        cr_assert_eq(side->device->peers[0].persistent_keepalive, 25);
        cr_assert_eq(peer->path.local.type, ICE_CANDIDATE_HOST);
        cr_assert_eq(socket_address_port(&peer->path.local.address), side->device->listen_port);
        cr_assert(socket_address_equal(&peer->path.remote.address, endpoint));
}

static bool both_proxied(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_PROXIED && peer_of(&w->b)->path.kind == PATH_PROXIED;
}

static World *connect_directly(void)
{
        World *w = world_new_shared();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_direct(w));
        settle(w);
        return w;
}

Test(manager, a_redirect_makes_the_path_direct)
{
        World *w = connect_directly();

        expect_direct(&w->a, &w->b);
        expect_direct(&w->b, &w->a);
        check_traffic(w);
        cr_assert_eq(w->n_shared, 2);
        world_free(w);
}

Test(manager, a_direct_path_needs_nobody_and_is_known_again)
{
        World *w = connect_directly();

        stop(&w->a);
        stop(&w->b);
        cr_assert_eq(w->n_shared, 0);
        settle(w);
        check_traffic(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert(both_direct(w));
        cr_assert_eq(peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions, 0);
        cr_assert_eq(socket_address_port(&w->a.device->peers[0].endpoint), w->b.device->listen_port);
        check_traffic(w);
        world_free(w);
}

/* WireGuard has not to find the peer from another address by itself. */
Test(manager, who_is_content_asks_when_its_address_has_gone)
{
        World *w = connect_directly();
        SocketAddress address;

        kill_side(&w->a);
        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        sandbox_shell("ip address add 192.0.2.2/32 dev lo");
        cr_assert_geq(socket_address_from_ip("192.0.2.2", 0, &address), 0);
        manager_set_addresses(w->a.manager, &address, 1);
        cr_assert(is_direct(&w->a), "it may be good");
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths == 1 && peer_of(&w->b)->counters.paths == 2);
        cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(&peer_of(&w->b)->path.endpoint), "192.0.2.2");
        RUN_UNTIL(w->event, uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

/* One side knows only that WireGuard works; the other has moved, and asks. */
Test(manager, who_is_content_answers_nevertheless)
{
        World *w = connect_directly();

        stop(&w->a);
        start(&w->a);
        settle(w);
        cr_assert(is_direct(&w->a));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 0 && peer_of(&w->b)->counters.paths > 1);
        cr_assert(both_direct(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, a_broker_that_comes_back_shares_again)
{
        World *w = connect_directly();

        lose_broker(&w->a);
        cr_assert_eq(w->n_shared, 1);
        cr_assert(both_direct(w));
        find_broker(&w->a);
        RUN_UNTIL(w->event, w->n_shared == 2);
        settle(w);
        cr_assert(both_direct(w));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        world_free(w);
}

Test(manager, sockets_that_cannot_be_shared_are_tried_again)
{
        World *w = world_new_shared();

        w->refuses_sockets = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event,
                  peer_of(&w->a) && peer_of(&w->a)->counters.sessions > 0 && !peer_of(&w->a)->session);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        w->refuses_sockets = false;
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, an_endpoint_that_is_wiped_is_set_again)
{
        World *w = connect_directly();

        w->a.device->peers[0].endpoint = (SocketAddress) {};
        tell_link(&w->a);
        RUN_UNTIL(w->event, socket_address_is_set(&w->a.device->peers[0].endpoint));
        expect_direct(&w->a, &w->b);
        world_free(w);
}

Test(manager, where_wireguard_has_followed_the_peer_is_where_it_is)
{
        World *w = connect_directly();
        SocketAddress *endpoint = &w->a.device->peers[0].endpoint;

        cr_assert_geq(socket_address_from_string("192.0.2.200:4000", endpoint), 0);
        tell_link(&w->a);
        settle(w);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer_of(&w->a)->path.remote.address), "192.0.2.200:4000");
        cr_assert(is_direct(&w->a));
        world_free(w);
}

/* The redirect goes out of force, and comes back, with a new configuration. */
Test(manager, paths_follow_the_redirect)
{
        World *w = connect_directly();
        RedirectBackend *redirect = TAKE_PTR(w->redirect);

        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_proxied(w));
        check_traffic(w);
        /* What was shared is taken back by the session's end. */
        w->redirect = redirect;
        RUN_UNTIL(w->event, !peer_of(&w->a)->old_session && !peer_of(&w->b)->old_session);
        /* Told by the broker. */
        manager_broker_callbacks.redirect_changed(w->a.manager->broker, w->a.manager);
        manager_broker_callbacks.redirect_changed(w->b.manager->broker, w->b.manager);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, !peer_of(&w->a)->proxy && !peer_of(&w->b)->proxy);
        check_traffic(w);
        world_free(w);
}

/* The redirect goes out of force while both sides negotiate, with candidates that are good with it alone. */
Test(manager, a_negotiation_follows_the_redirect)
{
        World *w = connect_directly();

        peer_reconnect(peer_of(&w->a));
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, session_is_negotiating(peer_of(&w->a)->session) &&
                                    session_is_negotiating(peer_of(&w->b)->session));
        w->redirect_withdrawn = true;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_proxied(w));
        check_traffic(w);
        world_free(w);
}

/* The side that answers drops a negotiation that it has answered: the other one does not wait until that
 * fails. */
Test(manager, a_negotiation_that_the_peer_drops_begins_anew)
{
        World *w = connect_directly();
        bool a_offers = peer_of(&w->a)->signalling.controlling;
        Peer *offers = peer_of(a_offers ? &w->a : &w->b), *answers = peer_of(a_offers ? &w->b : &w->a);
        uint64_t id, unproven = offers->signalling.counters[SIGNALLING_ANSWER_HELLO];

        peer_reconnect(offers);
        RUN_UNTIL(w->event, session_is_negotiating(offers->session) && offers->session->answered);
        id = offers->session->id;
        peer_reconnect(answers);
        cr_assert_null(answers->old_session);
        RUN_UNTIL(w->event, offers->session->id != id);
        cr_assert_eq(offers->signalling.counters[SIGNALLING_ANSWER_HELLO], unproven,
                     "the first hello is enough");
        RUN_UNTIL(w->event, offers->session->selected && answers->session->selected);
        check_traffic(w);
        world_free(w);
}

/* ICE's pair may be as good as ever: WireGuard's handshakes tell. */
Test(manager, notices_a_direct_path_that_dies)
{
        World *w = connect_directly();
        WireguardPeer *peer = &w->a.device->peers[0];

        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        settle(w);
        cr_assert(is_direct(&w->a), "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 1);
        wireguard_initiate(&w->a); /* as WireGuard does every 5 s while it has something to send */
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

/* --- one host shares its port, the other has only the proxy --- */

static World *connect_unequal(bool a_is_proxied, Side **ret_proxied, Side **ret_direct)
{
        World *w = world_new_shared();
        Side *proxied = a_is_proxied ? &w->a : &w->b;

        proxied->shares_nothing = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        *ret_proxied = proxied;
        *ret_direct = other_side(proxied);
        cr_assert_eq(peer_of(*ret_proxied)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(*ret_direct)->path.kind, PATH_DIRECT);
        check_traffic(w);
        return w;
}

static void check_proxied_side_is_killed(bool a_is_proxied)
{
        Side *proxied, *direct;
        World *w = connect_unequal(a_is_proxied, &proxied, &direct);

        check_comes_back(w, proxied);
        cr_assert_eq(peer_of(proxied)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_DIRECT);
        world_free(w);
}

Test(manager, proxied_side_of_two_is_killed_and_comes_back)
{
        check_proxied_side_is_killed(/* a_is_proxied= */ true);
}

Test(manager, proxied_and_controlled_side_of_two_is_killed_and_comes_back)
{
        check_proxied_side_is_killed(/* a_is_proxied= */ false);
}

static void check_direct_side_is_killed(bool a_is_proxied)
{
        Side *proxied, *direct;
        World *w = connect_unequal(a_is_proxied, &proxied, &direct);

        kill_side(direct);
        check_traffic(w);
        start(direct);
        settle(w);
        cr_assert(both_connected(w));
        cr_assert_eq(peer_of(direct)->counters.sessions, 0);
        cr_assert_eq(peer_of(proxied)->counters.sessions, 1);
        check_traffic(w);
        world_free(w);
}

Test(manager, direct_side_of_two_is_killed_and_comes_back)
{
        check_direct_side_is_killed(/* a_is_proxied= */ true);
}

Test(manager, direct_and_controlling_side_of_two_is_killed_and_comes_back)
{
        check_direct_side_is_killed(/* a_is_proxied= */ false);
}

static void say_goodbye(World *w, Side *side)
{
        stopping_world = w;
        manager_stop(side->manager, on_stopped);
        RUN_UNTIL(w->event, on_stopped_called(w));
        settle(w);
        stop(side);
}

/* WireGuard's last handshake is young, but nobody carries the peer's packets any more. */
Test(manager, goodbye_of_a_proxied_peer_ends_a_direct_path)
{
        Side *proxied, *direct;
        World *w = connect_unequal(/* a_is_proxied= */ true, &proxied, &direct);

        say_goodbye(w, proxied);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_NONE);
        tell_link(direct);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_NONE);
        cr_assert_eq(peer_of(direct)->reason, PEER_REASON_PEER_SILENT);
        start(proxied);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

Test(manager, direct_side_goes_without_a_word)
{
        Side *proxied, *direct;
        World *w = connect_unequal(/* a_is_proxied= */ true, &proxied, &direct);

        say_goodbye(w, direct);
        cr_assert_eq(peer_of(proxied)->path.kind, PATH_PROXIED);
        check_traffic(w);
        world_free(w);
}

/* --- from the proxy to WireGuard itself --- */

/* Both have been proxied, and are direct now. */
static World *connect_proxied_then_directly(void)
{
        World *w = world_new_shared();

        w->redirect_withdrawn = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w) && both_proxied(w));
        settle(w);
        w->redirect_withdrawn = false;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_direct(w));
        return w;
}

/* The peer was first to leave its proxy, and WireGuard has followed it before we could set anything. */
Test(manager, proxy_is_closed_where_wireguard_has_followed_the_peer)
{
        World *w = connect_proxied_then_directly();
        Peer *peer = peer_of(&w->a);

        RUN_UNTIL(w->event, !peer->proxy);
        settle(w);
        cr_assert_geq(proxy_new(w->a.manager->proxies, w->a.device->listen_port, &peer->proxy), 0);
        carrier_take_over(peer->session);
        RUN_UNTIL(w->event, !peer->proxy);
        check_traffic(w);
        world_free(w);
}

Test(manager, proxy_is_closed_although_the_broker_was_away)
{
        World *w = connect_proxied_then_directly();
        Peer *peer = peer_of(&w->a);

        RUN_UNTIL(w->event, uses_its_path(&w->a));
        cr_assert_not_null(peer->proxy);
        RUN_UNTIL(w->event, peer->handover_timer);
        lose_broker(&w->a);
        peer->proxy->counters.in_packets++; /* late */
        elapse(peer->handover_timer);
        settle(w);
        cr_assert_not_null(peer->proxy);
        find_broker(&w->a);
        RUN_UNTIL(w->event, !peer->proxy);
        world_free(w);
}

/* --- direct paths that are none --- */

/* A better pair was found, but what WireGuard has is from before. */
Test(manager, endpoint_of_a_better_pair_is_set_when_the_broker_is_back)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);
        SocketAddress *endpoint = &w->a.device->peers[0].endpoint;

        w->a.broker->b.connected = false;
        cr_assert_geq(socket_address_from_string("192.0.2.200:4000", &peer->session->remote.address), 0);
        carrier_take_over(peer->session);
        settle(w);
        cr_assert_str_neq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        w->a.broker->b.connected = true;
        tell_link(&w->a);
        settle(w);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        world_free(w);
}

/* STUN gets through, WireGuard does not. */
Test(manager, direct_path_without_a_handshake_is_given_up)
{
        World *w = world_new_shared();
        Peer *peer;

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a) && peer_of(&w->a)->path.kind == PATH_DIRECT);
        peer = peer_of(&w->a);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        w->a.device->peers[0].tx_bytes += 148;
        peer->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        settle(w);
        w->a.device->peers[0].tx_bytes += 148;
        tell_link(&w->a);
        settle(w);
        cr_assert_eq(peer->counters.sessions, 1, "not at once");
        peer->handshake_wanted_since -= 30 * USEC_PER_SEC;
        elapse(peer->reliance_timer);
        RUN_UNTIL(w->event, peer->counters.sessions > 1);
        w->a.answers_handshakes = w->b.answers_handshakes = true;
        RUN_UNTIL(w->event, peer->path.kind == PATH_DIRECT);
        wireguard_initiate(&w->a);
        RUN_UNTIL(w->event, is_direct(&w->a));
        world_free(w);
}

/* To the peer's relay WireGuard sends by itself: no proxy hears that nothing comes back. */
static World *connect_to_a_relay(void)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);

        peer->session->remote.type = ICE_CANDIDATE_RELAY;
        carrier_take_over(peer->session);
        settle(w);
        cr_assert_eq(peer->path.kind, PATH_RELAYED);
        cr_assert_eq(peer->state, PEER_STATE_CONNECTED);
        return w;
}

Test(manager, notices_a_relay_that_dies)
{
        World *w = connect_to_a_relay();
        WireguardPeer *peer = &w->a.device->peers[0];

        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_RELAYED, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        world_free(w);
}

Test(manager, suspicion_leaves_a_relay_to_wireguard)
{
        World *w = connect_to_a_relay();

        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        cr_assert(!peer_of(&w->a)->suspect);
        cr_assert(peer_of(&w->a)->renew);
        world_free(w);
}

/* A path to the peer's relay needs nobody on this side. */
Test(manager, goodbye_is_not_said_to_a_relay)
{
        World *w = connect_to_a_relay();

        say_goodbye(w, &w->a);
        cr_assert(is_direct(&w->b));
        check_traffic(w);
        world_free(w);
}

/* What leaves by another interface than the uplinks keeps its port: so does WireGuard's data, through the
 * proxy. */
static void check_leaves_elsewhere(bool a_leaves_elsewhere)
{
        World *w = world_new_shared();
        Side *side = a_leaves_elsewhere ? &w->a : &w->b;

        side->leaves_elsewhere = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(peer_of(side)->path.kind, PATH_PROXIED);
        cr_assert_neq(socket_address_port(&peer_of(side)->path.local.address), side->device->listen_port);
        cr_assert_eq(peer_of(other_side(side))->path.kind, PATH_DIRECT);
        check_traffic(w);
        world_free(w);
}

Test(manager, what_leaves_by_another_interface_is_proxied)
{
        check_leaves_elsewhere(/* a_leaves_elsewhere= */ true);
}

Test(manager, what_leaves_the_controlled_side_by_another_interface_is_proxied)
{
        check_leaves_elsewhere(/* a_leaves_elsewhere= */ false);
}

/* --- what the broker says --- */

Test(manager, proxy_serves_where_sockets_are_refused_for_good)
{
        World *w = world_new_shared();

        w->refuses_sockets = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        cr_assert(both_proxied(w));
        check_traffic(w);
        /* But not for ever. */
        w->refuses_sockets = false;
        peer_reconnect(peer_of(&w->a));
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

/* As if the two had never met. */
static void forget_peer(Side *side)
{
        WireguardPeer *peer = &side->device->peers[0];

        peer->endpoint = (SocketAddress) {};
        peer->last_handshake = 0;
        peer->persistent_keepalive = 0;
        side->initiated = false;
}

/* Something happens to one side after so many turns of the loop, on the way to a direct path. Returns
 * whether that was there already. */
static bool check_disturbance(World *w, Side *side, unsigned turn, void (*disturb)(Side *side))
{
        bool direct;

        forget_peer(&w->a);
        forget_peer(&w->b);
        start(&w->a);
        start(&w->b);
        while (turn-- > 0 && !both_direct(w))
                cr_assert_geq(sd_event_run(w->event, SANDBOX_PATIENCE), 0);
        direct = both_direct(w);
        disturb(side);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        stop(&w->a);
        stop(&w->b);
        settle(w);
        return direct;
}

static void check_disturbances(void (*disturb)(Side *side))
{
        World *w = world_new_shared();
        Side *sides[] = { &w->a, &w->b };

        for (size_t i = 0; i < ELEMENTSOF(sides); i++)
                for (unsigned turn = 1; !check_disturbance(w, sides[i], turn, disturb); turn += 1 + turn / 4)
                        ;
        world_free(w);
}

static void lose_and_find_broker(Side *side)
{
        lose_broker(side);
        cr_assert_geq(sd_event_run(side->world->event, USEC_PER_MSEC), 0);
        find_broker(side);
}

Test(manager, connects_wherever_the_broker_is_lost, .timeout = 300)
{
        check_disturbances(lose_and_find_broker);
}

static void lose_the_redirect_for_a_moment(Side *side)
{
        side->shares_nothing = true;
        sharing_update(side->manager);
        while (!side->manager->redirect_settled)
                cr_assert_geq(sd_event_run(side->world->event, SANDBOX_PATIENCE), 0);
        side->shares_nothing = false;
        sharing_update(side->manager);
}

Test(manager, connects_wherever_the_redirect_is_lost, .timeout = 300)
{
        check_disturbances(lose_the_redirect_for_a_moment);
}

static void reload(Side *side)
{
        manager_reload(side->manager, config_from(""));
}

Test(manager, connects_wherever_it_is_reloaded, .timeout = 300)
{
        check_disturbances(reload);
}

static void restart(Side *side)
{
        stop(side);
        start(side);
}

Test(manager, connects_wherever_one_side_is_killed, .timeout = 300)
{
        check_disturbances(restart);
}

static void remove_and_add_peer(Side *side)
{
        WireguardPeer *peer = &side->device->peers[0];

        side->device->n_peers = 0;
        tell_link(side);
        cr_assert_geq(sd_event_run(side->world->event, USEC_PER_MSEC), 0);
        side->device->n_peers = 1;
        peer->endpoint = (SocketAddress) {};
        peer->persistent_keepalive = 0;
        tell_link(side);
}

Test(manager, connects_wherever_the_peer_is_configured_anew, .timeout = 300)
{
        check_disturbances(remove_and_add_peer);
}

/* Containers come and go, and no peer is called oftener for it. */
Test(manager, other_interfaces_wake_nobody)
{
        World *w = world_new_shared();
        unsigned n_calls;

        start(&w->a);
        settle(w);
        n_calls = w->a.n_redirect_calls;
        peer_of(&w->a)->retry_step = 5;
        manager_set_addresses(w->a.manager, w->a.manager->addresses, w->a.manager->n_addresses);
        cr_assert(manager_can_negotiate(w->a.manager), "nobody waits for the answer");
        settle(w);
        cr_assert_eq(w->a.n_redirect_calls, n_calls + 1);
        cr_assert_eq(peer_of(&w->a)->retry_step, 5);
        /* But what is different is followed. */
        w->redirect_withdrawn = true;
        manager_set_addresses(w->a.manager, w->a.manager->addresses, w->a.manager->n_addresses);
        RUN_UNTIL(w->event, w->a.manager->redirect_kind == REDIRECT_PROXY);
        world_free(w);
}

/* Where the port is seen from outside matters to nobody who is direct, until another path is looked for. */
Test(manager, mappings_are_kept_while_a_path_is_looked_for)
{
        World *w = connect_directly();
        const Link *link = w->a.manager->links;

        manager_reload(w->a.manager, config_from("[ICE]\nSTUNServers=" HOST_ADDRESS ":3478\n"));
        RUN_UNTIL(w->event, link->n_mappings == 1);
        settle(w);
        cr_assert(!link->mappings[0]->wanted);
        peer_reconnect(peer_of(&w->a));
        cr_assert(link->mappings[0]->wanted);
        RUN_UNTIL(w->event, !link->mappings[0]->wanted);
        cr_assert_eq(peer_of(&w->a)->counters.paths, 2);
        world_free(w);
}

Test(manager, another_port_after_none_is_negotiated)
{
        World *w = connect_directly();
        uint16_t port = w->a.device->listen_port;

        w->a.device->listen_port = 0;
        tell_link(&w->a);
        settle(w);
        w->a.device->listen_port = (uint16_t) (port ^ 1);
        tell_link(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.sessions > 1);
        world_free(w);
}

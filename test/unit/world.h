/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The model with everything real but the broker (fake-broker.c, which seals with real keys in this process),
 * the rendezvous (fake-rendezvous.c: a bus in memory, that loses and replays at will) and WireGuard
 * (fake-wireguard.c: a UDP socket): ICE, proxies and packets are the product's. Each test is a process of
 * its own with an own network namespace, whose loopback has a public address.
 *
 * A World owns all that is in it: world_free() stops both sides, and fails the test where something that was
 * shared is not given back. A side's manager owns its broker and its rendezvous, as in icewired; the side's
 * pointers to them are lent, and NULL while the manager is not there. WireGuard (the device, its socket,
 * what is under way) belongs to the side and outlives the manager, as the kernel's does.
 *
 * Nothing here returns an error: what fails, fails the test. Worlds have uptime.h. */

#include <criterion/criterion.h>

#include "broker.h"
#include "config.h"
#include "envelope.h"
#include "host-network.h"
#include "redirect-backend.h"
#include "redirect-moves.h"
#include "rendezvous.h"
#include "sandbox.h"
#include "wireguard-device.h"

#define HOST_ADDRESS "192.0.2.1"
#define RECORD_MAX 256

typedef struct World World;
typedef struct Side Side;

typedef struct FakeRendezvous {
        Rendezvous r;
        Side *side;
        char topics[8][TOPIC_STRLEN];
        size_t n_topics;
        unsigned n_network_changes;
        unsigned n_renewals;
        sd_event_source *subscribed;
} FakeRendezvous;

typedef struct FakeBroker {
        Broker b;
        Side *side;
        BrokerCall *calls;
        sd_event_source *answer; /* to the first of them */
} FakeBroker;

typedef struct FakeMove {
        SocketAddress from, to;
        unsigned seconds;
} FakeMove;

struct Side {
        World *world;
        WireguardKey private_key, public_key, preshared_key;
        Manager *manager;
        FakeBroker *broker;
        FakeRendezvous *rendezvous;
        WireguardDevice *device;
        const char *settings; /* of icewire.conf, when it is started; NULL: none */
        int wireguard;        /* the fake one's socket */
        sd_event_source *wireguard_source;
        sd_event_source *initiation, *response; /* under way */
        bool answers_handshakes;
        bool refuses_endpoints;
        bool shares_nothing;       /* its kernel has no redirect */
        bool leaves_elsewhere;     /* its packets go by an interface without the redirect's programs */
        unsigned n_redirect_calls; /* how often the broker was asked for the redirect */
        unsigned n_readings;       /* … and for the device */
        FakeMove moves[512];       /* what the broker was asked to move, all calls in their order */
        size_t n_moves;
        int move_error;         /* what it answers, 0: that it is done */
        uint64_t moved_packets; /* and so many were moved beside those that really were */
        bool initiated;         /* an initiation of ours waits for its answer */
        bool tired;             /* has tried in vain not long ago, and does not initiate */
        unsigned n_packets;     /* data received */
        unsigned n_endpoints;   /* how often WireGuard's endpoint has become another one */
};

/* An envelope on its way; in `record`, one that was published. */
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
        RedirectMoves moves;
        bool redirect_withdrawn; /* nor from now on, but what is shared can be given back */
        RedirectSocket shared[64];
        size_t n_shared;
        bool refuses_sockets;
};

World *world_new(void);
/* One where both hosts share their WireGuard's ports, by the programs on loopback. */
World *world_new_shared(void);
/* One where both are started, and have a direct path that has settled. */
World *connect_directly(void);
/* The same without a redirect. */
World *connect_by_proxies(void);
void world_free(World *w);

/* Until nothing is under way any more. */
void settle(World *w);
/* For what keeps a timer going. */
void run_for(World *w, usec_t duration);
/* A timer of the product's elapses now. */
void elapse(sd_event_source *timer);
/* The caller's. */
Config *config_from(const char *text);

/* --- a side's life --- */

/* What icewired does at its start. */
void start(Side *side);
/* All at once; the peer hears what was already published. */
void stop(Side *side);
/* Nobody hears of it. */
void kill_side(Side *side);
/* Until the side has said goodbye; its manager is still there. */
void stop_politely(Side *side);
/* The same, and what it said arrives; then its manager goes. */
void say_goodbye(World *w, Side *side);
/* The side is killed and starts anew, and both find each other. */
void check_comes_back(World *w, Side *side);

/* --- what is so --- */

Side *other_side(Side *side);
/* Lent; NULL: none. */
Peer *peer_of(Side *side);
bool is_connected(Side *side);
bool both_connected(World *w);
bool is_direct(const Side *side);
bool both_direct(World *w);
/* Has WireGuard the endpoint of the side's path? */
bool uses_its_path(Side *side);
bool a_has_no_handshake(World *w);
bool b_has_packet(World *w);
/* Data goes both ways. */
void check_traffic(World *w);

/* --- fake-broker.c --- */

extern const BrokerOps fake_broker_ops;

/* Calls end, and what was shared is forgotten. */
void lose_broker(Side *side);
void find_broker(Side *side);
/* The broker has read the side's device. */
void tell_link(Side *side);
/* The redirect has seen a handshake initiation leave to there. */
void tell_initiation(Side *side, const SocketAddress *endpoint);
/* What the side seals and opens with for this peer; borrowed from both. */
EnvelopeKeys keys_of(Side *side, const WireguardKey *peer);

/* --- fake-rendezvous.c --- */

extern const RendezvousOps fake_rendezvous_ops;

/* A rendezvous that takes everything and delivers nothing. The caller's. */
Rendezvous *hole_new(Side *side);
void set_rendezvous_up(Side *side, bool up);
/* At a later turn of the loop; the envelope is copied. */
void deliver(World *w, Side *to, const char *topic, const void *envelope, size_t size);

/* --- fake-wireguard.c --- */

/* What of WireGuard matters here: a keepalive that is switched on starts a handshake; whoever takes an
 * initiation forgets its own, so that two which cross undo each other (and this one never tries again); and
 * the source of what is authentic becomes the endpoint. TYPE_KEEPALIVE ends a handshake, TYPE_IDLE is one of
 * those that come later. */
enum { TYPE_INITIATION = 1, TYPE_RESPONSE = 2, TYPE_DATA = 4, TYPE_KEEPALIVE = 5, TYPE_IDLE = 6 };

/* Its socket, on a port of the kernel's choice, which is returned. */
uint16_t open_wireguard(Side *side);
/* The other side becomes a peer on the device. */
void add_peer(Side *side);
/* One packet to the peer's endpoint. */
void wireguard_send(Side *side, uint8_t type);
/* Whether it was told to, or has followed a packet. */
void change_endpoint(Side *side, const SocketAddress *endpoint);
/* Keepalives are switched on: one is sent, after a handshake if there was none. */
void wireguard_keep_alive(Side *side);
/* Begins a handshake, unless the side is tired. */
void wireguard_initiate(Side *side);

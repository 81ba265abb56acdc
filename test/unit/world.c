/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <net/if.h>
#include <unistd.h>
#include <utlist.h>

#include "event-util.h"
#include "fd-util.h"
#include "hpke.h"
#include "random-util.h"
#include "session.h"
#include "string-util.h"
#include "uptime.h"
#include "world.h"

static void make_key(WireguardKey *private_key, WireguardKey *public_key)
{
        random_bytes(private_key, sizeof(*private_key));
        cr_assert_geq(x25519_public_key(private_key, public_key), 0);
}

static void make_device(Side *side)
{
        cr_assert_geq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &side->device), 0);
        side->device->public_key = side->public_key;
        side->device->listen_port = open_wireguard(side);
        side->answers_handshakes = true;
        add_peer(side);
}

void start(Side *side)
{
        Config *config = config_from(strempty(side->settings));
        SocketAddress address;

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

void stop(Side *side)
{
        side->manager = manager_free(side->manager);
}

void kill_side(Side *side)
{
        World *w = side->world;

        w->lose = UINT32_MAX;
        stop(side);
        settle(w);
        w->lose = 0;
}

static bool on_stopped_called(World *w)
{
        return w->stopped;
}

static void on_stopped(Manager *m, void *userdata)
{
        World *w = userdata;

        w->stopped = true;
}

void stop_politely(Side *side)
{
        manager_stop(side->manager, on_stopped, side->world);
        RUN_UNTIL(side->world->event, on_stopped_called(side->world));
}

void say_goodbye(World *w, Side *side)
{
        stop_politely(side);
        settle(w);
        stop(side);
}

Peer *peer_of(Side *side)
{
        return side->manager->links ? side->manager->links->peers : NULL;
}

Side *other_side(Side *side)
{
        return side == &side->world->a ? &side->world->b : &side->world->a;
}

static void enter_network(void)
{
        sandbox_enter();
        sandbox_shell("ip address add " HOST_ADDRESS "/32 dev lo");
}

World *world_new(void)
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

World *world_new_shared(void)
{
        World *w = world_new();
        int lo = (int) if_nametoindex("lo");
        char *message = NULL;

        cr_assert_eq(redirect_ebpf_new(&w->redirect, &message), 0, "%s", strna(message));
        cr_assert_eq(w->redirect->ops->set_uplinks(w->redirect, &lo, 1), 0);
        return w;
}

void world_free(World *w)
{
        stop(&w->a);
        stop(&w->b);
        cr_assert_eq(w->n_shared, 0, "what was shared is given back");
        redirect_moves_forget(&w->moves, w->redirect, /* owner= */ NULL);
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

void settle(World *w)
{
        while (sd_event_run(w->event, 50 * USEC_PER_MSEC) > 0)
                ;
}

void elapse(sd_event_source *timer)
{
        int enabled;

        cr_assert_geq(sd_event_source_get_enabled(timer, &enabled), 0);
        cr_assert_neq(enabled, SD_EVENT_OFF);
        cr_assert_geq(sd_event_source_set_time_relative(timer, 0), 0);
}

void run_for(World *w, usec_t duration)
{
        usec_t end = now(CLOCK_MONOTONIC) + duration;

        while (now(CLOCK_MONOTONIC) < end)
                cr_assert_geq(sd_event_run(w->event, 10 * USEC_PER_MSEC), 0);
}

bool is_connected(Side *side)
{
        return side->manager && peer_of(side) && peer_of(side)->state == PEER_STATE_CONNECTED;
}

bool both_connected(World *w)
{
        return is_connected(&w->a) && is_connected(&w->b);
}

bool is_direct(const Side *side)
{
        const Peer *peer = side->manager->links->peers;

        return peer && peer->state == PEER_STATE_CONNECTED && peer->path.kind == PATH_DIRECT;
}

bool both_direct(World *w)
{
        return is_direct(&w->a) && is_direct(&w->b);
}

bool uses_its_path(Side *side)
{
        return socket_address_equal(&side->device->peers[0].endpoint, &peer_of(side)->path.endpoint);
}

bool a_has_no_handshake(World *w)
{
        return peer_of(&w->a)->reason == PEER_REASON_NO_HANDSHAKE;
}

static bool a_has_packet(World *w)
{
        return w->a.n_packets > 0;
}

bool b_has_packet(World *w)
{
        return w->b.n_packets > 0;
}

void check_traffic(World *w)
{
        w->a.n_packets = w->b.n_packets = 0;
        wireguard_send(&w->a, TYPE_DATA);
        RUN_UNTIL(w->event, b_has_packet(w));
        wireguard_send(&w->b, TYPE_DATA);
        RUN_UNTIL(w->event, a_has_packet(w));
}

static bool has_selected_after(Side *side, uint64_t session)
{
        const Session *s = peer_of(side)->session;

        return s && s->id != session && s->selected;
}

void check_comes_back(World *w, Side *side)
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

World *connect_directly(void)
{
        World *w = world_new_shared();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_direct(w));
        settle(w);
        return w;
}

World *connect_by_proxies(void)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        return w;
}

Config *config_from(const char *text)
{
        Config *config;

        cr_assert_geq(config_parse("test", text, strlen(text), &config, NULL), 0);
        return config;
}

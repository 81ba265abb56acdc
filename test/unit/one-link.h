/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A model that a broker made up fills: it knows one link, wg0, with two peers, and answers when the test
 * says so. */

#include <criterion/criterion.h>
#include <utlist.h>

#include "log.h"
#include "sandbox.h"
#include "verbs.h"

struct BrokerCall {
        broker_device_callback_t callback;
        void *userdata;
        BrokerCall *prev, *next;
};

static sd_event *event;
static Manager *manager;
static Verbs *verbs;
static WireguardDevice *device;
static BrokerCall *calls;
static unsigned n_reads;
static int reload_result;
static unsigned n_reloads;
static Broker broker;

BrokerCall *broker_call_free(BrokerCall *call)
{
        if (!call)
                return NULL;
        DL_DELETE(calls, call);
        free(call);
        return NULL;
}

static int fake_read_link(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                          BrokerCall **ret)
{
        BrokerCall *c = new0(BrokerCall, 1);

        c->callback = callback;
        c->userdata = userdata;
        DL_APPEND(calls, c);
        n_reads++;
        *ret = c;
        return 0;
}

static int fake_derive_topics(Broker *b, const char *link, const WireguardKey *peer,
                              broker_topics_callback_t callback, void *userdata, BrokerCall **ret)
{
        return -ENOTCONN;
}

static int fake_set_redirect(Broker *b, RedirectMode mode, const int *uplinks, size_t n_uplinks,
                             const SocketAddress *relays, size_t n_relays,
                             broker_redirect_callback_t callback, void *userdata, BrokerCall **ret)
{
        return -ENOTCONN;
}

static Broker *fake_free(Broker *b)
{
        return NULL;
}

static const BrokerOps broker_ops = {
        .read_link = fake_read_link,
        .derive_topics = fake_derive_topics,
        .set_redirect = fake_set_redirect,
        .free = fake_free,
};

static inline void answer_reads(int error)
{
        while (calls) {
                BrokerCall *c = calls;

                c->callback(&broker, error, error < 0 ? NULL : device, c->userdata);
                broker_call_free(c);
        }
}

static inline WireguardPeer *add_peer(uint8_t number)
{
        WireguardKey key = { .bytes = { number } };
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        return peer;
}

/* The broker tells of the link as it is in `device`. */
static inline void tell_of_link(void)
{
        broker.callbacks->link_changed(&broker, device, manager);
}

static int on_reload(void *userdata, unsigned *ret_n_problems, char **ret_message)
{
        n_reloads++;
        *ret_n_problems = 3;
        if (reload_result < 0)
                *ret_message = strdup("it is on fire");
        return reload_result;
}

static inline void one_link_set_up(void)
{
        Config *config;

        log_set_max_level(LOG_ERR);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", "", 0, &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        broker = (Broker) { .ops = &broker_ops,
                            .callbacks = &manager_broker_callbacks,
                            .userdata = manager,
                            .connected = true };
        manager_set_broker(manager, &broker);
        cr_assert_eq(verbs_new(event, manager, on_reload, NULL, &verbs), 0);

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device), 0);
        device->ifindex = 7;
        device->listen_port = 51820;
        device->public_key.bytes[31] = 1;
        cr_assert_eq(socket_address_from_string("192.0.2.7:7", &add_peer(2)->endpoint), 0);
        add_peer(1);
        tell_of_link();
}

static inline void one_link_tear_down(void)
{
        verbs = verbs_free(verbs);
        manager = manager_free(manager);
        device = wireguard_device_free(device);
        event = sd_event_unref(event);
}

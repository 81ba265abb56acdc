/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A model and its verbs, with a broker that is made up: it knows what the test tells of, and reads links
 * when the test says so. */

#include <criterion/criterion.h>
#include <utlist.h>

#include "log.h"
#include "sandbox.h"
#include "verbs.h"

/* Of a link: the only call that this broker takes. */
struct BrokerCall {
        broker_device_callback_t callback;
        void *userdata;
        BrokerCall *prev, *next;
};

static sd_event *event;
static Manager *manager;
static Verbs *verbs;
static Broker broker;
static BrokerCall *calls;
static unsigned n_reads;

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

/* Answers the calls that there are now; what comes meanwhile is left. */
static inline void answer_with(int error, WireguardDevice *device)
{
        BrokerCall *last = calls ? calls->prev : NULL;

        while (calls) {
                BrokerCall *c = calls;
                bool more = c != last;

                c->callback(&broker, error, error < 0 ? NULL : device, c->userdata);
                broker_call_free(c);
                if (!more)
                        return;
        }
}

/* One of the broker's links, with the n-th key. */
static inline WireguardDevice *model_device(const char *name, uint8_t n)
{
        WireguardDevice *device;

        cr_assert_eq(wireguard_device_new(name, WIREGUARD_KIND_KERNEL, &device), 0);
        device->ifindex = 6 + n;
        device->listen_port = 51820;
        device->public_key.bytes[31] = n;
        return device;
}

static inline WireguardPeer *model_add_peer(WireguardDevice *device, uint8_t number)
{
        WireguardKey key = { .bytes = { number } };
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        return peer;
}

/* The broker tells of a link as it is now. */
static inline void model_tell(WireguardDevice *device)
{
        broker.callbacks->link_changed(&broker, device, manager);
}

static inline void model_set_up(verbs_reload_t reload)
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
        cr_assert_eq(verbs_new(event, manager, reload, NULL, &verbs), 0);
}

static inline void model_tear_down(void)
{
        verbs = verbs_free(verbs);
        manager = manager_free(manager);
        event = sd_event_unref(event);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-client.h"

#include "broker-client-internal.h"
#include "event-util.h"
#include "log.h"
#include "varlink-broker.h"

#define RETRY_MIN (100 * USEC_PER_MSEC)
#define RETRY_MAX (5 * USEC_PER_SEC)

/* Between the socket's appearance and its owner's listen(2). */
#define LISTEN_DELAY (5 * USEC_PER_MSEC)

static void client_close(BrokerClient *c)
{
        c->broker.connected = false;
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                broker_channel_close(&c->channels[i]);
}

static void client_tell_lost(BrokerClient *c)
{
        if (c->told)
                return;
        c->told = true;
        c->broker.callbacks->lost(&c->broker, c->error, c->broker.userdata);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata);

static void client_retry(BrokerClient *c, usec_t delay)
{
        int r;

        r = event_arm_timer(c->event, &c->retry, delay, on_retry, c, "broker-retry");
        if (r < 0)
                log_warning_errno(r, "Failed to arm the timer to reconnect to icewire-broker: %m");
}

static void client_retry_later(BrokerClient *c)
{
        client_retry(c, c->retry_delay);
        c->retry_delay = MIN(c->retry_delay * 2, RETRY_MAX);
}

/* The connection broke. The calls end first: their owners clean up before they hear that all is lost. */
void broker_client_lose(BrokerClient *c, int error)
{
        c->error = error;
        c->broker.active = now(CLOCK_MONOTONIC);
        client_close(c);
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                broker_channel_end_calls(&c->channels[i], -ECONNRESET);
        client_retry_later(c);
        client_tell_lost(c);
}

static int client_connect(BrokerClient *c)
{
        int r;

        for (size_t i = 0; i < _CHANNEL_MAX; i++) {
                r = broker_channel_connect(&c->channels[i]);
                if (r < 0)
                        return r;
        }
        r = sd_varlink_observe(c->channels[CHANNEL_WATCH].link, BROKER_METHOD("WatchLinks"), NULL);
        if (r < 0)
                return r;
        c->broker.connected = true;
        return 0;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
        BrokerClient *c = userdata;
        int r;

        c->broker.active = now(CLOCK_MONOTONIC);
        r = client_connect(c);
        if (r < 0) {
                log_debug_errno(r, "Failed to connect to icewire-broker at '%s', trying again: %m", c->path);
                c->error = r;
                client_close(c);
                client_retry_later(c);
        }
        return 0;
}

static int on_impatience(sd_event_source *s, uint64_t usec, void *userdata)
{
        BrokerClient *c = userdata;

        if (!c->broker.connected)
                client_tell_lost(c);
        return 0;
}

static void on_socket_appeared(PathWatch *watch, void *userdata)
{
        BrokerClient *c = userdata;

        if (c->broker.connected)
                return;
        c->retry_delay = RETRY_MIN;
        client_retry(c, LISTEN_DELAY);
}

void broker_client_ready(BrokerClient *c)
{
        c->told = false;
        c->retry_delay = RETRY_MIN;
        event_disarm_timer(c->impatience);
        c->broker.callbacks->ready(&c->broker, c->broker.userdata);
}

Broker *broker_client_free(Broker *b)
{
        BrokerClient *c = (BrokerClient *) b;

        client_close(c);
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                broker_channel_forget_calls(&c->channels[i]);
        path_watch_free(c->path_watch);
        event_source_disable_unref(c->retry);
        event_source_disable_unref(c->impatience);
        sd_event_unref(c->event);
        free(c->path);
        return mfree(c);
}

int broker_client_new(sd_event *event, const char *path, const BrokerCallbacks *callbacks, void *userdata,
                      Broker **ret)
{
        _cleanup_(broker_freep) Broker *b = NULL;
        BrokerClient *c;
        int r;

        c = new0(BrokerClient, 1);
        if (!c)
                return -ENOMEM;
        *c = (BrokerClient) {
                .broker = { .ops = &broker_client_ops,
                            .callbacks = callbacks,
                            .userdata = userdata,
                            .active = now(CLOCK_MONOTONIC) },
                .event = sd_event_ref(event),
                .retry_delay = RETRY_MIN,
                .error = -ENOENT,
        };
        b = &c->broker;
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                c->channels[i] = (BrokerChannel) { .client = c, .kind = (BrokerChannelKind) i };
        c->path = strdup(path ?: BROKER_SOCKET);
        if (!c->path)
                return -ENOMEM;
        r = path_watch_new(event, c->path, on_socket_appeared, c, &c->path_watch);
        if (r < 0)
                log_debug_errno(r, "Failed to watch for '%s', trying by time only: %m", c->path);
        r = event_arm_timer(event, &c->retry, 0, on_retry, c, "broker-retry");
        if (r < 0)
                return r;
        r = event_arm_timer(event, &c->impatience, BROKER_CLIENT_PATIENCE, on_impatience, c,
                            "broker-impatience");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

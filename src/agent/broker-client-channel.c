/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <utlist.h>

#include "alloc-util.h"
#include "broker-client-internal.h"
#include "event-util.h"
#include "fd-util.h"
#include "varlink-util.h"

/* One connection to icewire-broker: the calls that wait on it, and when they are sent. */

/* Longer than two rounds of a userspace WireGuard that does not answer. */
#define CALL_TIMEOUT (15 * USEC_PER_SEC)

static const char *const channel_names[_CHANNEL_MAX] = { "watch", "instant", "link", "sockets" };

/* --- calls --- */

/* The descriptors belong to sd-varlink as soon as they are pushed. */
static int call_send(BrokerChannel *channel, BrokerCall *call)
{
        int r;

        for (size_t i = 0; i < call->n_fds; i++) {
                r = sd_varlink_push_fd(channel->link, call->fds[i]);
                if (r < 0)
                        return r;
                TAKE_FD(call->fds[i]);
        }
        call->n_fds = 0;
        r = sd_varlink_invoke(channel->link, call->method, call->parameters);
        if (r < 0)
                return r;
        call->parameters = json_variant_unref(call->parameters);
        return 0;
}

/* Sends what could not be sent before, in its order. */
static int channel_send(BrokerChannel *channel)
{
        BrokerCall *call, *tmp;
        int r;

        DL_FOREACH_SAFE (channel->calls, call, tmp) {
                if (!call->parameters) {
                        if (channel->kind == CHANNEL_SOCKETS)
                                return 0; /* its answer comes first */
                        continue;
                }
                if (call->abandoned && !call->regardless) {
                        DL_DELETE(channel->calls, call);
                        broker_call_destroy(call);
                        continue;
                }
                r = call_send(channel, call);
                if (r < 0 || channel->kind == CHANNEL_SOCKETS)
                        return r;
        }
        return 0;
}

static int on_flush(sd_event_source *s, void *userdata)
{
        BrokerChannel *channel = userdata;
        int r;

        r = channel_send(channel);
        if (r < 0)
                broker_client_lose(channel->client, r);
        return 0;
}

/* sd-varlink takes no call from inside a reply callback, which is where most calls are made. */
static int channel_send_later(BrokerChannel *channel)
{
        if (channel->flush)
                return sd_event_source_set_enabled(channel->flush, SD_EVENT_ONESHOT);
        return sd_event_add_defer(channel->client->event, &channel->flush, on_flush, channel);
}

int broker_client_call(Broker *b, BrokerChannelKind kind, const char *method, sd_json_variant *parameters,
                       const BrokerCall *prototype, BrokerCall **ret)
{
        BrokerChannel *channel = &((BrokerClient *) b)->channels[kind];
        _cleanup_free_ BrokerCall *call = NULL;
        int r;

        if (!b->connected)
                return -ENOTCONN;
        call = memdup_suffix0(prototype, sizeof(*prototype));
        if (!call)
                return -ENOMEM;
        call->broker = b;
        call->method = method;
        r = channel_send_later(channel);
        if (r < 0)
                return r;
        call->parameters = sd_json_variant_ref(parameters);
        DL_APPEND(channel->calls, call);
        if (ret)
                *ret = call;
        TAKE_PTR(call);
        return 0;
}

static int on_call_reply(sd_varlink *link, sd_json_variant *v, const char *error_id,
                         sd_varlink_reply_flags_t flags, void *userdata)
{
        BrokerChannel *channel = userdata;
        BrokerCall *call = channel->calls;

        if (flags & SD_VARLINK_REPLY_LOCAL) {
                broker_client_lose(channel->client, broker_client_error(error_id, v, flags));
                return 0;
        }
        assert(call); /* sd-varlink counts the answers */
        DL_DELETE(channel->calls, call);
        if (channel->kind == CHANNEL_SOCKETS && channel->calls)
                (void) channel_send_later(channel);
        broker_call_finish(call, error_id ? broker_client_error(error_id, v, flags) : 0, v);
        return 0;
}

/* --- the connection --- */

int broker_channel_connect(BrokerChannel *channel)
{
        static const sd_varlink_reply_t on_reply[_CHANNEL_MAX] = {
                [CHANNEL_WATCH] = broker_client_on_watch,
                [CHANNEL_INSTANT] = on_call_reply,
                [CHANNEL_LINK] = on_call_reply,
                [CHANNEL_SOCKETS] = on_call_reply,
        };
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int r;

        r = sd_varlink_connect_address(&link, channel->client->path);
        if (r < 0)
                return r;
        (void) sd_varlink_set_description(link, channel_names[channel->kind]);
        (void) sd_varlink_set_userdata(link, channel);
        r = sd_varlink_set_input_sensitive(link);
        if (r < 0)
                return r;
        r = sd_varlink_set_relative_timeout(link,
                                            channel->kind == CHANNEL_WATCH ? USEC_INFINITY : CALL_TIMEOUT);
        if (r < 0)
                return r;
        if (channel->kind == CHANNEL_SOCKETS) {
                r = sd_varlink_set_allow_fd_passing_output(link, true);
                if (r < 0)
                        return r;
        }
        r = sd_varlink_bind_reply(link, on_reply[channel->kind]);
        if (r < 0)
                return r;
        r = sd_varlink_attach_event(link, channel->client->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        channel->link = TAKE_PTR(link);
        return 0;
}

void broker_channel_close(BrokerChannel *channel)
{
        channel->flush = event_source_disable_unref(channel->flush);
        channel->link = sd_varlink_close_unref(channel->link);
}

void broker_channel_end_calls(BrokerChannel *channel, int error)
{
        while (channel->calls) {
                BrokerCall *call = channel->calls;

                DL_DELETE(channel->calls, call);
                broker_call_finish(call, error, NULL);
        }
}

void broker_channel_forget_calls(BrokerChannel *channel)
{
        BrokerCall *call, *tmp;

        DL_FOREACH_SAFE (channel->calls, call, tmp)
                broker_call_destroy(call);
        channel->calls = NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-client.h"

#include <fcntl.h>
#include <utlist.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "path-watch.h"
#include "string-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

#define RETRY_MIN (100 * USEC_PER_MSEC)
#define RETRY_MAX (5 * USEC_PER_SEC)

/* Between the socket's appearance and its owner's listen(2). */
#define LISTEN_DELAY (5 * USEC_PER_MSEC)

/* Longer than two rounds of a userspace WireGuard that does not answer. */
#define CALL_TIMEOUT (15 * USEC_PER_SEC)

/* What an answer may carry: the largest envelope. */
#define DATA_MAX (64 * 1024)

/* Sockets that wait with their calls: each is a descriptor more. */
#define SOCKETS_MAX 4096U

typedef enum ChannelKind {
        CHANNEL_WATCH,
        CHANNEL_INSTANT, /* answered at once */
        CHANNEL_LINK,    /* answered when a link answers */
        CHANNEL_SOCKETS, /* one call at a time: sd-varlink would give a call's descriptors to the one before
                            it */
        _CHANNEL_MAX,
} ChannelKind;

static const char *const channel_names[_CHANNEL_MAX] = { "watch", "instant", "link", "sockets" };

typedef struct BrokerClient BrokerClient;

typedef struct Channel {
        BrokerClient *client;
        ChannelKind kind;
        sd_varlink *link;
        BrokerCall *calls; /* in the order in which they are answered; behind them those not yet sent */
        sd_event_source *flush;
} Channel;

struct BrokerClient {
        Broker broker; /* the first member, so that one pointer serves for both */
        sd_event *event;
        char *path;
        Channel channels[_CHANNEL_MAX];
        PathWatch *path_watch;
        sd_event_source *retry;
        sd_event_source *impatience;
        usec_t retry_delay;
        bool told; /* that it is lost */
        int error; /* of the last attempt */
};

typedef enum CallKind {
        CALL_DATA,
        CALL_DONE,
        CALL_TOPICS,
        CALL_DEVICE,
        CALL_REDIRECT,
        CALL_MOVE,
} CallKind;

struct BrokerCall {
        Broker *broker;
        CallKind kind;
        const char *field; /* CALL_DATA: which one of the answer */
        union {
                broker_data_callback_t data;
                broker_done_callback_t done;
                broker_topics_callback_t topics;
                broker_device_callback_t device;
                broker_redirect_callback_t redirect;
                broker_move_callback_t move;
        } callback;
        void *userdata;
        bool abandoned;              /* nobody wants the answer, but it still comes, in its turn */
        bool regardless;             /* it is to be made all the same */
        const char *method;          /* static */
        sd_json_variant *parameters; /* not yet sent; NULL: sent */
        int fds[BROKER_FDS_MAX];     /* that go with it; owned duplicates, until it is sent */
        size_t n_fds;
        BrokerCall *prev, *next;
};

static void client_lose(BrokerClient *c, int error);

BrokerCall *broker_call_free(BrokerCall *call)
{
        if (call)
                call->abandoned = true;
        return NULL;
}

static int error_from_reply(const char *id, sd_json_variant *parameters)
{
        static const struct {
                const char *id;
                int error;
        } table[] = {
                { BROKER_ERROR_NO_SUCH_LINK, -ENODEV },          { BROKER_ERROR_NO_SUCH_PEER, -ENOENT },
                { BROKER_ERROR_NO_PRIVATE_KEY, -ENOKEY },        { BROKER_ERROR_ENVELOPE_REFUSED, -EBADMSG },
                { BROKER_ERROR_NOT_ALLOWED, -EACCES },           { BROKER_ERROR_NO_REDIRECT, -ENOTSUP },
                { BROKER_ERROR_NO_LISTEN_PORT, -EADDRNOTAVAIL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(table[i].id, id))
                        return table[i].error;
        log_debug_errno(sd_varlink_error_to_errno(id, parameters), "icewire-broker answers %s: %m", id);
        return -EIO;
}

static const char *string_field(sd_json_variant *v, const char *name)
{
        sd_json_variant *field = sd_json_variant_by_key(v, name);

        return field && sd_json_variant_is_string(field) ? sd_json_variant_string(field) : NULL;
}

static void finish_data(BrokerCall *call, int error, sd_json_variant *v)
{
        _cleanup_free_ uint8_t *data = NULL;
        size_t size = 0;
        int r = error;

        if (r >= 0) {
                const char *s = string_field(v, call->field);

                r = s ? varlink_decode_base64(s, DATA_MAX, &data, &size) : -EIO;
                if (r < 0)
                        r = -EIO;
        }
        call->callback.data(call->broker, r, data, size, r == -EBADMSG ? string_field(v, "reason") : NULL,
                            call->userdata);
        erase(data, size);
}

static void finish_topics(BrokerCall *call, int error, sd_json_variant *v)
{
        const char *send = error < 0 ? NULL : string_field(v, "send"),
                   *receive = error < 0 ? NULL : string_field(v, "receive");

        if (error >= 0 && (!send || !receive))
                error = -EIO;
        call->callback.topics(call->broker, error, send, receive, call->userdata);
}

static void finish_device(BrokerCall *call, int error, sd_json_variant *v)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;

        if (error >= 0 && broker_link_parse_json(sd_json_variant_by_key(v, "link"), &device) < 0)
                error = -EIO;
        call->callback.device(call->broker, error, device, call->userdata);
}

static void finish_redirect(BrokerCall *call, int error, sd_json_variant *v)
{
        RedirectKind kind = REDIRECT_PROXY;

        if (error >= 0) {
                kind = redirect_kind_from_string(strempty(string_field(v, "kind")));
                if (kind < 0)
                        error = -EIO;
        }
        call->callback.redirect(call->broker, error, error < 0 ? REDIRECT_PROXY : kind,
                                error < 0 ? NULL : string_field(v, "reason"), call->userdata);
}

static void finish_move(BrokerCall *call, int error, sd_json_variant *v)
{
        sd_json_variant *packets = error < 0 ? NULL : sd_json_variant_by_key(v, "packets");

        if (error >= 0 && (!packets || !sd_json_variant_is_unsigned(packets)))
                error = -EIO;
        call->callback.move(call->broker, error, error < 0 ? 0 : sd_json_variant_unsigned(packets),
                            call->userdata);
}

static void call_destroy(BrokerCall *call)
{
        sd_json_variant_unref(call->parameters);
        while (call->n_fds > 0)
                safe_close(call->fds[--call->n_fds]);
        free(call);
}

/* The call is out of its list; this is its end. */
static void call_finish(BrokerCall *call, int error, sd_json_variant *v)
{
        if (!call->abandoned)
                switch (call->kind) {
                case CALL_DATA:
                        finish_data(call, error, v);
                        break;
                case CALL_DONE:
                        call->callback.done(call->broker, error, call->userdata);
                        break;
                case CALL_TOPICS:
                        finish_topics(call, error, v);
                        break;
                case CALL_DEVICE:
                        finish_device(call, error, v);
                        break;
                case CALL_REDIRECT:
                        finish_redirect(call, error, v);
                        break;
                case CALL_MOVE:
                        finish_move(call, error, v);
                        break;
                }
        else if (error < 0 && error != -ECONNRESET)
                log_debug_errno(error, "icewire-broker failed in %s, which nobody waits for: %m",
                                call->method);
        call_destroy(call);
}

static int error_from_local(const char *id)
{
        if (streq(id, SD_VARLINK_ERROR_TIMEOUT))
                return -ETIMEDOUT;
        return streq(id, SD_VARLINK_ERROR_PROTOCOL) ? -EPROTO : -ECONNRESET;
}

static int channel_send_later(Channel *channel);

static int on_call_reply(sd_varlink *link, sd_json_variant *v, const char *error_id,
                         sd_varlink_reply_flags_t flags, void *userdata)
{
        Channel *channel = userdata;
        BrokerCall *call = channel->calls;

        if (flags & SD_VARLINK_REPLY_LOCAL) {
                client_lose(channel->client, error_from_local(error_id));
                return 0;
        }
        assert(call); /* sd-varlink counts the answers */
        DL_DELETE(channel->calls, call);
        if (channel->kind == CHANNEL_SOCKETS && channel->calls)
                (void) channel_send_later(channel);
        call_finish(call, error_id ? error_from_reply(error_id, v) : 0, v);
        return 0;
}

static void on_event_changed(BrokerClient *c, sd_json_variant *v)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        int r;

        r = broker_link_parse_json(sd_json_variant_by_key(v, "link"), &device);
        if (r < 0) {
                log_warning_errno(r, "icewire-broker told of a link that makes no sense, ignoring: %m");
                return;
        }
        c->broker.callbacks->link_changed(&c->broker, device, c->broker.userdata);
}

static void on_event_ready(BrokerClient *c)
{
        c->told = false;
        c->retry_delay = RETRY_MIN;
        event_disarm_timer(c->impatience);
        c->broker.callbacks->ready(&c->broker, c->broker.userdata);
}

static void on_event_initiation(BrokerClient *c, const char *name, sd_json_variant *v)
{
        SocketAddress endpoint;

        if (!name || socket_address_from_string(strempty(string_field(v, "endpoint")), &endpoint) < 0)
                log_warning("icewire-broker told of an initiation that makes no sense, ignoring.");
        else if (c->broker.callbacks->handshake_initiated)
                c->broker.callbacks->handshake_initiated(&c->broker, name, &endpoint, c->broker.userdata);
}

static int on_watch_reply(sd_varlink *link, sd_json_variant *v, const char *error_id,
                          sd_varlink_reply_flags_t flags, void *userdata)
{
        Channel *channel = userdata;
        BrokerClient *c = channel->client;
        const char *event, *name;

        if (error_id) {
                client_lose(c, (flags & SD_VARLINK_REPLY_LOCAL) ? error_from_local(error_id)
                                                                : error_from_reply(error_id, v));
                return 0;
        }
        event = string_field(v, "event");
        name = string_field(v, "name");
        switch (broker_event_from_string(event)) {
        case BROKER_EVENT_CHANGED:
                on_event_changed(c, v);
                break;
        case BROKER_EVENT_REMOVED:
                if (name)
                        c->broker.callbacks->link_removed(&c->broker, name, c->broker.userdata);
                break;
        case BROKER_EVENT_READY:
                on_event_ready(c);
                break;
        case BROKER_EVENT_REDIRECT:
                c->broker.callbacks->redirect_changed(&c->broker, c->broker.userdata);
                break;
        case BROKER_EVENT_INITIATION:
                on_event_initiation(c, name, v);
                break;
        default:
                log_debug("icewire-broker tells of '%s', ignoring.", strna(event));
        }
        return 0;
}

static void client_close(BrokerClient *c)
{
        c->broker.connected = false;
        for (size_t i = 0; i < _CHANNEL_MAX; i++) {
                c->channels[i].flush = event_source_disable_unref(c->channels[i].flush);
                c->channels[i].link = sd_varlink_close_unref(c->channels[i].link);
        }
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
static void client_lose(BrokerClient *c, int error)
{
        c->error = error;
        c->broker.active = now(CLOCK_MONOTONIC);
        client_close(c);
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                while (c->channels[i].calls) {
                        BrokerCall *call = c->channels[i].calls;

                        DL_DELETE(c->channels[i].calls, call);
                        call_finish(call, -ECONNRESET, NULL);
                }
        client_retry_later(c);
        client_tell_lost(c);
}

static int channel_connect(Channel *channel)
{
        static const sd_varlink_reply_t on_reply[_CHANNEL_MAX] = {
                [CHANNEL_WATCH] = on_watch_reply,
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

static int client_connect(BrokerClient *c)
{
        int r;

        for (size_t i = 0; i < _CHANNEL_MAX; i++) {
                r = channel_connect(&c->channels[i]);
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

/* The descriptors belong to sd-varlink as soon as they are pushed. */
static int call_send(Channel *channel, BrokerCall *call)
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
static int channel_send(Channel *channel)
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
                        call_destroy(call);
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
        Channel *channel = userdata;
        int r;

        r = channel_send(channel);
        if (r < 0)
                client_lose(channel->client, r);
        return 0;
}

/* sd-varlink takes no call from inside a reply callback, which is where most calls are made. */
static int channel_send_later(Channel *channel)
{
        if (channel->flush)
                return sd_event_source_set_enabled(channel->flush, SD_EVENT_ONESHOT);
        return sd_event_add_defer(channel->client->event, &channel->flush, on_flush, channel);
}

/* Sends a call whose kind, callback and userdata stand in `prototype`. */
static int client_call(Broker *b, ChannelKind kind, const char *method, sd_json_variant *parameters,
                       const BrokerCall *prototype, BrokerCall **ret)
{
        Channel *channel = &((BrokerClient *) b)->channels[kind];
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

/* Bytes for the peer: seal and open differ in names only. */
static int call_with_data(Broker *b, const char *method, const char *in, const char *out, const char *link,
                          const WireguardKey *peer, const void *data, size_t size,
                          broker_data_callback_t callback, void *userdata, BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL, *bytes = NULL;
        BrokerCall call = {
                .kind = CALL_DATA, .field = out, .callback.data = callback, .userdata = userdata
        };
        int r;

        r = sd_json_variant_new_base64(&bytes, data, size);
        if (r < 0)
                return r;
        sd_json_variant_sensitive(bytes);
        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("link", link),
                           SD_JSON_BUILD_PAIR_STRING("peer", WIREGUARD_KEY_STR(peer)),
                           SD_JSON_BUILD_PAIR_VARIANT(in, bytes));
        if (r < 0)
                return r;
        return client_call(b, CHANNEL_INSTANT, method, v, &call, ret);
}

static int client_seal(Broker *b, const char *link, const WireguardKey *peer, const void *body, size_t size,
                       broker_data_callback_t callback, void *userdata, BrokerCall **ret)
{
        return call_with_data(b, BROKER_METHOD("Seal"), "body", "envelope", link, peer, body, size, callback,
                              userdata, ret);
}

static int client_open(Broker *b, const char *link, const WireguardKey *peer, const void *envelope,
                       size_t size, broker_data_callback_t callback, void *userdata, BrokerCall **ret)
{
        return call_with_data(b, BROKER_METHOD("Open"), "envelope", "body", link, peer, envelope, size,
                              callback, userdata, ret);
}

static int client_derive_topics(Broker *b, const char *link, const WireguardKey *peer,
                                broker_topics_callback_t callback, void *userdata, BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        BrokerCall call = { .kind = CALL_TOPICS, .callback.topics = callback, .userdata = userdata };
        int r;

        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("link", link),
                           SD_JSON_BUILD_PAIR_STRING("peer", WIREGUARD_KEY_STR(peer)));
        if (r < 0)
                return r;
        return client_call(b, CHANNEL_INSTANT, BROKER_METHOD("DeriveTopics"), v, &call, ret);
}

static int client_set_endpoint(Broker *b, const char *link, const WireguardKey *peer,
                               const SocketAddress *endpoint, int keepalive, broker_done_callback_t callback,
                               void *userdata, BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        BrokerCall call = { .kind = CALL_DONE, .callback.done = callback, .userdata = userdata };
        bool has_endpoint = endpoint && socket_address_is_set(endpoint);
        int r;

        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("link", link),
                           SD_JSON_BUILD_PAIR_STRING("peer", WIREGUARD_KEY_STR(peer)),
                           SD_JSON_BUILD_PAIR_CONDITION(
                                   has_endpoint, "endpoint",
                                   SD_JSON_BUILD_STRING(has_endpoint ? SOCKET_ADDRESS_STR(endpoint) : NULL)),
                           SD_JSON_BUILD_PAIR_CONDITION(keepalive >= 0, "persistentKeepalive",
                                                        SD_JSON_BUILD_INTEGER(keepalive)));
        if (r < 0)
                return r;
        return client_call(b, CHANNEL_LINK, BROKER_METHOD("SetEndpoint"), v, &call, ret);
}

static int client_read_link(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                            BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        BrokerCall call = { .kind = CALL_DEVICE, .callback.device = callback, .userdata = userdata };
        int r;

        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("name", link));
        if (r < 0)
                return r;
        return client_call(b, CHANNEL_LINK, BROKER_METHOD("ReadLink"), v, &call, ret);
}

/* A call of the channel for sockets, with some of them. Without an `ret` nobody waits for its answer, but it
 * is made all the same. */
static int call_with_sockets(Broker *b, const char *method, sd_json_variant *parameters, const int *fds,
                             size_t n, BrokerCall *prototype, BrokerCall **ret)
{
        size_t n_waiting = 0;
        const BrokerCall *other;
        int r;

        if (n > ELEMENTSOF(prototype->fds))
                return -E2BIG;
        DL_FOREACH (((BrokerClient *) b)->channels[CHANNEL_SOCKETS].calls, other)
                n_waiting += other->n_fds;
        if (n > 0 && n_waiting + n > SOCKETS_MAX)
                return -ENOBUFS;
        for (size_t i = 0; i < n; i++) {
                prototype->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
                if (prototype->fds[i] < 0) {
                        r = -errno;
                        goto fail;
                }
                prototype->n_fds++;
        }
        prototype->abandoned = prototype->regardless = !ret;
        r = client_call(b, CHANNEL_SOCKETS, method, parameters, prototype, ret);
        if (r >= 0)
                return 0;
fail:
        while (prototype->n_fds > 0)
                safe_close(prototype->fds[--prototype->n_fds]);
        return r;
}

static int client_grow_buffers(Broker *b, const int *fds, size_t n)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = sd_json_variant_new_object(&v, NULL, 0);
        for (size_t i = 0; r >= 0 && i < n; i += BROKER_FDS_MAX)
                r = call_with_sockets(b, BROKER_METHOD("GrowBuffers"), v, fds + i,
                                      MIN(n - i, (size_t) BROKER_FDS_MAX),
                                      &(BrokerCall) { .kind = CALL_DONE }, NULL);
        return r;
}

static int build_uplinks(const int *uplinks, size_t n, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *array = NULL;
        int r;

        r = sd_json_variant_new_array(&array, NULL, 0);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_json_variant_append_arrayb(&array, SD_JSON_BUILD_INTEGER(uplinks[i]));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}

static int build_relays(const SocketAddress *relays, size_t n, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *array = NULL;
        int r;

        r = sd_json_variant_new_array(&array, NULL, 0);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_json_variant_append_arrayb(&array,
                                                  SD_JSON_BUILD_STRING(SOCKET_ADDRESS_STR(&relays[i])));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(array);
        return 0;
}

static int client_set_redirect(Broker *b, RedirectMode mode, const int *uplinks, size_t n_uplinks,
                               const SocketAddress *relays, size_t n_relays,
                               broker_redirect_callback_t callback, void *userdata, BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL, *interfaces = NULL, *servers = NULL;
        BrokerCall call = { .kind = CALL_REDIRECT, .callback.redirect = callback, .userdata = userdata };
        int r;

        r = build_uplinks(uplinks, n_uplinks, &interfaces);
        if (r < 0)
                return r;
        r = build_relays(relays, n_relays, &servers);
        if (r < 0)
                return r;
        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("mode", redirect_mode_to_string(mode)),
                           SD_JSON_BUILD_PAIR_VARIANT("uplinks", interfaces),
                           SD_JSON_BUILD_PAIR_VARIANT("relays", servers));
        if (r < 0)
                return r;
        return call_with_sockets(b, BROKER_METHOD("SetRedirect"), v, NULL, 0, &call, ret);
}

static int client_add_sockets(Broker *b, const char *link, const char *ufrag, bool keeps_relays,
                              const int *fds, size_t n, broker_done_callback_t callback, void *userdata,
                              BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        BrokerCall call = { .kind = CALL_DONE, .callback.done = callback, .userdata = userdata };
        int r;

        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("link", link),
                           SD_JSON_BUILD_PAIR_STRING("ufrag", ufrag),
                           SD_JSON_BUILD_PAIR_BOOLEAN("keepsRelays", keeps_relays));
        if (r < 0)
                return r;
        return call_with_sockets(b, BROKER_METHOD("AddSockets"), v, fds, n, &call, ret);
}

static int client_remove_sockets(Broker *b, const char *ufrag)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("ufrag", ufrag));
        if (r < 0)
                return r;
        return call_with_sockets(b, BROKER_METHOD("RemoveSockets"), v, NULL, 0,
                                 &(BrokerCall) { .kind = CALL_DONE }, NULL);
}

static int client_move_source(Broker *b, const char *link, const SocketAddress *from,
                              const SocketAddress *to, unsigned seconds, broker_move_callback_t callback,
                              void *userdata, BrokerCall **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        BrokerCall call = { .kind = CALL_MOVE, .callback.move = callback, .userdata = userdata };
        int r;

        if (from->sa.sa_family != to->sa.sa_family)
                return -EAFNOSUPPORT;
        r = sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("link", link),
                           SD_JSON_BUILD_PAIR_STRING("from", SOCKET_ADDRESS_STR(from)),
                           SD_JSON_BUILD_PAIR_STRING("to", SOCKET_ADDRESS_STR(to)),
                           SD_JSON_BUILD_PAIR_UNSIGNED("seconds", seconds));
        if (r < 0)
                return r;
        return client_call(b, CHANNEL_INSTANT, BROKER_METHOD("MoveSource"), v, &call, ret);
}

static Broker *client_free(Broker *b)
{
        BrokerClient *c = (BrokerClient *) b;
        BrokerCall *call, *tmp;

        client_close(c);
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                DL_FOREACH_SAFE (c->channels[i].calls, call, tmp)
                        call_destroy(call);
        path_watch_free(c->path_watch);
        event_source_disable_unref(c->retry);
        event_source_disable_unref(c->impatience);
        sd_event_unref(c->event);
        free(c->path);
        return mfree(c);
}

static const BrokerOps client_ops = {
        .seal = client_seal,
        .open = client_open,
        .derive_topics = client_derive_topics,
        .set_endpoint = client_set_endpoint,
        .read_link = client_read_link,
        .grow_buffers = client_grow_buffers,
        .set_redirect = client_set_redirect,
        .add_sockets = client_add_sockets,
        .remove_sockets = client_remove_sockets,
        .move_source = client_move_source,
        .free = client_free,
};

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
                .broker = { .ops = &client_ops,
                            .callbacks = callbacks,
                            .userdata = userdata,
                            .active = now(CLOCK_MONOTONIC) },
                .event = sd_event_ref(event),
                .retry_delay = RETRY_MIN,
                .error = -ENOENT,
        };
        b = &c->broker;
        for (size_t i = 0; i < _CHANNEL_MAX; i++)
                c->channels[i] = (Channel) { .client = c, .kind = (ChannelKind) i };
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

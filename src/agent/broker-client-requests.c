/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <utlist.h>

#include "broker-client-internal.h"
#include "fd-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* What icewire-broker can be asked, as its methods have it. */

/* Sockets that wait with their calls: each is a descriptor more. */
#define SOCKETS_MAX 4096U

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
        return broker_client_call(b, CHANNEL_INSTANT, method, v, &call, ret);
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
        return broker_client_call(b, CHANNEL_INSTANT, BROKER_METHOD("DeriveTopics"), v, &call, ret);
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
        return broker_client_call(b, CHANNEL_LINK, BROKER_METHOD("SetEndpoint"), v, &call, ret);
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
        return broker_client_call(b, CHANNEL_LINK, BROKER_METHOD("ReadLink"), v, &call, ret);
}

/* --- with sockets --- */

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
        r = broker_client_call(b, CHANNEL_SOCKETS, method, parameters, prototype, ret);
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
        return broker_client_call(b, CHANNEL_INSTANT, BROKER_METHOD("MoveSource"), v, &call, ret);
}

const BrokerOps broker_client_ops = {
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
        .free = broker_client_free,
};

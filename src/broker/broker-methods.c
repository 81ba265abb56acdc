/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <sys/socket.h>
#include <utlist.h>

#include "alloc-util.h"
#include "broker-varlink.h"
#include "envelope.h"
#include "varlink-broker.h"
#include "varlink-service.h"

/* The methods of org.icewire.Broker: parse, authorise, one verb of the model, answer. Seal, Open and
 * DeriveTopics are answered at once, from the keys of the last reading; ReadLink and SetEndpoint wait for
 * the link. */

#define BUFFER_SIZE (4 * 1024 * 1024)

/* A call that waits for a link. sd-varlink hands out the next call of a connection only after the answer, so
 * there is one for each connection at most. */
struct BrokerRequest {
        BrokerServer *server;
        sd_varlink *link; /* a reference */
        char name[IF_NAMESIZE];
        bool wants_peer; /* SetEndpoint: answer whether this peer is there */
        WireguardKey peer;
        BrokerRead *read;
        WireguardCall *call;
        BrokerRequest *prev, *next;
};

typedef struct Parameters {
        const char *link;
        WireguardKey peer;
        const char *data; /* body or envelope, base64 */
        SocketAddress endpoint;
        int keepalive; /* -1: absent */
} Parameters;

#define LINK_FIELD                                                                                          \
        { "link", SD_JSON_VARIANT_STRING, varlink_dispatch_ifname, offsetof(Parameters, link),              \
          SD_JSON_MANDATORY }
#define PEER_FIELD                                                                                          \
        { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(Parameters, peer),                 \
          SD_JSON_MANDATORY }

static int reply_error(sd_varlink *link, int error)
{
        switch (error) {
        case -ENODEV:
                return sd_varlink_error(link, BROKER_ERROR_NO_SUCH_LINK, NULL);
        case -ENOENT:
                return sd_varlink_error(link, BROKER_ERROR_NO_SUCH_PEER, NULL);
        case -ENOKEY:
                return sd_varlink_error(link, BROKER_ERROR_NO_PRIVATE_KEY, NULL);
        default:
                return sd_varlink_error_errno(link, error);
        }
}

static BrokerRequest *request_free(BrokerRequest *request)
{
        if (!request)
                return NULL;
        DL_DELETE(request->server->requests, request);
        broker_read_free(request->read);
        wireguard_call_free(request->call);
        sd_varlink_unref(request->link);
        return mfree(request);
}

void broker_requests_cancel(BrokerServer *s, sd_varlink *link)
{
        BrokerRequest *request, *tmp;

        DL_FOREACH_SAFE (s->requests, request, tmp)
                if (!link || request->link == link)
                        request_free(request);
}

static int request_new(BrokerServer *s, sd_varlink *link, const char *name, BrokerRequest **ret)
{
        BrokerRequest *request;

        request = new0(BrokerRequest, 1);
        if (!request)
                return -ENOMEM;
        *request = (BrokerRequest) { .server = s, .link = sd_varlink_ref(link) };
        strcpy(request->name, name);
        DL_APPEND(s->requests, request);
        *ret = request;
        return 0;
}

static int reply_link(sd_varlink *link, const WireguardDevice *device)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = broker_link_build_json(device, &v);
        if (r < 0)
                return reply_error(link, r);
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("link", v));
}

static void on_read(int error, BrokerLink *link, void *userdata)
{
        BrokerRequest *request = userdata;

        request->read = NULL;
        if (error < 0)
                (void) reply_error(request->link, error);
        else if (!request->wants_peer)
                (void) reply_link(request->link, link->device);
        else if (!wireguard_device_find_peer(link->device, &request->peer))
                (void) reply_error(request->link, -ENOENT);
        else
                (void) sd_varlink_reply(request->link, NULL);
        request_free(request);
}

static int request_read(BrokerRequest *request)
{
        BrokerLink *link = broker_manager_find(request->server->manager, request->name);

        if (!link)
                return -ENODEV;
        return broker_link_read(link, on_read, request, &request->read);
}

static int method_read_link(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                            void *userdata)
{
        static const sd_json_dispatch_field table[] = { { "name", SD_JSON_VARIANT_STRING,
                                                          varlink_dispatch_ifname,
                                                          offsetof(Parameters, link), SD_JSON_MANDATORY },
                                                        {} };
        BrokerServer *s = userdata;
        BrokerRequest *request;
        Parameters p = {};
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        r = request_new(s, link, p.link, &request);
        if (r < 0)
                return r;
        r = request_read(request);
        if (r < 0) {
                request_free(request);
                return reply_error(link, r);
        }
        return 0;
}

/* The kernel says nothing about a peer that is not there; a reading tells, and the watchers get the news
 * with it. */
static void on_endpoint_set(int error, void *userdata)
{
        BrokerRequest *request = userdata;
        BrokerLink *link = broker_manager_find(request->server->manager, request->name);
        int r = error;

        request->call = NULL;
        if (r >= 0)
                r = request_read(request);
        else if (r == -ETIMEDOUT && link)
                broker_link_set_hung(link);
        else if (link)
                /* What was to be changed may be as it was, or in part. */
                broker_link_look(link);
        if (r < 0) {
                (void) reply_error(request->link, r);
                request_free(request);
        }
}

static int dispatch_keepalive(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                              void *userdata)
{
        int *keepalive = userdata;

        if (sd_json_variant_is_null(v))
                return 0;
        /* sd-json would also take a number in a string. */
        if (!sd_json_variant_is_unsigned(v) || sd_json_variant_unsigned(v) > UINT16_MAX)
                return -EINVAL;
        *keepalive = (int) sd_json_variant_unsigned(v);
        return 0;
}

static int method_set_endpoint(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                LINK_FIELD,
                PEER_FIELD,
                { "endpoint", SD_JSON_VARIANT_STRING, varlink_dispatch_endpoint,
                  offsetof(Parameters, endpoint), SD_JSON_NULLABLE },
                { "persistentKeepalive", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_keepalive,
                  offsetof(Parameters, keepalive), SD_JSON_NULLABLE },
                {}
        };
        BrokerServer *s = userdata;
        Parameters p = { .keepalive = -1 };
        BrokerRequest *request;
        BrokerLink *found;
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        found = broker_manager_find(s->manager, p.link);
        if (!found)
                return reply_error(link, -ENODEV);
        r = request_new(s, link, p.link, &request);
        if (r < 0)
                return r;
        request->wants_peer = true;
        request->peer = p.peer;
        r = broker_link_set_endpoint(found, &p.peer, &p.endpoint, p.keepalive, on_endpoint_set, request,
                                     &request->call);
        if (r < 0) {
                request_free(request);
                return reply_error(link, r);
        }
        return 0;
}

/* The keys of (link, peer), lent until the loop turns. Only peers that the link has: a stranger's key must
 * not be combined with ours. -ENODEV, -ENOENT, -ENOKEY. */
static int find_keys(const BrokerServer *s, const Parameters *p, EnvelopeKeys *ret)
{
        const BrokerLink *link = broker_manager_find(s->manager, p->link);
        const WireguardKey *private_key;
        const WireguardPeer *peer;

        if (!link)
                return -ENODEV;
        peer = wireguard_device_find_peer(link->device, &p->peer);
        if (!peer)
                return -ENOENT;
        private_key = broker_secrets_private_key(link->secrets);
        if (!private_key)
                return -ENOKEY;
        *ret = (EnvelopeKeys) {
                .private_key = private_key,
                .public_key = &link->device->public_key,
                .peer = &peer->public_key,
                .preshared_key = broker_secrets_preshared_key(link->secrets, &p->peer),
        };
        return 0;
}

/* What Seal, Open and DeriveTopics have in common. 0 and keys, or the answer was given. */
static int parse_and_find_keys(BrokerServer *s, sd_varlink *link, sd_json_variant *parameters,
                               const sd_json_dispatch_field *table, Parameters *p, EnvelopeKeys *ret)
{
        int r;

        r = broker_server_parse(s, link, parameters, table, p);
        if (r != 0)
                return r;
        r = find_keys(s, p, ret);
        return r < 0 ? reply_error(link, r) : 0;
}

/* Bytes in base64 as the only field of the answer; erased on their way, since an opened body has ICE
 * passwords. */
static int reply_bytes(sd_varlink *link, const char *field, const void *data, size_t size)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = sd_json_variant_new_base64(&v, data, size);
        if (r < 0)
                return r;
        sd_json_variant_sensitive(v);
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT(field, v));
}

static int method_seal(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        static const sd_json_dispatch_field table[] = { LINK_FIELD,
                                                        PEER_FIELD,
                                                        { "body", SD_JSON_VARIANT_STRING,
                                                          sd_json_dispatch_const_string,
                                                          offsetof(Parameters, data), SD_JSON_MANDATORY },
                                                        {} };
        _cleanup_free_ uint8_t *body = NULL, *envelope = NULL;
        size_t size, envelope_size;
        Parameters p = {};
        EnvelopeKeys keys;
        int r;

        r = parse_and_find_keys(userdata, link, parameters, table, &p, &keys);
        if (r != 0)
                return r;
        r = varlink_decode_base64(p.data, ENVELOPE_BODY_MAX, &body, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || size == 0)
                return sd_varlink_error_invalid_parameter_name(link, "body");
        r = envelope_seal(&keys, body, size, &envelope, &envelope_size);
        erase(body, size);
        if (r < 0)
                return reply_error(link, r);
        return reply_bytes(link, "envelope", envelope, envelope_size);
}

static int method_open(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        static const sd_json_dispatch_field table[] = { LINK_FIELD,
                                                        PEER_FIELD,
                                                        { "envelope", SD_JSON_VARIANT_STRING,
                                                          sd_json_dispatch_const_string,
                                                          offsetof(Parameters, data), SD_JSON_MANDATORY },
                                                        {} };
        _cleanup_free_ uint8_t *envelope = NULL;
        _cleanup_free_ char *body = NULL;
        EnvelopeError error = _ENVELOPE_ERROR_INVALID;
        size_t size, body_size;
        Parameters p = {};
        EnvelopeKeys keys;
        int r;

        r = parse_and_find_keys(userdata, link, parameters, table, &p, &keys);
        if (r != 0)
                return r;
        r = varlink_decode_base64(p.data, ENVELOPE_SIZE_MAX, &envelope, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return sd_varlink_error_invalid_parameter_name(link, "envelope");
        r = envelope_open(&keys, envelope, size, &body, &body_size, &error);
        if (r == -EBADMSG)
                return sd_varlink_errorbo(
                        link, BROKER_ERROR_ENVELOPE_REFUSED,
                        SD_JSON_BUILD_PAIR_STRING("reason", envelope_error_to_string(error)));
        if (r < 0)
                return reply_error(link, r);
        r = reply_bytes(link, "body", body, body_size);
        erase(body, body_size);
        return r;
}

static int method_derive_topics(sd_varlink *link, sd_json_variant *parameters,
                                sd_varlink_method_flags_t flags, void *userdata)
{
        static const sd_json_dispatch_field table[] = { LINK_FIELD, PEER_FIELD, {} };
        char send[TOPIC_STRLEN], receive[TOPIC_STRLEN];
        Parameters p = {};
        EnvelopeKeys keys;
        int r;

        r = parse_and_find_keys(userdata, link, parameters, table, &p, &keys);
        if (r != 0)
                return r;
        r = envelope_derive_topics(&keys, send, receive);
        if (r < 0)
                return reply_error(link, r);
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_STRING("send", send),
                                  SD_JSON_BUILD_PAIR_STRING("receive", receive));
}

static int get_socket_option(int fd, int option)
{
        int value;
        socklen_t size = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -errno : value;
}

/* 0, or -ENOTSOCK and the like: a UDP socket over IP, and nothing else. */
static int check_udp_socket(int fd)
{
        int domain = get_socket_option(fd, SO_DOMAIN), type = get_socket_option(fd, SO_TYPE),
            protocol = get_socket_option(fd, SO_PROTOCOL);

        if (domain < 0)
                return domain;
        if (domain != AF_INET && domain != AF_INET6)
                return -EAFNOSUPPORT;
        return type == SOCK_DGRAM && protocol == IPPROTO_UDP ? 0 : -EPROTOTYPE;
}

static int grow_buffers(int fd)
{
        static const int size = BUFFER_SIZE;

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                return -errno;
        return 0;
}

int broker_peek_udp_sockets(sd_varlink *link, int ret_fds[static BROKER_FDS_MAX], size_t *ret_n)
{
        size_t n = 0;
        int r;

        for (int fd; (fd = sd_varlink_peek_fd(link, n)) >= 0; n++) {
                if (n >= BROKER_FDS_MAX)
                        return sd_varlink_error_errno(link, -E2BIG);
                r = check_udp_socket(fd);
                if (r < 0)
                        return sd_varlink_error_errno(link, r);
                ret_fds[n] = fd;
        }
        if (n == 0)
                return sd_varlink_error_errno(link, -EBADF);
        *ret_n = n;
        return 0;
}

/* All are checked before one is changed. */
static int method_grow_buffers(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata)
{
        static const sd_json_dispatch_field table[] = { {} };
        int fds[BROKER_FDS_MAX];
        size_t n;
        int r;

        r = broker_server_parse(userdata, link, parameters, table, NULL);
        if (r != 0)
                return r;
        r = broker_peek_udp_sockets(link, fds, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = grow_buffers(fds[i]);
                if (r < 0)
                        return sd_varlink_error_errno(link, r);
        }
        return sd_varlink_reply(link, NULL);
}

/* What SIGHUP does, for who cannot send signals. */
static int method_reload(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                         void *userdata)
{
        static const sd_json_dispatch_field none[] = { {} };
        BrokerServer *s = userdata;
        int r;

        r = sd_varlink_dispatch(link, parameters, none, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = varlink_require_privilege(link);
        if (r < 0)
                return r;
        broker_manager_refresh(s->manager);
        return sd_varlink_reply(link, /* parameters= */ NULL);
}

#define METHODS(X)                                                                                          \
        X(WatchLinks, broker_method_watch_links)                                                            \
        X(ReadLink, method_read_link)                                                                       \
        X(SetEndpoint, method_set_endpoint)                                                                 \
        X(Seal, method_seal)                                                                                \
        X(Open, method_open)                                                                                \
        X(DeriveTopics, method_derive_topics)                                                               \
        X(GrowBuffers, method_grow_buffers)                                                                 \
        X(SetRedirect, broker_method_set_redirect)                                                          \
        X(AddSockets, broker_method_add_sockets)                                                            \
        X(RemoveSockets, broker_method_remove_sockets)                                                      \
        X(MoveSource, broker_method_move_source)

METHODS(VARLINK_DEFINE_WITH_REPLY)
VARLINK_DEFINE_WITH_REPLY(Reload, method_reload)

int broker_methods_bind(sd_varlink_server *server)
{
#define BIND(name, method) BROKER_METHOD(#name), method##_with_reply,
        int r = varlink_service_add(server, /* set_log_level= */ (VarlinkMethod) {});

        return r < 0 ? r
                     : sd_varlink_server_bind_method_many(server, METHODS(BIND) "io.systemd.service.Reload",
                                                          method_reload_with_reply);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-broker.h"

#include "string-util.h"
#include "varlink-util.h"

#define COMMENT SD_VARLINK_FIELD_COMMENT
#define FIELD(name, type) SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, 0)
#define OPTIONAL(name, type) SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, SD_VARLINK_NULLABLE)
#define VALUE SD_VARLINK_DEFINE_ENUM_VALUE
#define INPUT(name, type) SD_VARLINK_DEFINE_INPUT(name, SD_VARLINK_##type, 0)
#define OUTPUT(name, type) SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_##type, 0)

/* One field each line, its comment above. */
/* clang-format off */

static SD_VARLINK_DEFINE_ENUM_TYPE(LinkKind,
        COMMENT("The kernel's WireGuard"),
        VALUE(kernel),
        COMMENT("A UAPI socket in /run/wireguard"),
        VALUE(userspace));

static SD_VARLINK_DEFINE_ENUM_TYPE(LinkEvent,
        COMMENT("A link is new or different; `link` tells how it is now"),
        VALUE(changed),
        COMMENT("The link `name` is gone"),
        VALUE(removed),
        COMMENT("Every link that there is was told; what follows are changes"),
        VALUE(ready),
        COMMENT("SetRedirect, called again, may put something else into force now"),
        VALUE(redirect),
        COMMENT("The link `name` has just sent a handshake initiation to `endpoint`; some are told, with the redirect by eBPF only"),
        VALUE(initiation));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Peer,
        COMMENT("In base64"),
        FIELD(publicKey, STRING),
        COMMENT("Address and port, as \"192.0.2.1:51820\" or \"[2001:db8::1]:51820\""),
        OPTIONAL(endpoint, STRING),
        COMMENT("As \"10.0.0.0/8\" or \"2001:db8::/32\""),
        SD_VARLINK_DEFINE_FIELD(allowedIPs, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        COMMENT("In seconds; 0: off"),
        FIELD(persistentKeepalive, INT),
        COMMENT("Whether it has one; it is not told"),
        FIELD(hasPresharedKey, BOOL),
        COMMENT("How often it has become another one since icewire-broker knows the peer"),
        FIELD(presharedKeyChanges, INT),
        COMMENT("CLOCK_REALTIME; 0: never"),
        FIELD(lastHandshakeUSec, INT),
        COMMENT("What WireGuard received from the peer"),
        FIELD(rxBytes, INT),
        COMMENT("What WireGuard sent to the peer"),
        FIELD(txBytes, INT));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Link,
        COMMENT("Of the interface, or of the UAPI socket"),
        FIELD(name, STRING),
        COMMENT("0: a UAPI socket without an interface of its name here"),
        FIELD(ifindex, INT),
        COMMENT("Who implements it"),
        SD_VARLINK_DEFINE_FIELD_BY_TYPE(kind, LinkKind, 0),
        COMMENT("In base64; absent: the link has no private key"),
        OPTIONAL(publicKey, STRING),
        COMMENT("0: not bound"),
        FIELD(listenPort, INT),
        COMMENT("Of what WireGuard sends; 0: none"),
        FIELD(firewallMark, INT),
        COMMENT("All that are configured"),
        SD_VARLINK_DEFINE_FIELD_BY_TYPE(peers, Peer, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD_FULL(WatchLinks, SD_VARLINK_REQUIRES_MORE,
        COMMENT("What has happened"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(event, LinkEvent, 0),
        COMMENT("With `changed`, `removed` and `initiation`"),
        SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        COMMENT("With `changed`"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(link, Link, SD_VARLINK_NULLABLE),
        COMMENT("With `initiation`"),
        SD_VARLINK_DEFINE_OUTPUT(endpoint, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(ReadLink,
        COMMENT("Which one"),
        INPUT(name, STRING),
        COMMENT("How it is now"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(link, Link, 0));

/* Whom a call is about. */
#define PEER_OF_LINK                                                                                        \
        COMMENT("The link's name"),                                                                         \
        INPUT(link, STRING),                                                                                \
        COMMENT("The public key of a peer of it, in base64"),                                               \
        INPUT(peer, STRING)

static SD_VARLINK_DEFINE_METHOD(SetEndpoint,
        PEER_OF_LINK,
        COMMENT("Absent: leave it"),
        SD_VARLINK_DEFINE_INPUT(endpoint, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        COMMENT("In seconds, 0 to 65535; absent: leave it"),
        SD_VARLINK_DEFINE_INPUT(persistentKeepalive, SD_VARLINK_INT, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(Seal,
        PEER_OF_LINK,
        COMMENT("The message, in base64"),
        INPUT(body, STRING),
        COMMENT("In base64"),
        OUTPUT(envelope, STRING));

static SD_VARLINK_DEFINE_METHOD(Open,
        PEER_OF_LINK,
        COMMENT("In base64"),
        INPUT(envelope, STRING),
        COMMENT("The message, in base64"),
        OUTPUT(body, STRING));

static SD_VARLINK_DEFINE_METHOD(DeriveTopics,
        PEER_OF_LINK,
        COMMENT("From us to the peer"),
        OUTPUT(send, STRING),
        COMMENT("From the peer to us"),
        OUTPUT(receive, STRING));

static SD_VARLINK_DEFINE_METHOD(GrowBuffers);

static SD_VARLINK_DEFINE_ENUM_TYPE(RedirectKind,
        COMMENT("No port is shared: every path goes through icewired"),
        VALUE(proxy),
        COMMENT("An nftables table"),
        VALUE(nftables),
        COMMENT("eBPF programs at the uplinks"),
        VALUE(ebpf));

static SD_VARLINK_DEFINE_ENUM_TYPE(RedirectMode,
        COMMENT("The best that works here"),
        VALUE(auto),
        COMMENT("This, or else the proxy"),
        VALUE(ebpf),
        COMMENT("This, or else the proxy"),
        VALUE(nftables),
        COMMENT("Nothing is to be shared"),
        VALUE(proxy));

static SD_VARLINK_DEFINE_METHOD(SetRedirect,
        COMMENT("What is wanted"),
        SD_VARLINK_DEFINE_INPUT_BY_TYPE(mode, RedirectMode, 0),
        COMMENT("Indexes of the links by which peers are reached"),
        SD_VARLINK_DEFINE_INPUT(uplinks, SD_VARLINK_INT, SD_VARLINK_ARRAY),
        COMMENT("TURN servers, as \"192.0.2.1:3478\" or \"[2001:db8::1]:3478\""),
        SD_VARLINK_DEFINE_INPUT(relays, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        COMMENT("What is in force now"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(kind, RedirectKind, 0),
        COMMENT("Why nothing better is, and what does not work with this; absent: it is the best"),
        SD_VARLINK_DEFINE_OUTPUT(reason, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(AddSockets,
        COMMENT("Whose port is shared"),
        INPUT(link, STRING),
        COMMENT("8 characters; STUN requests for it come to that one of the sockets that is bound to the packet's destination"),
        INPUT(ufrag, STRING),
        COMMENT("What is sent to a relay leaves from the socket's own port"),
        INPUT(keepsRelays, BOOL));

static SD_VARLINK_DEFINE_METHOD(RemoveSockets,
        COMMENT("As it was given to AddSockets"),
        INPUT(ufrag, STRING));

static SD_VARLINK_DEFINE_METHOD(MoveSource,
        COMMENT("At whose port it arrives"),
        INPUT(link, STRING),
        COMMENT("Where it comes from, as \"192.0.2.1:51820\" or \"[2001:db8::1]:51820\""),
        INPUT(from, STRING),
        COMMENT("Of the same family"),
        INPUT(to, STRING),
        COMMENT("From now on, 0 to 120; 0: it ends"),
        INPUT(seconds, INT),
        COMMENT("So many were moved until now"),
        OUTPUT(packets, INT));

static SD_VARLINK_DEFINE_ERROR(NoSuchLink);
static SD_VARLINK_DEFINE_ERROR(NoSuchPeer);
static SD_VARLINK_DEFINE_ERROR(NoPrivateKey);
static SD_VARLINK_DEFINE_ERROR(EnvelopeRefused,
        COMMENT("\"not-sealed-for-us\", \"bad-signature\", \"unknown-version\", \"too-short\", \"too-long\""),
        FIELD(reason, STRING));
static SD_VARLINK_DEFINE_ERROR(NotAllowed);
static SD_VARLINK_DEFINE_ERROR(NoRedirect);
static SD_VARLINK_DEFINE_ERROR(NoListenPort);

SD_VARLINK_DEFINE_INTERFACE(org_icewire_Broker, BROKER_INTERFACE,
        SD_VARLINK_INTERFACE_COMMENT("What the unprivileged icewired may ask of WireGuard. Serves only root and the user that icewired runs as, and shows no secret key."),
        SD_VARLINK_SYMBOL_COMMENT("Who implements a WireGuard interface"),
        &vl_type_LinkKind,
        SD_VARLINK_SYMBOL_COMMENT("What WatchLinks tells of"),
        &vl_type_LinkEvent,
        SD_VARLINK_SYMBOL_COMMENT("A WireGuard peer"),
        &vl_type_Peer,
        SD_VARLINK_SYMBOL_COMMENT("A WireGuard interface"),
        &vl_type_Link,
        SD_VARLINK_SYMBOL_COMMENT("How WireGuard's ports are shared"),
        &vl_type_RedirectKind,
        SD_VARLINK_SYMBOL_COMMENT("How they are to be shared"),
        &vl_type_RedirectMode,
        SD_VARLINK_SYMBOL_COMMENT("Tells every link as changed, then ready, then what changes: configuration, endpoints and handshakes; not counters alone, except that there is traffic after a pause."),
        &vl_method_WatchLinks,
        SD_VARLINK_SYMBOL_COMMENT("Reads a link freshly, counters included."),
        &vl_method_ReadLink,
        SD_VARLINK_SYMBOL_COMMENT("Sets endpoint and keepalive of a peer that exists, and nothing else."),
        &vl_method_SetEndpoint,
        SD_VARLINK_SYMBOL_COMMENT("Signs a message with the link's key and seals it for the peer."),
        &vl_method_Seal,
        SD_VARLINK_SYMBOL_COMMENT("Opens an envelope that the peer sealed for this link."),
        &vl_method_Open,
        SD_VARLINK_SYMBOL_COMMENT("The two rendezvous topics of link and peer."),
        &vl_method_DeriveTopics,
        SD_VARLINK_SYMBOL_COMMENT("Takes up to 16 UDP sockets as file descriptors and gives them buffers of 4 MiB, beyond what the sysctls allow."),
        &vl_method_GrowBuffers,
        SD_VARLINK_SYMBOL_COMMENT("Says how WireGuard's ports are to be shared, and where. The last call counts, until its connection ends. Answers when it is in force."),
        &vl_method_SetRedirect,
        SD_VARLINK_SYMBOL_COMMENT("Shares the port of `link` with 1 to 16 bound UDP sockets, passed as file descriptors, until they are removed or this connection ends. The same sockets can be added again with another `ufrag`."),
        &vl_method_AddSockets,
        SD_VARLINK_SYMBOL_COMMENT("Takes back what this connection added with `ufrag`, if there is any."),
        &vl_method_RemoveSockets,
        SD_VARLINK_SYMBOL_COMMENT("Makes what arrives at the port of `link` from `from` look as if it came from `to`, but for STUN, until the time is over, or this connection ends."),
        &vl_method_MoveSource,
        SD_VARLINK_SYMBOL_COMMENT("There is no such WireGuard link."),
        &vl_error_NoSuchLink,
        SD_VARLINK_SYMBOL_COMMENT("The link has no such peer."),
        &vl_error_NoSuchPeer,
        SD_VARLINK_SYMBOL_COMMENT("The link has no private key: nothing can be signed, opened or derived."),
        &vl_error_NoPrivateKey,
        SD_VARLINK_SYMBOL_COMMENT("It is not the peer's to this link, or damaged."),
        &vl_error_EnvelopeRefused,
        SD_VARLINK_SYMBOL_COMMENT("The caller is neither root nor the user that icewired runs as."),
        &vl_error_NotAllowed,
        SD_VARLINK_SYMBOL_COMMENT("The proxy is in force: no port is shared; or what is does not do this."),
        &vl_error_NoRedirect,
        SD_VARLINK_SYMBOL_COMMENT("The link has no port to share."),
        &vl_error_NoListenPort);

/* clang-format on */

static const char *const broker_event_table[_BROKER_EVENT_MAX] = {
        [BROKER_EVENT_CHANGED] = "changed",       [BROKER_EVENT_REMOVED] = "removed",
        [BROKER_EVENT_READY] = "ready",           [BROKER_EVENT_REDIRECT] = "redirect",
        [BROKER_EVENT_INITIATION] = "initiation",
};
DEFINE_STRING_TABLE(broker_event, BrokerEvent);

static int build_allowed_ips(const WireguardPeer *peer, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *array = NULL;
        int r;

        r = sd_json_variant_new_array(&array, NULL, 0);
        if (r < 0)
                return r;
        for (size_t i = 0; i < peer->n_allowed_ips; i++) {
                _cleanup_json_ sd_json_variant *element = NULL;

                r = sd_json_variant_new_string(&element, IP_PREFIX_STR(&peer->allowed_ips[i]));
                if (r < 0)
                        return r;
                r = sd_json_variant_append_array(&array, element);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(array);
        return 0;
}

static int build_peer(const WireguardPeer *peer, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *allowed_ips = NULL;
        bool has_endpoint = socket_address_is_set(&peer->endpoint);
        int r;

        r = build_allowed_ips(peer, &allowed_ips);
        if (r < 0)
                return r;
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("publicKey", WIREGUARD_KEY_STR(&peer->public_key)),
                SD_JSON_BUILD_PAIR_CONDITION(has_endpoint, "endpoint",
                                             SD_JSON_BUILD_STRING(SOCKET_ADDRESS_STR(&peer->endpoint))),
                SD_JSON_BUILD_PAIR_VARIANT("allowedIPs", allowed_ips),
                SD_JSON_BUILD_PAIR_UNSIGNED("persistentKeepalive", peer->persistent_keepalive),
                SD_JSON_BUILD_PAIR_BOOLEAN("hasPresharedKey", !wireguard_key_is_zero(&peer->preshared_key)),
                SD_JSON_BUILD_PAIR_UNSIGNED("presharedKeyChanges", peer->preshared_key_changes),
                SD_JSON_BUILD_PAIR_UNSIGNED("lastHandshakeUSec", peer->last_handshake),
                SD_JSON_BUILD_PAIR_UNSIGNED("rxBytes", peer->rx_bytes),
                SD_JSON_BUILD_PAIR_UNSIGNED("txBytes", peer->tx_bytes));
}

static void unref_all(sd_json_variant **array, size_t n)
{
        for (size_t i = 0; i < n; i++)
                sd_json_variant_unref(array[i]);
}

/* Collected first and made into an array once: appending one by one copies the array each time. */
static int build_peers(const WireguardDevice *device, sd_json_variant **ret)
{
        _cleanup_free_ sd_json_variant **peers = NULL;
        size_t n = 0;
        int r = 0;

        peers = new (sd_json_variant *, device->n_peers + 1);
        if (!peers)
                return -ENOMEM;
        for (; n < device->n_peers; n++) {
                r = build_peer(&device->peers[n], &peers[n]);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = sd_json_variant_new_array(ret, peers, n);
        unref_all(peers, n);
        return r;
}

int broker_link_build_json(const WireguardDevice *device, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *peers = NULL;
        int r;

        r = build_peers(device, &peers);
        if (r < 0)
                return r;
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("name", device->name),
                SD_JSON_BUILD_PAIR_INTEGER("ifindex", device->ifindex),
                SD_JSON_BUILD_PAIR_STRING("kind", wireguard_kind_to_string(device->kind)),
                SD_JSON_BUILD_PAIR_CONDITION(!wireguard_key_is_zero(&device->public_key), "publicKey",
                                             SD_JSON_BUILD_STRING(WIREGUARD_KEY_STR(&device->public_key))),
                SD_JSON_BUILD_PAIR_UNSIGNED("listenPort", device->listen_port),
                SD_JSON_BUILD_PAIR_UNSIGNED("firewallMark", device->fwmark),
                SD_JSON_BUILD_PAIR_VARIANT("peers", peers));
}

static int dispatch_allowed_ips(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                                void *userdata)
{
        WireguardPeer *peer = userdata;
        int r;

        for (size_t i = 0; i < sd_json_variant_elements(v); i++) {
                sd_json_variant *element = sd_json_variant_by_index(v, i);
                IpPrefix prefix;

                if (!sd_json_variant_is_string(element) ||
                    ip_prefix_from_string(sd_json_variant_string(element), &prefix) < 0)
                        return -EINVAL;
                r = wireguard_peer_add_allowed_ip(peer, &prefix);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The key comes first: it makes the peer that the other fields go into. */
static int parse_peer(sd_json_variant *v, WireguardDevice *device)
{
        static const sd_json_dispatch_field table[] = {
                { "endpoint", SD_JSON_VARIANT_STRING, varlink_dispatch_socket_address,
                  offsetof(WireguardPeer, endpoint), SD_JSON_NULLABLE },
                { "allowedIPs", SD_JSON_VARIANT_ARRAY, dispatch_allowed_ips, 0, SD_JSON_MANDATORY },
                { "persistentKeepalive", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint16,
                  offsetof(WireguardPeer, persistent_keepalive), SD_JSON_MANDATORY },
                { "presharedKeyChanges", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
                  offsetof(WireguardPeer, preshared_key_changes), 0 },
                { "lastHandshakeUSec", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
                  offsetof(WireguardPeer, last_handshake), SD_JSON_MANDATORY },
                { "rxBytes", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
                  offsetof(WireguardPeer, rx_bytes), SD_JSON_MANDATORY },
                { "txBytes", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint64,
                  offsetof(WireguardPeer, tx_bytes), SD_JSON_MANDATORY },
                {}
        };
        sd_json_variant *key = sd_json_variant_by_key(v, "publicKey");
        WireguardKey public_key;
        WireguardPeer *peer;
        int r;

        if (!key || !sd_json_variant_is_string(key) ||
            wireguard_key_from_base64(sd_json_variant_string(key), &public_key) < 0)
                return -EINVAL;
        r = wireguard_device_add_peer(device, &public_key, &peer);
        if (r < 0)
                return r;
        return sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, peer);
}

static int dispatch_peers(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                          void *userdata)
{
        WireguardDevice *device = userdata;
        int r;

        for (size_t i = 0; i < sd_json_variant_elements(v); i++) {
                r = parse_peer(sd_json_variant_by_index(v, i), device);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int dispatch_kind(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata)
{
        WireguardKind *kind = userdata, k;

        k = wireguard_kind_from_string(sd_json_variant_string(v));
        if (k < 0)
                return -EINVAL;
        *kind = k;
        return 0;
}

int broker_link_parse_json(sd_json_variant *v, WireguardDevice **ret)
{
        static const sd_json_dispatch_field table[] = {
                { "ifindex", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_int,
                  offsetof(WireguardDevice, ifindex), SD_JSON_MANDATORY },
                { "kind", SD_JSON_VARIANT_STRING, dispatch_kind, offsetof(WireguardDevice, kind),
                  SD_JSON_MANDATORY },
                { "publicKey", SD_JSON_VARIANT_STRING, varlink_dispatch_key,
                  offsetof(WireguardDevice, public_key), SD_JSON_NULLABLE },
                { "listenPort", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint16,
                  offsetof(WireguardDevice, listen_port), SD_JSON_MANDATORY },
                { "firewallMark", _SD_JSON_VARIANT_TYPE_INVALID, sd_json_dispatch_uint32,
                  offsetof(WireguardDevice, fwmark), SD_JSON_MANDATORY },
                { "peers", SD_JSON_VARIANT_ARRAY, dispatch_peers, 0, SD_JSON_MANDATORY },
                {}
        };
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        sd_json_variant *name = sd_json_variant_by_key(v, "name");
        int r;

        if (!name || !sd_json_variant_is_string(name))
                return -EINVAL;
        r = wireguard_device_new(sd_json_variant_string(name), WIREGUARD_KIND_KERNEL, &device);
        if (r < 0)
                return r;
        r = sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, device);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return -EINVAL;
        *ret = TAKE_PTR(device);
        return 0;
}

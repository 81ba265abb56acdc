/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-broker.h"

#include "string-util.h"
#include "varlink-util.h"

static SD_VARLINK_DEFINE_ENUM_TYPE(LinkKind, SD_VARLINK_FIELD_COMMENT("The kernel's WireGuard"),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(kernel),
                                   SD_VARLINK_FIELD_COMMENT("A UAPI socket in /run/wireguard"),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(userspace));

static SD_VARLINK_DEFINE_ENUM_TYPE(
        LinkEvent, SD_VARLINK_FIELD_COMMENT("A link is new or different; `link` tells how it is now"),
        SD_VARLINK_DEFINE_ENUM_VALUE(changed), SD_VARLINK_FIELD_COMMENT("The link `name` is gone"),
        SD_VARLINK_DEFINE_ENUM_VALUE(removed),
        SD_VARLINK_FIELD_COMMENT("Every link that there is was told; what follows are changes"),
        SD_VARLINK_DEFINE_ENUM_VALUE(ready),
        SD_VARLINK_FIELD_COMMENT("SetRedirect, called again, may put something else into force now"),
        SD_VARLINK_DEFINE_ENUM_VALUE(redirect),
        SD_VARLINK_FIELD_COMMENT("The link `name` has just sent a handshake initiation to `endpoint`; some "
                                 "are told, with the redirect by eBPF only"),
        SD_VARLINK_DEFINE_ENUM_VALUE(initiation));

static SD_VARLINK_DEFINE_STRUCT_TYPE(
        Peer, SD_VARLINK_FIELD_COMMENT("In base64"),
        SD_VARLINK_DEFINE_FIELD(publicKey, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("Address and port, as \"192.0.2.1:51820\" or \"[2001:db8::1]:51820\""),
        SD_VARLINK_DEFINE_FIELD(endpoint, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_FIELD(allowedIPs, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        SD_VARLINK_FIELD_COMMENT("In seconds; 0: off"),
        SD_VARLINK_DEFINE_FIELD(persistentKeepalive, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD(hasPresharedKey, SD_VARLINK_BOOL, 0),
        SD_VARLINK_FIELD_COMMENT("How often it has become another one since icewire-broker knows the peer"),
        SD_VARLINK_DEFINE_FIELD(presharedKeyChanges, SD_VARLINK_INT, 0),
        SD_VARLINK_FIELD_COMMENT("CLOCK_REALTIME; 0: never"),
        SD_VARLINK_DEFINE_FIELD(lastHandshakeUSec, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD(rxBytes, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD(txBytes, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(
        Link, SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("0: a UAPI socket without an interface of its name here"),
        SD_VARLINK_DEFINE_FIELD(ifindex, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD_BY_TYPE(kind, LinkKind, 0),
        SD_VARLINK_FIELD_COMMENT("In base64; absent: the link has no private key"),
        SD_VARLINK_DEFINE_FIELD(publicKey, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_FIELD_COMMENT("0: not bound"), SD_VARLINK_DEFINE_FIELD(listenPort, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD(firewallMark, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD_BY_TYPE(peers, Peer, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD_FULL(WatchLinks, SD_VARLINK_REQUIRES_MORE,
                                     SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(event, LinkEvent, 0),
                                     SD_VARLINK_FIELD_COMMENT("With `changed`, `removed` and `initiation`"),
                                     SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
                                     SD_VARLINK_FIELD_COMMENT("With `changed`"),
                                     SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(link, Link, SD_VARLINK_NULLABLE),
                                     SD_VARLINK_FIELD_COMMENT("With `initiation`"),
                                     SD_VARLINK_DEFINE_OUTPUT(endpoint, SD_VARLINK_STRING,
                                                              SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(ReadLink, SD_VARLINK_DEFINE_INPUT(name, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(link, Link, 0));

static SD_VARLINK_DEFINE_METHOD(SetEndpoint, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("Absent: leave it"),
                                SD_VARLINK_DEFINE_INPUT(endpoint, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
                                SD_VARLINK_FIELD_COMMENT("In seconds, 0 to 65535; absent: leave it"),
                                SD_VARLINK_DEFINE_INPUT(persistentKeepalive, SD_VARLINK_INT,
                                                        SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(Seal, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("In base64, as is all that follows"),
                                SD_VARLINK_DEFINE_INPUT(body, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_OUTPUT(envelope, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_METHOD(Open, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(envelope, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_OUTPUT(body, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_METHOD(DeriveTopics, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(peer, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("From us to the peer"),
                                SD_VARLINK_DEFINE_OUTPUT(send, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("From the peer to us"),
                                SD_VARLINK_DEFINE_OUTPUT(receive, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_METHOD(GrowBuffers);

static SD_VARLINK_DEFINE_ENUM_TYPE(
        RedirectKind, SD_VARLINK_FIELD_COMMENT("No port is shared: every path goes through icewired"),
        SD_VARLINK_DEFINE_ENUM_VALUE(proxy), SD_VARLINK_FIELD_COMMENT("An nftables table"),
        SD_VARLINK_DEFINE_ENUM_VALUE(nftables), SD_VARLINK_FIELD_COMMENT("eBPF programs at the uplinks"),
        SD_VARLINK_DEFINE_ENUM_VALUE(ebpf));

static SD_VARLINK_DEFINE_ENUM_TYPE(RedirectMode, SD_VARLINK_FIELD_COMMENT("The best that works here"),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(auto),
                                   SD_VARLINK_FIELD_COMMENT("This, or else the proxy"),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(ebpf),
                                   SD_VARLINK_FIELD_COMMENT("This, or else the proxy"),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(nftables),
                                   SD_VARLINK_DEFINE_ENUM_VALUE(proxy));

static SD_VARLINK_DEFINE_METHOD(
        SetRedirect, SD_VARLINK_DEFINE_INPUT_BY_TYPE(mode, RedirectMode, 0),
        SD_VARLINK_FIELD_COMMENT("Indexes of the links by which peers are reached"),
        SD_VARLINK_DEFINE_INPUT(uplinks, SD_VARLINK_INT, SD_VARLINK_ARRAY),
        SD_VARLINK_FIELD_COMMENT("TURN servers, as \"192.0.2.1:3478\" or \"[2001:db8::1]:3478\""),
        SD_VARLINK_DEFINE_INPUT(relays, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
        SD_VARLINK_FIELD_COMMENT("What is in force now"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(kind, RedirectKind, 0),
        SD_VARLINK_FIELD_COMMENT(
                "Why nothing better is, and what does not work with this; absent: it is the best"),
        SD_VARLINK_DEFINE_OUTPUT(reason, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(
        AddSockets, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT(
                "8 characters; STUN requests for it come to that one of the sockets that is "
                "bound to the packet's destination"),
        SD_VARLINK_DEFINE_INPUT(ufrag, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("What is sent to a relay leaves from the socket's own port"),
        SD_VARLINK_DEFINE_INPUT(keepsRelays, SD_VARLINK_BOOL, 0));

static SD_VARLINK_DEFINE_METHOD(RemoveSockets, SD_VARLINK_DEFINE_INPUT(ufrag, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_METHOD(
        MoveSource, SD_VARLINK_DEFINE_INPUT(link, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("Where it comes from, as \"192.0.2.1:51820\" or \"[2001:db8::1]:51820\""),
        SD_VARLINK_DEFINE_INPUT(from, SD_VARLINK_STRING, 0), SD_VARLINK_FIELD_COMMENT("Of the same family"),
        SD_VARLINK_DEFINE_INPUT(to, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("From now on, 0 to 120; 0: it ends"),
        SD_VARLINK_DEFINE_INPUT(seconds, SD_VARLINK_INT, 0),
        SD_VARLINK_FIELD_COMMENT("So many were moved until now"),
        SD_VARLINK_DEFINE_OUTPUT(packets, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_ERROR(NoSuchLink);
static SD_VARLINK_DEFINE_ERROR(NoSuchPeer);
static SD_VARLINK_DEFINE_ERROR(NoPrivateKey);
static SD_VARLINK_DEFINE_ERROR(EnvelopeRefused, SD_VARLINK_DEFINE_FIELD(reason, SD_VARLINK_STRING, 0));
static SD_VARLINK_DEFINE_ERROR(NotAllowed);
static SD_VARLINK_DEFINE_ERROR(NoRedirect);
static SD_VARLINK_DEFINE_ERROR(NoListenPort);

SD_VARLINK_DEFINE_INTERFACE(
        org_icewire_Broker, BROKER_INTERFACE,
        SD_VARLINK_INTERFACE_COMMENT("What the unprivileged icewired may ask of WireGuard. Serves only root "
                                     "and the user that icewired runs as, and shows no secret key."),
        &vl_type_LinkKind, &vl_type_LinkEvent, &vl_type_Peer, &vl_type_Link, &vl_type_RedirectKind,
        &vl_type_RedirectMode,
        SD_VARLINK_SYMBOL_COMMENT(
                "Tells every link as changed, then ready, then what changes: configuration, "
                "endpoints and handshakes; not counters alone, except that there is traffic after a pause."),
        &vl_method_WatchLinks, SD_VARLINK_SYMBOL_COMMENT("Reads a link freshly, counters included."),
        &vl_method_ReadLink,
        SD_VARLINK_SYMBOL_COMMENT("Sets endpoint and keepalive of a peer that exists, and nothing else."),
        &vl_method_SetEndpoint,
        SD_VARLINK_SYMBOL_COMMENT("Signs a message with the link's key and seals it for the peer."),
        &vl_method_Seal, SD_VARLINK_SYMBOL_COMMENT("Opens an envelope that the peer sealed for this link."),
        &vl_method_Open, SD_VARLINK_SYMBOL_COMMENT("The two rendezvous topics of link and peer."),
        &vl_method_DeriveTopics,
        SD_VARLINK_SYMBOL_COMMENT("Takes up to 16 UDP sockets as file descriptors and gives them buffers of "
                                  "4 MiB, beyond what the sysctls allow."),
        &vl_method_GrowBuffers,
        SD_VARLINK_SYMBOL_COMMENT("Says how WireGuard's ports are to be shared, and where. The last call "
                                  "counts, until its connection ends. Answers when it is in force."),
        &vl_method_SetRedirect,
        SD_VARLINK_SYMBOL_COMMENT("Shares the port of `link` with 1 to 16 bound UDP sockets, passed as file "
                                  "descriptors, until they are removed or this connection ends. The same "
                                  "sockets can be added again with another `ufrag`."),
        &vl_method_AddSockets,
        SD_VARLINK_SYMBOL_COMMENT("Takes back what this connection added with `ufrag`, if there is any."),
        &vl_method_RemoveSockets,
        SD_VARLINK_SYMBOL_COMMENT(
                "Makes what arrives at the port of `link` from `from` look as if it came from "
                "`to`, but for STUN, until the time is over, or this connection ends."),
        &vl_method_MoveSource, &vl_error_NoSuchLink, &vl_error_NoSuchPeer, &vl_error_NoPrivateKey,
        SD_VARLINK_SYMBOL_COMMENT("Why: \"not-sealed-for-us\", \"bad-signature\", \"unknown-version\", "
                                  "\"too-short\", \"too-long\"."),
        &vl_error_EnvelopeRefused, &vl_error_NotAllowed,
        SD_VARLINK_SYMBOL_COMMENT("The proxy is in force: no port is shared; or what is does not do this."),
        &vl_error_NoRedirect, SD_VARLINK_SYMBOL_COMMENT("The link has no port to share."),
        &vl_error_NoListenPort);

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

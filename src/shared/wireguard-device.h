/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <net/if.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"
#include "wireguard-key.h"

/* The one model of a WireGuard device, for every reader and writer (generic netlink, UAPI) and the
 * differences between two readings. Plain data; it may hold secrets, so it is freed with
 * wireguard_device_free(), which erases them. */

typedef enum WireguardKind {
        WIREGUARD_KIND_KERNEL,    /* rtnetlink kind "wireguard", read and written by generic netlink */
        WIREGUARD_KIND_USERSPACE, /* a UAPI socket /run/wireguard/NAME.sock */
        _WIREGUARD_KIND_MAX,
        _WIREGUARD_KIND_INVALID = -EINVAL,
} WireguardKind;

DECLARE_STRING_TABLE(wireguard_kind, WireguardKind); /* "kernel", "userspace" */

typedef struct WireguardPeer {
        WireguardKey public_key;
        WireguardKey preshared_key;    /* secret; zero: none */
        SocketAddress endpoint;        /* unset: none */
        uint16_t persistent_keepalive; /* seconds, 0: off */
        usec_t last_handshake;         /* CLOCK_REALTIME, 0: never */
        uint64_t rx_bytes;
        uint64_t tx_bytes;
        uint32_t preshared_key_changes; /* how often it has become another one, as icewire-broker has seen;
                                           no part of the device */
        IpPrefix *allowed_ips;          /* owned */
        size_t n_allowed_ips;
        size_t allowed_ips_allocated;
} WireguardPeer;

typedef struct WireguardDevice {
        char name[IF_NAMESIZE];
        int ifindex; /* 0 if unknown (a UAPI socket without an interface of that name here) */
        WireguardKind kind;
        WireguardKey private_key; /* secret; zero: none */
        WireguardKey public_key;  /* zero: none */
        uint16_t listen_port;     /* 0: not bound */
        uint32_t fwmark;
        WireguardPeer *peers; /* owned */
        size_t n_peers;
        size_t peers_allocated;
        uint32_t *peer_index; /* wireguard-device.c's own: peers by key; NULL while they are few */
        size_t peer_index_size;
} WireguardDevice;

/* -EINVAL: the kernel would take no interface of this name (it also becomes a part of a path). */
bool wireguard_device_name_is_valid(const char *name);
int wireguard_device_new(const char *name, WireguardKind kind, WireguardDevice **ret);

/* Erases the secrets, frees everything; accepts NULL, returns NULL. */
WireguardDevice *wireguard_device_free(WireguardDevice *device);
DEFINE_TRIVIAL_CLEANUP_FUNC(WireguardDevice *, wireguard_device_free);

/* The peer with this key, added if there is none (netlink dumps continue a peer in the next message). The
 * pointer is good until the next addition. -ENOMEM. */
int wireguard_device_add_peer(WireguardDevice *device, const WireguardKey *public_key, WireguardPeer **ret);
int wireguard_peer_add_allowed_ip(WireguardPeer *peer, const IpPrefix *prefix);

/* NULL if there is none. */
WireguardPeer *wireguard_device_find_peer(const WireguardDevice *device, const WireguardKey *public_key);

/* Overwrites the private key and the preshared keys (after a caller that only shows public data has read the
 * device). */
void wireguard_device_erase_secrets(WireguardDevice *device);

/* What differs between two readings of one device. */
typedef enum WireguardChange {
        WIREGUARD_CHANGE_CONFIGURATION =
                1 << 0, /* keys, port, mark, peers come or gone, allowed IPs, keepalive, preshared keys */
        WIREGUARD_CHANGE_ENDPOINT = 1 << 1,  /* an endpoint, whoever set it */
        WIREGUARD_CHANGE_HANDSHAKE = 1 << 2, /* a handshake time */
        WIREGUARD_CHANGE_COUNTERS = 1 << 3,  /* rx or tx */
} WireguardChange;

/* A set of WireguardChange. Peers are compared by key, allowed IPs as sets, whatever their order. The
 * private key is not looked at (the public key tells), so that a reading without it can be compared;
 * preshared keys are, so both must have theirs or both not. */
int wireguard_device_compare(const WireguardDevice *a, const WireguardDevice *b);

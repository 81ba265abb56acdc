/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "genl.h"
#include "wireguard-device.h"

/* The kernel's WireGuard (linux/wireguard.h, since 5.6) by generic netlink. The family's number is asked for
 * on first use, and again when it is gone (the module was unloaded). Needs CAP_NET_ADMIN. */

typedef struct WireguardNetlink WireguardNetlink;
typedef struct WireguardCall WireguardCall;

/* device is the callback's to keep or free, NULL on error: -ENODEV, -EPERM, -EOPNOTSUPP (not a WireGuard
 * link, or none in this kernel), -ETIMEDOUT, … Never called from inside the starting function. A call that
 * was started calls back exactly once, unless it is freed before; then it is gone (freeing it from inside
 * its callback is harmless, later it is not). */
typedef void (*wireguard_device_callback_t)(int error, WireguardDevice *device, void *userdata);
typedef void (*wireguard_done_callback_t)(int error, void *userdata);

int wireguard_netlink_new(sd_event *event, WireguardNetlink **ret);
/* Also frees the calls that are left; their callbacks do not come. Accepts NULL, returns NULL. */
WireguardNetlink *wireguard_netlink_free(WireguardNetlink *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(WireguardNetlink *, wireguard_netlink_free);

/* The family's number; 0: not known. */
uint16_t wireguard_netlink_family(const WireguardNetlink *w);
/* By which the kernel knows whose requests ours are (netlink_port()). */
uint32_t wireguard_netlink_port(const WireguardNetlink *w);

/* For all calls: ret may be NULL (the call floats); -EINVAL for what can be no interface's name. */

/* Reads the device whole, secrets included. A dump that changed under way is repeated. */
int wireguard_netlink_get(WireguardNetlink *w, const char *name, wireguard_device_callback_t callback,
                          void *userdata, WireguardCall **ret);

/* Changes nothing but the endpoint (unset: leave it) and the keepalive (seconds; -1: leave it) of a peer
 * that exists: it never makes one (WGPEER_F_UPDATE_ONLY), and a peer that is gone is no error, as WireGuard
 * itself sees it. -EINVAL for another keepalive. */
int wireguard_netlink_set_endpoint(WireguardNetlink *w, const char *name, const WireguardKey *peer,
                                   const SocketAddress *endpoint, int keepalive,
                                   wireguard_done_callback_t callback, void *userdata, WireguardCall **ret);

/* Makes a peer anew as `peer` says (its counters and its handshake apart), in one message
 * (wireguard-renewal.h): it has no session then, and WireGuard may shake hands at once. Unlike the other
 * calls this makes the peer if it is not there: whoever calls knows what it is like now, and that nobody
 * writes. -EMSGSIZE: what belongs to the peer does not fit. It is never repeated, whatever the error: after
 * -ENOMEM the kernel may have taken the peer out and not put it back. */
int wireguard_netlink_renew_peer(WireguardNetlink *w, const char *name, const WireguardPeer *peer,
                                 wireguard_done_callback_t callback, void *userdata, WireguardCall **ret);

/* The callback will not come; also for the calls of wireguard-uapi.h. Accepts NULL, returns NULL. */
WireguardCall *wireguard_call_free(WireguardCall *call);
DEFINE_TRIVIAL_CLEANUP_FUNC(WireguardCall *, wireguard_call_free);

/* One message of WG_CMD_GET_DEVICE's answer into a device (a dump may have several messages and continue a
 * peer across two). attributes: what follows struct genlmsghdr, aligned to 4 bytes. -EBADMSG, with the
 * device half filled in. What the fuzzer calls. */
int wireguard_netlink_parse(const void *attributes, size_t size, WireguardDevice *device);

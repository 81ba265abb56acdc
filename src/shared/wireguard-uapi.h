/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "wireguard-netlink.h"

/* Userspace WireGuard by its UAPI sockets (wireguard.com/xplatform: "cross-platform interface"):
 * /run/wireguard/NAME.sock, one request for each connection. Same calls and errors as wireguard-netlink.h;
 * -ENODEV: no socket; -ECONNREFUSED: a stale socket; -ECONNRESET; -ETIMEDOUT after WIREGUARD_UAPI_TIMEOUT;
 * -EMSGSIZE beyond WIREGUARD_UAPI_SIZE_MAX; -EBADMSG with what and where logged at debug level. From the
 * starting functions only -EINVAL (name, keepalive), -ENAMETOOLONG (folder), -ENOMEM and sd-event's errors.
 *
 * The protocol does not tell the device's public key: it is zero unless the implementation adds it
 * (boringtun does). Derive it from the private key: x25519_public_key() in hpke.h. */

#define WIREGUARD_UAPI_FOLDER "/run/wireguard"
#define WIREGUARD_UAPI_TIMEOUT (5 * USEC_PER_SEC)
#define WIREGUARD_UAPI_SIZE_MAX (16 * 1024 * 1024)

int wireguard_uapi_get(sd_event *event, const char *folder, const char *name,
                       wireguard_device_callback_t callback, void *userdata, WireguardCall **ret);
int wireguard_uapi_set_endpoint(sd_event *event, const char *folder, const char *name,
                                const WireguardKey *peer, const SocketAddress *endpoint, int keepalive,
                                wireguard_done_callback_t callback, void *userdata, WireguardCall **ret);

/* The whole answer to get=1, up to and with errno=N and the empty line. 0; -EBADMSG with *ret_error ("line
 * 7: …", caller owns, may be NULL); the device's own errno, negative. */
int wireguard_uapi_parse(const char *text, size_t size, WireguardDevice *device, char **ret_error);

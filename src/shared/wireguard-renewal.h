/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "netlink.h"
#include "wireguard-device.h"

/* The message by which a peer of a kernel device is made anew: it takes the peer out, and puts it back as it
 * was. The kernel goes through a message under the device's lock (wg_set_device(), Linux 5.6 to 6.18), so
 * who reads the device never sees it without the peer. Packets do: they find nobody in between, or a peer
 * with a wider prefix (peer-renewal.h). */

/* More does not fit: an attribute has 64 KiB at most, and half of that is enough for what is no list of all
 * the networks of a country. */
#define WIREGUARD_RENEWAL_ALLOWED_IPS_MAX 800

/* Builds it from what is the peer's configuration in `peer`: preshared key, endpoint, keepalive, allowed IPs
 * in their order. The type is the caller's to fill in. The message has a secret: the caller owns it and
 * frees it by wireguard_renewal_free(). -EMSGSIZE: too many allowed IPs; -ENOMEM. */
int wireguard_renewal_new(const char *name, const WireguardPeer *peer, struct nlmsghdr **ret);
/* Erases it; accepts NULL, returns NULL. */
struct nlmsghdr *wireguard_renewal_free(struct nlmsghdr *message);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wireguard-device.h"

/* The private key and the preshared keys of one link, between two readings of it.
 *
 * They are kept, instead of the device being read anew for each envelope, because a reading costs time in
 * proportion to all peers of the link (a connect makes six such calls), leaves further copies of every key
 * of the link in socket buffers and parsers each time, and would make the calls of one connection wait for
 * each other. Who can read this process's memory holds CAP_NET_ADMIN and can ask for the keys anyway. So the
 * copy is kept away from what outlives or leaves the process: it is in pages of its own that are locked (no
 * swap), left out of dumps, empty in a child, and erased when the link changes or goes. */

typedef struct BrokerSecrets BrokerSecrets;

/* Moves the secrets of a fresh reading over. In the device they are overwritten: the private key by zero, a
 * preshared key by a mark that says only that there is one. The caller owns *ret. -ENOMEM, with the device
 * erased all the same. */
int broker_secrets_take(WireguardDevice *device, BrokerSecrets **ret);

/* Erases; accepts NULL, returns NULL. */
BrokerSecrets *broker_secrets_free(BrokerSecrets *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(BrokerSecrets *, broker_secrets_free);

/* NULL equals only NULL. */
bool broker_secrets_equal(const BrokerSecrets *a, const BrokerSecrets *b);

/* Lent; NULL if the link, or the peer, has none. */
const WireguardKey *broker_secrets_private_key(const BrokerSecrets *s);
const WireguardKey *broker_secrets_preshared_key(const BrokerSecrets *s, const WireguardKey *peer);

/* Have both the same one for this peer, or both none? */
bool broker_secrets_same_preshared_key(const BrokerSecrets *a, const BrokerSecrets *b,
                                       const WireguardKey *peer);

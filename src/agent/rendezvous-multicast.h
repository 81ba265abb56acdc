/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "rendezvous.h"

/* Envelopes to whoever is on the same LAN, by link-local multicast over IPv4 and IPv6 on every uplink; no
 * configuration. The monitor and the policy must outlive it; rendezvous_multicast_update() is to be called
 * when links or addresses have changed. */
int rendezvous_multicast_new(sd_event *event, const RtnlMonitor *monitor, const AddressPolicy *policy,
                             const RendezvousCallbacks *callbacks, void *userdata, Rendezvous **ret);
void rendezvous_multicast_update(Rendezvous *r);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "rendezvous.h"

/* Envelopes to whoever is on the same LAN, by link-local multicast over IPv4 and IPv6 on every uplink; no
 * configuration. The monitor and the policy must outlive it. rendezvous_multicast_update() is to be called
 * when the monitor is ready and when links or addresses have changed; a monitor that is ready before needs
 * no call. While up, `state` is also called when another interface or family was joined, for there may be
 * neighbours who have not heard us. */
int rendezvous_multicast_new(sd_event *event, const RtnlMonitor *monitor, const AddressPolicy *policy,
                             const RendezvousCallbacks *callbacks, void *userdata, Rendezvous **ret);
void rendezvous_multicast_update(Rendezvous *r);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "link.h"
#include "probe.h"

/* The sockets that a link's probes leave from: one at each of our addresses that has any, sharing the
 * link's port by way of the broker. What comes for the ufrags of sessions that are over is answered, if it
 * is proven and not too much. */

/* For probe.c: takes the probe in, to leave from this address. -ENOTSUP: nothing shares ports; errno of the
 * system calls. */
int link_probes_add(Link *link, const SocketAddress *local, Probe *probe);

/* For probe.c: what comes for its names is the socket's from now on. */
void link_probes_share_names(Probe *probe);

/* The port, or how it is shared, may have changed. forgotten: the broker has lost what it shared. */
void link_probes_update(Link *link, bool forgotten);

/* The broker is gone: nothing is sent until link_probes_update(…, forgotten). */
void link_probes_lost(Link *link);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "link.h"
#include "probe.h"

/* The sockets that a link's probes leave from: one at each of our addresses that has any, sharing the link's
 * port by way of the broker. What comes for the ufrags of sessions that are over is answered, if it is
 * proven and not too much. */

#define PROBE_REQUEST_INTERVAL (100 * USEC_PER_MSEC) /* from one peer */
#define PROBE_REQUEST_BURST 20

/* For probe.c: takes the probe in, and lets it go. -ENOTSUP: nothing shares ports; errno of the system
 * calls.
 */
int link_probes_add(Link *link, Probe *probe);
void link_probes_remove(Probe *probe);

/* For probe.c: the socket, if what it sends leaves from the link's port by now; else -EBADF. */
int probe_socket_fd(const Probe *probe);

/* For probe.c: what comes for its ufrag is the socket's from now on. */
void link_probes_share_ufrag(Probe *probe);

/* The port, or how it is shared, may have changed. forgotten: the broker has lost what it shared. */
void link_probes_update(Link *link, bool forgotten);

/* The broker is gone: nothing is sent until link_probes_update(…, forgotten). */
void link_probes_lost(Link *link);

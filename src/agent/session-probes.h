/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "probe.h"
#include "session.h"

/* Probes that go through a session's ICE agent, as all does on a path that icewired carries: by whatever
 * pair is selected, be it by UDP, TCP or a relay of ours. What the peer asks that way is answered here as
 * well, whatever path is in use. */

/* For probe.c. -EBUSY: the session has one already. */
int session_probes_add(Session *session, Probe *probe);

/* Data has come by the session: true if it was a probe's, and so not WireGuard's. Its owner was told, and
 * the session may be gone. */
bool session_probes_take(Session *session, const void *data, size_t size);

/* Its agent may be ready to send by now. */
void session_probes_state_changed(Session *session);

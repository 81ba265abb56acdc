/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "broker.h"

/* The Broker of broker.h by org.icewire.Broker: icewire-broker's Varlink socket.
 *
 * Calls are sent at once, one behind the other, and answered in that order. Those that only compute (seal,
 * open, derive_topics) and move_source have a connection of their own, since one that waits for a link
 * (set_endpoint, read_link) holds up what was sent behind it: a userspace WireGuard that hangs must not stop
 * the envelopes of other links, nor the order of a switch.
 *
 * A call that is started while there is no connection fails with -ENOTCONN. When the connection breaks,
 * every pending call ends with -ECONNRESET and `lost` is told, once, until it is `ready` again; also when
 * there was no connection within BROKER_CLIENT_PATIENCE from the start. error: -ECONNRESET, -ENOENT or
 * -ECONNREFUSED (nobody listens), -EACCES (this user is not served), -ETIMEDOUT, -EPROTO. The socket's
 * return is noticed by inotify; beside that it tries again after 100 ms, doubling up to 5 s. */

#define BROKER_CLIENT_PATIENCE (2 * USEC_PER_SEC)

/* path NULL: BROKER_SOCKET. `callbacks` stays the caller's and outlives the client; every member is set but
 * for those that may be NULL. No callback comes from inside, and none may free the client. To be freed by
 * broker_free(), after its calls. -ENOMEM. */
int broker_client_new(sd_event *event, const char *path, const BrokerCallbacks *callbacks, void *userdata,
                      Broker **ret);

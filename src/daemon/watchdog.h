/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "manager.h"

/* Feeds the service manager's watchdog (WatchdogSec=) while the event loop turns and health.h says that
 * icewired is fit for work. */

typedef struct Watchdog Watchdog;

/* Starts to feed it, if there is one ($WATCHDOG_USEC); the manager is lent. 0: *ret is NULL, there is none.
 * 1; -ENOMEM and sd-event's errors. */
int watchdog_new(sd_event *event, const Manager *manager, Watchdog **ret);
Watchdog *watchdog_free(Watchdog *w);

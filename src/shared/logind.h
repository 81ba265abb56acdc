/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "system-bus.h"

/* Tells when the host has woken from sleep: the signal PrepareForSleep(false) of systemd-logind, on the
 * system bus (org.freedesktop.login1(5)). Any client of the bus gets it, without a right. Where there is no
 * bus or no logind nothing is told; either may come, go and come back. */

typedef struct Logind Logind;
typedef void (*logind_resumed_t)(Logind *logind, void *userdata);

/* The bus must outlive it. The callback may free it. -ENOMEM. */
int logind_new(SystemBus *bus, logind_resumed_t callback, void *userdata, Logind **ret);
Logind *logind_free(Logind *logind);
DEFINE_TRIVIAL_CLEANUP_FUNC(Logind *, logind_free);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* Reads every link anew, so that handshake times and counters are those of now: one reading for all who wait
 * for one. */

typedef struct Refresh Refresh;

/* The model is as fresh as it gets: every link was read, or the broker has had its time. Never from inside
 * refresh_start(). */
typedef void (*refresh_callback_t)(Refresh *r, void *userdata);

/* The manager is borrowed and must outlive it. -ENOMEM. */
int refresh_new(sd_event *event, Manager *manager, refresh_callback_t callback, void *userdata,
                Refresh **ret);
Refresh *refresh_free(Refresh *r);
DEFINE_TRIVIAL_CLEANUP_FUNC(Refresh *, refresh_free);

/* 1: under way, also if it was before, and the callback comes once; 0: there is nobody to ask, or nothing to
 * ask for. -ENOMEM, sd-event's errors. */
int refresh_start(Refresh *r);

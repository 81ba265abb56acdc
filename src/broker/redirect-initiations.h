/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect-backend.h"

/* Reads of the handshake initiations that the egress program has seen. */

typedef struct RedirectInitiations RedirectInitiations;

/* map_fd: the programs' ring buffer, redirect_initiations; stays the caller's. */
int redirect_initiations_new(sd_event *event, int map_fd, redirect_initiation_t callback, void *userdata,
                             RedirectInitiations **ret);
RedirectInitiations *redirect_initiations_free(RedirectInitiations *i);

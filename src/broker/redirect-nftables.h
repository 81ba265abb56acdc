/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The redirect by nftables: redirect_nftables_new() in redirect-backend.h. */

#include "redirect-backend.h"

/* `nft list table inet icewire` shows what is in force. */
#define REDIRECT_NFTABLES_TABLE "inet icewire"

/* Sockets that are shared at a time; more are -ENOSPC. */
#define REDIRECT_NFTABLES_SOCKETS_MAX 16384

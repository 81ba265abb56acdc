/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The redirect by nftables: redirect_nftables_new() in redirect-backend.h. */

#include "redirect-backend.h"

/* `nft list table inet icewire` shows what is in force. */
#define REDIRECT_NFTABLES_TABLE "inet icewire"

/* Sockets that are shared at a time; more are -ENOSPC. */
#define REDIRECT_NFTABLES_SOCKETS_MAX 16384

/* Once for each UDP socket, before it is added: what comes to it by this backend has no checksum (the reason
 * is in the rules), and over IPv6 only a socket that says so gets such a packet (UDP_NO_CHECK6_RX, RFC
 * 6936). STUN has its own sums. errno of setsockopt(2). */
int redirect_nftables_prepare(int fd);

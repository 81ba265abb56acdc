/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect.h"
#include "socket-address.h"

/* Addresses as the redirect's programs have them, and back. */

struct redirect_address redirect_address_from(const SocketAddress *a);
struct redirect_endpoint redirect_endpoint_from(const SocketAddress *a);
void redirect_endpoint_to(const struct redirect_endpoint *e, SocketAddress *ret);

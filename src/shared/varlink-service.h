/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink.h>

/* The interface io.systemd.service, which any service may have: Ping, GetLogLevel, and SetLogLevel for root
 * and for the user that the service runs as. Not together with bound methods of that name. */
int varlink_service_add(sd_varlink_server *server);

/* May whoever is at the other end of this connection change something? Root and our own user may. 0;
 * otherwise the error was sent and is returned: the method is to return it. */
int varlink_require_privilege(sd_varlink *link);

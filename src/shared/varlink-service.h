/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink-idl.h>
#include <systemd/sd-varlink.h>

#include "varlink-util.h"

/* The interface io.systemd.service, which any service may have: Ping, GetLogLevel, and for root and the user
 * that the service runs as SetLogLevel and GetEnvironment. A service that has something to reload binds
 * Reload itself. set_log_level: SetLogLevel of one that asks others who may; {}: none such. */
extern const sd_varlink_interface vl_interface_io_systemd_service;
int varlink_service_add(sd_varlink_server *server, VarlinkMethod set_log_level);

/* What SetLogLevel is called with. 0; otherwise the error was sent and is to be returned. */
int varlink_service_read_log_level(sd_varlink *link, sd_json_variant *parameters, int *ret);

/* May whoever is at the other end of this connection change something? Root and our own user may. 0;
 * otherwise the error was sent and is returned: the method is to return it. */
int varlink_require_privilege(sd_varlink *link);

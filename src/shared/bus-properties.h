/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "macro.h"

/* Which properties of an object on the bus are others than when they were last told: found by what their
 * getters say, so that no list of them can disagree with the vtable. Those count that have the flag
 * EMITS_CHANGE, in the vtable's order. */

size_t bus_properties_count(const sd_bus_vtable *vtable);

/* hashes: bus_properties_count() of them, overwritten by those of the present values. names: as many and one
 * more; filled with the names of those whose hash was another one, lent by the vtable, and a NULL. Returns
 * how many there are. -ENOMEM, and what the getters return; then both are in no defined state. */
int bus_properties_update(sd_bus *bus, const char *path, const char *interface, const sd_bus_vtable *vtable,
                          void *object, uint64_t *hashes, char **names);

/* Text that may hold what others said: the bus takes UTF-8 only, what else it is is escaped. NULL is "".
 * -ENOMEM. */
int bus_append_text(sd_bus_message *m, const char *text);

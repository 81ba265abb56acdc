/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "netlink.h"

/* Generic netlink: family numbers by name. */

typedef void (*genl_family_callback_t)(int error, uint16_t family, void *userdata);

/* Asks for a family's number; -ENOENT: this kernel has none of that name (its module is not loaded and could
 * not be). */
int genl_resolve_family(Netlink *nl, const char *name, genl_family_callback_t callback, void *userdata,
                        NetlinkSlot **ret_slot);

/* Starts a request in buf (aligned to 4 bytes, large enough for what the caller will put in). */
struct nlmsghdr *genl_start_message(void *buf, uint16_t family, uint16_t flags, uint8_t command,
                                    uint8_t version);

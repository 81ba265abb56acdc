/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* What "systemctl status" says of icewired, in a line: how many peers there are, how many of them are
 * connected and how many of those directly, and what is wrong. NULL: out of memory. */
char *status_text(const Manager *m);

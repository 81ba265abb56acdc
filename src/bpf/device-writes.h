/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What device-writes.bpf.c and the broker share: a record says only that something was written. */

#define DEVICE_WRITES_RING 4096 /* bytes: a page, the least */

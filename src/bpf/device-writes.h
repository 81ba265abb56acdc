/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What device-writes.bpf.c and the broker share: a record says only that something was written. */

#define DEVICE_WRITES_RING 4096 /* bytes: a page, the least */

/* Nanoseconds that no request takes, waiting for its turn and for the network's lock included: who began
 * before has ended, whatever was seen of it. */
#define DEVICE_WRITE_MAX (30 * 1000000000ULL)

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "macro.h"

/* Tells when somebody has written a WireGuard device of this network namespace: by an eBPF program at a
 * function of the kernel (device-writes.bpf.c). What a link's next reading would find some time later is
 * known at once. Userspace devices are none of its business. */

typedef struct DeviceWatch DeviceWatch;

/* Somebody else has written something, maybe several times; who, and to which device, is not told. */
typedef void (*device_written_t)(void *userdata);

/* Loads and attaches it, which needs CAP_BPF and CAP_PERFMON; the rest does not. -ESRCH or -ENOENT: the
 * kernel has no such function, or no types (BTF); -EPERM; -ENOMEM; what else bpf(2) says. */
int device_watch_new(DeviceWatch **ret);
/* Accepts NULL, returns NULL. */
DeviceWatch *device_watch_free(DeviceWatch *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(DeviceWatch *, device_watch_free);

/* Calls back from now on. Once. */
int device_watch_start(DeviceWatch *w, sd_event *event, device_written_t callback, void *userdata);

/* Generic netlink has this number for WireGuard, and this port for who watches, whose own writing does not
 * count. Until it is told, nothing is noticed. */
void device_watch_set_family(DeviceWatch *w, uint16_t family, uint32_t port);

/* Whether nobody else is writing a device right now, however far that has come; and how often they have
 * begun to. Between two calls that say so with the same number nobody has written. Who has not the right to
 * does not count: else anybody could keep it from ever being quiet. It costs no system call. */
bool device_watch_is_quiet(const DeviceWatch *w, uint64_t *ret_writes);

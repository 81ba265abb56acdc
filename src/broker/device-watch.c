/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "device-watch.h"

#include <bpf/libbpf.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "device-writes.h"
#include "device-writes.skel.h"
#include "event-util.h"
#include "log.h"
#include "time-util.h"

struct DeviceWatch {
        struct device_writes_bpf *skeleton;
        struct ring_buffer *ring;
        sd_event_source *source;
        device_written_t callback;
        void *userdata;
};

static int on_record(void *context, void *data, size_t size)
{
        return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        DeviceWatch *w = userdata;
        int r = ring_buffer__consume(w->ring);

        if (r < 0)
                log_warning_errno(r, "Failed to read of written devices, ignoring: %m");
        else if (r > 0)
                w->callback(w->userdata);
        return 0;
}

static int load(DeviceWatch *w)
{
        struct stat namespace;
        int r;

        if (stat("/proc/self/ns/net", &namespace) < 0)
                return -errno;
        w->skeleton = device_writes_bpf__open();
        if (!w->skeleton)
                return -errno;
        w->skeleton->rodata->device_writes_namespace = (uint32_t) namespace.st_ino;
        r = device_writes_bpf__load(w->skeleton);
        if (r < 0)
                return r;
        return device_writes_bpf__attach(w->skeleton);
}

int device_watch_new(DeviceWatch **ret)
{
        _cleanup_(device_watch_freep) DeviceWatch *w = NULL;
        int r;

        w = new0(DeviceWatch, 1);
        if (!w)
                return -ENOMEM;
        r = load(w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

DeviceWatch *device_watch_free(DeviceWatch *w)
{
        if (!w)
                return NULL;
        event_source_disable_unref(w->source);
        ring_buffer__free(w->ring);
        device_writes_bpf__destroy(w->skeleton);
        return mfree(w);
}

int device_watch_start(DeviceWatch *w, sd_event *event, device_written_t callback, void *userdata)
{
        w->callback = callback;
        w->userdata = userdata;
        w->ring = ring_buffer__new(bpf_map__fd(w->skeleton->maps.device_writes), on_record, w,
                                   /* opts= */ NULL);
        if (!w->ring)
                return -errno;
        return event_add_io(event, &w->source, ring_buffer__epoll_fd(w->ring), EPOLLIN, on_readable, w,
                            "device-watch");
}

void device_watch_set_family(DeviceWatch *w, uint16_t family, uint32_t port)
{
        w->skeleton->bss->device_writes_port = port;
        __atomic_store_n(&w->skeleton->bss->device_writes_family, family, __ATOMIC_RELEASE);
}

bool device_watch_is_quiet(const DeviceWatch *w, uint64_t *ret_writes)
{
        const struct device_writes_bpf__bss *bss = w->skeleton->bss;
        /* In this order: who begins meanwhile makes them differ. */
        uint64_t ended = __atomic_load_n(&bss->device_writes_ended, __ATOMIC_SEQ_CST),
                 begun = __atomic_load_n(&bss->device_writes_begun, __ATOMIC_SEQ_CST),
                 last = __atomic_load_n(&bss->device_writes_last, __ATOMIC_SEQ_CST);

        *ret_writes = begun;
        return begun == ended || usec_sub(now(CLOCK_MONOTONIC), last / 1000) > DEVICE_WRITE_MAX / 1000;
}

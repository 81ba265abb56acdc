/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-initiations.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "redirect-keys.h"

struct RedirectInitiations {
        struct ring_buffer *ring;
        sd_event_source *source;
        redirect_initiation_t callback;
        void *userdata;
};

static int on_sample(void *context, void *data, size_t size)
{
        const RedirectInitiations *i = context;
        struct redirect_flow flow;
        SocketAddress remote;

        if (size < sizeof(flow))
                return 0;
        memcpy(&flow, data, sizeof(flow));
        redirect_endpoint_to(&flow.remote, &remote);
        i->callback(ntohs(flow.wireguard_port), &remote, i->userdata);
        return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        RedirectInitiations *i = userdata;
        int r = ring_buffer__consume(i->ring);

        if (r < 0)
                log_warning_errno(r, "Failed to read of handshake initiations, ignoring: %m");
        return 0;
}

int redirect_initiations_new(sd_event *event, int map_fd, redirect_initiation_t callback, void *userdata,
                             RedirectInitiations **ret)
{
        RedirectInitiations *i = new (RedirectInitiations, 1);
        int r;

        if (!i)
                return -ENOMEM;
        *i = (RedirectInitiations) { .callback = callback, .userdata = userdata };
        i->ring = ring_buffer__new(map_fd, on_sample, i, /* opts= */ NULL);
        r = i->ring ? event_add_io(event, &i->source, ring_buffer__epoll_fd(i->ring), EPOLLIN, on_readable,
                                   i, "redirect-initiations")
                    : -errno;
        if (r < 0) {
                redirect_initiations_free(i);
                return r;
        }
        *ret = i;
        return 0;
}

RedirectInitiations *redirect_initiations_free(RedirectInitiations *i)
{
        if (!i)
                return NULL;
        event_source_disable_unref(i->source);
        ring_buffer__free(i->ring);
        return mfree(i);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refresh.h"

#include "event-util.h"
#include "log.h"
#include "string-util.h"

/* A broker that has not answered by then will not be waited for: callers get what is known. */
#define PATIENCE (2 * USEC_PER_SEC)

/* Reading one link. */
typedef struct Reading {
        Refresh *refresh;
        BrokerCall *call; /* NULL: it is over */
} Reading;

struct Refresh {
        sd_event *event;  /* a reference */
        Manager *manager; /* borrowed */
        refresh_callback_t callback;
        void *userdata;

        Reading *readings;
        size_t n_readings, n_open;
        sd_event_source *timeout;
};

static void drop_readings(Refresh *r)
{
        for (size_t i = 0; i < r->n_readings; i++)
                broker_call_free(r->readings[i].call);
        r->readings = mfree(r->readings);
        r->n_readings = r->n_open = 0;
        event_disarm_timer(r->timeout);
}

static void finish(Refresh *r)
{
        drop_readings(r);
        r->callback(r, r->userdata);
}

static void on_device(Broker *b, int error, const WireguardDevice *device, void *userdata)
{
        Reading *reading = userdata;
        Refresh *r = reading->refresh;
        Link *link;
        int k;

        reading->call = NULL;
        link = error < 0 || !device ? NULL : manager_find_link(r->manager, device->name);
        if (link) {
                k = link_observe(link, device);
                if (k < 0)
                        log_warning_errno(k, "Failed to take over the state of %s, ignoring: %m",
                                          device->name);
        }
        if (--r->n_open == 0)
                finish(r);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
        log_debug("icewire-broker does not answer in time: what is known has to do.");
        finish(userdata);
        return 0;
}

/* Negative if none could be asked for because of memory. */
static int start_readings(Refresh *r)
{
        Broker *b = r->manager->broker;
        Link *link, *next;
        int k;

        r->readings = new0(Reading, HASH_COUNT(r->manager->links));
        if (!r->readings)
                return -ENOMEM;
        HASH_ITER(hh, r->manager->links, link, next)
        {
                Reading *reading = &r->readings[r->n_readings++];

                reading->refresh = r;
                k = b->ops->read_link(b, link->name, on_device, reading, &reading->call);
                if (k < 0)
                        log_debug_errno(k, "Failed to ask for %s: %m", link->name);
                else
                        r->n_open++;
        }
        return 0;
}

int refresh_start(Refresh *r)
{
        Broker *b = r->manager->broker;
        int k;

        if (r->n_open > 0)
                return 1;
        if (!b || !b->connected || !r->manager->links)
                return 0;
        k = start_readings(r);
        if (k >= 0 && r->n_open > 0)
                k = event_arm_timer(r->event, &r->timeout, PATIENCE, on_timeout, r, "refresh");
        if (k < 0 || r->n_open == 0)
                drop_readings(r);
        return k < 0 ? k : r->n_open > 0;
}

int refresh_new(sd_event *event, Manager *manager, refresh_callback_t callback, void *userdata,
                Refresh **ret)
{
        Refresh *r = new (Refresh, 1);

        if (!r)
                return -ENOMEM;
        *r = (Refresh) {
                .event = sd_event_ref(event),
                .manager = manager,
                .callback = callback,
                .userdata = userdata,
        };
        *ret = r;
        return 0;
}

Refresh *refresh_free(Refresh *r)
{
        if (!r)
                return NULL;
        drop_readings(r);
        event_source_disable_unref(r->timeout);
        sd_event_unref(r->event);
        return mfree(r);
}

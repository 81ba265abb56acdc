/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watchdog.h"

#include <systemd/sd-daemon.h>

#include "alloc-util.h"
#include "event-util.h"
#include "health.h"
#include "log-event.h"

struct Watchdog {
        sd_event *event;
        const Manager *manager;
        sd_event_source *timer;
        usec_t interval;
        bool withheld; /* in the log */
};

static void gather(const Manager *m, Health *ret)
{
        Health h = { .broker.name = "icewire-broker's client" };

        h.broker.works = m->broker && m->broker->connected;
        h.broker.active = m->broker ? m->broker->active : 0;
        for (size_t i = 0; i < m->n_rendezvous; i++) {
                const Rendezvous *r = m->rendezvous[i];

                if (r->ops->connects)
                        h.rendezvous[h.n_rendezvous++] = (HealthPart) {
                                .name = r->name,
                                .works = r->state == RENDEZVOUS_STATE_UP,
                                .active = r->active,
                        };
        }
        *ret = h;
}

/* Once, and not at every turn. */
static void withhold(Watchdog *w, const char *culprit)
{
        if (!w->withheld)
                log_event(LOG_ERR, 0, LOG_EVENT_UNFIT, (LOG_FIELD("ICEWIRE_CULPRIT=%s", culprit)),
                          "Nothing happens at %s any more: waiting for the watchdog to start us anew.",
                          culprit);
        w->withheld = true;
}

static int on_timer(sd_event_source *s, uint64_t t, void *userdata);

static int arm(Watchdog *w)
{
        return event_arm_timer(w->event, &w->timer, w->interval, on_timer, w, "watchdog");
}

static int on_timer(sd_event_source *s, uint64_t t, void *userdata)
{
        Watchdog *w = userdata;
        const char *culprit;
        Health h;

        gather(w->manager, &h);
        if (health_is_good(&h, now(CLOCK_MONOTONIC), &culprit)) {
                w->withheld = false;
                (void) sd_notify(/* unset_environment= */ false, "WATCHDOG=1");
        } else
                withhold(w, culprit);
        return arm(w);
}

int watchdog_new(sd_event *event, const Manager *manager, Watchdog **ret)
{
        uint64_t usec = 0;
        Watchdog *w;
        int r;

        *ret = NULL;
        r = sd_watchdog_enabled(/* unset_environment= */ false, &usec);
        if (r <= 0)
                return r;
        w = new (Watchdog, 1);
        if (!w)
                return -ENOMEM;
        *w = (Watchdog) { .event = sd_event_ref(event), .manager = manager, .interval = usec / 3 };
        r = arm(w);
        if (r < 0) {
                watchdog_free(w);
                return r;
        }
        *ret = w;
        return 1;
}

Watchdog *watchdog_free(Watchdog *w)
{
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->timer);
        sd_event_unref(w->event);
        free(w);
        return NULL;
}

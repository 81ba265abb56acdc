/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <utlist.h>

#include "event-util.h"
#include "string-util.h"
#include "world.h"

static int on_deliver(sd_event_source *source, void *userdata)
{
        World *w = userdata;
        Delivery *d = w->deliveries;

        if (!d)
                return 0;
        DL_DELETE(w->deliveries, d);
        if (w->deliveries)
                (void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (d->to->rendezvous && d->to->rendezvous->r.state == RENDEZVOUS_STATE_UP)
                for (size_t i = 0; i < d->to->rendezvous->n_topics; i++)
                        if (streq(d->to->rendezvous->topics[i], d->topic)) {
                                Rendezvous *r = &d->to->rendezvous->r;

                                r->callbacks->envelope(r, d->topic, d->envelope, d->size, r->userdata);
                                break;
                        }
        free(d->envelope);
        free(d);
        return 0;
}

void deliver(World *w, Side *to, const char *topic, const void *envelope, size_t size)
{
        Delivery *d = new0(Delivery, 1);

        *d = (Delivery) { .world = w, .to = to, .envelope = memdup_suffix0(envelope, size), .size = size };
        strcpy(d->topic, topic);
        DL_APPEND(w->deliveries, d);
        cr_assert_geq(event_defer_once(w->event, &w->deliver, on_deliver, w, "deliver"), 0);
}

static int fake_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        Side *from = ((FakeRendezvous *) r)->side;
        World *w = from->world;
        Side *to = from == &w->a ? &w->b : &w->a;

        if (w->n_record < RECORD_MAX) {
                Delivery *d = w->record[w->n_record++] = new0(Delivery, 1);

                *d = (Delivery) { .to = to, .envelope = memdup_suffix0(envelope, size), .size = size };
                strcpy(d->topic, topic);
        }
        if (w->lose > 0) {
                w->lose--;
                return 0;
        }
        for (unsigned i = 0; i < w->copies; i++)
                deliver(w, to, topic, envelope, size);
        return 0;
}

static int on_fake_subscribed(sd_event_source *source, void *userdata)
{
        FakeRendezvous *f = userdata;

        for (size_t i = 0; i < f->n_topics && f->r.state == RENDEZVOUS_STATE_UP; i++)
                f->r.callbacks->subscribed(&f->r, f->topics[i], f->r.userdata);
        return 0;
}

static int fake_subscribe(Rendezvous *r, const char *topic)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        strcpy(f->topics[f->n_topics++], topic);
        return event_defer_once(f->side->world->event, &f->subscribed, on_fake_subscribed, f, "subscribed");
}

static int fake_unsubscribe(Rendezvous *r, const char *topic)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        for (size_t i = 0; i < f->n_topics; i++)
                if (streq(f->topics[i], topic)) {
                        f->n_topics--;
                        memmove(f->topics[i], f->topics[f->n_topics], TOPIC_STRLEN);
                }
        return 0;
}

static Rendezvous *fake_rendezvous_free(Rendezvous *r)
{
        FakeRendezvous *f = (FakeRendezvous *) r;

        sd_event_source_disable_unref(f->subscribed);
        f->side->rendezvous = NULL;
        rendezvous_done(r);
        free(f);
        return NULL;
}

static void fake_network_changed(Rendezvous *r)
{
        ((FakeRendezvous *) r)->n_network_changes++;
}

static void fake_renew(Rendezvous *r, const char *why)
{
        ((FakeRendezvous *) r)->n_renewals++;
}

const RendezvousOps fake_rendezvous_ops = {
        .subscribe = fake_subscribe,
        .unsubscribe = fake_unsubscribe,
        .publish = fake_publish,
        .network_changed = fake_network_changed,
        .renew = fake_renew,
        .free = fake_rendezvous_free,
};

/* A rendezvous that takes everything and delivers nothing. */
static int hole_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        ((FakeRendezvous *) r)->side->world->n_lost++;
        return 0;
}

static int hole_listen(Rendezvous *r, const char *topic)
{
        return 0;
}

static Rendezvous *hole_free(Rendezvous *r)
{
        rendezvous_done(r);
        return mfree(r);
}

static const RendezvousOps hole_ops = {
        .subscribe = hole_listen,
        .unsubscribe = hole_listen,
        .publish = hole_publish,
        .free = hole_free,
};

Rendezvous *hole_new(Side *side)
{
        FakeRendezvous *f = new0(FakeRendezvous, 1);

        *f = (FakeRendezvous) { .r = { .ops = &hole_ops,
                                       .callbacks = &manager_rendezvous_callbacks,
                                       .userdata = side->manager,
                                       .name = strdup("hole"),
                                       .state = RENDEZVOUS_STATE_UP },
                                .side = side };
        return &f->r;
}

void set_rendezvous_up(Side *side, bool up)
{
        rendezvous_set_state(&side->rendezvous->r, up ? RENDEZVOUS_STATE_UP : RENDEZVOUS_STATE_DOWN,
                             up ? NULL : "switched off by the test");
        if (up)
                cr_assert_geq(event_defer_once(side->world->event, &side->rendezvous->subscribed,
                                               on_fake_subscribed, side->rendezvous, "subscribed"),
                              0);
}

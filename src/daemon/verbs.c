/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "verbs.h"

#include <utlist.h>

#include "diagnosis.h"
#include "peer-policy.h"
#include "refresh.h"
#include "string-util.h"

struct VerbsWait {
        Verbs *verbs;                /* whose list it is in */
        verbs_refreshed_t refreshed; /* one of the two */
        verbs_report_t report;
        void *userdata;
        bool due; /* to be called in this round; who comes meanwhile waits for the next */
        VerbsWait *prev, *next;
};

struct Verbs {
        Manager *manager; /* borrowed */
        verbs_reload_t reload;
        void *userdata;
        Refresh *refresh;
        Diagnosis *diagnosis;
        VerbsWait *waits; /* owned; the newest last */
        VerbsListener *listeners;
        VerbsListener *turn; /* whose turn is next while all are told */
};

Manager *verbs_manager(const Verbs *v)
{
        return v->manager;
}

/* ---- Which peers ---- */

static bool selects_link(const PeerSelection *selection, const Link *link)
{
        return !selection->link || streq(selection->link, link->name);
}

static bool selects_peer(const PeerSelection *selection, const Peer *peer)
{
        return (selection->states == 0 || selection->states & 1u << peer->state) &&
               (selection->paths == 0 || selection->paths & 1u << peer->path.kind);
}

int verbs_check_selection(const Verbs *v, const PeerSelection *selection)
{
        Link *link, *next;

        if (selection->link && !manager_find_link(v->manager, selection->link))
                return -ENODEV;
        if (wireguard_key_is_zero(&selection->peer))
                return 0;
        HASH_ITER(hh, v->manager->links, link, next)
        {
                if (selects_link(selection, link) && link_find_peer(link, &selection->peer))
                        return 0;
        }
        return -ENOENT;
}

/* Of one link. */
static int for_each_peer_of(Link *link, const PeerSelection *selection, verbs_peer_t f, void *userdata)
{
        bool one = !wireguard_key_is_zero(&selection->peer);
        Peer *peer = one ? link_find_peer(link, &selection->peer) : link->peers, *next;
        int n = 0, r;

        for (; peer; peer = next) {
                next = one ? NULL : peer->hh.next;
                if (!selects_peer(selection, peer))
                        continue;
                r = f(peer, userdata);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

int verbs_for_each_peer(const Verbs *v, const PeerSelection *selection, verbs_peer_t f, void *userdata)
{
        Link *link, *next;
        int n = 0, r;

        r = verbs_check_selection(v, selection);
        if (r < 0)
                return r;
        HASH_ITER(hh, v->manager->links, link, next)
        {
                if (!selects_link(selection, link))
                        continue;
                r = for_each_peer_of(link, selection, f, userdata);
                if (r < 0)
                        return r;
                n += r;
        }
        return n;
}

/* ---- What changes something ---- */

static int reconnect(Peer *peer, void *userdata)
{
        peer_because(peer, PATH_CAUSE_RECONNECT_REQUESTED);
        peer_reconnect_regardless(peer);
        return 0;
}

int verbs_reconnect(Verbs *v, const PeerSelection *selection)
{
        return verbs_for_each_peer(v, selection, reconnect, /* userdata= */ NULL);
}

static int set_policy(Peer *peer, void *userdata)
{
        const Policy *policy = userdata;

        peer_set_policy(peer, *policy, /* temporary= */ true, PATH_CAUSE_POLICY);
        return 0;
}

int verbs_set_policy(Verbs *v, const PeerSelection *selection, Policy policy)
{
        return verbs_for_each_peer(v, selection, set_policy, &policy);
}

int verbs_reload(Verbs *v, unsigned *ret_n_problems, char **ret_message)
{
        return v->reload(v->userdata, ret_n_problems, ret_message);
}

/* ---- What takes time ---- */

VerbsWait *verbs_wait_free(VerbsWait *w)
{
        if (!w)
                return NULL;
        DL_DELETE(w->verbs->waits, w);
        return mfree(w);
}

static int add_wait(Verbs *v, verbs_refreshed_t refreshed, verbs_report_t report, void *userdata,
                    VerbsWait **ret)
{
        VerbsWait *w = new (VerbsWait, 1);

        if (!w)
                return -ENOMEM;
        *w = (VerbsWait) { .verbs = v, .refreshed = refreshed, .report = report, .userdata = userdata };
        DL_APPEND(v->waits, w);
        *ret = w;
        return 0;
}

static void mark_due(Verbs *v, bool for_report)
{
        for (VerbsWait *w = v->waits; w; w = w->next)
                w->due = (w->report != NULL) == for_report;
}

/* Each time from the start: whoever was called may have ended any other wait. */
static VerbsWait *next_due(const Verbs *v)
{
        VerbsWait *w = v->waits;

        while (w && !w->due)
                w = w->next;
        return w;
}

static void on_refreshed(Refresh *r, void *userdata)
{
        Verbs *v = userdata;
        VerbsWait *w;

        mark_due(v, /* for_report= */ false);
        while ((w = next_due(v))) {
                verbs_refreshed_t callback = w->refreshed;
                void *context = w->userdata;

                verbs_wait_free(w);
                callback(context);
        }
}

int verbs_refresh(Verbs *v, verbs_refreshed_t callback, void *userdata, VerbsWait **ret)
{
        int r = refresh_start(v->refresh);

        if (r <= 0)
                return r;
        r = add_wait(v, callback, /* report= */ NULL, userdata, ret);
        return r < 0 ? r : 1;
}

static void on_report(Diagnosis *d, sd_json_variant *report, bool finished, void *userdata)
{
        Verbs *v = userdata;
        VerbsWait *w;

        mark_due(v, /* for_report= */ true);
        while ((w = next_due(v))) {
                verbs_report_t callback = w->report;
                void *context = w->userdata;

                w->due = false;
                if (finished)
                        verbs_wait_free(w);
                callback(report, finished, context);
        }
}

int verbs_diagnose(Verbs *v, verbs_report_t callback, void *userdata, VerbsWait **ret)
{
        int r = diagnosis_run(v->diagnosis);

        return r < 0 ? r : add_wait(v, /* refreshed= */ NULL, callback, userdata, ret);
}

/* ---- What changes ---- */

void verbs_add_listener(Verbs *v, VerbsListener *listener)
{
        DL_APPEND(v->listeners, listener);
}

void verbs_remove_listener(Verbs *v, VerbsListener *listener)
{
        if (v->turn == listener)
                v->turn = listener->next;
        DL_DELETE(v->listeners, listener);
}

/* The first, or the one after the last that this returned. */
static VerbsListener *next_listener(Verbs *v, bool first)
{
        VerbsListener *listener = first ? v->listeners : v->turn;

        v->turn = listener ? listener->next : NULL;
        return listener;
}

#define FOR_EACH_LISTENER(v, l)                                                                             \
        for (VerbsListener *l = next_listener(v, /* first= */ true); l;                                     \
             l = next_listener(v, /* first= */ false))

static void on_link_changed(Manager *m, Link *link, bool removed, void *userdata)
{
        FOR_EACH_LISTENER((Verbs *) userdata, l)
        if (l->link_changed)
                l->link_changed(link, removed, l->userdata);
}

static void on_peer_changed(Manager *m, Peer *peer, bool removed, void *userdata)
{
        FOR_EACH_LISTENER((Verbs *) userdata, l)
        if (l->peer_changed)
                l->peer_changed(peer, removed, l->userdata);
}

void verbs_tell_rendezvous(Verbs *v, Rendezvous *rendezvous, bool removed)
{
        FOR_EACH_LISTENER(v, l)
        if (l->rendezvous_changed)
                l->rendezvous_changed(rendezvous, removed, l->userdata);
}

static void on_rendezvous_changed(Manager *m, Rendezvous *r, void *userdata)
{
        verbs_tell_rendezvous(userdata, r, /* removed= */ false);
}

static void on_manager_changed(Manager *m, void *userdata)
{
        FOR_EACH_LISTENER((Verbs *) userdata, l)
        if (l->manager_changed)
                l->manager_changed(l->userdata);
}

static const ManagerCallbacks manager_callbacks = {
        .link_changed = on_link_changed,
        .peer_changed = on_peer_changed,
        .rendezvous_changed = on_rendezvous_changed,
        .manager_changed = on_manager_changed,
};

int verbs_new(sd_event *event, Manager *manager, verbs_reload_t reload, void *userdata, Verbs **ret)
{
        _cleanup_(verbs_freep) Verbs *v = new (Verbs, 1);
        int r;

        if (!v)
                return -ENOMEM;
        *v = (Verbs) { .manager = manager, .reload = reload, .userdata = userdata };
        r = refresh_new(event, manager, on_refreshed, v, &v->refresh);
        if (r < 0)
                return r;
        r = diagnosis_new(event, manager, on_report, v, &v->diagnosis);
        if (r < 0)
                return r;
        manager->callbacks = &manager_callbacks;
        manager->userdata = v;
        *ret = TAKE_PTR(v);
        return 0;
}

Verbs *verbs_free(Verbs *v)
{
        if (!v)
                return NULL;
        assert(!v->listeners && !v->waits);
        if (v->manager->userdata == v) {
                v->manager->callbacks = NULL;
                v->manager->userdata = NULL;
        }
        refresh_free(v->refresh);
        diagnosis_free(v->diagnosis);
        return mfree(v);
}

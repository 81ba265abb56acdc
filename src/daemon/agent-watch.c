/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-json.h"
#include "agent-varlink-internal.h"
#include "log.h"

/* object: its type's field name; NULL for "ready". */
static int build_event(const char *event, const char *name, sd_json_variant *object, sd_json_variant **ret)
{
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("event", event),
                SD_JSON_BUILD_PAIR_CONDITION(object != NULL, name ?: "none", SD_JSON_BUILD_VARIANT(object)));
}

/* To one watcher, or (NULL) to all. built: what has made the object returned this. */
static void tell(AgentVarlink *v, sd_varlink *link, const char *event, const char *name, int built,
                 sd_json_variant *object)
{
        _cleanup_json_ sd_json_variant *message = NULL;

        if (built < 0 || build_event(event, name, object, &message) < 0) {
                log_oom();
                return;
        }
        if (link)
                varlink_watchers_send(&v->watchers, link, message);
        else
                varlink_watchers_send_all(&v->watchers, message);
}

static void tell_link(AgentVarlink *v, sd_varlink *link, const Link *l, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;
        int built = link_build_json(l, &object);

        tell(v, link, removed ? "link_removed" : "link_changed", "link", built, object);
}

static void tell_peer(AgentVarlink *v, sd_varlink *link, const Peer *peer, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;
        int built = peer_build_json(peer, &object);

        tell(v, link, removed ? "peer_removed" : "peer_changed", "peer", built, object);
}

static void tell_rendezvous(AgentVarlink *v, sd_varlink *link, const Rendezvous *r, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;
        int built = rendezvous_build_json(r, &object);

        tell(v, link, removed ? "rendezvous_removed" : "rendezvous_changed", "rendezvous", built, object);
}

static void tell_everything(AgentVarlink *v, sd_varlink *link)
{
        const Manager *m = verbs_manager(v->verbs);
        Link *l, *next_link;
        Peer *peer, *next_peer;

        for (size_t i = 0; i < m->n_rendezvous; i++)
                tell_rendezvous(v, link, m->rendezvous[i], /* removed= */ false);
        HASH_ITER(hh, m->links, l, next_link)
        {
                tell_link(v, link, l, /* removed= */ false);
                HASH_ITER(hh, l->peers, peer, next_peer)
                {
                        tell_peer(v, link, peer, /* removed= */ false);
                }
        }
        tell(v, link, "ready", /* name= */ NULL, /* built= */ 0, /* object= */ NULL);
}

int agent_method_watch(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        static const sd_json_dispatch_field no_parameters[] = { {} };
        AgentVarlink *v = ((Connection *) userdata)->server;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        if (!(flags & SD_VARLINK_METHOD_MORE))
                return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, /* parameters= */ NULL);
        r = varlink_watchers_add(&v->watchers, link);
        if (r < 0)
                return r;
        tell_everything(v, link);
        return 0;
}

static void on_link_changed(Link *link, bool removed, void *userdata)
{
        AgentVarlink *v = userdata;

        if (v->watchers.n > 0)
                tell_link(v, /* link= */ NULL, link, removed);
}

static void on_peer_changed(Peer *peer, bool removed, void *userdata)
{
        AgentVarlink *v = userdata;

        if (v->watchers.n > 0)
                tell_peer(v, /* link= */ NULL, peer, removed);
}

static void on_rendezvous_changed(Rendezvous *r, bool removed, void *userdata)
{
        AgentVarlink *v = userdata;

        if (v->watchers.n > 0)
                tell_rendezvous(v, /* link= */ NULL, r, removed);
}

const VerbsListener agent_watch_listener = {
        .link_changed = on_link_changed,
        .peer_changed = on_peer_changed,
        .rendezvous_changed = on_rendezvous_changed,
};

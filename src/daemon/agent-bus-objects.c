/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <utlist.h>

#include "agent-bus-internal.h"
#include "alloc-util.h"
#include "bus-properties.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

#define PATH_LINK AGENT_BUS_PATH_LINKS "/%"
#define PATH_PEER AGENT_BUS_PATH_PEERS "/%/%"

/* While the bus has not taken so many messages, no more is told: objects stay dirty, and what is told at
 * last is what they have become. */
#define UNSENT_MAX 256
#define FLUSH_DELAY (100 * USEC_PER_MSEC)

/* What was removed is told at once, since nobody knows of it later. A bus that takes none of that for so
 * long is left: who is on it finds everything anew when we are back. */
#define UNSENT_LOST 16384

typedef struct BusKind {
        const char *interface;
        const sd_bus_vtable *vtable;
} BusKind;

static const BusKind kind_manager = { AGENT_BUS_INTERFACE_MANAGER, agent_bus_manager_vtable };
static const BusKind kind_link = { AGENT_BUS_INTERFACE_LINK, agent_bus_link_vtable };
static const BusKind kind_peer = { AGENT_BUS_INTERFACE_PEER, agent_bus_peer_vtable };

/* Something of the model that the bus knows of, or is about to. */
struct BusObject {
        const void *object; /* the vtable's userdata; lent */
        const BusKind *kind;
        char *path;
        bool is_told; /* that it is there */
        bool is_dirty;
        UT_hash_handle hh;
        BusObject *prev, *next; /* in dirty, if it is */
        uint64_t hashes[];      /* of its properties, as they were told last */
};

/* ---- Paths ---- */

char *agent_bus_link_path(const Link *link)
{
        char *path;

        return sd_bus_path_encode(AGENT_BUS_PATH_LINKS, link->name, &path) < 0 ? NULL : path;
}

char *agent_bus_peer_path(const Peer *peer)
{
        char *path;
        int r = sd_bus_path_encode_many(&path, PATH_PEER, peer->link->name,
                                        WIREGUARD_KEY_STR(&peer->public_key));

        return r < 0 ? NULL : path;
}

Link *agent_bus_find_link(const AgentBus *b, const char *path)
{
        _cleanup_free_ char *name = NULL;

        if (sd_bus_path_decode_many(path, PATH_LINK, &name) <= 0)
                return NULL;
        return manager_find_link(verbs_manager(b->verbs), name);
}

Peer *agent_bus_find_peer(const AgentBus *b, const char *path)
{
        _cleanup_free_ char *name = NULL, *text = NULL;
        WireguardKey key;
        Link *link;

        if (sd_bus_path_decode_many(path, PATH_PEER, &name, &text) <= 0)
                return NULL;
        link = manager_find_link(verbs_manager(b->verbs), name);
        return link && wireguard_key_from_base64(text, &key) >= 0 ? link_find_peer(link, &key) : NULL;
}

/* ---- What is known of each ---- */

size_t agent_bus_objects_count(const AgentBus *b)
{
        return HASH_COUNT(b->objects);
}

static BusObject *find_object(AgentBus *b, const void *object)
{
        BusObject *o;

        HASH_FIND_PTR(b->objects, &object, o);
        return o;
}

/* Takes over the path, also if it fails. */
static BusObject *add_object(AgentBus *b, const void *object, const BusKind *kind, char *path)
{
        size_t n = bus_properties_count(kind->vtable);
        BusObject *o = path ? calloc(1, sizeof(*o) + n * sizeof(o->hashes[0])) : NULL;

        if (!o) {
                log_oom();
                free(path);
                return NULL;
        }
        o->object = object;
        o->kind = kind;
        o->path = path;
        HASH_ADD_PTR(b->objects, object, o);
        return o;
}

static void remove_object(AgentBus *b, BusObject *o)
{
        if (o->is_dirty)
                DL_DELETE(b->dirty, o);
        HASH_DEL(b->objects, o);
        free(o->path);
        free(o);
}

/* The names of what has changed since, lent by the vtable, are left in names. */
static int update(AgentBus *b, BusObject *o, char **names)
{
        return bus_properties_update(b->connection, o->path, o->kind->interface, o->kind->vtable,
                                     (void *) o->object, o->hashes, names);
}

/* ---- Telling ---- */

static int tell(AgentBus *b, BusObject *o)
{
        _cleanup_free_ char **names = new (char *, bus_properties_count(o->kind->vtable) + 1);
        int r;

        if (!names)
                return -ENOMEM;
        r = update(b, o, names);
        if (r < 0 || (r == 0 && o->is_told))
                return r;
        r = o->is_told
                    ? sd_bus_emit_properties_changed_strv(b->connection, o->path, o->kind->interface, names)
                    : sd_bus_emit_object_added(b->connection, o->path);
        if (r < 0)
                return r;
        o->is_told = true;
        return 0;
}

/* What it was told last is not what others know: next time they are told of everything. */
static void forget_what_was_told(BusObject *o)
{
        memset(o->hashes, 0, bus_properties_count(o->kind->vtable) * sizeof(o->hashes[0]));
}

static uint64_t count_unsent(AgentBus *b)
{
        uint64_t n;

        return sd_bus_get_n_queued_write(b->connection, &n) < 0 ? 0 : n;
}

/* Where memory is short it stays to be told of, and so do those after it. */
static void flush(AgentBus *b)
{
        while (b->dirty && count_unsent(b) < UNSENT_MAX) {
                BusObject *o = b->dirty;
                int r;

                o->is_dirty = false;
                DL_DELETE(b->dirty, o);
                r = tell(b, o);
                if (r >= 0)
                        continue;
                forget_what_was_told(o);
                if (r == -ENOMEM) {
                        log_debug_errno(r, "Failed to tell the bus of %s, trying again: %m", o->path);
                        o->is_dirty = true;
                        DL_PREPEND(b->dirty, o);
                        return;
                }
                log_warning_errno(r, "Failed to tell the bus of %s, ignoring: %m", o->path);
        }
}

static int on_flush_later(sd_event_source *s, uint64_t usec, void *userdata);

static int on_flush(sd_event_source *s, void *userdata)
{
        AgentBus *b = userdata;

        if (!b->connection)
                return 0;
        if (count_unsent(b) >= UNSENT_LOST) {
                log_debug("The bus takes nothing any more, leaving it.");
                system_bus_reset(b->bus);
                return 0;
        }
        flush(b);
        if (b->dirty)
                (void) event_arm_timer(b->event, &b->flush_later, FLUSH_DELAY, on_flush_later, b,
                                       "agent-bus-flush-later");
        return 0;
}

static int on_flush_later(sd_event_source *s, uint64_t usec, void *userdata)
{
        return on_flush(s, userdata);
}

static void schedule_flush(AgentBus *b)
{
        int r = event_defer_once(b->event, &b->flush, on_flush, b, "agent-bus-flush");

        if (r < 0)
                log_warning_errno(r, "Failed to schedule what the bus is to be told, ignoring: %m");
}

static void mark_dirty(AgentBus *b, BusObject *o)
{
        if (!o || o->is_dirty)
                return;
        o->is_dirty = true;
        DL_APPEND(b->dirty, o);
        schedule_flush(b);
}

/* Its last state is still there to be found. */
static void tell_removed(AgentBus *b, BusObject *o)
{
        int r;

        if (!o)
                return;
        r = o->is_told ? sd_bus_emit_object_removed(b->connection, o->path) : 0;
        if (r < 0)
                log_warning_errno(r, "Failed to tell the bus that %s has gone, ignoring: %m", o->path);
        remove_object(b, o);
        schedule_flush(b);
}

static void on_link_changed(Link *link, bool removed, void *userdata)
{
        AgentBus *b = userdata;
        BusObject *o;

        if (!b->connection)
                return;
        o = find_object(b, link);
        if (removed)
                tell_removed(b, o);
        else
                mark_dirty(b, o ?: add_object(b, link, &kind_link, agent_bus_link_path(link)));
}

/* A link's properties count its peers. */
static void on_peer_changed(Peer *peer, bool removed, void *userdata)
{
        AgentBus *b = userdata;
        BusObject *o;

        if (!b->connection)
                return;
        o = find_object(b, peer);
        if (removed)
                tell_removed(b, o);
        else
                mark_dirty(b, o ?: add_object(b, peer, &kind_peer, agent_bus_peer_path(peer)));
        mark_dirty(b, find_object(b, peer->link));
}

static void on_manager_changed(void *userdata)
{
        AgentBus *b = userdata;

        if (b->connection)
                mark_dirty(b, find_object(b, b));
}

static void on_rendezvous_changed(Rendezvous *rendezvous, bool removed, void *userdata)
{
        on_manager_changed(userdata);
}

const VerbsListener agent_bus_objects_listener = {
        .manager_changed = on_manager_changed,
        .link_changed = on_link_changed,
        .peer_changed = on_peer_changed,
        .rendezvous_changed = on_rendezvous_changed,
};

/* ---- The beginning and the end ---- */

/* One that the bus need not be told of: nobody can have asked before. */
static void take(AgentBus *b, const void *object, const BusKind *kind, char *path)
{
        BusObject *o = add_object(b, object, kind, path);
        _cleanup_free_ char **names = new (char *, bus_properties_count(kind->vtable) + 1);
        int r;

        if (!o || !names)
                return;
        o->is_told = true;
        r = update(b, o, names);
        if (r < 0)
                log_warning_errno(r, "Failed to get ready for the changes of %s, ignoring: %m", o->path);
}

void agent_bus_objects_start(AgentBus *b)
{
        Link *link, *next_link;
        Peer *peer, *next;

        take(b, b, &kind_manager, strdup(AGENT_BUS_PATH));
        HASH_ITER(hh, verbs_manager(b->verbs)->links, link, next_link)
        {
                take(b, link, &kind_link, agent_bus_link_path(link));
                HASH_ITER(hh, link->peers, peer, next)
                {
                        take(b, peer, &kind_peer, agent_bus_peer_path(peer));
                }
        }
}

void agent_bus_objects_stop(AgentBus *b)
{
        BusObject *o, *next;

        HASH_ITER(hh, b->objects, o, next)
        {
                remove_object(b, o);
        }
        b->flush = sd_event_source_disable_unref(b->flush);
        b->flush_later = sd_event_source_disable_unref(b->flush_later);
}

static int find_link(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error)
{
        Link *link = agent_bus_find_link(userdata, path);

        if (!link)
                return 0;
        *ret = link;
        return 1;
}

static int find_peer(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                     sd_bus_error *error)
{
        Peer *peer = agent_bus_find_peer(userdata, path);

        if (!peer)
                return 0;
        *ret = peer;
        return 1;
}

/* sd-bus frees the list and what is in it. */
static int enumerate(AgentBus *b, const BusKind *kind, char ***ret)
{
        char **paths = new0(char *, HASH_COUNT(b->objects) + 1);
        BusObject *o, *next;
        size_t n = 0;

        if (!paths)
                return -ENOMEM;
        HASH_ITER(hh, b->objects, o, next)
        {
                if (o->kind != kind)
                        continue;
                paths[n] = strdup(o->path);
                if (paths[n++])
                        continue;
                while (n > 0)
                        free(paths[--n]);
                free(paths);
                return -ENOMEM;
        }
        *ret = paths;
        return 0;
}

static int enumerate_links(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *error)
{
        return enumerate(userdata, &kind_link, ret);
}

static int enumerate_peers(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *error)
{
        return enumerate(userdata, &kind_peer, ret);
}

static int serve_group(AgentBus *b, const char *prefix, const BusKind *kind, sd_bus_object_find_t find,
                       sd_bus_node_enumerator_t enumerator)
{
        int r;

        r = sd_bus_add_fallback_vtable(b->connection, agent_bus_slot(b), prefix, kind->interface,
                                       kind->vtable, find, b);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(b->connection, agent_bus_slot(b), prefix, enumerator, b);
}

int agent_bus_objects_serve(AgentBus *b)
{
        int r;

        r = sd_bus_add_object_vtable(b->connection, agent_bus_slot(b), AGENT_BUS_PATH,
                                     AGENT_BUS_INTERFACE_MANAGER, agent_bus_manager_vtable, b);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->connection, agent_bus_slot(b), AGENT_BUS_PATH);
        if (r >= 0)
                r = serve_group(b, AGENT_BUS_PATH_LINKS, &kind_link, find_link, enumerate_links);
        if (r >= 0)
                r = serve_group(b, AGENT_BUS_PATH_PEERS, &kind_peer, find_peer, enumerate_peers);
        if (r >= 0)
                r = sd_bus_add_object_vtable(b->connection, agent_bus_slot(b), AGENT_BUS_PATH_LOG,
                                             "org.freedesktop.LogControl1", agent_bus_log_vtable, b);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "ctl-pager.h"
#include "format-table.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"

#define COLUMN_PEER 2
#define COLUMN_TO 4

/* "relayed srflx → relay 192.0.2.1:4500" */
#define PATH_LENGTH 36

typedef struct Changes {
        CtlPathChange *items; /* strings are lent by the JSON */
        size_t n, allocated;
} Changes;

static void changes_done(Changes *changes)
{
        free(changes->items);
}

static int dispatch_path(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "kind", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(CtlPathSummary, kind), SD_JSON_MANDATORY },
                { "local", SD_JSON_VARIANT_OBJECT, ctl_dispatch_candidate, offsetof(CtlPathSummary, local),
                  SD_JSON_NULLABLE },
                { "remote", SD_JSON_VARIANT_OBJECT, ctl_dispatch_candidate, offsetof(CtlPathSummary, remote),
                  SD_JSON_NULLABLE },
                {},
        };

        return sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, userdata);
}

int ctl_path_change_parse(sd_json_variant *v, CtlPathChange *ret)
{
        static const sd_json_dispatch_field table[] = {
                { "timeUSec", SD_JSON_VARIANT_UNSIGNED, sd_json_dispatch_uint64,
                  offsetof(CtlPathChange, time), SD_JSON_MANDATORY },
                { "bootTimeUSec", SD_JSON_VARIANT_UNSIGNED, sd_json_dispatch_uint64,
                  offsetof(CtlPathChange, boottime), 0 },
                { "from", SD_JSON_VARIANT_OBJECT, dispatch_path, offsetof(CtlPathChange, from),
                  SD_JSON_MANDATORY },
                { "to", SD_JSON_VARIANT_OBJECT, dispatch_path, offsetof(CtlPathChange, to),
                  SD_JSON_MANDATORY },
                { "cause", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(CtlPathChange, cause), SD_JSON_MANDATORY },
                {},
        };
        CtlPathChange change = {};
        int r;

        r = sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, &change);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        *ret = change;
        return 0;
}

char *ctl_path_summary(const CtlPathSummary *path)
{
        bool tcp = path->remote.transport && !streq(path->remote.transport, "udp");

        if (!path->remote.address)
                return strdup(path->kind);
        if (!path->local.address)
                return asprintf_safe("%s %s", path->kind, path->remote.address);
        return asprintf_safe("%s%s %s %s %s %s", path->kind, tcp ? "/tcp" : "", strna(path->local.type),
                             glyph_arrow(), strna(path->remote.type), path->remote.address);
}

static int add_changes(Changes *changes, sd_json_variant *history)
{
        sd_json_variant *list = sd_json_variant_by_key(history, "changes");
        size_t n = list && sd_json_variant_is_array(list) ? sd_json_variant_elements(list) : 0;
        const char *link = ctl_member_string(history, "link"),
                   *key = ctl_member_string(history, "publicKey");

        if (!link || !key)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                CtlPathChange change;
                int r;

                r = ctl_path_change_parse(sd_json_variant_by_index(list, i), &change);
                if (r < 0)
                        return r;
                r = GROW_ARRAY(changes->items, changes->allocated, changes->n + 1);
                if (r < 0)
                        return r;
                change.link = link;
                change.public_key = key;
                changes->items[changes->n++] = change;
        }
        return 0;
}

static int compare_changes(const void *a, const void *b)
{
        const CtlPathChange *x = a, *y = b;

        /* The wall clock may have been set back between the two. */
        if (x->boottime != y->boottime)
                return x->boottime < y->boottime ? -1 : 1;
        return x->time < y->time ? -1 : x->time > y->time;
}

static int parse_changes(sd_json_variant *histories, Changes *changes)
{
        for (size_t i = 0; i < sd_json_variant_elements(histories); i++) {
                int r = add_changes(changes, sd_json_variant_by_index(histories, i));

                if (r < 0)
                        return log_error_errno(r, "icewired's answer is not understood.");
        }
        if (changes->n > 1)
                qsort(changes->items, changes->n, sizeof(CtlPathChange), compare_changes);
        return 0;
}

static int add_change(Table *table, const CtlPathChange *change, usec_t t)
{
        char age[SIZE_STRLEN];
        _cleanup_free_ char *from = ctl_path_summary(&change->from), *to = ctl_path_summary(&change->to),
                            *cause = ctl_enum_for_people(change->cause);
        bool lost = streq(change->to.kind, "none");
        const char *cells[] = {
                format_age(change->time, t, age), change->link, change->public_key, from, to, cause,
        };
        int r = table_add_row(table);

        for (unsigned i = 0; i < ELEMENTSOF(cells) && r >= 0; i++)
                r = table_set_cell(table, i, cells[i], i == COLUMN_TO && lost ? ANSI_RED : NULL);
        return r;
}

/* Where a path came from is what the line above says. */
static int make_table(const Ctl *ctl, size_t key_length, Table **ret)
{
        static const struct {
                const char *name;
                TableColumnFlags flags;
        } columns[] = {
                { "AGE", TABLE_RIGHT },     { "LINK", 0 },
                { "PEER", TABLE_TRUNCATE }, { "FROM", TABLE_TRUNCATE | TABLE_LUXURY },
                { "TO", TABLE_TRUNCATE },   { "CAUSE", 0 },
        };
        int r = table_new(ctl->width, ctl->legend, ctl->colour, ret);

        for (size_t i = 0; i < ELEMENTSOF(columns) && r >= 0; i++) {
                r = table_add_column(*ret, columns[i].name, columns[i].flags);
                if (r < 0)
                        return r;
                if (i == COLUMN_PEER)
                        table_set_least(*ret, key_length + 1, /* head= */ key_length);
                else if (columns[i].flags & TABLE_TRUNCATE)
                        table_set_least(*ret, PATH_LENGTH, /* head= */ 0);
        }
        return r;
}

static int print_changes(const Ctl *ctl, const Changes *changes, size_t key_length)
{
        _cleanup_(table_freep) Table *table = NULL;
        usec_t t = now(CLOCK_REALTIME);
        int r = make_table(ctl, key_length, &table);

        for (size_t i = 0; i < changes->n && r >= 0; i++)
                r = add_change(table, &changes->items[i], t);
        if (r >= 0 && !table_is_empty(table))
                r = table_print(table);
        return r < 0 ? log_error_errno(r, "Failed to print the history: %m") : 0;
}

static bool is_selected(const CtlPeers *peers, sd_json_variant *history)
{
        const char *link = ctl_member_string(history, "link"),
                   *key = ctl_member_string(history, "publicKey");

        for (size_t i = 0; i < peers->n; i++)
                if (streq_ptr(peers->items[i].link, link) && streq_ptr(peers->items[i].public_key, key))
                        return true;
        return false;
}

/* Those of the chosen peers. The caller owns *ret. */
static int get_histories(sd_varlink *link, const CtlPeers *peers, sd_json_variant **ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL, *array = NULL;
        sd_json_variant *list;
        int r;

        r = ctl_call(link, "org.icewire.Agent.GetHistory", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        list = sd_json_variant_by_key(reply, "peers");
        r = sd_json_variant_new_array(&array, NULL, 0);
        for (size_t i = 0; list && i < sd_json_variant_elements(list) && r >= 0; i++)
                if (is_selected(peers, sd_json_variant_by_index(list, i)))
                        r = sd_json_variant_append_array(&array, sd_json_variant_by_index(list, i));
        if (r < 0)
                return log_oom();
        *ret = TAKE_PTR(array);
        return 0;
}

int verb_history(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *histories = NULL;
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        _cleanup_(changes_done) Changes changes = {};
        int r;

        r = ctl_peers_connect(ctl, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, &link, &peers);
        if (r < 0)
                return r;
        r = get_histories(link, &peers, &histories);
        if (r < 0)
                return r;
        pager_open(ctl->pager);
        if (sd_json_format_enabled(ctl->json))
                return ctl_print_json(ctl, histories);
        r = parse_changes(histories, &changes);
        if (r < 0)
                return r;
        if (changes.n == 0 && ctl->legend)
                puts("No path has changed since icewired was started.");
        return print_changes(ctl, &changes, peers.key_length);
}

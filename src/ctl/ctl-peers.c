/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-peers.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "ctl-names.h"
#include "ctl-pager.h"
#include "format-table.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"

#define KEY_LENGTH_MIN 8

/* What a key shows of its end where it is cut. */
#define KEY_TAIL 4

/* "255.255.255.255:65535" */
#define ADDRESS_LENGTH 21

void ctl_peers_done(CtlPeers *peers)
{
        peers->items = mfree(peers->items);
        peers->json = sd_json_variant_unref(peers->json);
        peers->n = 0;
}

static int compare_peers(const void *a, const void *b)
{
        const CtlPeer *x = a, *y = b;
        int r = strcmp(x->link, y->link);

        return r != 0 ? r : strcmp(x->public_key, y->public_key);
}

/* Over all peers, so that what is short in one list finds the same one in another. */
static int choose_key_length(CtlPeers *peers)
{
        _cleanup_free_ const char **keys = new (const char *, peers->n + 1);

        if (!keys)
                return -ENOMEM;
        for (size_t i = 0; i < peers->n; i++)
                keys[i] = peers->items[i].public_key;
        peers->key_length = unique_prefix_length(keys, peers->n, KEY_LENGTH_MIN);
        return 0;
}

int ctl_peers_parse(sd_json_variant *reply, CtlPeers *ret)
{
        sd_json_variant *list = sd_json_variant_by_key(reply, "peers");
        size_t n = list && sd_json_variant_is_array(list) ? sd_json_variant_elements(list) : 0;
        CtlPeers peers = { .items = new0(CtlPeer, n + 1) };
        int r = peers.items ? 0 : -ENOMEM;

        for (; peers.n < n && r >= 0; peers.n++)
                r = ctl_peer_parse(sd_json_variant_by_index(list, peers.n), &peers.items[peers.n]);
        if (r >= 0)
                r = choose_key_length(&peers);
        if (r < 0) {
                ctl_peers_done(&peers);
                return r == -ENOMEM ? r : -EBADMSG;
        }
        if (peers.n > 1)
                qsort(peers.items, peers.n, sizeof(CtlPeer), compare_peers);
        peers.json = sd_json_variant_ref(reply);
        *ret = peers;
        return 0;
}

int ctl_peers_get(sd_varlink *link, const char *link_name, const char *name, CtlPeers *ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_call(link, "org.icewire.Agent.ListPeers", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        r = ctl_peers_parse(reply, &peers);
        if (r < 0)
                return log_error_errno(r, "icewired's answer is not understood.");
        r = ctl_names_select(link, &peers, link_name, name);
        if (r < 0)
                return r;
        *ret = peers;
        peers = (CtlPeers) {};
        return 0;
}

int ctl_peers_connect(const Ctl *ctl, const char *link_name, const char *name, sd_varlink **ret_link,
                      CtlPeers *ret)
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int r;

        r = ctl_connect(ctl, &link);
        if (r >= 0)
                r = ctl_peers_get(link, link_name, name, ret);
        if (r < 0)
                return r;
        *ret_link = TAKE_PTR(link);
        return 0;
}

/* ---- The table ---- */

typedef enum Column {
        COLUMN_LINK,
        COLUMN_PEER,
        COLUMN_STATE,
        COLUMN_PATH,
        COLUMN_POLICY, /* only if somebody has one */
        COLUMN_LOCAL,
        COLUMN_REMOTE,
        COLUMN_RTT,
        COLUMN_HANDSHAKE,
        COLUMN_RX,
        COLUMN_TX,
        _COLUMN_MAX,
} Column;

static const struct {
        const char *name;
        TableColumnFlags flags;
        bool brief;
} columns[_COLUMN_MAX] = {
        [COLUMN_LINK] = { "LINK", TABLE_TRUNCATE, true },
        [COLUMN_PEER] = { "PEER", TABLE_TRUNCATE, true },
        [COLUMN_STATE] = { "STATE", 0, true },
        [COLUMN_PATH] = { "PATH", 0, true },
        [COLUMN_POLICY] = { "POLICY", 0, true },
        [COLUMN_LOCAL] = { "LOCAL", TABLE_TRUNCATE | TABLE_LUXURY, false },
        [COLUMN_REMOTE] = { "REMOTE", TABLE_TRUNCATE, true },
        [COLUMN_RTT] = { "RTT", TABLE_RIGHT | TABLE_OPTIONAL, true },
        [COLUMN_HANDSHAKE] = { "HANDSHAKE", TABLE_RIGHT | TABLE_OPTIONAL, true },
        [COLUMN_RX] = { "RX", TABLE_RIGHT | TABLE_OPTIONAL, false },
        [COLUMN_TX] = { "TX", TABLE_RIGHT | TABLE_OPTIONAL, false },
};

typedef struct PeerTable {
        Table *table;
        bool shown[_COLUMN_MAX];
        usec_t now; /* CLOCK_REALTIME */
} PeerTable;

static bool any_policy(const CtlPeers *peers, const bool *chosen)
{
        for (size_t i = 0; i < peers->n; i++)
                if ((!chosen || chosen[i]) && ctl_peer_has_policy(&peers->items[i]))
                        return true;
        return false;
}

static int make_table(const Ctl *ctl, const CtlPeers *peers, bool brief, const bool *chosen, PeerTable *t)
{
        int r = table_new(ctl->width, ctl->legend, ctl->colour, &t->table);

        t->now = now(CLOCK_REALTIME);
        for (Column c = 0; c < _COLUMN_MAX && r >= 0; c++) {
                t->shown[c] = (columns[c].brief || !brief) &&
                              (c != COLUMN_POLICY || any_policy(peers, chosen));
                if (!t->shown[c])
                        continue;
                r = table_add_column(t->table, columns[c].name, columns[c].flags);
                if (r < 0)
                        return r;
                if (c == COLUMN_PEER)
                        table_set_least(t->table, peers->key_length + 1 + KEY_TAIL, peers->key_length);
                else if (columns[c].flags & TABLE_TRUNCATE)
                        table_set_least(t->table, c == COLUMN_LINK ? IFNAMSIZ - 1 : ADDRESS_LENGTH,
                                        /* head= */ 0);
        }
        return r;
}

static const char *state_colour(const CtlPeer *peer)
{
        if (ctl_peer_is_connected(peer))
                return ctl_peer_is_direct(peer) ? ANSI_GREEN : ANSI_YELLOW;
        return streq(peer->state, "failed") ? ANSI_RED : ANSI_YELLOW;
}

/* Where there is little room, the type of the candidate is left out. */
static char *format_remote(const CtlPeer *peer, bool brief)
{
        if (brief && peer->remote.address && !streq(peer->path, "none"))
                return strdup(peer->remote.address);
        return ctl_peer_remote(peer);
}

static int add_peer(PeerTable *t, const CtlPeer *peer, bool brief)
{
        char age[SIZE_STRLEN], rtt[SIZE_STRLEN], rx[SIZE_STRLEN], tx[SIZE_STRLEN];
        _cleanup_free_ char *path = ctl_peer_path(peer), *local = ctl_peer_local(peer),
                            *remote = format_remote(peer, brief);
        const char *cells[_COLUMN_MAX] = {
                [COLUMN_LINK] = peer->link,
                [COLUMN_PEER] = peer->public_key,
                [COLUMN_STATE] = peer->state,
                [COLUMN_PATH] = path,
                [COLUMN_POLICY] = peer->policy,
                [COLUMN_LOCAL] = local,
                [COLUMN_REMOTE] = remote,
                [COLUMN_RTT] = peer->round_trip_time == USEC_INFINITY
                                       ? NULL
                                       : format_round_trip_time(peer->round_trip_time, rtt),
                [COLUMN_HANDSHAKE] = peer->last_handshake == 0
                                             ? NULL
                                             : format_age(peer->last_handshake, t->now, age),
                [COLUMN_RX] = format_size(peer->rx_bytes, rx),
                [COLUMN_TX] = format_size(peer->tx_bytes, tx),
        };
        int r = path && local && remote ? table_add_row(t->table) : -ENOMEM;

        for (unsigned c = 0, column = 0; c < _COLUMN_MAX && r >= 0; c++)
                if (t->shown[c])
                        r = table_set_cell(t->table, column++, cells[c],
                                           c == COLUMN_STATE ? state_colour(peer) : NULL);
        return r;
}

int ctl_peers_print_table(const Ctl *ctl, const CtlPeers *peers, bool brief, const bool *chosen)
{
        PeerTable t = {};
        int r = make_table(ctl, peers, brief, chosen, &t);

        for (size_t i = 0; i < peers->n && r >= 0; i++)
                if (!chosen || chosen[i])
                        r = add_peer(&t, &peers->items[i], brief);
        if (r >= 0 && !table_is_empty(t.table))
                r = table_print(t.table);
        table_free(t.table);
        return r < 0 ? log_error_errno(r, "Failed to print the peers: %m") : 0;
}

/* ---- The reasons ---- */

bool ctl_peers_is_new_reason(const CtlPeers *peers, size_t i)
{
        if (!peers->items[i].reason_text)
                return false;
        for (size_t j = 0; j < i; j++)
                if (streq(peers->items[j].reason, peers->items[i].reason))
                        return false;
        return true;
}

char *ctl_peers_with_reason(const CtlPeers *peers, size_t i)
{
        char *keys = strdup("");

        for (size_t j = 0; j < peers->n && keys; j++) {
                _cleanup_free_ char *key = ctl_short_key(peers->items[j].public_key, peers->key_length),
                                    *before = keys;

                if (!streq(peers->items[j].reason, peers->items[i].reason))
                        before = NULL;
                else
                        keys = asprintf_safe("%s%s%s", before, *before ? ", " : "", strna(key));
        }
        return keys;
}

/* With what is known of each peer that has it. */
static void print_reason(const Ctl *ctl, const CtlPeers *peers, size_t first)
{
        _cleanup_free_ char *keys = ctl_peers_with_reason(peers, first);

        putchar('\n');
        ctl_print_text(ctl, "", "%s:", strna(keys));
        ctl_print_text(ctl, "  ", "%s", peers->items[first].reason_text);
        for (size_t i = first; i < peers->n; i++)
                if (streq(peers->items[i].reason, peers->items[first].reason) &&
                    peers->items[i].reason_detail)
                        ctl_print_text(ctl, "  ", "%s", peers->items[i].reason_detail);
}

/* ---- The verb ---- */

static bool is_chosen(const CtlPeers *peers, const CtlPeer *peer)
{
        for (size_t i = 0; i < peers->n; i++)
                if (compare_peers(&peers->items[i], peer) == 0)
                        return true;
        return false;
}

int ctl_peers_print_json(const Ctl *ctl, const CtlPeers *peers)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *array = NULL;
        sd_json_variant *list = sd_json_variant_by_key(peers->json, "peers");
        int r = sd_json_variant_new_array(&array, NULL, 0);

        for (size_t i = 0; list && i < sd_json_variant_elements(list) && r >= 0; i++) {
                sd_json_variant *item = sd_json_variant_by_index(list, i);
                CtlPeer peer;

                if (ctl_peer_parse(item, &peer) >= 0 && is_chosen(peers, &peer))
                        r = sd_json_variant_append_array(&array, item);
        }
        return r < 0 ? log_oom() : ctl_print_json(ctl, array);
}

static int print(const Ctl *ctl, const CtlPeers *peers)
{
        int r = ctl_peers_print_table(ctl, peers, /* brief= */ false, /* chosen= */ NULL);

        for (size_t i = 0; i < peers->n && ctl->legend && r >= 0; i++)
                if (ctl_peers_is_new_reason(peers, i))
                        print_reason(ctl, peers, i);
        if (r >= 0 && ctl->legend)
                printf("%s%zu peer%s listed.\n", peers->n > 0 ? "\n" : "", peers->n, plural(peers->n));
        return r;
}

int verb_peers(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_peers_connect(ctl, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, &link, &peers);
        if (r < 0)
                return r;
        pager_open(ctl->pager);
        return sd_json_format_enabled(ctl->json) ? ctl_peers_print_json(ctl, &peers) : print(ctl, &peers);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "format-table.h"
#include "log.h"
#include "string-util.h"

#define KEY_LENGTH_MIN 8

int ctl_dispatch_candidate(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                           void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "type", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(CtlCandidate, type), SD_JSON_MANDATORY },
                { "transport", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(CtlCandidate, transport), SD_JSON_MANDATORY },
                { "address", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(CtlCandidate, address), SD_JSON_MANDATORY },
                {},
        };

        if (sd_json_variant_is_null(v))
                return 0;
        return sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, userdata);
}

#define COUNTER(name, member)                                                                               \
        { name, SD_JSON_VARIANT_UNSIGNED, sd_json_dispatch_uint64, offsetof(CtlCounters, member), 0 }

static int dispatch_counters(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                             void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                COUNTER("sessions", sessions),
                COUNTER("paths", paths),
                COUNTER("envelopesSent", envelopes_sent),
                COUNTER("envelopesReceived", envelopes_received),
                COUNTER("envelopesFlooded", envelopes_flooded),
                COUNTER("envelopesRefused", envelopes_refused),
                COUNTER("messagesMalformed", messages_malformed),
                COUNTER("messagesAccepted", messages_accepted),
                COUNTER("messagesAcceptedAnew", messages_accepted_anew),
                COUNTER("messagesAnswered", messages_answered),
                COUNTER("messagesDuplicate", messages_duplicate),
                COUNTER("messagesStale", messages_stale),
                COUNTER("messagesFlooded", messages_flooded),
                COUNTER("messagesWrongRole", messages_wrong_role),
                {},
        };

        return sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, userdata);
}

#define STRING(name, member, flags)                                                                         \
        { name, SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(CtlPeer, member), flags }
#define NUMBER(name, member, flags)                                                                         \
        { name, SD_JSON_VARIANT_UNSIGNED, sd_json_dispatch_uint64, offsetof(CtlPeer, member), flags }

int ctl_peer_parse(sd_json_variant *v, CtlPeer *ret)
{
        static const sd_json_dispatch_field table[] = {
                STRING("link", link, SD_JSON_MANDATORY),
                STRING("publicKey", public_key, SD_JSON_MANDATORY),
                STRING("state", state, SD_JSON_MANDATORY),
                STRING("path", path, SD_JSON_MANDATORY),
                STRING("reason", reason, SD_JSON_MANDATORY),
                STRING("reasonText", reason_text, SD_JSON_NULLABLE),
                STRING("reasonDetail", reason_detail, SD_JSON_NULLABLE),
                STRING("policy", policy, SD_JSON_NULLABLE),
                { "policyTemporary", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(CtlPeer, policy_temporary), 0 },
                { "local", SD_JSON_VARIANT_OBJECT, ctl_dispatch_candidate, offsetof(CtlPeer, local),
                  SD_JSON_NULLABLE },
                { "remote", SD_JSON_VARIANT_OBJECT, ctl_dispatch_candidate, offsetof(CtlPeer, remote),
                  SD_JSON_NULLABLE },
                STRING("endpoint", endpoint, SD_JSON_NULLABLE),
                { "allowedIPs", SD_JSON_VARIANT_ARRAY, sd_json_dispatch_variant_noref,
                  offsetof(CtlPeer, allowed_ips), 0 },
                NUMBER("pathSinceUSec", path_since, SD_JSON_NULLABLE),
                NUMBER("roundTripTimeUSec", round_trip_time, SD_JSON_NULLABLE),
                NUMBER("lastHandshakeUSec", last_handshake, SD_JSON_NULLABLE),
                NUMBER("rxBytes", rx_bytes, SD_JSON_MANDATORY),
                NUMBER("txBytes", tx_bytes, SD_JSON_MANDATORY),
                { "counters", SD_JSON_VARIANT_OBJECT, dispatch_counters, offsetof(CtlPeer, counters), 0 },
                {},
        };
        CtlPeer peer = { .round_trip_time = USEC_INFINITY };
        int r;

        r = sd_json_dispatch(v, table, SD_JSON_ALLOW_EXTENSIONS, &peer);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        *ret = peer;
        return 0;
}

void ctl_peers_done(CtlPeers *peers)
{
        peers->items = mfree(peers->items);
        peers->json = sd_json_variant_unref(peers->json);
        peers->n = 0;
}

static int parse_peers(sd_json_variant *reply, CtlPeers *peers)
{
        sd_json_variant *list = sd_json_variant_by_key(reply, "peers");
        size_t n = list && sd_json_variant_is_array(list) ? sd_json_variant_elements(list) : 0;

        peers->json = sd_json_variant_ref(reply);
        peers->items = new0(CtlPeer, n + 1);
        if (!peers->items)
                return log_oom();
        for (size_t i = 0; i < n; i++)
                if (ctl_peer_parse(sd_json_variant_by_index(list, i), &peers->items[peers->n++]) < 0)
                        return log_error_errno(EBADMSG, "icewired's answer is not understood.");
        return 0;
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
                return log_oom();
        for (size_t i = 0; i < peers->n; i++)
                keys[i] = peers->items[i].public_key;
        peers->key_length = unique_prefix_length(keys, peers->n, KEY_LENGTH_MIN);
        return 0;
}

static void keep_matching(CtlPeers *peers, const char *link, const char *peer)
{
        size_t n = 0;

        for (size_t i = 0; i < peers->n; i++)
                if ((!link || streq(peers->items[i].link, link)) &&
                    (!peer || startswith(peers->items[i].public_key, peer)))
                        peers->items[n++] = peers->items[i];
        peers->n = n;
}

static bool has_link(const CtlPeers *peers, const char *link)
{
        for (size_t i = 0; i < peers->n; i++)
                if (streq(peers->items[i].link, link))
                        return true;
        return false;
}

int ctl_peers_get(sd_varlink *link, const char *link_name, const char *peer, CtlPeers *ret)
{
        sd_json_variant *reply = NULL;
        CtlPeers peers = {};
        int r;

        r = ctl_call(link, "org.icewire.Agent.ListPeers", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        r = parse_peers(reply, &peers);
        sd_json_variant_unref(reply);
        if (r >= 0)
                r = choose_key_length(&peers);
        if (r < 0) {
                ctl_peers_done(&peers);
                return r;
        }
        if (link_name && !peer && !has_link(&peers, link_name))
                peer = TAKE_PTR(link_name);
        keep_matching(&peers, link_name, peer);
        if (peers.n == 0 && (link_name || peer)) {
                ctl_peers_done(&peers);
                return link_name ? log_error_errno(ENOENT, "Link %s has no peer %s.", link_name,
                                                   strempty(peer))
                                 : log_error_errno(ENOENT, "There is no link or peer \"%s\".", peer);
        }
        if (peers.n > 1)
                qsort(peers.items, peers.n, sizeof(CtlPeer), compare_peers);
        *ret = peers;
        return 0;
}

char *ctl_short_key(const char *key, size_t length)
{
        _cleanup_free_ char *escaped = terminal_escape(key);

        if (!escaped)
                return NULL;
        return strlen(escaped) <= length ? TAKE_PTR(escaped) : asprintf_safe("%.*s…", (int) length, escaped);
}

static char *format_pair(const CtlPeer *peer)
{
        return asprintf_safe("%s %s → %s %s", strempty(peer->local.type), strna(peer->local.address),
                             strempty(peer->remote.type), strna(peer->remote.address));
}

char *ctl_peer_via(const CtlPeer *peer)
{
        _cleanup_free_ char *via = NULL;

        if (streq(peer->path, "none") || !peer->remote.address)
                via = strdup(peer->endpoint ?: "-");
        else
                via = format_pair(peer);
        return via ? terminal_escape(via) : NULL;
}

static const char *state_colour(const CtlPeer *peer)
{
        if (streq(peer->state, "connected"))
                return streq(peer->path, "direct") ? "green" : "yellow";
        return streq(peer->state, "failed") ? "red" : "yellow";
}

char *ctl_peer_path(const CtlPeer *peer)
{
        const char *transport = peer->remote.transport ?: "udp";

        return streq(transport, "udp") ? strdup(peer->path) : asprintf_safe("%s/tcp", peer->path);
}

static bool has_policy(const CtlPeer *peer)
{
        return peer->policy && !streq(peer->policy, "auto");
}

/* A column of its own is for those who use it. */
static bool any_policy(const CtlPeers *peers)
{
        for (size_t i = 0; i < peers->n; i++)
                if (has_policy(&peers->items[i]))
                        return true;
        return false;
}

static int add_peer(Table *table, const CtlPeer *peer, size_t key_length, usec_t t, bool policies)
{
        char age[SIZE_STRLEN], rtt[SIZE_STRLEN], rx[SIZE_STRLEN], tx[SIZE_STRLEN];
        _cleanup_free_ char *key = ctl_short_key(peer->public_key, key_length), *via = ctl_peer_via(peer),
                            *path = ctl_peer_path(peer);
        const char *cells[] = {
                peer->link,
                key,
                peer->state,
                path,
                via,
                peer->round_trip_time == USEC_INFINITY ? NULL
                                                       : format_round_trip_time(peer->round_trip_time, rtt),
                peer->last_handshake == 0 ? NULL : format_age(peer->last_handshake, t, age),
                format_size(peer->rx_bytes, rx),
                format_size(peer->tx_bytes, tx),
                peer->policy, /* the last, since not always */
        };
        unsigned n = ELEMENTSOF(cells) - !policies;
        int r = table_add_row(table);

        for (unsigned i = 0; i < n && r >= 0; i++)
                r = table_set_cell(table, i, cells[i], i == 2 ? state_colour(peer) : NULL);
        return r;
}

static int make_table(const Ctl *ctl, bool policies, Table **ret)
{
        static const struct {
                const char *name;
                TableColumnFlags flags;
        } columns[] = {
                { "LINK", 0 },
                { "PEER", 0 },
                { "STATE", 0 },
                { "PATH", 0 },
                { "VIA", TABLE_TRUNCATE },
                { "RTT", TABLE_RIGHT },
                { "HANDSHAKE", TABLE_RIGHT },
                { "RX", TABLE_RIGHT },
                { "TX", TABLE_RIGHT },
                { "POLICY", 0 },
        };
        size_t n = ELEMENTSOF(columns) - !policies;
        int r = table_new(ctl->legend, ctl->colour, ret);

        for (size_t i = 0; i < n && r >= 0; i++)
                r = table_add_column(*ret, columns[i].name, columns[i].flags);
        return r;
}

/* Is this the first peer of those shown that has its reason? */
static bool is_new_reason(const CtlPeers *peers, size_t i)
{
        if (!peers->items[i].reason_text)
                return false;
        for (size_t j = 0; j < i; j++)
                if (streq(peers->items[j].reason, peers->items[i].reason))
                        return false;
        return true;
}

/* Each reason once, with the peers it holds for. */
static void print_reason(const CtlPeers *peers, size_t first)
{
        _cleanup_free_ char *text = terminal_escape(peers->items[first].reason_text);

        putchar('\n');
        for (size_t i = first; i < peers->n; i++) {
                _cleanup_free_ char *key = ctl_short_key(peers->items[i].public_key, peers->key_length);

                if (streq(peers->items[i].reason, peers->items[first].reason))
                        printf("%s%s", i == first ? "" : ", ", strna(key));
        }
        printf(":\n  %s\n", strna(text));
        for (size_t i = first; i < peers->n; i++) {
                _cleanup_free_ char *detail = NULL;

                if (!streq(peers->items[i].reason, peers->items[first].reason) ||
                    !peers->items[i].reason_detail)
                        continue;
                detail = terminal_escape(peers->items[i].reason_detail);
                printf("  %s\n", strna(detail));
        }
}

int ctl_peers_print(const Ctl *ctl, const CtlPeers *peers, size_t max)
{
        _cleanup_(table_freep) Table *table = NULL;
        CtlPeers shown = *peers;
        usec_t t = now(CLOCK_REALTIME);
        bool policies;
        int r;

        shown.n = max > 0 ? MIN(max, peers->n) : peers->n;
        policies = any_policy(&shown);
        r = make_table(ctl, policies, &table);
        for (size_t i = 0; i < shown.n && r >= 0; i++)
                r = add_peer(table, &peers->items[i], peers->key_length, t, policies);
        if (r >= 0 && !table_is_empty(table))
                r = table_print(table);
        if (r < 0)
                return log_error_errno(r, "Failed to print the peers: %m");
        for (size_t i = 0; i < shown.n && ctl->legend; i++)
                if (is_new_reason(&shown, i))
                        print_reason(&shown, i);
        return 0;
}

static int print_peers_json(const Ctl *ctl, const CtlPeers *peers)
{
        sd_json_variant *list = sd_json_variant_by_key(peers->json, "peers"), *array = NULL;
        int r = sd_json_variant_new_array(&array, NULL, 0);

        for (size_t i = 0; i < sd_json_variant_elements(list) && r >= 0; i++) {
                sd_json_variant *item = sd_json_variant_by_index(list, i);
                CtlPeer peer;

                if (ctl_peer_parse(item, &peer) < 0)
                        continue;
                for (size_t j = 0; j < peers->n; j++)
                        if (compare_peers(&peers->items[j], &peer) == 0)
                                r = sd_json_variant_append_array(&array, item);
        }
        if (r >= 0)
                r = ctl_print_json(ctl, array);
        sd_json_variant_unref(array);
        return r;
}

/* For those who ask for nothing else. */
static int connect_and_get(const Ctl *ctl, const char *link_name, const char *peer, CtlPeers *ret)
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int r = ctl_connect(ctl, &link);

        return r < 0 ? r : ctl_peers_get(link, link_name, peer, ret);
}

int verb_peers(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r = connect_and_get(ctl, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, &peers);

        if (r < 0)
                return r;
        if (sd_json_format_enabled(ctl->json))
                return print_peers_json(ctl, &peers);
        if (peers.n == 0 && ctl->legend)
                puts("No peers.");
        return ctl_peers_print(ctl, &peers, /* max= */ 0);
}

static void print_field(const char *name, const char *value)
{
        _cleanup_free_ char *escaped = value ? terminal_escape(value) : NULL;

        if (value)
                printf("%14s: %s\n", name, strna(escaped));
}

static void print_candidate(const char *name, const CtlCandidate *c)
{
        _cleanup_free_ char *text = NULL;

        if (!c->address)
                return;
        text = asprintf_safe("%s %s %s", strna(c->type), strna(c->transport), c->address);
        print_field(name, strna(text));
}

static void print_allowed_ips(const CtlPeer *peer)
{
        for (size_t i = 0; peer->allowed_ips && i < sd_json_variant_elements(peer->allowed_ips); i++) {
                sd_json_variant *v = sd_json_variant_by_index(peer->allowed_ips, i);

                if (sd_json_variant_is_string(v))
                        print_field(i == 0 ? "Allowed IPs" : "", sd_json_variant_string(v));
        }
}

static void print_times(const CtlPeer *peer)
{
        char age[SIZE_STRLEN], rtt[SIZE_STRLEN], rx[SIZE_STRLEN], tx[SIZE_STRLEN];
        usec_t t = now(CLOCK_REALTIME);

        if (peer->path_since > 0)
                printf("%14s: %s\n", "Path age", format_age(peer->path_since, t, age));
        if (peer->round_trip_time != USEC_INFINITY)
                printf("%14s: %s\n", "Round trip", format_round_trip_time(peer->round_trip_time, rtt));
        printf("%14s: %s\n", "Handshake age",
               peer->last_handshake > 0 ? format_age(peer->last_handshake, t, age) : "never");
        printf("%14s: %s received, %s sent\n", "Traffic", format_size(peer->rx_bytes, rx),
               format_size(peer->tx_bytes, tx));
}

/* Where envelopes get lost, and whether somebody replays or floods. */
static void print_counters(const CtlCounters *c)
{
        printf("%14s: %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " refused, %" PRIu64
               " over the limit\n",
               "Envelopes", c->envelopes_sent, c->envelopes_received, c->envelopes_refused,
               c->envelopes_flooded);
        printf("%14s: %" PRIu64 " accepted, %" PRIu64 " answered, %" PRIu64 " repeated, %" PRIu64
               " stale, %" PRIu64 " over the limit, %" PRIu64 " wrong\n",
               "Messages", c->messages_accepted + c->messages_accepted_anew, c->messages_answered,
               c->messages_duplicate, c->messages_stale, c->messages_flooded,
               c->messages_malformed + c->messages_wrong_role);
        printf("%14s: %" PRIu64 ", %" PRIu64 " with a path\n", "Negotiations", c->sessions, c->paths);
}

static void print_policy(const CtlPeer *peer)
{
        _cleanup_free_ char *text = NULL;

        if (!has_policy(peer) && !peer->policy_temporary)
                return;
        text = asprintf_safe("%s%s", peer->policy,
                             peer->policy_temporary ? " (until the configuration is read again)" : "");
        print_field("Policy", strna(text));
}

static void print_peer(const CtlPeer *peer)
{
        _cleanup_free_ char *path = ctl_peer_path(peer);

        print_field("Peer", peer->public_key);
        print_field("Link", peer->link);
        print_field("State", peer->state);
        print_field("Path", path);
        print_field("Reason", peer->reason_text);
        print_field("", peer->reason_detail);
        print_policy(peer);
        print_candidate("Local end", &peer->local);
        print_candidate("Remote end", &peer->remote);
        print_field("Endpoint", peer->endpoint);
        print_allowed_ips(peer);
        print_times(peer);
        print_counters(&peer->counters);
}

int verb_peer(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r = connect_and_get(ctl, argc > 2 ? argv[1] : NULL, argv[argc - 1], &peers);

        if (r < 0)
                return r;
        if (sd_json_format_enabled(ctl->json))
                return print_peers_json(ctl, &peers);
        for (size_t i = 0; i < peers.n; i++) {
                if (i > 0)
                        putchar('\n');
                print_peer(&peers.items[i]);
        }
        return 0;
}

static int reconnect(sd_varlink *link, const CtlPeer *peer)
{
        sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key));
        if (r < 0)
                return log_oom();
        r = ctl_call(link, "org.icewire.Agent.Reconnect", parameters, /* ret= */ NULL);
        sd_json_variant_unref(parameters);
        return r;
}

int verb_reconnect(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        if (argc == 1)
                return ctl_call(link, "org.icewire.Agent.Reconnect", /* parameters= */ NULL,
                                /* ret= */ NULL);
        r = ctl_peers_get(link, argv[1], argc > 2 ? argv[2] : NULL, &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = reconnect(link, &peers.items[i]);
        return r;
}

static int set_policy(sd_varlink *link, const CtlPeer *peer, const char *policy)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key),
                           SD_JSON_BUILD_PAIR_STRING("policy", policy));
        if (r < 0)
                return log_oom();
        return ctl_call(link, "org.icewire.Agent.SetPolicy", parameters, /* ret= */ NULL);
}

static bool is_policy(const char *s)
{
        return streq(s, "auto") || streq(s, "direct") || streq(s, "relay") || streq(s, "off");
}

int verb_policy(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        const char *policy = argv[argc - 1];
        int r;

        if (!is_policy(policy))
                return log_error_errno(EINVAL, "A policy is auto, direct, relay or off, and not \"%s\".",
                                       policy);
        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_peers_get(link, argc > 3 ? argv[1] : NULL, argv[argc - 2], &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = set_policy(link, &peers.items[i], policy);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-names.h"

#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "log.h"
#include "socket-address.h"
#include "string-util.h"
#include "text-util.h"

/* So many are named; whoever wants more can list them. */
#define NAMED_MAX 3

/* ---- What a name means ---- */

/* How many bits the peer's best prefix for the address has, plus one; 0: it has none. */
static unsigned routes(const CtlPeer *peer, const SocketAddress *a)
{
        size_t n = peer->allowed_ips ? sd_json_variant_elements(peer->allowed_ips) : 0;
        unsigned best = 0;

        for (size_t i = 0; i < n; i++) {
                sd_json_variant *v = sd_json_variant_by_index(peer->allowed_ips, i);
                IpPrefix prefix;

                if (sd_json_variant_is_string(v) &&
                    ip_prefix_from_string(sd_json_variant_string(v), &prefix) >= 0 &&
                    ip_prefix_contains(&prefix, a))
                        best = MAX(best, prefix.length + 1u);
        }
        return best;
}

/* On its own link, WireGuard would send it to this peer. */
static bool is_route(const CtlPeers *peers, size_t i, const SocketAddress *a)
{
        unsigned here = routes(&peers->items[i], a);

        for (size_t j = 0; j < peers->n; j++)
                if (streq(peers->items[j].link, peers->items[i].link) && routes(&peers->items[j], a) > here)
                        return false;
        return here > 0;
}

/* By a whole key: this one and not those that begin likewise. */
static bool has_key(const CtlPeers *peers, const char *name)
{
        for (size_t i = 0; i < peers->n; i++)
                if (streq(peers->items[i].public_key, name))
                        return true;
        return false;
}

static void keep_link(CtlPeers *peers, const char *link)
{
        size_t n = 0;

        for (size_t i = 0; i < peers->n; i++)
                if (streq(peers->items[i].link, link))
                        peers->items[n++] = peers->items[i];
        peers->n = n;
}

static void keep_key(CtlPeers *peers, const char *name)
{
        bool whole = has_key(peers, name);
        size_t n = 0;

        for (size_t i = 0; i < peers->n; i++)
                if (whole ? streq(peers->items[i].public_key, name)
                          : startswith(peers->items[i].public_key, name) != NULL)
                        peers->items[n++] = peers->items[i];
        peers->n = n;
}

/* Each is compared with all of its link, before the first is dropped. */
static void keep_route(CtlPeers *peers, const SocketAddress *a)
{
        CtlPeers all = *peers;
        _cleanup_free_ bool *kept = new0(bool, all.n + 1);
        size_t n = 0;

        for (size_t i = 0; kept && i < all.n; i++)
                kept[i] = is_route(&all, i, a);
        for (size_t i = 0; kept && i < all.n; i++)
                if (kept[i])
                        peers->items[n++] = peers->items[i];
        peers->n = n;
}

static bool is_one_key(const CtlPeers *peers)
{
        for (size_t i = 1; i < peers->n; i++)
                if (!streq(peers->items[i].public_key, peers->items[0].public_key))
                        return false;
        return true;
}

CtlMatch ctl_names_match(CtlPeers *peers, const char *link, const char *name)
{
        SocketAddress a;

        if (link)
                keep_link(peers, link);
        if (!name)
                return peers->n > 0 ? CTL_MATCH_ONE : CTL_MATCH_NONE;
        if (socket_address_from_ip(name, /* port= */ 0, &a) >= 0)
                keep_route(peers, &a);
        else
                keep_key(peers, name);
        if (peers->n == 0)
                return CTL_MATCH_NONE;
        return is_one_key(peers) ? CTL_MATCH_ONE : CTL_MATCH_AMBIGUOUS;
}

/* ---- What may have been meant ---- */

static size_t word_distance(const char *s, const char *word, bool beginning)
{
        _cleanup_free_ char *part = strndup(word, beginning ? strlen(s) : strlen(word));

        return part ? text_distance(s, part) : SIZE_MAX;
}

/* One letter in four may be wrong, but never all of them. */
static bool is_near(const char *s, size_t distance)
{
        return distance <= MAX((size_t) 1, strlen(s) / 4) && distance < strlen(s);
}

const char *ctl_names_nearest(const char *s, const char *const *words, size_t n, bool beginning)
{
        const char *nearest = NULL;
        size_t least = SIZE_MAX;

        for (size_t i = 0; i < n; i++) {
                size_t distance = word_distance(s, words[i], beginning);

                if (distance >= least || !is_near(s, distance))
                        continue;
                nearest = words[i];
                least = distance;
        }
        return nearest;
}

static const char *nearest_key(const CtlPeers *peers, const char *name)
{
        _cleanup_free_ const char **keys = new (const char *, peers->n + 1);

        for (size_t i = 0; keys && i < peers->n; i++)
                keys[i] = peers->items[i].public_key;
        return keys ? ctl_names_nearest(name, keys, peers->n, /* beginning= */ true) : NULL;
}

/* "wg0, wg1"; the caller owns it. */
static char *join_links(sd_json_variant *links)
{
        char *joined = strdup("");

        for (size_t i = 0; links && i < sd_json_variant_elements(links) && joined; i++) {
                _cleanup_free_ char *before = joined;

                joined = asprintf_safe("%s%s%s", before, *before ? ", " : "",
                                       strna(ctl_member_string(sd_json_variant_by_index(links, i), "name")));
        }
        return joined;
}

/* 1: there is such a link, 0: there is none, and *ret_links are those that are. The caller owns them. */
static int find_link(sd_varlink *connection, const char *name, char **ret_links)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
        sd_json_variant *links;
        int r;

        r = ctl_call(connection, "org.icewire.Agent.ListLinks", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        links = sd_json_variant_by_key(reply, "links");
        for (size_t i = 0; links && i < sd_json_variant_elements(links); i++)
                if (streq_ptr(ctl_member_string(sd_json_variant_by_index(links, i), "name"), name))
                        return 1;
        *ret_links = join_links(links);
        return *ret_links ? 0 : log_oom();
}

static int say_no_link(const char *name, const char *links)
{
        if (*links)
                return log_error_errno(ENODEV, "There is no link \"%s\", only %s.", name, links);
        return log_error_errno(ENODEV, "There is no link \"%s\", and no other either.", name);
}

/* all: of the link, before anything was chosen. */
static int say_no_peer(const CtlPeers *all, const char *link, const char *name)
{
        const char *near = nearest_key(all, name);
        _cleanup_free_ char *where = link ? asprintf_safe(" on link %s", link) : strdup("");
        SocketAddress a;

        if (socket_address_from_ip(name, /* port= */ 0, &a) >= 0)
                return log_error_errno(ENOENT, "No peer%s has %s among its allowed IPs: icewirectl peers",
                                       strempty(where), name);
        if (near)
                return log_error_errno(ENOENT, "There is no peer \"%s\"%s. Did you mean %.*s?", name,
                                       strempty(where), (int) MAX(strlen(name), all->key_length), near);
        return log_error_errno(ENOENT, "There is no peer \"%s\"%s: icewirectl peers lists all.", name,
                               strempty(where));
}

static int say_ambiguous(const CtlPeers *matching, const char *name)
{
        char *text = strdup("");
        size_t named = MIN(matching->n, (size_t) NAMED_MAX);
        int r;

        for (size_t i = 0; i < named && text; i++) {
                _cleanup_free_ char *before = text,
                                    *key = ctl_short_key(matching->items[i].public_key,
                                                         MAX(matching->key_length, strlen(name) + 1));

                text = asprintf_safe("%s%s%s on %s", before, *before ? ", " : "", strna(key),
                                     matching->items[i].link);
        }
        r = log_error_errno(ENOTUNIQ, "\"%s\" may be any of %zu peers: %s%s", name, matching->n,
                            strempty(text), matching->n > named ? ", …" : "");
        free(text);
        return r;
}

/* link: NULL: any. */
static int select_peer(CtlPeers *peers, const char *link, const char *name)
{
        CtlPeers all = *peers;
        int r = 0;

        all.items = memdup_suffix0(peers->items, peers->n * sizeof(CtlPeer));
        if (!all.items)
                return log_oom();
        switch (ctl_names_match(peers, link, name)) {
        case CTL_MATCH_NONE:
                if (link)
                        keep_link(&all, link);
                r = say_no_peer(&all, link, name);
                break;
        case CTL_MATCH_AMBIGUOUS:
                r = say_ambiguous(peers, name);
                break;
        case CTL_MATCH_ONE:
                break;
        }
        free(all.items);
        return r;
}

static bool has_link(const CtlPeers *peers, const char *link)
{
        for (size_t i = 0; i < peers->n; i++)
                if (streq(peers->items[i].link, link))
                        return true;
        return false;
}

int ctl_names_select(sd_varlink *connection, CtlPeers *peers, const char *link, const char *name)
{
        _cleanup_free_ char *links = NULL;
        int r;

        if (!link)
                return name ? select_peer(peers, /* link= */ NULL, name) : 0;
        if (!has_link(peers, link)) {
                r = find_link(connection, link, &links);
                if (r < 0)
                        return r;
                if (r == 0 && name)
                        return say_no_link(link, links);
                if (r == 0)
                        return select_peer(peers, /* link= */ NULL, link);
        }
        if (name)
                return select_peer(peers, link, name);
        keep_link(peers, link);
        return 0;
}

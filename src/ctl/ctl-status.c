/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "alloc-util.h"
#include "ctl-mapping.h"
#include "ctl-peers.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"

/* On a screen that has no room for everything: of rendezvous and links, and of peers and reasons at least.
 */
#define SERVICES_MAX 2
#define PEERS_MIN 3
#define REASONS_MIN 2

/* ---- Services ---- */

static const char *state_colour(const char *state)
{
        if (streq(state, "up") || streq(state, "ready"))
                return ANSI_GREEN;
        return streq(state, "connecting") ? ANSI_YELLOW : ANSI_RED;
}

static bool is_up(sd_json_variant *rendezvous)
{
        return streq_ptr(ctl_member_string(rendezvous, "state"), "up");
}

static void print_rendezvous(const Ctl *ctl, sd_json_variant *v, bool brief)
{
        const char *state = strna(ctl_member_string(v, "state")), *error = ctl_member_string(v, "error");
        _cleanup_free_ char *rest = asprintf_safe("%s%s%s%s", strna(ctl_member_string(v, "name")),
                                                  error ? " (" : "", strempty(error), error ? ")" : "");

        ctl_print_state(ctl, "Rendezvous", state, state_colour(state), rest, /* max= */ brief);
}

/* Those that are down and those that are up, in two passes. */
static size_t print_all_rendezvous(const Ctl *ctl, sd_json_variant *list, size_t n, bool brief)
{
        _cleanup_free_ char *more = NULL;
        size_t printed = 0;

        if (n == 0) {
                ctl_print_state(ctl, "Rendezvous", "none configured", ANSI_RED, /* rest= */ NULL, 1);
                return 1;
        }
        for (int up = 0; up <= 1; up++)
                for (size_t i = 0; i < n && (!brief || printed < SERVICES_MAX); i++) {
                        sd_json_variant *v = sd_json_variant_by_index(list, i);

                        if (is_up(v) != up)
                                continue;
                        print_rendezvous(ctl, v, brief);
                        printed++;
                }
        if (n == printed)
                return n;
        more = asprintf_safe("%zu more: icewirectl diagnose", n - printed);
        ctl_print_state(ctl, "", strna(more), /* colour= */ NULL, /* rest= */ NULL, 1);
        return printed + 1;
}

static size_t print_redirect(const Ctl *ctl, sd_json_variant *description, bool brief)
{
        const char *kind = ctl_member_string(description, "redirect");

        if (!kind)
                return 0;
        ctl_print_state(ctl, "Redirect", kind, streq(kind, "proxy") ? ANSI_YELLOW : ANSI_GREEN,
                        ctl_member_string(description, "redirectReason"), /* max= */ brief);
        return 1;
}

size_t ctl_status_print_services(const Ctl *ctl, sd_json_variant *description, bool brief)
{
        const char *broker = strna(ctl_member_string(description, "broker"));
        size_t n, lines = 1;
        sd_json_variant *rendezvous = ctl_member_array(description, "rendezvous", &n);

        ctl_print_state(ctl, "Broker", broker, state_colour(broker),
                        streq(broker, "lost")
                                ? "systemctl start icewire-broker, which reads and writes the links"
                                : NULL,
                        /* max= */ brief);
        lines += print_redirect(ctl, description, brief);
        return lines + print_all_rendezvous(ctl, rendezvous, n, brief);
}

/* ---- Can peers reach us? ---- */

static const char *reach_colour(CtlReach reach)
{
        switch (reach) {
        case CTL_REACH_YES:
        case CTL_REACH_NAT:
                return ANSI_GREEN;
        case CTL_REACH_NO:
        case CTL_REACH_HARDLY:
                return ANSI_RED;
        default:
                return ANSI_YELLOW;
        }
}

/* Of one link (NULL: of any): the best of our addresses. 1 and *ret if there is one. */
static int find_mapping(sd_json_variant *description, const char *link, CtlMapping *ret)
{
        size_t n;
        sd_json_variant *mappings = ctl_member_array(description, "mappings", &n);
        CtlMapping best = {};
        bool found = false;

        for (size_t i = 0; i < n; i++) {
                CtlMapping m;

                if (ctl_mapping_parse(sd_json_variant_by_index(mappings, i), &m) < 0)
                        continue;
                if ((link && !streq_ptr(m.link, link)) ||
                    (found && ctl_mapping_reach(&m) <= ctl_mapping_reach(&best))) {
                        ctl_mapping_done(&m);
                        continue;
                }
                ctl_mapping_done(&best);
                best = m;
                found = true;
        }
        if (found)
                *ret = best;
        return found;
}

/* link: NULL: any. */
static bool has_direct_peer(const CtlPeers *peers, const char *link)
{
        for (size_t i = 0; i < peers->n; i++)
                if ((!link || streq(peers->items[i].link, link)) && ctl_peer_is_direct(&peers->items[i]))
                        return true;
        return false;
}

/* One server's word will do where a peer has proved it. */
static CtlReach proven_reach(const CtlMapping *m, const CtlPeers *peers)
{
        CtlReach reach = ctl_mapping_reach(m);

        return reach == CTL_REACH_MAYBE && has_direct_peer(peers, m->link) ? CTL_REACH_NAT : reach;
}

/* Without the broker nothing is negotiated, and without a rendezvous nobody can ask for it. */
static bool can_be_asked(sd_json_variant *description)
{
        size_t n;
        sd_json_variant *rendezvous = ctl_member_array(description, "rendezvous", &n);

        if (!streq_ptr(ctl_member_string(description, "broker"), "ready"))
                return false;
        for (size_t i = 0; i < n; i++)
                if (is_up(sd_json_variant_by_index(rendezvous, i)))
                        return true;
        return false;
}

/* In a few words; NULL: nothing is known. */
static const char *describe_reach(sd_json_variant *description, const CtlPeers *peers,
                                  const char **ret_colour)
{
        _cleanup_(ctl_mapping_done) CtlMapping m = {};
        CtlReach reach;

        *ret_colour = ANSI_RED;
        if (!can_be_asked(description))
                return "not reachable";
        if (find_mapping(description, /* link= */ NULL, &m) == 0)
                return NULL;
        reach = proven_reach(&m, peers);
        *ret_colour = reach_colour(reach);
        return reach == CTL_REACH_UNKNOWN ? NULL : ctl_reach_to_string(reach);
}

static void print_cut(size_t *room, const char *text, const char *colour)
{
        _cleanup_free_ char *cut = text_cut_end(text, *room, glyph_ellipsis());

        printf("%s%s%s", strempty(colour), strna(cut), colour ? ANSI_NORMAL : "");
        *room -= cut ? text_width(cut) : 0;
}

static void print_title(const Ctl *ctl, sd_json_variant *description, const CtlPeers *peers)
{
        _cleanup_free_ char *version = terminal_escape(strna(ctl_member_string(description, "version"))),
                            *name = asprintf_safe("icewired %s: ", strna(version)), *sum = NULL,
                            *direct = NULL;
        const char *colour, *reach = describe_reach(description, peers, &colour);
        size_t n_connected = 0, n_direct = 0, room = ctl->width;

        for (size_t i = 0; i < peers->n; i++) {
                n_connected += ctl_peer_is_connected(&peers->items[i]);
                n_direct += ctl_peer_is_direct(&peers->items[i]);
        }
        direct = n_connected > 0 ? asprintf_safe(", %zu directly", n_direct) : strdup("");
        if (peers->n == 0)
                sum = asprintf_safe("%sno peers", reach ? ", " : "");
        else
                sum = asprintf_safe("%s%zu of %zu peer%s connected%s", reach ? ", " : "", n_connected,
                                    peers->n, plural(peers->n), strempty(direct));
        print_cut(&room, strna(name), /* colour= */ NULL);
        if (reach)
                print_cut(&room, reach, ctl->colour ? colour : NULL);
        print_cut(&room, strna(sum), /* colour= */ NULL);
        putchar('\n');
}

/* ---- Links ---- */

static void print_link(const Ctl *ctl, sd_json_variant *v, sd_json_variant *description,
                       const CtlPeers *peers, bool brief)
{
        _cleanup_(ctl_mapping_done) CtlMapping m = {};
        const char *name = strna(ctl_member_string(v, "name"));
        uint64_t port = ctl_member_unsigned(v, "listenPort");
        bool mapped = port > 0 && find_mapping(description, name, &m);
        CtlReach reach = mapped ? proven_reach(&m, peers) : CTL_REACH_UNKNOWN;
        _cleanup_free_ char *explained = mapped ? ctl_mapping_explain(&m, name) : strdup(name),
                            *bound = port > 0 ? asprintf_safe(", port %" PRIu64, port) : strdup(""),
                            *rest = NULL;

        rest = asprintf_safe("%s%s, %s, %s", strna(explained), strempty(bound),
                             strna(ctl_member_string(v, "kind")),
                             ctl_member_string(v, "publicKey") ?: "no key");
        ctl_print_state(ctl, "Link",
                        mapped     ? ctl_reach_to_string(reach)
                        : port > 0 ? "not known"
                                   : "not bound to a port",
                        mapped ? reach_colour(reach) : ANSI_YELLOW, rest, /* max= */ brief);
}

static size_t print_links(const Ctl *ctl, sd_json_variant *reply, sd_json_variant *description,
                          const CtlPeers *peers, bool brief)
{
        bool ready = streq_ptr(ctl_member_string(description, "broker"), "ready");
        _cleanup_free_ char *more = NULL;
        size_t n, printed;
        sd_json_variant *links = ctl_member_array(reply, "links", &n);

        printed = brief ? MIN(n, (size_t) SERVICES_MAX) : n;
        for (size_t i = 0; i < printed; i++)
                print_link(ctl, sd_json_variant_by_index(links, i), description, peers, brief);
        if (n == 0)
                more = strdup(ready ? "no WireGuard link" : "not known yet");
        else if (n > printed)
                more = asprintf_safe("%zu more link%s", n - printed, plural(n - printed));
        else
                return n;
        ctl_print_state(ctl, n == 0 ? "Link" : "", strna(more), /* colour= */ NULL, /* rest= */ NULL, 1);
        return printed + 1;
}

/* ---- Peers ---- */

/* How urgently somebody wants to see it: those that do not work, then those that might work better. */
#define URGENCY_MAX 2

static int urgency(const CtlPeer *peer)
{
        return ctl_peer_is_direct(peer) ? 0 : ctl_peer_is_connected(peer) ? 1 : URGENCY_MAX;
}

static void choose_peers(const CtlPeers *peers, size_t max, bool *chosen)
{
        size_t n = 0;

        for (int u = URGENCY_MAX; u >= 0; u--)
                for (size_t i = 0; i < peers->n && n < max; i++)
                        if (urgency(&peers->items[i]) == u) {
                                chosen[i] = true;
                                n++;
                        }
}

static void print_left_out(const CtlPeers *peers, const bool *chosen)
{
        size_t n = 0, direct = 0;

        for (size_t i = 0; i < peers->n; i++)
                if (!chosen[i]) {
                        n++;
                        direct += ctl_peer_is_direct(&peers->items[i]);
                }
        if (n > 0)
                printf("%s %zu more, %zu of them direct: icewirectl peers\n", glyph_ellipsis(), n, direct);
}

static size_t count_reasons(const CtlPeers *peers)
{
        size_t n = 0;

        for (size_t i = 0; i < peers->n; i++)
                n += ctl_peers_is_new_reason(peers, i);
        return n;
}

static size_t count_lines(const char *s)
{
        size_t n = 1;

        for (; *s; s++)
                n += *s == '\n';
        return n;
}

/* With the peers that it holds for, in at most `lines` lines. Returns how many these are. */
static size_t print_reason(const Ctl *ctl, const CtlPeers *peers, size_t i, size_t lines)
{
        _cleanup_free_ char *keys = ctl_peers_with_reason(peers, i), *text = NULL, *escaped = NULL,
                            *wrapped = NULL;

        text = asprintf_safe("%s: %s", strna(keys), peers->items[i].reason_text);
        escaped = text ? terminal_escape(text) : NULL;
        wrapped = escaped ? text_wrap(escaped, ctl->width, /* indent= */ 0, lines, glyph_ellipsis()) : NULL;
        puts(strna(wrapped));
        return wrapped ? count_lines(wrapped) : 1;
}

/* Of the peers of one urgency. Returns how many lines are left. */
static size_t print_reasons_of(const Ctl *ctl, const CtlPeers *peers, int u, size_t lines, size_t *left)
{
        for (size_t i = 0; i < peers->n && lines > 0; i++) {
                size_t share = *left > 0 ? MAX(lines / *left, (size_t) 1) : 1;

                if (urgency(&peers->items[i]) != u || !ctl_peers_is_new_reason(peers, i))
                        continue;
                if (lines == 1 && *left > 1) {
                        printf("%s %zu more reasons: icewirectl peers\n", glyph_ellipsis(), *left);
                        return 0;
                }
                lines -= print_reason(ctl, peers, i, share);
                (*left)--;
        }
        return lines;
}

/* Those of peers that have no path come first. */
static void print_reasons(const Ctl *ctl, const CtlPeers *peers, size_t lines)
{
        size_t left = count_reasons(peers);

        if (left == 0 || lines < 2)
                return;
        putchar('\n');
        lines--;
        for (int u = URGENCY_MAX; u >= 0; u--)
                lines = print_reasons_of(ctl, peers, u, lines, &left);
}

/* used: lines of the screen that are taken already, the prompt's included. */
static int print_peers(const Ctl *ctl, const CtlPeers *peers, size_t used)
{
        _cleanup_free_ bool *chosen = new0(bool, peers->n + 1);
        size_t head = used + 1 + ctl->legend, reasons = ctl->legend ? count_reasons(peers) : 0,
               room = ctl->height > head ? ctl->height - head : 0,
               reserved = reasons > 0 ? 1 + MIN(reasons, (size_t) REASONS_MIN) : 0,
               rows = MAX(room > reserved ? room - reserved : 0, (size_t) PEERS_MIN);
        int r;

        if (!chosen)
                return log_oom();
        if (peers->n > rows)
                rows--; /* for what says so */
        choose_peers(peers, rows, chosen);
        putchar('\n');
        r = ctl_peers_print_table(ctl, peers, /* brief= */ true, chosen);
        if (r < 0)
                return r;
        print_left_out(peers, chosen);
        if (!ctl->legend)
                return 0;
        rows = peers->n > rows ? rows + 1 : peers->n;
        print_reasons(ctl, peers, room > rows ? room - rows : 0);
        return 0;
}

/* ---- The verb ---- */

static int print_json(const Ctl *ctl, sd_json_variant *description, sd_json_variant *links,
                      const CtlPeers *peers)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *v = sd_json_variant_ref(description);
        int r;

        r = sd_json_variant_merge_object(&v, links);
        if (r >= 0)
                r = sd_json_variant_merge_object(&v, peers->json);
        return r < 0 ? log_error_errno(r, "Failed to put the answers together: %m") : ctl_print_json(ctl, v);
}

static int print(const Ctl *ctl, sd_json_variant *description, sd_json_variant *links, const CtlPeers *peers)
{
        bool brief = ctl->height != SIZE_MAX;
        size_t used = 2; /* the title, the prompt */

        if (sd_json_format_enabled(ctl->json))
                return print_json(ctl, description, links, peers);
        print_title(ctl, description, peers);
        used += ctl_status_print_services(ctl, description, brief);
        used += print_links(ctl, links, description, peers, brief);
        return peers->n > 0 ? print_peers(ctl, peers, used) : 0;
}

int verb_status(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *description = NULL, *links = NULL;
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_call(link, "org.icewire.Agent.Describe", /* parameters= */ NULL, &description);
        if (r < 0)
                return r;
        r = ctl_call(link, "org.icewire.Agent.ListLinks", /* parameters= */ NULL, &links);
        if (r < 0)
                return r;
        r = ctl_peers_get(link, /* link_name= */ NULL, /* name= */ NULL, &peers);
        return r < 0 ? r : print(ctl, description, links, &peers);
}

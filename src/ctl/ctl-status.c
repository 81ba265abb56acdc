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

#define LABEL_WIDTH 14

/* On a screen that has no room for everything: of rendezvous and links, and of peers and reasons at least.
 */
#define SERVICES_MAX 2
#define PEERS_MIN 3
#define REASONS_MIN 2

/* ---- Lines ---- */

void ctl_print_field(const Ctl *ctl, const char *label, const char *state, const char *colour,
                     const char *rest)
{
        _cleanup_free_ char *first = terminal_escape(state), *second = terminal_escape(rest ?: ""),
                            *cut = NULL, *cut_rest = NULL;
        size_t room = ctl->width > LABEL_WIDTH ? ctl->width - LABEL_WIDTH : 1, used;

        cut = first ? text_cut_end(first, room, glyph_ellipsis()) : NULL;
        used = cut ? text_width(cut) : 0;
        cut_rest = second ? text_cut_end(second, room - used, glyph_ellipsis()) : NULL;
        colour = ctl->colour ? colour : NULL;
        printf("  %-*s%s%s%s%s\n", LABEL_WIDTH - 2, label, strempty(colour), strna(cut),
               colour ? ANSI_NORMAL : "", strna(cut_rest));
}

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

static void print_rendezvous(const Ctl *ctl, sd_json_variant *v)
{
        const char *state = strna(ctl_member_string(v, "state")), *error = ctl_member_string(v, "error");
        _cleanup_free_ char *rest = asprintf_safe(": %s%s%s%s", strna(ctl_member_string(v, "name")),
                                                  error ? " (" : "", strempty(error), error ? ")" : "");

        ctl_print_field(ctl, "Rendezvous", state, state_colour(state), rest);
}

/* Those that are down and those that are up, in two passes. */
static size_t print_all_rendezvous(const Ctl *ctl, sd_json_variant *list, size_t n, size_t max)
{
        _cleanup_free_ char *more = NULL;
        size_t printed = 0;

        for (int up = 0; up <= 1; up++)
                for (size_t i = 0; i < n && (max == 0 || printed < max); i++) {
                        sd_json_variant *v = sd_json_variant_by_index(list, i);

                        if (is_up(v) != up)
                                continue;
                        print_rendezvous(ctl, v);
                        printed++;
                }
        if (n == 0)
                ctl_print_field(ctl, "Rendezvous", "none configured", ANSI_RED, /* rest= */ NULL);
        if (n <= printed)
                return MAX(printed, (size_t) 1);
        more = asprintf_safe("%zu more: icewirectl diagnose", n - printed);
        ctl_print_field(ctl, "", strna(more), /* colour= */ NULL, /* rest= */ NULL);
        return printed + 1;
}

static size_t print_redirect(const Ctl *ctl, sd_json_variant *description)
{
        const char *kind = ctl_member_string(description, "redirect"),
                   *reason = ctl_member_string(description, "redirectReason");
        _cleanup_free_ char *rest = reason ? asprintf_safe(" (%s)", reason) : NULL;

        if (!kind)
                return 0;
        ctl_print_field(ctl, "Redirect", kind, streq(kind, "proxy") ? ANSI_YELLOW : NULL, rest);
        return 1;
}

size_t ctl_status_print_services(const Ctl *ctl, sd_json_variant *description, size_t max)
{
        const char *broker = strna(ctl_member_string(description, "broker"));
        size_t n, lines = 1;
        sd_json_variant *rendezvous = ctl_member_array(description, "rendezvous", &n);

        ctl_print_field(ctl, "Broker", broker, state_colour(broker),
                        streq(broker, "lost")
                                ? " (it reads and writes the links: systemctl start icewire-broker)"
                                : NULL);
        lines += print_redirect(ctl, description);
        return lines + print_all_rendezvous(ctl, rendezvous, n, max);
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

/* With a separator behind it; "" if nothing is known. */
static void print_reach(const Ctl *ctl, sd_json_variant *description)
{
        _cleanup_(ctl_mapping_done) CtlMapping m = {};
        const char *text = "not reachable", *colour = ANSI_RED;

        if (can_be_asked(description)) {
                if (find_mapping(description, /* link= */ NULL, &m) == 0 ||
                    ctl_mapping_reach(&m) == CTL_REACH_UNKNOWN)
                        return;
                text = ctl_reach_to_string(ctl_mapping_reach(&m));
                colour = reach_colour(ctl_mapping_reach(&m));
        }
        printf("%s%s%s, ", ctl->colour ? colour : "", text, ctl->colour ? ANSI_NORMAL : "");
}

static void print_daemon(const Ctl *ctl, sd_json_variant *description, const CtlPeers *peers)
{
        _cleanup_free_ char *version = terminal_escape(strna(ctl_member_string(description, "version")));
        size_t connected = 0, direct = 0;

        for (size_t i = 0; i < peers->n; i++) {
                connected += ctl_peer_is_connected(&peers->items[i]);
                direct += ctl_peer_is_direct(&peers->items[i]);
        }
        printf("icewired %s: ", strna(version));
        print_reach(ctl, description);
        printf("%zu of %zu peers connected", connected, peers->n);
        if (connected > 0)
                printf(", %zu directly", direct);
        putchar('\n');
}

/* ---- Links ---- */

static void print_link(const Ctl *ctl, sd_json_variant *v, sd_json_variant *description)
{
        _cleanup_(ctl_mapping_done) CtlMapping m = {};
        const char *name = strna(ctl_member_string(v, "name")), *key = ctl_member_string(v, "publicKey");
        bool mapped = find_mapping(description, name, &m);
        _cleanup_free_ char *explained = mapped ? ctl_mapping_explain(&m) : NULL, *port = NULL, *rest = NULL;

        port = ctl_member_unsigned(v, "listenPort") > 0
                       ? asprintf_safe("port %" PRIu64, ctl_member_unsigned(v, "listenPort"))
                       : strdup("not bound to a port");
        rest = asprintf_safe("%s%s%s%s, %s, %s", mapped ? ", " : ": ",
                             mapped ? ctl_reach_to_string(ctl_mapping_reach(&m)) : "", mapped ? " " : "",
                             mapped ? strna(explained) : strna(ctl_member_string(v, "kind")), strna(port),
                             key ?: "no key");
        ctl_print_field(ctl, "Link", name, mapped ? reach_colour(ctl_mapping_reach(&m)) : NULL, rest);
}

static size_t print_links(const Ctl *ctl, sd_json_variant *reply, sd_json_variant *description, size_t max)
{
        bool ready = streq_ptr(ctl_member_string(description, "broker"), "ready");
        size_t n, printed;
        sd_json_variant *links = ctl_member_array(reply, "links", &n);

        printed = max > 0 ? MIN(n, max) : n;
        for (size_t i = 0; i < printed; i++)
                print_link(ctl, sd_json_variant_by_index(links, i), description);
        if (n == 0) {
                ctl_print_field(ctl, "Link", ready ? "no WireGuard link" : "not known yet",
                                /* colour= */ NULL, /* rest= */ NULL);
                return 1;
        }
        if (n > printed)
                printf("  %-*s%zu more links\n", LABEL_WIDTH - 2, "", n - printed);
        return printed + (n > printed);
}

/* ---- Peers ---- */

/* How urgently somebody wants to see it: those that do not work, then those that might work better. */
static int urgency(const CtlPeer *peer)
{
        return ctl_peer_is_direct(peer) ? 0 : ctl_peer_is_connected(peer) ? 1 : 2;
}

static void choose_peers(const CtlPeers *peers, size_t max, bool *chosen)
{
        size_t n = 0;

        for (int u = 2; u >= 0; u--)
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

static void print_reasons(const Ctl *ctl, const CtlPeers *peers, size_t lines)
{
        size_t n = count_reasons(peers);

        if (n == 0 || lines < 2)
                return;
        putchar('\n');
        lines--;
        for (size_t i = 0; i < peers->n && lines > 0; i++) {
                size_t share = lines / n;

                if (!ctl_peers_is_new_reason(peers, i))
                        continue;
                if (lines == 1 && n > 1) {
                        printf("%s %zu more reasons: icewirectl peers\n", glyph_ellipsis(), n);
                        return;
                }
                lines -= print_reason(ctl, peers, i, MAX(share, (size_t) 1));
                n--;
        }
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
        size_t max = ctl->height == SIZE_MAX ? 0 : SERVICES_MAX, used = 2; /* the title, the prompt */

        if (sd_json_format_enabled(ctl->json))
                return print_json(ctl, description, links, peers);
        print_daemon(ctl, description, peers);
        used += ctl_status_print_services(ctl, description, max);
        used += print_links(ctl, links, description, max);
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

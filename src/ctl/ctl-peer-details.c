/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-peer-details.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl-pager.h"
#include "ctl-peers.h"
#include "log.h"
#include "string-util.h"

/* An empty name: it belongs to the one above. */
static void print_field(const Ctl *ctl, const char *name, const char *format, ...) _printf_(3, 4);

static void print_field(const Ctl *ctl, const char *name, const char *format, ...)
{
        _cleanup_free_ char *head = asprintf_safe("%14s%s ", name, *name ? ":" : " "), *value = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&value, format, ap);
        va_end(ap);
        ctl_print_text(ctl, strempty(head), "%s", r < 0 ? "" : value);
        if (r < 0)
                value = NULL;
}

static void print_text(const Ctl *ctl, const char *name, const char *value)
{
        if (value)
                print_field(ctl, name, "%s", value);
}

static void print_candidate(const Ctl *ctl, const char *name, const CtlCandidate *c)
{
        if (c->address)
                print_field(ctl, name, "%s %s %s", strna(c->type), strna(c->transport), c->address);
}

static void print_allowed_ips(const Ctl *ctl, const CtlPeer *peer)
{
        for (size_t i = 0; peer->allowed_ips && i < sd_json_variant_elements(peer->allowed_ips); i++) {
                sd_json_variant *v = sd_json_variant_by_index(peer->allowed_ips, i);

                if (sd_json_variant_is_string(v))
                        print_text(ctl, i == 0 ? "Allowed IPs" : "", sd_json_variant_string(v));
        }
}

static void print_times(const Ctl *ctl, const CtlPeer *peer)
{
        char age[SIZE_STRLEN], rtt[SIZE_STRLEN], rx[SIZE_STRLEN], tx[SIZE_STRLEN];
        usec_t t = now(CLOCK_REALTIME);

        if (peer->path_since > 0)
                print_text(ctl, "Path age", format_age(peer->path_since, t, age));
        if (peer->round_trip_time != USEC_INFINITY)
                print_text(ctl, "Round trip", format_round_trip_time(peer->round_trip_time, rtt));
        print_text(ctl, "Handshake age",
                   peer->last_handshake > 0 ? format_age(peer->last_handshake, t, age) : "never");
        print_field(ctl, "Traffic", "%s received, %s sent", format_size(peer->rx_bytes, rx),
                    format_size(peer->tx_bytes, tx));
}

/* Where envelopes get lost, and whether somebody replays or floods. */
static void print_counters(const Ctl *ctl, const CtlCounters *c)
{
        print_field(ctl, "Envelopes",
                    "%" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " refused, %" PRIu64
                    " over the limit",
                    c->envelopes_sent, c->envelopes_received, c->envelopes_refused, c->envelopes_flooded);
        print_field(ctl, "Messages",
                    "%" PRIu64 " accepted, %" PRIu64 " answered, %" PRIu64 " repeated, %" PRIu64
                    " stale, %" PRIu64 " over the limit, %" PRIu64 " wrong",
                    c->messages_accepted + c->messages_accepted_anew, c->messages_answered,
                    c->messages_duplicate, c->messages_stale, c->messages_flooded,
                    c->messages_malformed + c->messages_wrong_role);
        print_field(ctl, "Negotiations", "%" PRIu64 ", %" PRIu64 " with a path", c->sessions, c->paths);
}

static void print_policy(const Ctl *ctl, const CtlPeer *peer)
{
        if (ctl_peer_has_policy(peer) || peer->policy_temporary)
                print_field(ctl, "Policy", "%s%s", strna(peer->policy),
                            peer->policy_temporary ? " (until the configuration is read again)" : "");
}

static void print_state(const Ctl *ctl, const CtlPeer *peer)
{
        _cleanup_free_ char *path = ctl_peer_path(peer);

        print_text(ctl, "Peer", peer->public_key);
        print_text(ctl, "Link", peer->link);
        print_text(ctl, "State", peer->state);
        print_text(ctl, "Path", path);
        print_text(ctl, "Reason", peer->reason_text);
        print_text(ctl, "", peer->reason_detail);
        print_policy(ctl, peer);
        print_candidate(ctl, "Local end", &peer->local);
        print_candidate(ctl, "Remote end", &peer->remote);
        print_text(ctl, "Endpoint", peer->endpoint);
        print_allowed_ips(ctl, peer);
        print_times(ctl, peer);
        print_counters(ctl, &peer->counters);
}

/* ---- What the two hosts know ---- */

static void print_network(const Ctl *ctl, const char *name, sd_json_variant *network)
{
        _cleanup_free_ char *ipv4 = ctl_enum_for_people(strna(ctl_member_string(network, "ipv4"))),
                            *ipv6 = ctl_enum_for_people(strna(ctl_member_string(network, "ipv6")));

        if (network)
                print_field(ctl, name, "IPv4 %s, IPv6 %s, policy %s", strna(ipv4), strna(ipv6),
                            strna(ctl_member_string(network, "policy")));
}

static void print_session_candidate(const Ctl *ctl, const char *name, sd_json_variant *v)
{
        const char *related = ctl_member_string(v, "related");
        _cleanup_free_ char *transport = ctl_enum_for_people(strna(ctl_member_string(v, "transport")));

        print_field(ctl, name, "%s %s %s%s%s", strna(ctl_member_string(v, "type")), strna(transport),
                    strna(ctl_member_string(v, "address")), related ? " from " : "", strempty(related));
}

static void print_candidates(const Ctl *ctl, const char *name, sd_json_variant *session, const char *member,
                             bool complete)
{
        size_t n;
        sd_json_variant *candidates = ctl_member_array(session, member, &n);

        for (size_t i = 0; i < n; i++)
                print_session_candidate(ctl, i == 0 ? name : "", sd_json_variant_by_index(candidates, i));
        if (!complete)
                print_text(ctl, n == 0 ? name : "", "more may come");
}

static void print_session(const Ctl *ctl, sd_json_variant *v)
{
        sd_json_variant *pair = sd_json_variant_by_key(v, "selected");
        char age[SIZE_STRLEN];

        format_age(ctl_member_unsigned(v, "startedUSec"), now(CLOCK_REALTIME), age);
        print_field(ctl, "Session", "%s, %s%s%s, begun %s%s", strna(ctl_member_string(v, "state")),
                    ctl_member_boolean(v, "controlling") ? "controlling" : "controlled",
                    ctl_member_boolean(v, "inUse") ? ", in use" : "",
                    ctl_member_boolean(v, "shared") ? ", by WireGuard's port" : "", age,
                    streq(age, "now") ? "" : " ago");
        print_candidates(ctl, "Candidates", v, "local", ctl_member_boolean(v, "localComplete"));
        print_candidates(ctl, "Peer's", v, "remote", ctl_member_boolean(v, "remoteComplete"));
        if (!pair || sd_json_variant_is_null(pair))
                return;
        print_session_candidate(ctl, "Selected", sd_json_variant_by_key(pair, "local"));
        print_session_candidate(ctl, "", sd_json_variant_by_key(pair, "remote"));
}

static int print_peer(const Ctl *ctl, sd_json_variant *details)
{
        size_t n;
        sd_json_variant *sessions = ctl_member_array(details, "sessions", &n);
        CtlPeer peer;
        int r;

        r = ctl_peer_parse(sd_json_variant_by_key(details, "peer"), &peer);
        if (r < 0)
                return log_error_errno(EBADMSG, "icewired's answer is not understood.");
        print_state(ctl, &peer);
        print_network(ctl, "Here", sd_json_variant_by_key(details, "here"));
        print_network(ctl, "There", sd_json_variant_by_key(details, "there"));
        for (size_t i = 0; i < n; i++)
                print_session(ctl, sd_json_variant_by_index(sessions, i));
        return 0;
}

/* ---- The verb ---- */

/* Of each chosen peer, on its link. The caller owns *ret, an array. */
static int describe(sd_varlink *link, const CtlPeers *peers, sd_json_variant **ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *array = NULL;
        int r = sd_json_variant_new_array(&array, NULL, 0);

        for (size_t i = 0; i < peers->n && r >= 0; i++) {
                _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL;
                sd_json_variant *list;
                size_t n;

                r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peers->items[i].link),
                                   SD_JSON_BUILD_PAIR_STRING("peer", peers->items[i].public_key));
                if (r < 0)
                        break;
                r = ctl_call(link, "org.icewire.Agent.DescribePeers", parameters, &reply);
                if (r < 0)
                        return r;
                list = ctl_member_array(reply, "peers", &n);
                for (size_t j = 0; j < n && r >= 0; j++)
                        r = sd_json_variant_append_array(&array, sd_json_variant_by_index(list, j));
        }
        if (r < 0)
                return log_oom();
        *ret = TAKE_PTR(array);
        return 0;
}

int verb_peer(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *details = NULL;
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_peers_connect(ctl, argc > 2 ? argv[1] : NULL, argv[argc - 1], &link, &peers);
        if (r < 0)
                return r;
        r = describe(link, &peers, &details);
        if (r < 0)
                return r;
        pager_open(ctl->pager);
        if (sd_json_format_enabled(ctl->json))
                return ctl_print_json(ctl, details);
        for (size_t i = 0; i < sd_json_variant_elements(details) && r >= 0; i++) {
                if (i > 0)
                        putchar('\n');
                r = print_peer(ctl, sd_json_variant_by_index(details, i));
        }
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-peer.h"

#include <string.h>

#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"

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
                STRING("transport", transport, SD_JSON_NULLABLE),
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

static char *format_end(const CtlCandidate *c)
{
        _cleanup_free_ char *text = asprintf_safe("%s%s%s", strempty(c->type), c->type ? " " : "",
                                                  c->address);

        return text ? terminal_escape(text) : NULL;
}

char *ctl_peer_local(const CtlPeer *peer)
{
        return streq(peer->path, "none") || !peer->local.address ? strdup("-") : format_end(&peer->local);
}

char *ctl_peer_remote(const CtlPeer *peer)
{
        if (streq(peer->path, "none") || !peer->remote.address)
                return terminal_escape(peer->endpoint ?: "-");
        return format_end(&peer->remote);
}

char *ctl_peer_via(const CtlPeer *peer)
{
        _cleanup_free_ char *local = ctl_peer_local(peer), *remote = ctl_peer_remote(peer);

        if (!local || !remote)
                return NULL;
        return streq(local, "-") ? TAKE_PTR(remote)
                                 : asprintf_safe("%s %s %s", local, glyph_arrow(), remote);
}

char *ctl_peer_path(const CtlPeer *peer)
{
        const char *transport = peer->transport;

        /* An icewired that does not say it leaves it to the candidate. */
        if (!transport && peer->remote.transport)
                transport = streq(peer->remote.transport, "udp") ? "udp" : "tcp";
        return transport && !streq(transport, "udp") ? asprintf_safe("%s/%s", peer->path, transport)
                                                     : strdup(peer->path);
}

bool ctl_peer_is_connected(const CtlPeer *peer)
{
        return streq(peer->state, "connected");
}

bool ctl_peer_is_direct(const CtlPeer *peer)
{
        return ctl_peer_is_connected(peer) && streq(peer->path, "direct");
}

bool ctl_peer_has_policy(const CtlPeer *peer)
{
        return peer->policy && !streq(peer->policy, "auto");
}

char *ctl_short_key(const char *key, size_t length)
{
        _cleanup_free_ char *escaped = terminal_escape(key);

        if (!escaped || strlen(escaped) <= length)
                return TAKE_PTR(escaped);
        return asprintf_safe("%.*s%s", (int) length, escaped, glyph_ellipsis());
}

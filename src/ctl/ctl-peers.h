/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

typedef struct CtlCandidate {
        const char *type;
        const char *transport;
        const char *address;
} CtlCandidate;

/* How often; see PeerCounters in org.icewire.Agent. */
typedef struct CtlCounters {
        uint64_t sessions;
        uint64_t paths;
        uint64_t envelopes_sent;
        uint64_t envelopes_received;
        uint64_t envelopes_flooded;
        uint64_t envelopes_refused;
        uint64_t messages_malformed;
        uint64_t messages_accepted;
        uint64_t messages_accepted_anew;
        uint64_t messages_answered;
        uint64_t messages_duplicate;
        uint64_t messages_stale;
        uint64_t messages_flooded;
        uint64_t messages_wrong_role;
} CtlCounters;

/* A Peer of org.icewire.Agent as plain data; strings are lent by the JSON. Absent: NULL, 0, or USEC_INFINITY
 * for the round-trip time. */
typedef struct CtlPeer {
        const char *link;
        const char *public_key;
        const char *state;
        const char *path;
        const char *reason;
        const char *reason_text;
        const char *reason_detail;
        const char *policy; /* absent with an icewired that knows none */
        bool policy_temporary;
        CtlCandidate local, remote;
        const char *endpoint;
        sd_json_variant *allowed_ips;
        usec_t path_since;
        usec_t round_trip_time;
        usec_t last_handshake;
        uint64_t rx_bytes, tx_bytes;
        CtlCounters counters;
} CtlPeer;

/* -EINVAL: not a Peer. Unknown members are skipped. */
int ctl_peer_parse(sd_json_variant *v, CtlPeer *ret);

typedef struct CtlPeers {
        sd_json_variant *json; /* what `items` lends from */
        CtlPeer *items;
        size_t n;
        size_t key_length; /* how many characters of a key to show */
} CtlPeers;

void ctl_peers_done(CtlPeers *peers);

/* Asks for all peers and keeps those of `link` (NULL: all) whose public key begins with `peer` (NULL: all).
 * If there is no such link and no `peer` was given, `link` may be the beginning of a key instead. -ENOENT:
 * none is left, though something was asked for. Sorted by link and key. */
int ctl_peers_get(sd_varlink *link, const char *link_name, const char *peer, CtlPeers *ret);

/* At most `max` peers (0: all) as a table, and the reasons of those that have no direct path. */
int ctl_peers_print(const Ctl *ctl, const CtlPeers *peers, size_t max);

/* "Abcdefgh…" */
char *ctl_short_key(const char *key, size_t length);

/* "192.0.2.1:51820", or, for a pair that WireGuard does not see: "host 10.0.0.1:4000 → srflx
 * 192.0.2.1:4500". The caller owns it; "-" if there is nothing. */
char *ctl_peer_via(const CtlPeer *peer);

/* "direct", "relayed/tcp": the kind of its path, and the transport where it is not UDP. The caller owns it.
 */
char *ctl_peer_path(const CtlPeer *peer);

/* For sd_json_dispatch(): a Candidate into a CtlCandidate; null leaves it as it is. */
int ctl_dispatch_candidate(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                           void *userdata);

int verb_peers(const Ctl *ctl, int argc, char *argv[]);
int verb_peer(const Ctl *ctl, int argc, char *argv[]);
int verb_reconnect(const Ctl *ctl, int argc, char *argv[]);
int verb_policy(const Ctl *ctl, int argc, char *argv[]);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "macro.h"
#include "time-util.h"

/* A peer as org.icewire.Agent tells of it, as plain data; strings are lent by the JSON. */

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

/* Absent: NULL, 0, or USEC_INFINITY for the round-trip time. */
typedef struct CtlPeer {
        const char *link;
        const char *public_key;
        const char *state;
        const char *path;
        const char *transport;
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

/* What follows is escaped where others have a say in it, and the caller's; NULL without memory. */

/* The two ends of its path, "host 10.0.0.1:4000"; "-" if there is none. Without a path the remote one is
 * what WireGuard has as the endpoint. */
char *ctl_peer_local(const CtlPeer *peer);
char *ctl_peer_remote(const CtlPeer *peer);

/* Both: "host 10.0.0.1:4000 → srflx 192.0.2.1:4500", or what there is of it. */
char *ctl_peer_via(const CtlPeer *peer);

/* "direct", "relayed/tls": the kind of its path, and what carries it from here where that is not UDP. */
char *ctl_peer_path(const CtlPeer *peer);

/* "Abcdefgh…": as much of the key as it takes to name the peer. */
char *ctl_short_key(const char *key, size_t length);

bool ctl_peer_is_connected(const CtlPeer *peer);
bool ctl_peer_is_direct(const CtlPeer *peer); /* and connected */
/* One other than "auto". */
bool ctl_peer_has_policy(const CtlPeer *peer);

/* For sd_json_dispatch(): a Candidate into a CtlCandidate; null leaves it as it is. */
int ctl_dispatch_candidate(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                           void *userdata);

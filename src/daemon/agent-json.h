/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "manager.h"

/* The model's objects as JSON, in the types of org.icewire.Agent: one function for each object, that every
 * API uses. The caller owns *ret. -ENOMEM. */

/* Type Link. */
int link_build_json(const Link *link, sd_json_variant **ret);

/* Of its peers. */
size_t link_n_connected(const Link *link);

/* Type Peer. */
int peer_build_json(const Peer *peer, sd_json_variant **ret);

/* Type PeerCounters. */
int peer_counters_build_json(const Peer *peer, sd_json_variant **ret);

/* Type PeerDetails. */
int peer_details_build_json(const Peer *peer, sd_json_variant **ret);

/* Type Candidate; its address is set. */
int candidate_build_json(const IceCandidate *c, sd_json_variant **ret);

/* []PathChange. */
int peer_changes_build_json(const Peer *peer, sd_json_variant **ret);

/* A time of CLOCK_BOOTTIME, which means nothing to others, by the wall clock of now. */
usec_t boottime_to_realtime(usec_t t);

/* Type PeerHistory. */
int peer_history_build_json(const Peer *peer, sd_json_variant **ret);

/* Type Rendezvous. */
int rendezvous_build_json(const Rendezvous *r, sd_json_variant **ret);

/* Type Mapping. link: NULL for icewired's own port. asking: who has not answered is still waited for. */
int mapping_build_json(const Mapping *mapping, const char *link, bool asking, sd_json_variant **ret);

/* "lost", "connecting", "ready". */
const char *manager_broker_state(const Manager *m);

/* The reply of Describe. */
int manager_build_json(const Manager *m, sd_json_variant **ret);

/* A value of one of our string tables as Varlink's enums have it: "broker-lost" becomes "broker_lost". */
int enum_build_json(const char *s, sd_json_variant **ret);
const char *enum_for_api(const char *s, char buf[static 64]);

/* Text that may hold what others said, and so perhaps no valid UTF-8, which JSON has to be. NULL: null. */
int text_build_json(const char *s, sd_json_variant **ret);

/* The same for sd_json_buildo(). */
#define BUILD_PAIR_ENUM(name, value) SD_JSON_BUILD_PAIR_CALLBACK(name, enum_build_callback, (void *) (value))
int enum_build_callback(sd_json_variant **ret, const char *name, void *userdata);

/* An array that grows by one element at a time, without the copies that sd_json_variant_append_array()
 * makes. */
typedef struct JsonArray {
        sd_json_variant **items; /* references */
        size_t n, allocated;
} JsonArray;

/* Takes over the reference, also if it fails. */
int json_array_add(JsonArray *array, sd_json_variant *item);
/* The same with what a function has made, which returned r; negative: nothing was made. */
int json_array_take(JsonArray *array, int r, sd_json_variant **item);
int json_array_build(const JsonArray *array, sd_json_variant **ret);
void json_array_done(JsonArray *array);

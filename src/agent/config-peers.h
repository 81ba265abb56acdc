/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy.h"
#include "wireguard-key.h"

/* What the [Peer] sections of icewire.conf say. There may be many of them, in several files; the assignments
 * of one may come in any order, so that what it means is known only at its end. */

typedef struct PeerConfig {
        WireguardKey public_key; /* zero: of all that have none of their own */
        Policy policy;
} PeerConfig;

typedef struct PeerConfigs {
        PeerConfig *items; /* one for each key; owned */
        size_t n;
} PeerConfigs;

void peer_configs_done(PeerConfigs *configs);
int peer_configs_copy(const PeerConfigs *configs, PeerConfigs *ret);

/* What the peer's own section says, or else the one without PublicKey=; POLICY_AUTO if there is neither. */
Policy peer_configs_policy(const PeerConfigs *configs, const WireguardKey *public_key);

/* One section, while its file is being read. */
typedef struct PeerSection {
        unsigned line; /* where it begins */
        WireguardKey public_key;
        bool has_key;
        bool bad;      /* about whom it is cannot be told, so it is about nobody */
        bool doubtful; /* nor if it has no key: one of its lines is not understood, and may have been meant
                          to be */
        Policy policy;
        bool has_policy;
} PeerSection;

typedef struct PeerSections {
        char *file; /* which file it is; owned */
        PeerSection *items;
        size_t n;
} PeerSections;

void peer_sections_done(PeerSections *sections);

/* The section that begins there, new if nothing was assigned in it yet; good until the next call. When the
 * file is another one than before, those of the one before go to `configs`. -ENOMEM. */
int peer_sections_get(PeerSections *sections, PeerConfigs *configs, const char *file, unsigned line,
                      PeerSection **ret);

/* The file has ended: what its sections say goes to `configs`, where the last one counts. -ENOMEM. */
int peer_sections_end(PeerSections *sections, PeerConfigs *configs);

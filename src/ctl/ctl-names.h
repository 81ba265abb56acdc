/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-peers.h"

/* How people name peers on the command line: by the public key, by a beginning of it that no other key has,
 * or by an address of the tunnel, which is the peer that WireGuard would send it to. One key may be a peer
 * on several links. */

typedef enum CtlMatch {
        CTL_MATCH_NONE,
        CTL_MATCH_ONE, /* one key, on one link or several */
        CTL_MATCH_AMBIGUOUS,
} CtlMatch;

/* Keeps the peers of `link` (NULL: any) that `name` (NULL: any) means; of an ambiguous name all that it may
 * mean. */
CtlMatch ctl_names_match(CtlPeers *peers, const char *link, const char *name);

/* The same, with a word to the user: what else there is, or what was meant. If there is no such link and no
 * `name` was given, `link` may be a peer instead. `connection` is asked for the links, when it comes to
 * that. -ENOENT, -ENODEV, -ENOTUNIQ, and the errors of ctl_call(). */
int ctl_names_select(sd_varlink *connection, CtlPeers *peers, const char *link, const char *name);

/* The word that looks most like s, with words[i] cut to the length of s if `beginning`; NULL: none is near.
 */
const char *ctl_names_nearest(const char *s, const char *const *words, size_t n, bool beginning);

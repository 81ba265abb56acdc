/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-peer.h"
#include "ctl-util.h"

typedef struct CtlPeers {
        sd_json_variant *json; /* what `items` lends from */
        CtlPeer *items;
        size_t n;
        size_t key_length; /* how many characters of a key to show */
} CtlPeers;

void ctl_peers_done(CtlPeers *peers);

/* From a reply of ListPeers; sorted by link and key. -EBADMSG, -ENOMEM, without a word. */
int ctl_peers_parse(sd_json_variant *reply, CtlPeers *ret);

/* Asks for all peers and keeps what link and name mean, see ctl_names_select(). */
int ctl_peers_get(sd_varlink *link, const char *link_name, const char *name, CtlPeers *ret);

/* The same right after ctl_connect(). */
int ctl_peers_connect(const Ctl *ctl, const char *link_name, const char *name, sd_varlink **ret_link,
                      CtlPeers *ret);

/* As a table. brief: for a screen that has more to show. chosen: NULL, or for each peer whether it is to be
 * shown. */
int ctl_peers_print_table(const Ctl *ctl, const CtlPeers *peers, bool brief, const bool *chosen);

/* Is this the first peer that has its reason? */
bool ctl_peers_is_new_reason(const CtlPeers *peers, size_t i);

/* "Abcdefgh…, Ijklmnop…": those that have the reason of this one. The caller owns it. */
char *ctl_peers_with_reason(const CtlPeers *peers, size_t i);

/* The chosen ones as icewired's JSON has them. */
int ctl_peers_print_json(const Ctl *ctl, const CtlPeers *peers);

int verb_peers(const Ctl *ctl, int argc, char *argv[]);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "manager.h"

/* What the APIs of icewired do with the model, whatever protocol they speak: choose peers, act on them, wait
 * for what takes time, and hear of what changes. Who may do what is not decided here: an API asks before it
 * calls anything that has an effect. */

typedef struct Verbs Verbs;

/* How the configuration is read again. 0, and how many of its secrets are missing or not kept well in
 * *ret_n_problems; negative if it could not be read or makes no sense, with what was wrong in *ret_message
 * (caller owns; may stay NULL). */
typedef int (*verbs_reload_t)(void *userdata, unsigned *ret_n_problems, char **ret_message);

/* Becomes who the manager's callbacks go to. The manager is borrowed and must outlive it. -ENOMEM,
 * sd-event's errors. */
int verbs_new(sd_event *event, Manager *manager, verbs_reload_t reload, void *userdata, Verbs **ret);
/* Nobody may wait or listen any more. */
Verbs *verbs_free(Verbs *v);
DEFINE_TRIVIAL_CLEANUP_FUNC(Verbs *, verbs_free);

/* Lent, for reading. */
Manager *verbs_manager(const Verbs *v);

/* ---- Which peers ---- */

/* All zero is every peer. */
typedef struct PeerSelection {
        const char *link;  /* lent; NULL: of every link */
        WireguardKey peer; /* zero: any key */
        unsigned states;   /* 1u << PeerState, several or'ed; 0: any */
        unsigned paths;    /* 1u << PathKind, likewise */
} PeerSelection;

/* 0; -ENODEV: there is no such link; -ENOENT: a key was given, and no link, or not this one, has such a
 * peer. That none is in one of these states is no error. */
int verbs_check_selection(const Verbs *v, const PeerSelection *selection);

/* Calls f for each, in the order of links and peers; it must not remove any. Returns how many there were,
 * the errors of verbs_check_selection() before any call, or what f returned if negative (then no other is
 * called). */
typedef int (*verbs_peer_t)(Peer *peer, void *userdata);
int verbs_for_each_peer(const Verbs *v, const PeerSelection *selection, verbs_peer_t f, void *userdata);

/* ---- What changes something ---- */

/* A path is looked for anew, from the start; the one in use stays until there is another. Returns how many
 * peers that concerns, or the errors of verbs_check_selection(). */
int verbs_reconnect(Verbs *v, const PeerSelection *selection);

/* Until the configuration is read again. Likewise. */
int verbs_set_policy(Verbs *v, const PeerSelection *selection, Policy policy);

/* As of verbs_reload_t. */
int verbs_reload(Verbs *v, unsigned *ret_n_problems, char **ret_message);

/* ---- What takes time ---- */

/* Somebody who waits. Freeing it makes sure that no callback comes; it is gone by itself after the last one,
 * where the owner's pointer must be cleared. */
typedef struct VerbsWait VerbsWait;
VerbsWait *verbs_wait_free(VerbsWait *w);
DEFINE_TRIVIAL_CLEANUP_FUNC(VerbsWait *, verbs_wait_free);

/* Handshake times and counters of all links are read anew, for all who wait at once. 1: under way, the
 * callback comes once, and not from inside; 0: what is known is all that there is. -ENOMEM, sd-event's
 * errors. */
typedef void (*verbs_refreshed_t)(void *userdata);
int verbs_refresh(Verbs *v, verbs_refreshed_t callback, void *userdata, VerbsWait **ret);

/* What the network is like, found out anew (diagnosis.h); one run for all who wait. report: what is known so
 * far, in the form of Diagnose's reply, lent; with `finished` it is complete, and comes for the last time.
 * NULL: out of memory, likewise the last. Never from inside. -ENOMEM, sd-event's errors. */
typedef void (*verbs_report_t)(sd_json_variant *report, bool finished, void *userdata);
int verbs_diagnose(Verbs *v, verbs_report_t callback, void *userdata, VerbsWait **ret);

/* ---- What changes ---- */

/* Whoever wants to hear of changes, once per turn of the loop. Objects are lent; removed: that was their
 * last state, and they are freed right after. Any callback may be NULL. */
typedef struct VerbsListener VerbsListener;
struct VerbsListener {
        void (*link_changed)(Link *link, bool removed, void *userdata);
        void (*peer_changed)(Peer *peer, bool removed, void *userdata);
        void (*rendezvous_changed)(Rendezvous *rendezvous, bool removed, void *userdata);
        /* icewire-broker, and how it shares ports */
        void (*manager_changed)(void *userdata);
        void *userdata;
        VerbsListener *prev, *next; /* verbs.c's */
};

/* The listener stays the caller's, who removes it before it goes. It may do so when it is called. */
void verbs_add_listener(Verbs *v, VerbsListener *listener);
void verbs_remove_listener(Verbs *v, VerbsListener *listener);

/* For whoever makes and removes rendezvous, since the manager tells only of those that it has and keeps. */
void verbs_tell_rendezvous(Verbs *v, Rendezvous *rendezvous, bool removed);

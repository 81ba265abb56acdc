/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pulse.h"

#include "carrier.h"
#include "event-util.h"
#include "log-event.h"
#include "lost-path.h"
#include "manager.h"
#include "probe.h"
#include "session.h"
#include "string-util.h"
#include "try.h"

/* After I/O: what has come by the time that a probe is due is looked at first. */
#define TIMER_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

/* Up to a quarter is added: less than what the impatient NATs bear (mapping.c). */
#define OPEN_INTERVAL (22 * USEC_PER_SEC)

bool pulse_is_dead(const Peer *peer)
{
        return peer->path.kind != PATH_NONE && liveness_is_dead(&peer->pulse.liveness);
}

/* ---- What is done about it ---- */

static void path_is_dead(Peer *peer)
{
        log_peer_event(peer, LOG_NOTICE, 0, LOG_EVENT_PATH_DEAD, (PATH_LOG_FIELDS(&peer->path)),
                       "Nothing comes from %s any more.", SOCKET_ADDRESS_STR(&peer->path.endpoint));
        if (peace_restores(peer))
                return;
        peer_because(peer, PATH_CAUSE_PATH_LOST);
        peer_changed(peer);
        try_path_is_dead(peer);
}

static void path_is_back(Peer *peer)
{
        log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PATH_ALIVE, (PATH_LOG_FIELDS(&peer->path)),
                       "%s is heard again.", SOCKET_ADDRESS_STR(&peer->path.endpoint));
        try_path_is_alive(peer);
        peer_changed(peer);
}

static void send_probe(Peer *peer)
{
        Probe *probe = peer->pulse.probe;

        if (!probe)
                return;
        /* WireGuard may have followed the peer. */
        if (carrier_is_plain(peer))
                probe->remote = peer->path.endpoint;
        probe_send(probe);
}

static int on_timer(sd_event_source *source, uint64_t t, void *userdata);

static void arm_timer(Peer *peer)
{
        Pulse *p = &peer->pulse;
        usec_t due = liveness_due(&p->liveness), t = now(CLOCK_BOOTTIME);
        int r;

        if (due == USEC_INFINITY) {
                event_disarm_timer(p->timer);
                return;
        }
        r = event_arm_timer(peer->link->manager->event, &p->timer, usec_sub(due, t), on_timer, peer,
                            "peer-pulse");
        if (r >= 0)
                r = sd_event_source_set_priority(p->timer, TIMER_PRIORITY);
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to watch the path, ignoring: %m");
}

/* was_dead: before what has just happened. */
static void act(Peer *peer, bool was_dead)
{
        Liveness *l = &peer->pulse.liveness;
        LivenessStep step;

        while ((step = liveness_step(l, now(CLOCK_BOOTTIME))) != LIVENESS_STEP_NONE)
                if (step == LIVENESS_STEP_PROBE)
                        send_probe(peer);
                else
                        link_watch(peer->link);
        arm_timer(peer);
        if (was_dead == liveness_is_dead(l))
                return;
        if (was_dead)
                path_is_back(peer);
        else
                path_is_dead(peer);
}

static int on_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        act(peer, liveness_is_dead(&peer->pulse.liveness));
        return 0;
}

/* ---- Keeping NATs open ---- */

/* Somebody has switched WireGuard's keepalives off after the session, which has its own, was over. */
static bool needs_keepalives(const Peer *peer)
{
        const Probe *probe = peer->pulse.probe;

        return peer->path.kind == PATH_DIRECT && probe && probe->session_is_over &&
               (peer->persistent_keepalive == 0 || peer->persistent_keepalive > CARRIER_KEEPALIVE);
}

static int on_open_timer(sd_event_source *source, uint64_t t, void *userdata);

static void keep_open(Peer *peer)
{
        Pulse *p = &peer->pulse;

        if (!needs_keepalives(peer))
                event_disarm_timer(p->open_timer);
        else if (!event_timer_is_armed(p->open_timer))
                (void) event_arm_timer_jittered(peer->link->manager->event, &p->open_timer, OPEN_INTERVAL,
                                                on_open_timer, peer, "peer-open");
}

static int on_open_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        if (needs_keepalives(peer))
                send_probe(peer);
        keep_open(peer);
        return 0;
}

/* ---- Probes ---- */

static bool differs_much(usec_t a, usec_t b)
{
        if (a == USEC_INFINITY || b == USEC_INFINITY)
                return a != b;
        return MAX(a, b) - MIN(a, b) > MAX(a, b) / 8;
}

/* Each measurement would be news to whoever watches. */
static void tell_round_trip(Peer *peer)
{
        usec_t r = peer->pulse.liveness.round_trip_time;

        if (!differs_much(r, peer->path.round_trip_time))
                return;
        peer->path.round_trip_time = r;
        peer_changed(peer);
}

static void on_answered(Probe *probe, usec_t round_trip_time, void *userdata)
{
        Peer *peer = userdata;
        bool was_dead = liveness_is_dead(&peer->pulse.liveness);

        liveness_take_answer(&peer->pulse.liveness, now(CLOCK_BOOTTIME), round_trip_time);
        tell_round_trip(peer);
        act(peer, was_dead);
}

static void on_ready(Probe *probe, void *userdata)
{
        Peer *peer = userdata;
        bool was_dead = liveness_is_dead(&peer->pulse.liveness);

        liveness_set_probes(&peer->pulse.liveness, now(CLOCK_BOOTTIME), probe_is_ready(probe));
        act(peer, was_dead);
}

static const ProbeCallbacks callbacks = { .ready = on_ready, .answered = on_answered };

/* Where it leaves from, on this host. */
static const SocketAddress *own_address(const IceCandidate *local)
{
        return local->type == ICE_CANDIDATE_HOST ? &local->address : &local->related;
}

static int new_probe(Peer *peer, Session *s, Probe **ret)
{
        const SocketAddress *local = own_address(&s->local);

        if (!carrier_is_plain(peer))
                return probe_new_carried(s, &callbacks, peer, ret);
        if (!session_is_plain(s) || !socket_address_is_set(local))
                return -ENOTSUP;
        return probe_new_plain(peer, local, &peer->path.endpoint, &s->credentials, &callbacks, peer, ret);
}

static void make_probe(Peer *peer, Session *s)
{
        Pulse *p = &peer->pulse;
        int r;

        r = new_probe(peer, s, &p->probe);
        if (r < 0) {
                log_peer_full(peer, LOG_DEBUG, r, "The path is not probed: %m");
                return;
        }
        liveness_set_probes(&p->liveness, now(CLOCK_BOOTTIME), probe_is_ready(p->probe));
}

/* ---- Events ---- */

static void keep_lost_path(Peer *peer)
{
        Pulse *p = &peer->pulse;
        int r;

        p->lost = lost_path_free(p->lost);
        r = lost_path_new(peer, TAKE_PTR(p->probe), &p->lost);
        if (r < 0)
                log_peer_full(peer, LOG_DEBUG, r, "It will not be noticed when the path comes back: %m");
}

/* That has found the path; NULL: none, or it is over. */
static Session *find_session(const Peer *peer)
{
        Session *sessions[] = { peer->session, peer->old_session };

        for (size_t i = 0; i < ELEMENTSOF(sessions); i++)
                if (session_is_selected(sessions[i]) &&
                    socket_address_equal(&sessions[i]->local.address, &peer->path.local.address) &&
                    socket_address_equal(&sessions[i]->remote.address, &peer->path.remote.address))
                        return sessions[i];
        return NULL;
}

/* The peer may have seen first that the path is dead; what is worse comes for no other reason, unless
 * somebody wants it so. */
static bool is_lost(const Peer *peer)
{
        if (peer->path.kind == PATH_NONE)
                return liveness_is_dead(&peer->pulse.liveness);
        return peer->path.kind != PATH_DIRECT && policy_allows_path(peer->policy, PATH_DIRECT);
}

/* Or may do so, for what is known here: the peer's way to its relay. */
static bool begins_with_stream(const Path *path)
{
        return path->transport != PATH_TRANSPORT_UDP || path->remote.type == ICE_CANDIDATE_RELAY;
}

static void drop_probe(Peer *peer, bool was_direct)
{
        Pulse *p = &peer->pulse;

        if (p->probe && was_direct && is_lost(peer))
                keep_lost_path(peer);
        if (peer->path.kind == PATH_DIRECT)
                p->lost = lost_path_free(p->lost);
        p->probe = probe_free(p->probe);
}

void pulse_path_changed(Peer *peer, const Path *before)
{
        Pulse *p = &peer->pulse;
        Session *s = find_session(peer);

        /* WireGuard has followed the peer, or somebody knows better: what was known of the path before says
         * whether it is so. */
        if (peer->path.kind == before->kind && peer->path.negotiated == before->negotiated && !s)
                return;
        endpoint_trial_end(&peer->peace.trial);
        drop_probe(peer, before->kind == PATH_DIRECT);
        event_disarm_timer(p->timer);
        liveness_start(&p->liveness, now(CLOCK_BOOTTIME), begins_with_stream(&peer->path));
        if (peer->path.kind == PATH_NONE)
                return;
        if (s)
                make_probe(peer, s);
        link_watch(peer->link);
        act(peer, /* was_dead= */ false);
}

void pulse_start_over(Peer *peer)
{
        Pulse *p = &peer->pulse;
        usec_t t = now(CLOCK_BOOTTIME);

        try_path_is_alive(peer);
        liveness_start(&p->liveness, t, begins_with_stream(&peer->path));
        liveness_set_probes(&p->liveness, t, p->probe && probe_is_ready(p->probe));
        link_watch(peer->link);
        act(peer, /* was_dead= */ false);
}

void pulse_follow(Peer *peer)
{
        Liveness *l = &peer->pulse.liveness;
        bool was_dead = liveness_is_dead(l);

        if (peer->path.kind == PATH_NONE)
                return;
        liveness_take_reading(l, now(CLOCK_BOOTTIME), peer->tx_bytes, peer->rx_bytes);
        act(peer, was_dead);
        keep_open(peer);
}

static void end_carried_probe(Peer *peer)
{
        Pulse *p = &peer->pulse;

        p->probe = probe_free(p->probe);
        liveness_set_probes(&p->liveness, now(CLOCK_BOOTTIME), false);
}

static void session_of_probe_ends(Probe *probe, const Session *s)
{
        if (probe && streq(probe->credentials.local_ufrag, s->credentials.local_ufrag))
                probe_session_is_over(probe);
}

void pulse_session_ends(const Session *s)
{
        Pulse *p = &s->peer->pulse;

        if (p->probe && p->probe->session == s)
                end_carried_probe(s->peer);
        session_of_probe_ends(p->probe, s);
        session_of_probe_ends(lost_path_probe(p->lost), s);
}

void pulse_done(Peer *peer)
{
        Pulse *p = &peer->pulse;

        p->probe = probe_free(p->probe);
        p->lost = lost_path_free(p->lost);
        p->timer = event_source_disable_unref(p->timer);
        p->open_timer = event_source_disable_unref(p->open_timer);
}

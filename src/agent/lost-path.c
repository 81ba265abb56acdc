/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lost-path.h"

#include "event-util.h"
#include "liveness.h"
#include "log.h"
#include "manager.h"
#include "try.h"

/* The path answers, but no negotiation comes to use it: the next one is begun after this time, and after
 * twice as long each time that it is so. */
#define TRY_INTERVAL (15 * USEC_PER_SEC)
#define TRY_STEPS_MAX 6U
#define TRAFFIC_RECENT USEC_PER_MINUTE

struct LostPath {
        Peer *peer;
        Probe *probe;
        usec_t since; /* CLOCK_BOOTTIME */
        usec_t tried; /* 0: not yet */
        unsigned n_tries;
        sd_event_source *timer;
};

static void on_answered(Probe *probe, usec_t round_trip_time, void *userdata)
{
        LostPath *lost = userdata;
        usec_t t = now(CLOCK_BOOTTIME);
        usec_t pause = TRY_INTERVAL << MIN(lost->n_tries, TRY_STEPS_MAX);

        /* It answers, but WireGuard does not get through: attempts.h. */
        if (attempts_shun(&lost->peer->attempts, &(Path) { .kind = PATH_DIRECT }, t))
                return;
        if (lost->tried > 0 && usec_sub(t, lost->tried) < pause)
                return;
        lost->n_tries += lost->tried > 0;
        lost->tried = t;
        log_peer_full(lost->peer, LOG_INFO, 0, "The direct path to %s is there again.",
                      SOCKET_ADDRESS_STR(&probe->remote));
        try_again(lost->peer);
}

static void on_ready(Probe *probe, void *userdata)
{
}

static const ProbeCallbacks callbacks = { .ready = on_ready, .answered = on_answered };

static int on_timer(sd_event_source *source, uint64_t t, void *userdata);

static int arm_timer(LostPath *lost)
{
        return event_arm_timer(lost->peer->link->manager->event, &lost->timer, LIVENESS_DEAD_INTERVAL,
                               on_timer, lost, "lost-path");
}

static bool is_over(const LostPath *lost)
{
        usec_t t = now(CLOCK_BOOTTIME);

        return usec_sub(t, lost->since) > LIVENESS_DEAD_PROBED &&
               usec_sub(t, lost->peer->pulse.liveness.loud) > TRAFFIC_RECENT;
}

static int on_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        LostPath *lost = userdata;

        if (is_over(lost)) {
                lost->peer->pulse.lost = lost_path_free(lost);
                return 0;
        }
        probe_send(lost->probe);
        (void) arm_timer(lost);
        return 0;
}

int lost_path_new(Peer *peer, Probe *probe, LostPath **ret)
{
        _cleanup_(lost_path_freep) LostPath *lost = new0(LostPath, 1);
        int r;

        if (!lost) {
                probe_free(probe);
                return -ENOMEM;
        }
        *lost = (LostPath) { .peer = peer, .probe = probe, .since = now(CLOCK_BOOTTIME) };
        probe->callbacks = &callbacks;
        probe->userdata = lost;
        r = arm_timer(lost);
        if (r < 0)
                return r;
        probe_send(probe);
        *ret = TAKE_PTR(lost);
        return 0;
}

LostPath *lost_path_free(LostPath *lost)
{
        if (!lost)
                return NULL;
        probe_free(lost->probe);
        sd_event_source_disable_unref(lost->timer);
        return mfree(lost);
}

Probe *lost_path_probe(const LostPath *lost)
{
        return lost ? lost->probe : NULL;
}

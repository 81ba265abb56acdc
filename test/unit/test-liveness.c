/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A path between two WireGuards that behave as the paper says, with networks that lose, delay and stop, read
 * as often as watch.h has it: through days of simulated time. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "liveness.h"
#include "macro.h"
#include "watch.h"

#define TICK (50 * USEC_PER_MSEC)
#define DAY (24 * USEC_PER_HOUR)
#define BROKER_INTERVAL (30 * USEC_PER_SEC)
#define PACKET 96
#define IN_FLIGHT 64
#define CHECK_LIFETIME (16 * USEC_PER_SEC) /* as in probe.c */

typedef struct Pattern {
        const char *what;
        usec_t on, off;         /* traffic comes and goes in turns */
        bool we_send, it_sends; /* then, once a tick */
        bool stream;            /* by TCP: what is lost comes late, and all else after it */
        unsigned loss;          /* percent, of each packet */
        usec_t round_trip;
        bool mute;    /* the peer's icewired is not there: probes are not answered */
        usec_t stall; /* every minute our own process does nothing for so long */
        usec_t runs;
        unsigned alarms_max; /* in that time */
        usec_t noticed;      /* a path that is cut in the midst of traffic is dead so soon, at the latest */
} Pattern;

typedef struct End {
        usec_t sent;      /* anything */
        usec_t heard;     /* anything */
        usec_t data;      /* the last data sent */
        usec_t unheard;   /* data was sent and nothing heard since; 0: no */
        usec_t owes;      /* a passive keepalive is due; 0: no */
        usec_t initiated; /* the last initiation */
        uint64_t tx_bytes, rx_bytes;
        usec_t stalls; /* a stream's packets to this end wait until then */
        size_t waiting_bytes;
        bool waiting_data;
} End;

typedef struct Answer {
        usec_t comes;
        unsigned check; /* that it is the answer to */
} Answer;

typedef struct Simulation {
        const Pattern *p;
        uint64_t random;
        usec_t t;
        bool cut;      /* nothing passes */
        bool filtered; /* WireGuard's packets do not, ours do */
        End us, peer;
        Liveness l;
        Watch w;
        usec_t told, polled;
        uint64_t polled_bytes;
        Answer answers[IN_FLIGHT];
        size_t n_answers;
        unsigned check; /* the open one; see probe.c */
        usec_t checked; /* since then; 0: none is open */
        usec_t probe_sent;
        unsigned n_checked; /* probes of it */
        unsigned n_alarms, n_probes, n_readings;
} Simulation;

static bool passes(Simulation *s)
{
        s->random ^= s->random << 13;
        s->random ^= s->random >> 7;
        s->random ^= s->random << 17;
        return !s->cut && s->random % 100 >= s->p->loss;
}

/* WireGuard's timers, sections 6.2 to 6.5 of the paper. */
static void hear(Simulation *s, End *end, size_t size, bool data)
{
        end->rx_bytes += size;
        end->heard = s->t;
        end->unheard = 0;
        if (data && end->owes == 0)
                end->owes = s->t + 10 * USEC_PER_SEC;
}

/* What is lost is repeated after a round trip, when later packets have come; then by RFC 6298, after 200 ms,
 * and twice as long each time. */
static usec_t time_in_stream(Simulation *s)
{
        usec_t timeout = 200 * USEC_PER_MSEC, delay = 0;

        if (passes(s))
                return 0;
        delay = s->p->round_trip;
        for (; !passes(s); timeout *= 2)
                delay += timeout;
        return delay;
}

static void stall(Simulation *s, End *to)
{
        to->stalls = MAX(to->stalls, s->t + time_in_stream(s));
}

static void wait_in_stream(Simulation *s, End *to, size_t size, bool data)
{
        if (s->cut)
                return;
        stall(s, to);
        to->waiting_bytes += size;
        to->waiting_data = to->waiting_data || data;
}

static void run_stream(Simulation *s, End *to)
{
        if (s->t < to->stalls || to->waiting_bytes == 0)
                return;
        hear(s, to, to->waiting_bytes, to->waiting_data);
        to->waiting_bytes = 0;
        to->waiting_data = false;
}

static void send_packet(Simulation *s, End *from, End *to, size_t size, bool data)
{
        from->tx_bytes += size;
        from->sent = s->t;
        from->owes = 0;
        if (data)
                from->data = s->t;
        if (data && from->unheard == 0)
                from->unheard = s->t;
        if (s->p->stream)
                wait_in_stream(s, to, size, data);
        else if (!s->filtered && passes(s))
                hear(s, to, size, data);
}

static void shake_hands(Simulation *s, End *from, End *to)
{
        from->initiated = s->t;
        from->tx_bytes += 148;
        if (s->p->stream) {
                wait_in_stream(s, to, 148, false);
                wait_in_stream(s, from, 92, false);
                return;
        }
        if (s->filtered || !passes(s))
                return;
        hear(s, to, 148, false);
        to->tx_bytes += 92;
        if (passes(s))
                hear(s, from, 92, false);
}

static void run_timers(Simulation *s, End *end, End *other)
{
        if (end->owes > 0 && s->t >= end->owes)
                send_packet(s, end, other, 32, false);
        if (s->t - end->sent >= 25 * USEC_PER_SEC)
                send_packet(s, end, other, 32, false);
        if (end->unheard > 0 && s->t - end->unheard >= 15 * USEC_PER_SEC &&
            s->t - end->data < 90 * USEC_PER_SEC && s->t - end->initiated >= 5 * USEC_PER_SEC) {
                shake_hands(s, end, other);
                if (end == &s->us)
                        watch_take_initiation(&s->w, &s->told, s->t, 60 * USEC_PER_SEC);
        }
}

static bool is_on(const Simulation *s)
{
        const Pattern *p = s->p;

        return p->off == 0 || s->t % (p->on + p->off) < p->on;
}

static void send_traffic(Simulation *s)
{
        if (!is_on(s))
                return;
        if (s->p->we_send)
                send_packet(s, &s->us, &s->peer, PACKET, true);
        if (s->p->it_sends)
                send_packet(s, &s->peer, &s->us, PACKET, true);
}

static void will_answer(Simulation *s, usec_t t)
{
        if (s->n_answers < IN_FLIGHT)
                s->answers[s->n_answers++] = (Answer) { .comes = t, .check = s->check };
}

static void send_probe(Simulation *s)
{
        usec_t stalls;

        if (s->checked == 0 || s->t - s->checked >= CHECK_LIFETIME) {
                s->check++;
                s->checked = s->t;
                s->n_checked = 0;
        }
        s->n_probes++;
        s->probe_sent = s->t;
        s->n_checked++;
        if (s->p->stream && !s->cut) {
                stall(s, &s->peer);
                stall(s, &s->us);
                stalls = MAX(s->peer.stalls, s->us.stalls);
                will_answer(s, stalls + s->p->round_trip);
        } else if (!s->p->mute && passes(s) && passes(s))
                will_answer(s, s->t + s->p->round_trip);
}

static void take_answers(Simulation *s)
{
        for (size_t i = 0; i < s->n_answers;) {
                Answer a = s->answers[i];

                if (a.comes > s->t) {
                        i++;
                        continue;
                }
                s->answers[i] = s->answers[--s->n_answers];
                if (s->checked == 0 || a.check != s->check)
                        continue;
                s->checked = 0;
                liveness_take_answer(&s->l, s->t, s->n_checked == 1 ? s->t - s->probe_sent : USEC_INFINITY);
        }
}

static void read_link(Simulation *s)
{
        bool changed = traffic_is_loud(s->us.tx_bytes + s->us.rx_bytes - s->polled_bytes, s->t - s->polled,
                                       false);
        bool was_dead = liveness_is_dead(&s->l);

        s->n_readings++;
        s->polled = s->t;
        s->polled_bytes = s->us.tx_bytes + s->us.rx_bytes;
        watch_take_reading(&s->w, s->t, changed);
        liveness_take_reading(&s->l, s->t, s->us.tx_bytes, s->us.rx_bytes);
        s->n_alarms += !was_dead && liveness_is_dead(&s->l);
}

/* The broker tells only of what is not quiet. */
static void poll(Simulation *s)
{
        if (s->t - s->polled < BROKER_INTERVAL)
                return;
        if (traffic_is_loud(s->us.tx_bytes + s->us.rx_bytes - s->polled_bytes, s->t - s->polled, false))
                read_link(s);
        s->polled = s->t;
        s->polled_bytes = s->us.tx_bytes + s->us.rx_bytes;
}

static void follow(Simulation *s)
{
        bool was_dead;

        if (s->t % USEC_PER_MINUTE < s->p->stall)
                return;
        take_answers(s);
        poll(s);
        if (s->t >= watch_due(&s->w))
                read_link(s);
        was_dead = liveness_is_dead(&s->l);
        for (;;) {
                LivenessStep step = liveness_step(&s->l, s->t);

                switch (step) {
                case LIVENESS_STEP_PROBE:
                        send_probe(s);
                        break;
                case LIVENESS_STEP_READ:
                        watch_ask(&s->w, s->t);
                        break;
                default:
                        s->n_alarms += !was_dead && liveness_is_dead(&s->l);
                        return;
                }
        }
}

static void run(Simulation *s, usec_t duration)
{
        usec_t end = s->t + duration;

        for (; s->t < end; s->t += TICK) {
                run_stream(s, &s->us);
                run_stream(s, &s->peer);
                send_traffic(s);
                run_timers(s, &s->us, &s->peer);
                run_timers(s, &s->peer, &s->us);
                follow(s);
        }
}

static void begin(Simulation *s, const Pattern *p)
{
        *s = (Simulation) { .p = p, .random = 88172645463325252, .t = USEC_PER_HOUR };
        s->us.sent = s->us.heard = s->peer.sent = s->peer.heard = s->t;
        liveness_start(&s->l, s->t, p->stream);
        liveness_set_probes(&s->l, s->t, true);
        watch_ask(&s->w, s->t);
}

static usec_t run_until_dead(Simulation *s, usec_t at_most)
{
        usec_t start = s->t;

        while (!liveness_is_dead(&s->l) && s->t < start + at_most)
                run(s, TICK);
        return s->t - start;
}

static const Pattern patterns[] = {
        { .what = "both send",
          .we_send = true,
          .it_sends = true,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 3200 * USEC_PER_MSEC },
        { .what = "both send, far away",
          .we_send = true,
          .it_sends = true,
          .round_trip = 600 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 5 * USEC_PER_SEC },
        { .what = "both send, half of the probes are lost",
          .we_send = true,
          .it_sends = true,
          .loss = 30,
          .round_trip = 50 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 7 * USEC_PER_SEC },
        { .what = "we send",
          .we_send = true,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 6 * USEC_PER_SEC },
        { .what = "we send, half of the probes are lost",
          .we_send = true,
          .loss = 30,
          .round_trip = 50 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .alarms_max = 2,
          .noticed = 9 * USEC_PER_SEC },
        { .what = "we send, some are lost, far away",
          .we_send = true,
          .loss = 5,
          .round_trip = 600 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 9 * USEC_PER_SEC },
        { .what = "we send, by satellites",
          .we_send = true,
          .round_trip = 1200 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 9 * USEC_PER_SEC },
        { .what = "we send, at the end of the world",
          .we_send = true,
          .round_trip = 3 * USEC_PER_SEC,
          .runs = 2 * DAY,
          .noticed = 12 * USEC_PER_SEC },
        { .what = "we send now and then",
          .on = USEC_PER_SEC,
          .off = 47 * USEC_PER_SEC,
          .we_send = true,
          .loss = 10,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 4 * DAY },
        { .what = "both send in bursts",
          .on = 5 * USEC_PER_SEC,
          .off = 90 * USEC_PER_SEC,
          .we_send = true,
          .it_sends = true,
          .loss = 10,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 4 * DAY },
        { .what = "it sends", .it_sends = true, .round_trip = 20 * USEC_PER_MSEC, .runs = 2 * DAY },
        { .what = "nothing is sent",
          .on = 1,
          .off = 30 * DAY,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 7 * DAY },
        { .what = "nobody answers probes, both send",
          .we_send = true,
          .it_sends = true,
          .mute = true,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 20 * USEC_PER_SEC },
        { .what = "nobody answers probes, we send",
          .we_send = true,
          .mute = true,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 32 * USEC_PER_SEC },
        { .what = "nobody answers probes, we send, a third is lost",
          .we_send = true,
          .mute = true,
          .loss = 30,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .alarms_max = 8,
          .noticed = 50 * USEC_PER_SEC },
        { .what = "both send, by TCP",
          .we_send = true,
          .it_sends = true,
          .stream = true,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 7 * USEC_PER_SEC },
        { .what = "both send, by TCP, and much is lost",
          .we_send = true,
          .it_sends = true,
          .stream = true,
          .loss = 5,
          .round_trip = 50 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 9 * USEC_PER_SEC },
        { .what = "we send, by TCP, and much is lost",
          .we_send = true,
          .stream = true,
          .loss = 5,
          .round_trip = 50 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 12 * USEC_PER_SEC },
        { .what = "we send, by TCP, and more than the uplink takes",
          .we_send = true,
          .stream = true,
          .round_trip = 6 * USEC_PER_SEC,
          .runs = 2 * DAY,
          .noticed = 25 * USEC_PER_SEC },
        { .what = "we send, and are slow ourselves",
          .we_send = true,
          .stall = 8 * USEC_PER_SEC,
          .loss = 2,
          .round_trip = 20 * USEC_PER_MSEC,
          .runs = 2 * DAY,
          .noticed = 15 * USEC_PER_SEC },
};

Test(liveness, alarms_are_true)
{
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                const Pattern *p = &patterns[i];
                Simulation s;

                begin(&s, p);
                run(&s, p->runs);
                fprintf(stderr, "# %s: %u alarms, %u probes, %u readings\n", p->what, s.n_alarms, s.n_probes,
                        s.n_readings);
                cr_assert_leq(s.n_alarms, p->alarms_max, "%s: %u false alarms", p->what, s.n_alarms);
        }
}

Test(liveness, dead_paths_are_noticed)
{
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                const Pattern *p = &patterns[i];
                usec_t slowest = 0;

                if (p->noticed == 0)
                        continue;
                for (unsigned k = 0; k < 50; k++) {
                        Simulation s;
                        usec_t took;

                        begin(&s, p);
                        run(&s, 5 * USEC_PER_MINUTE + k * 1370 * USEC_PER_MSEC);
                        while (liveness_is_dead(&s.l))
                                run(&s, USEC_PER_SEC);
                        s.cut = true;
                        took = run_until_dead(&s, USEC_PER_HOUR);
                        slowest = MAX(slowest, took);
                        cr_assert(liveness_is_dead(&s.l), "%s", p->what);
                }
                fprintf(stderr, "# %s: noticed within %s\n", p->what, TIMESPAN_STR(slowest));
                cr_assert_leq(slowest, p->noticed, "%s: %s", p->what, TIMESPAN_STR(slowest));
        }
}

/* Its icewired has ended while WireGuard goes on: that is not known at first, but it is learned. */
Test(liveness, a_peer_whose_daemon_ends_alarms_once_at_most)
{
        Pattern p = { .what = "ends", .we_send = true, .round_trip = 20 * USEC_PER_MSEC };
        Simulation s;

        begin(&s, &p);
        run(&s, USEC_PER_HOUR);
        p.mute = true;
        run(&s, DAY);
        cr_assert_leq(s.n_alarms, 1, "%u", s.n_alarms);
        cr_assert(!liveness_is_dead(&s.l));
}

/* WireGuard begins a handshake 15 s after the first packet that was not answered, which is told. */
Test(liveness, traffic_after_a_pause_notices_a_dead_path)
{
        static const Pattern pause = { .what = "pause",
                                       .on = USEC_PER_HOUR,
                                       .off = USEC_PER_HOUR,
                                       .we_send = true,
                                       .it_sends = true,
                                       .round_trip = 20 * USEC_PER_MSEC };
        Simulation s;
        usec_t took;

        begin(&s, &pause);
        run(&s, 90 * USEC_PER_MINUTE);
        s.cut = true;
        run(&s, 30 * USEC_PER_MINUTE);
        took = run_until_dead(&s, USEC_PER_HOUR);
        cr_assert_leq(took, 25 * USEC_PER_SEC, "%s", TIMESPAN_STR(took));
}

/* A week of quiet costs nothing but the first probe. */
Test(liveness, quiet_paths_are_left_alone)
{
        static const Pattern quiet = {
                .what = "quiet", .on = 1, .off = 30 * DAY, .round_trip = 20 * USEC_PER_MSEC
        };
        Simulation s;

        begin(&s, &quiet);
        run(&s, 7 * DAY);
        cr_assert_leq(s.n_probes, 2, "%u", s.n_probes);
        cr_assert_leq(s.n_readings, 10, "%u", s.n_readings);
        cr_assert_neq(s.l.round_trip_time, USEC_INFINITY);
}

/* What takes longer than a sample waits at first is measured all the same, and no probing without end. */
Test(liveness, a_long_round_trip_is_learned)
{
        static const Pattern slow[] = {
                { .what = "1.2 s", .on = 1, .off = 30 * DAY, .round_trip = 1200 * USEC_PER_MSEC },
                { .what = "3 s", .on = 1, .off = 30 * DAY, .round_trip = 3 * USEC_PER_SEC },
                { .what = "6 s", .on = 1, .off = 30 * DAY, .round_trip = 6 * USEC_PER_SEC, .stream = true },
                { .what = "12 s",
                  .on = 1,
                  .off = 30 * DAY,
                  .round_trip = 12 * USEC_PER_SEC,
                  .stream = true },
        };

        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                Simulation s;

                begin(&s, &slow[i]);
                run(&s, USEC_PER_HOUR);
                cr_assert_leq(s.n_probes, 8, "%s: %u", slow[i].what, s.n_probes);
                cr_assert_eq(s.l.round_trip_time, slow[i].round_trip, "%s", slow[i].what);
        }
}

/* Longer than anybody waits: it stays unknown, until there is traffic again. */
Test(liveness, too_long_a_round_trip_is_not_asked_for_without_end)
{
        static const Pattern slow = {
                .what = "5 s", .on = 1, .off = 30 * DAY, .round_trip = 5 * USEC_PER_SEC
        };
        Simulation s;

        begin(&s, &slow);
        run(&s, USEC_PER_HOUR);
        cr_assert_leq(s.n_probes, 20, "%u", s.n_probes);
}

Test(liveness, a_dead_path_is_probed_again_when_that_is_possible_again)
{
        Simulation s;

        begin(&s, &patterns[0]);
        run(&s, USEC_PER_MINUTE);
        s.cut = true;
        (void) run_until_dead(&s, USEC_PER_MINUTE);
        cr_assert(liveness_is_dead(&s.l));
        liveness_set_probes(&s.l, s.t, false);
        cr_assert_eq(liveness_due(&s.l), USEC_INFINITY);
        liveness_set_probes(&s.l, s.t, true);
        cr_assert_eq(liveness_step(&s.l, s.t), LIVENESS_STEP_PROBE);
        cr_assert_eq(liveness_due(&s.l), s.t + LIVENESS_DEAD_INTERVAL);
}

Test(liveness, a_dead_path_that_comes_back_is_noticed)
{
        Simulation s;
        usec_t start;

        begin(&s, &patterns[0]);
        run(&s, USEC_PER_MINUTE);
        s.cut = true;
        (void) run_until_dead(&s, USEC_PER_MINUTE);
        /* The traffic goes another way meanwhile: nothing is read of this path. */
        s.filtered = true;
        run(&s, 40 * USEC_PER_MINUTE);
        cr_assert(liveness_is_dead(&s.l));
        s.cut = false;
        start = s.t;
        while (liveness_is_dead(&s.l) && s.t < start + USEC_PER_MINUTE)
                run(&s, TICK);
        cr_assert_leq(s.t - start, LIVENESS_DEAD_INTERVAL + USEC_PER_SEC, "%s", TIMESPAN_STR(s.t - start));
}

Test(liveness, a_dead_path_is_not_probed_for_ever_without_traffic)
{
        static const Pattern once = { .what = "once",
                                      .on = USEC_PER_HOUR,
                                      .off = 2 * DAY,
                                      .we_send = true,
                                      .it_sends = true,
                                      .round_trip = 20 * USEC_PER_MSEC };
        Simulation s = {};
        unsigned n;

        begin(&s, &once);
        s.t = 2 * DAY + 55 * USEC_PER_MINUTE + USEC_PER_HOUR;
        s.us.sent = s.peer.sent = s.t;
        run(&s, USEC_PER_MINUTE);
        s.cut = true;
        (void) run_until_dead(&s, USEC_PER_MINUTE);
        cr_assert(liveness_is_dead(&s.l));
        run(&s, 20 * USEC_PER_MINUTE);
        n = s.n_probes;
        run(&s, USEC_PER_HOUR);
        cr_assert_eq(s.n_probes, n);
}

/* Whoever lets probes pass but not WireGuard is found out by its handshakes, not here. */
Test(liveness, probes_that_pass_prove_no_more_than_that)
{
        Simulation s;

        begin(&s, &patterns[0]);
        run(&s, USEC_PER_MINUTE);
        s.filtered = true;
        run(&s, USEC_PER_HOUR);
        cr_assert(!liveness_is_dead(&s.l));
        cr_assert_geq(usec_sub(s.t, s.us.heard), USEC_PER_HOUR - USEC_PER_SEC);
}

Test(liveness, a_rewritten_device_counts_anew)
{
        Liveness l;

        liveness_start(&l, USEC_PER_HOUR, /* stream= */ false);
        liveness_set_probes(&l, USEC_PER_HOUR, true);
        cr_assert_eq(liveness_step(&l, USEC_PER_HOUR), LIVENESS_STEP_PROBE);
        liveness_take_answer(&l, USEC_PER_HOUR + 1000, 1000);
        cr_assert_eq(l.round_trip_time, 1000);
        liveness_take_reading(&l, USEC_PER_HOUR + USEC_PER_SEC, 100000, 100000);
        liveness_take_reading(&l, USEC_PER_HOUR + 2 * USEC_PER_SEC, 148, 0);
        cr_assert_eq(l.state, LIVENESS_ALIVE);
        liveness_take_reading(&l, USEC_PER_HOUR + 3 * USEC_PER_SEC, 2960, 0);
        cr_assert_eq(l.state, LIVENESS_ASKING);
        liveness_take_reading(&l, USEC_PER_HOUR + 4 * USEC_PER_SEC, 2960, 32);
        cr_assert_eq(l.state, LIVENESS_ALIVE, "what is authentic is proof at any time");
}

Test(liveness, the_round_trip_time_is_smoothed)
{
        Liveness l;

        liveness_start(&l, USEC_PER_HOUR, /* stream= */ false);
        liveness_take_answer(&l, USEC_PER_HOUR, 100 * USEC_PER_MSEC);
        liveness_take_answer(&l, USEC_PER_HOUR, 900 * USEC_PER_MSEC);
        cr_assert_eq(l.round_trip_time, 200 * USEC_PER_MSEC);
        liveness_take_answer(&l, USEC_PER_HOUR, USEC_INFINITY);
        cr_assert_eq(l.round_trip_time, 200 * USEC_PER_MSEC);
}

/* The peer was not there yet when the first probe came, and nothing else would ask: there is no traffic. */
Test(liveness, the_round_trip_time_is_asked_for_again)
{
        Liveness l;

        liveness_start(&l, USEC_PER_HOUR, /* stream= */ false);
        liveness_set_probes(&l, USEC_PER_HOUR, true);
        cr_assert_eq(liveness_step(&l, USEC_PER_HOUR), LIVENESS_STEP_PROBE);
        cr_assert_eq(liveness_step(&l, USEC_PER_HOUR), LIVENESS_STEP_NONE);
        cr_assert_eq(liveness_step(&l, USEC_PER_HOUR + USEC_PER_SEC), LIVENESS_STEP_PROBE);
        liveness_take_answer(&l, USEC_PER_HOUR + USEC_PER_SEC, USEC_INFINITY);
        cr_assert_eq(liveness_step(&l, USEC_PER_HOUR + USEC_PER_SEC), LIVENESS_STEP_PROBE);
        liveness_take_answer(&l, USEC_PER_HOUR + USEC_PER_SEC, 1000);
        cr_assert_eq(l.round_trip_time, 1000);
        cr_assert_eq(liveness_due(&l), USEC_INFINITY);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "liveness.h"

#include "macro.h"
#include "watch.h"

/* Between two probes, and after the last one. With few of them the verdict is there when the link is read
 * next, a second after the reading that began it. */
#define PROBE_INTERVAL (100 * USEC_PER_MSEC)
#define LAST_WAIT_MIN (400 * USEC_PER_MSEC)
#define LAST_WAIT_MAX (3 * USEC_PER_SEC)
/* By TCP: Linux repeats after 200 ms and more, and doubles that each time (RFC 6298 section 5.5), so this is
 * after four that were lost in a row. */
#define STREAM_WAIT (4 * USEC_PER_SEC)
/* Probes queue up behind what WireGuard has sent (proxy-connection.c: some 300 KiB and more), which takes so
 * long where the uplink is slow: that is learned. */
#define STREAM_WAIT_MAX (15 * USEC_PER_SEC)

/* The link may be read at any time, also while an answer is under way. */
#define SILENCE_MIN (700 * USEC_PER_MSEC)

/* So many must be lost that all of them are only once in a hundred thousand times where the path works. */
#define PROBES_MIN 5U
#define PROBES_MAX 20U
#define MILLION 1000000U
#define DOUBT 10U /* millionths */
#define LOSS_FIRST (MILLION / 10)
#define LOSS_MIN (MILLION / 25)
/* It grows faster than it shrinks: an alarm that comes late is better than one that is wrong. */
#define LOSS_GAIN_UP 8
#define LOSS_GAIN_DOWN 32

/* Traffic in one direction is asked about no oftener than that. */
#define REASSURED_FOR (2 * USEC_PER_SEC)
/* The round-trip time is measured, and it is seen whether probes are answered, while there is traffic. */
#define SAMPLE_INTERVAL (10 * USEC_PER_SEC)
#define SAMPLE_WAIT USEC_PER_SEC
#define SAMPLE_WAIT_MAX (4 * USEC_PER_SEC)
/* So often in a row it may be unknown what was answered; then the next one is left to that interval. */
#define AMBIGUOUS_MAX 4U
#define SAMPLES_LOST_MAX 8U

/* Where there are no probes. Who receives answers after 10 s (Keepalive-Timeout of the WireGuard paper,
 * section 6.5), and after 15 s of silence the sender begins a handshake each 5 s. How much of that gets lost
 * is seen from how long the path has been silent before, while it worked: at first it is taken to be much.
 */
#define SILENCE_ALARMING_MIN (16 * USEC_PER_SEC)
#define SILENCE_ALARMING_MAX (45 * USEC_PER_SEC)
#define SILENCE_USUAL_FIRST (20 * USEC_PER_SEC)
/* … of what is thought usual is forgotten with each reading in which something was heard. */
#define SILENCE_FORGOTTEN 32
#define SILENT_READINGS 3U

/* The broker may be away. */
#define READ_INTERVAL (5 * USEC_PER_SEC)
#define LOUD_FOR USEC_PER_MINUTE

void liveness_start(Liveness *l, usec_t t, bool stream)
{
        *l = (Liveness) {
                .stream = stream,
                .loud = t,
                .due = USEC_INFINITY,
                .loss = LOSS_FIRST,
                .usual_silence = SILENCE_USUAL_FIRST,
                .round_trip_time = USEC_INFINITY,
                .deviation = USEC_INFINITY,
        };
}

/* ---- Probes ---- */

static void begin_probing(Liveness *l, usec_t t)
{
        l->n_sent = 0;
        l->due = t;
}

static bool begin_sample(Liveness *l, usec_t t)
{
        if (!l->probes || l->state != LIVENESS_ALIVE || l->due != USEC_INFINITY)
                return false;
        begin_probing(l, t);
        return true;
}

void liveness_set_probes(Liveness *l, usec_t t, bool probes)
{
        if (l->probes == probes)
                return;
        l->probes = probes;
        if (probes) {
                if (l->state == LIVENESS_DEAD)
                        l->due = t;
                else
                        (void) begin_sample(l, t);
                return;
        }
        l->trusted = false;
        if (l->state == LIVENESS_ASKING || l->state == LIVENESS_DOUBTFUL)
                l->state = LIVENESS_ALIVE;
        l->due = USEC_INFINITY;
}

static void lose(Liveness *l)
{
        l->loss += (MILLION - l->loss) / LOSS_GAIN_UP;
}

static void measure_loss(Liveness *l)
{
        for (unsigned i = 1; i < l->n_sent; i++)
                lose(l);
        l->loss -= l->loss / LOSS_GAIN_DOWN;
}

static unsigned probes_needed(const Liveness *l)
{
        uint64_t all_lost = MILLION, loss = MAX(l->loss, LOSS_MIN);
        unsigned n = 0;

        while (all_lost > DOUBT && n < PROBES_MAX) {
                all_lost = all_lost * loss / MILLION;
                n++;
        }
        return MAX(n, PROBES_MIN);
}

/* RFC 6298 section 2. */
static void measure_round_trip(Liveness *l, usec_t r)
{
        if (r == USEC_INFINITY)
                return;
        if (l->round_trip_time == USEC_INFINITY) {
                l->round_trip_time = r;
                l->deviation = r / 2;
                return;
        }
        l->deviation = (3 * l->deviation +
                        MAX(usec_sub(r, l->round_trip_time), usec_sub(l->round_trip_time, r))) /
                       4;
        l->round_trip_time = (7 * l->round_trip_time + r) / 8;
}

static usec_t wait_between(const Liveness *l, usec_t min, usec_t max)
{
        if (l->round_trip_time == USEC_INFINITY)
                return min;
        return CLAMP(l->round_trip_time + 4 * l->deviation, min, max);
}

static usec_t last_wait(const Liveness *l)
{
        usec_t min = l->stream ? STREAM_WAIT : LAST_WAIT_MIN,
               max = l->stream ? STREAM_WAIT_MAX : LAST_WAIT_MAX;

        /* It is not known yet, and maybe long. */
        if (l->round_trip_time == USEC_INFINITY && l->n_ambiguous > 0)
                return max;
        return wait_between(l, min, max);
}

/* A sample that is repeated before its answer comes measures nothing, and looks lost. So it waits longer
 * when that may have been so (RFC 6298 section 5.5, for the same reason). */
static usec_t sample_wait(const Liveness *l)
{
        usec_t min = l->stream ? STREAM_WAIT : SAMPLE_WAIT,
               max = l->stream ? STREAM_WAIT_MAX : SAMPLE_WAIT_MAX;

        return MIN(wait_between(l, min, max) << l->n_ambiguous, max);
}

/* ---- Verdicts ---- */

static void live(Liveness *l)
{
        if (l->state != LIVENESS_ALIVE)
                l->due = USEC_INFINITY;
        l->state = LIVENESS_ALIVE;
        l->silent_since = 0;
        l->n_silent = 0;
}

static void die(Liveness *l, usec_t t)
{
        l->state = LIVENESS_DEAD;
        l->died = t;
        l->n_sent = 0;
        l->due = l->probes ? usec_add(t, LIVENESS_DEAD_INTERVAL) : USEC_INFINITY;
}

/* Of a path in doubt, where several are under way at once, it always is. */
static void count_ambiguous(Liveness *l, usec_t round_trip_time)
{
        if (round_trip_time != USEC_INFINITY)
                l->n_ambiguous = 0;
        else if (l->state == LIVENESS_ALIVE && l->n_ambiguous < AMBIGUOUS_MAX)
                l->n_ambiguous++;
}

void liveness_take_answer(Liveness *l, usec_t t, usec_t round_trip_time)
{
        measure_round_trip(l, round_trip_time);
        count_ambiguous(l, round_trip_time);
        if (l->state != LIVENESS_DEAD)
                measure_loss(l);
        if (l->state != LIVENESS_ALIVE)
                l->reassured = t;
        l->trusted = true;
        l->n_unanswered = 0;
        l->due = USEC_INFINITY;
        live(l);
        /* The one before was lost or is late, and which one this answers is not known. */
        if (l->round_trip_time == USEC_INFINITY && l->n_ambiguous < AMBIGUOUS_MAX)
                (void) begin_sample(l, t);
}

static void learn_silence(Liveness *l, usec_t t)
{
        usec_t silence = l->silent_since > 0 ? usec_sub(t, l->silent_since) : 0;

        l->usual_silence = MAX(silence, l->usual_silence - l->usual_silence / SILENCE_FORGOTTEN);
}

static usec_t alarming_silence(const Liveness *l)
{
        return CLAMP(2 * l->usual_silence + SILENCE_ALARMING_MIN / 2, SILENCE_ALARMING_MIN,
                     SILENCE_ALARMING_MAX);
}

/* Sent and not answered, while there is no other sign of life. */
static void consider_silence(Liveness *l, usec_t t)
{
        l->silent_since = l->silent_since > 0 ? l->silent_since : t;
        l->n_silent++;
        if (l->probes && l->trusted) {
                if (l->reassured > 0 && usec_sub(t, l->reassured) < REASSURED_FOR)
                        return;
                l->state = LIVENESS_ASKING;
                begin_probing(l, t);
        } else if (l->n_silent >= SILENT_READINGS && usec_sub(t, l->silent_since) >= alarming_silence(l))
                die(l, t);
}

/* Since something was heard, and now again. */
static bool waits_for_answer(const Liveness *l, usec_t t, uint64_t tx_bytes)
{
        usec_t silence = usec_sub(t, l->heard);

        return tx_bytes > l->tx_bytes && silence >= SILENCE_MIN &&
               traffic_is_loud(tx_bytes - l->heard_tx_bytes, silence, /* handshake= */ false);
}

static void judge_reading(Liveness *l, usec_t t, bool heard, bool waits)
{
        if (heard) {
                /* Were it right, a probe might have told; one that is answered shows that it was. */
                if (l->state == LIVENESS_DEAD)
                        l->trusted = false;
                learn_silence(l, t);
                live(l);
        } else if (l->state == LIVENESS_DOUBTFUL)
                die(l, t);
        else if (l->state == LIVENESS_ALIVE && waits)
                consider_silence(l, t);
        else if (l->state == LIVENESS_DEAD && waits && l->probes && l->due == USEC_INFINITY)
                l->due = t; /* there is traffic again */
}

void liveness_take_reading(Liveness *l, usec_t t, uint64_t tx_bytes, uint64_t rx_bytes)
{
        bool comparable = l->counted && tx_bytes >= l->tx_bytes && rx_bytes >= l->rx_bytes;
        bool heard = comparable && rx_bytes > l->rx_bytes;
        bool waits = comparable && !heard && waits_for_answer(l, t, tx_bytes);
        usec_t interval = usec_sub(t, l->read);
        bool loud = comparable &&
                    (traffic_is_loud(tx_bytes - l->tx_bytes, interval, /* handshake= */ false) ||
                     traffic_is_loud(rx_bytes - l->rx_bytes, interval, /* handshake= */ false));

        if (heard || !comparable) {
                l->heard = t;
                l->heard_tx_bytes = tx_bytes;
        }
        l->counted = true;
        l->tx_bytes = tx_bytes;
        l->rx_bytes = rx_bytes;
        l->read = t;
        if (!comparable)
                return;
        judge_reading(l, t, heard, waits);
        if (!loud)
                return;
        l->loud = t;
        if (usec_sub(t, l->sampled) >= SAMPLE_INTERVAL)
                (void) begin_sample(l, t);
}

/* ---- Steps ---- */

static LivenessStep send_probe(Liveness *l, usec_t next)
{
        l->n_sent++;
        l->due = next;
        return LIVENESS_STEP_PROBE;
}

static LivenessStep step_sample(Liveness *l, usec_t t)
{
        if (l->n_sent == 0) {
                l->sampled = t;
                return send_probe(l, usec_add(t, sample_wait(l)));
        }
        lose(l);
        l->due = USEC_INFINITY;
        if (++l->n_unanswered >= SAMPLES_LOST_MAX) {
                l->trusted = false;
                return LIVENESS_STEP_NONE;
        }
        /* The next one at once, to know. */
        l->n_sent = 0;
        l->due = t;
        return step_sample(l, t);
}

static LivenessStep step_asking(Liveness *l, usec_t t)
{
        unsigned needed = probes_needed(l);

        if (l->n_sent < needed) {
                l->asked = t;
                return send_probe(l, usec_add(t, l->n_sent + 1 < needed ? PROBE_INTERVAL : last_wait(l)));
        }
        /* A reading since the last probe has shown nothing. */
        if (l->read > l->asked) {
                die(l, t);
                return LIVENESS_STEP_NONE;
        }
        l->state = LIVENESS_DOUBTFUL;
        l->due = usec_add(t, READ_INTERVAL);
        return LIVENESS_STEP_READ;
}

static LivenessStep step_dead(Liveness *l, usec_t t)
{
        if (usec_sub(t, l->died) > LIVENESS_DEAD_PROBED && usec_sub(t, l->loud) > LOUD_FOR) {
                l->due = USEC_INFINITY;
                return LIVENESS_STEP_NONE;
        }
        return send_probe(l, usec_add(t, LIVENESS_DEAD_INTERVAL));
}

LivenessStep liveness_step(Liveness *l, usec_t t)
{
        if (t < l->due)
                return LIVENESS_STEP_NONE;
        switch (l->state) {
        case LIVENESS_ALIVE:
                return step_sample(l, t);
        case LIVENESS_ASKING:
                return step_asking(l, t);
        case LIVENESS_DOUBTFUL:
                l->due = usec_add(t, READ_INTERVAL);
                return LIVENESS_STEP_READ;
        case LIVENESS_DEAD:
                return step_dead(l, t);
        default:
                return LIVENESS_STEP_NONE;
        }
}

usec_t liveness_due(const Liveness *l)
{
        return l->due;
}

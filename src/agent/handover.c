/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "handover.h"

/* Readings at first come quickly, since each tells when the path before may go; then one a second, and where
 * nothing happens, less often. */
#define LOOK_FIRST (100 * USEC_PER_MSEC)
#define LOOK_BUSY USEC_PER_SEC
#define LOOK_QUIET (4 * USEC_PER_SEC)
#define QUIET_AFTER (15 * USEC_PER_SEC)

/* When the other side has followed at the latest: what comes by the path before after that was not on its
 * way. */
#define FOLLOWED_AFTER (2 * USEC_PER_SEC)

/* A handshake that ends so soon after the switch may have begun before it. */
#define HANDSHAKE_UNDER_WAY (500 * USEC_PER_MSEC)

static const char *const handover_state_table[_HANDOVER_STATE_MAX] = {
        [HANDOVER_IDLE] = "idle",
        [HANDOVER_HOLDING] = "holding",
        [HANDOVER_TRYING] = "trying",
        [HANDOVER_PROVEN] = "proven",
};
DEFINE_STRING_TABLE(handover_state, HandoverState);

void handover_hold(Handover *h, usec_t t, bool wanted, usec_t delay)
{
        *h = (Handover) {
                .state = HANDOVER_HOLDING,
                .wanted = wanted,
                .since = t,
                .due = usec_add(t, wanted ? delay : HANDOVER_SPARE),
                .interval = LOOK_FIRST,
                .next_look = usec_add(t, LOOK_FIRST),
        };
}

void handover_want(Handover *h, usec_t t, usec_t delay)
{
        if (h->state != HANDOVER_HOLDING || h->wanted)
                return;
        h->wanted = true;
        h->due = usec_add(t, delay);
}

HandoverAction handover_heard(Handover *h)
{
        return h->state == HANDOVER_HOLDING ? HANDOVER_SWITCH : HANDOVER_WAIT;
}

HandoverAction handover_counted(Handover *h, uint64_t packets, uint64_t rx_bytes)
{
        if (packets == 0) {
                h->quiet_rx = rx_bytes;
                return HANDOVER_WAIT;
        }
        if (!h->wanted && (!h->based || rx_bytes <= h->quiet_rx))
                return HANDOVER_WAIT;
        return handover_heard(h);
}

void handover_switched(Handover *h, usec_t t, bool irrevocable, const HandoverReading *now)
{
        *h = (Handover) {
                .state = HANDOVER_TRYING,
                .irrevocable = irrevocable,
                .lively = h->lively,
                .since = t,
                .interval = LOOK_FIRST,
                .next_look = usec_add(t, LOOK_FIRST),
                .first = *now,
                .last = *now,
        };
}

static usec_t look_max(const Handover *h, usec_t t)
{
        return usec_sub(t, h->since) < QUIET_AFTER ? LOOK_BUSY : LOOK_QUIET;
}

static void schedule(Handover *h, usec_t t)
{
        h->interval = MIN(h->interval * 2, look_max(h, t));
        h->next_look = usec_add(t, h->interval);
}

/* By the new path came what WireGuard has accepted. Its counter does not tell by which path, and is read a
 * moment before that of the path before: nothing may have come by that in this interval, nor in the last. */
static bool is_proof(const Handover *h, const HandoverReading *now, bool late)
{
        bool received = now->rx_bytes > h->last.rx_bytes;

        if (now->handshake_at > usec_add(h->since, HANDSHAKE_UNDER_WAY))
                return true;
        if (now->fresh > h->first.fresh)
                return now->rx_bytes > h->first.rx_bytes;
        return received && !late && !h->late_before;
}

/* Does the peer send by the path before, although it must have heard us by the new one? */
static bool peer_stays(const Handover *h)
{
        return h->late_at > usec_add(h->since, FOLLOWED_AFTER);
}

/* Packets came until the switch, and now we send and send, and nothing comes by either path. */
static bool fell_silent(const Handover *h, usec_t t)
{
        return h->lively && h->sent_at > usec_add(h->since, FOLLOWED_AFTER) &&
               usec_sub(t, MAX(h->received_at, h->since)) > FOLLOWED_AFTER;
}

static HandoverAction end(Handover *h, HandoverAction action)
{
        handover_stop(h);
        return action;
}

static bool path_before_is_silent(const Handover *h, usec_t t)
{
        return usec_sub(t, MAX(h->late_at, h->since)) >= HANDOVER_HUSH;
}

/* Neither proven nor refuted in all that time: ICE's word counts, unless the peer sends by the path before.
 */
static HandoverAction give_verdict(Handover *h)
{
        return end(h, peer_stays(h) && !h->irrevocable ? HANDOVER_REVERT : HANDOVER_RELEASE);
}

static HandoverAction judge(Handover *h, usec_t t)
{
        usec_t age = usec_sub(t, h->since);

        if (age >= HANDOVER_KEEP_MAX)
                return give_verdict(h);
        if (h->state == HANDOVER_PROVEN)
                return age >= HANDOVER_KEEP_MIN && path_before_is_silent(h, t) ? end(h, HANDOVER_RELEASE)
                                                                               : HANDOVER_WAIT;
        if (age >= HANDOVER_PATIENCE && !h->irrevocable && (peer_stays(h) || fell_silent(h, t)))
                return end(h, HANDOVER_REVERT);
        return HANDOVER_WAIT;
}

static void take_reading(Handover *h, usec_t t, const HandoverReading *now)
{
        bool late = now->late > h->last.late || now->is_back;

        if (h->state == HANDOVER_TRYING && is_proof(h, now, late))
                h->state = HANDOVER_PROVEN;
        if (late)
                h->late_at = t;
        if (now->tx_bytes > h->last.tx_bytes)
                h->sent_at = t;
        if (now->rx_bytes > h->last.rx_bytes)
                h->received_at = t;
        h->late_before = late;
        h->last = *now;
}

static void watch_path_before(Handover *h, const HandoverReading *now)
{
        if (!h->based) {
                h->first = *now;
                h->quiet_rx = now->rx_bytes;
        }
        h->based = true;
        h->lively = h->lively || now->rx_bytes > h->first.rx_bytes;
}

HandoverAction handover_observe(Handover *h, usec_t t, const HandoverReading *now)
{
        HandoverAction action;

        if (h->state == HANDOVER_HOLDING)
                watch_path_before(h, now);
        if (!handover_is_switching(h))
                return HANDOVER_WAIT;
        take_reading(h, t, now);
        action = judge(h, t);
        if (action != HANDOVER_WAIT)
                return action;
        if (now->is_back)
                return HANDOVER_REPEAT;
        if (h->state == HANDOVER_PROVEN && !h->told) {
                h->told = true;
                return HANDOVER_PROVED;
        }
        return HANDOVER_WAIT;
}

HandoverAction handover_elapse(Handover *h, usec_t t)
{
        if (t >= h->next_look)
                schedule(h, t);
        if (h->state == HANDOVER_HOLDING && t >= h->due)
                return h->wanted ? HANDOVER_SWITCH : end(h, HANDOVER_FORGET);
        if (handover_is_switching(h) && usec_sub(t, h->since) >= HANDOVER_KEEP_MAX)
                return give_verdict(h);
        return HANDOVER_WAIT;
}

usec_t handover_next(const Handover *h)
{
        switch (h->state) {
        case HANDOVER_HOLDING:
                return MIN(h->due, h->next_look);
        case HANDOVER_TRYING:
        case HANDOVER_PROVEN:
                return h->next_look;
        default:
                return USEC_INFINITY;
        }
}

void handover_stop(Handover *h)
{
        *h = (Handover) {};
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>

#include "string-util.h"
#include "time-util.h"

/* One switch from the path in use to another, while both are alive. Pure: the clock (CLOCK_BOOTTIME) and
 * what was observed are arguments, what is to be done is the result; path-switch.c does it.
 *
 * WireGuard follows the source of every authenticated packet, so whoever switches takes the other side
 * along, and a late packet by the path before takes it back. Therefore, on each side:
 *
 *   HOLDING  ICE has the new pair. The path before is in use, and what comes by the new one is made to look
 * as if it came by that: the other side may be first. Both sides get here before either goes on. TRYING
 * WireGuard sends by the new path. What is still to come by the one before is made to look new, and its
 *            session is kept, so that there is a way back.
 *   PROVEN   The new path carries what WireGuard accepts. The one before goes when nothing comes by it any
 * more.
 *
 * A side that sees no need for the new path only holds it, for a while: the other one may judge otherwise,
 * and then it follows. */

typedef enum HandoverState {
        HANDOVER_IDLE,
        HANDOVER_HOLDING,
        HANDOVER_TRYING,
        HANDOVER_PROVEN,
        _HANDOVER_STATE_MAX,
        _HANDOVER_STATE_INVALID = -EINVAL,
} HandoverState;

DECLARE_STRING_TABLE(handover_state, HandoverState); /* "idle", … */

typedef enum HandoverAction {
        HANDOVER_WAIT,    /* nothing */
        HANDOVER_SWITCH,  /* from HOLDING: WireGuard is to use the new path; then handover_switch() */
        HANDOVER_FORGET,  /* from HOLDING: nobody wants the new path; it is over */
        HANDOVER_REPEAT,  /* WireGuard was taken back to the path before: its endpoint is to be set again */
        HANDOVER_PROVED,  /* it gets through; what is kept for the way back is still kept */
        HANDOVER_RELEASE, /* the path before can go; it is over */
        HANDOVER_REVERT,  /* the path before is better; it is over */
} HandoverAction;

/* How long the new path is held by who wants it: those who cannot hold it (their path before begins at their
 * proxy, or the address family is another one) are first, when all others have had the time to begin. */
#define HANDOVER_LEAD (250 * USEC_PER_MSEC)
#define HANDOVER_FOLLOW (600 * USEC_PER_MSEC)
/* … and by who does not: longer than WireGuard's keepalive. */
#define HANDOVER_SPARE (30 * USEC_PER_SEC)
/* For how long the path before is kept at least, and at most. */
#define HANDOVER_KEEP_MIN (3 * USEC_PER_SEC)
#define HANDOVER_KEEP_MAX (60 * USEC_PER_SEC)
/* It is silent when nothing has come for so long. */
#define HANDOVER_HUSH (500 * USEC_PER_MSEC)
/* How long the new path may take to bring something while there is traffic. */
#define HANDOVER_PATIENCE (3 * USEC_PER_SEC)

/* What is known of the peer at one moment. Counters only grow, and what they begin with is no matter. */
typedef struct HandoverReading {
        uint64_t rx_bytes, tx_bytes; /* WireGuard's */
        usec_t handshake_at;         /* the last one, CLOCK_BOOTTIME */
        uint64_t late;               /* packets by the path before; read after the others */
        uint64_t fresh;              /* packets by the new path, where those are counted */
        bool is_back;                /* WireGuard has the endpoint of the path before */
} HandoverReading;

/* All zero: idle. */
typedef struct Handover {
        HandoverState state;
        bool wanted;        /* by us */
        bool irrevocable;   /* the path before is dead */
        bool based;         /* HOLDING: `first` is a reading of now, not of long ago */
        uint64_t quiet_rx;  /* HOLDING: what WireGuard had received when nothing had come by the new path */
        bool lively;        /* packets came while the new path was held */
        bool told;          /* that it is proven */
        usec_t since;       /* of the first state, and then of the switch */
        usec_t due;         /* HOLDING: when it ends */
        usec_t next_look;   /* when the next reading is wanted */
        usec_t interval;    /* between readings */
        usec_t late_at;     /* when the last packet came by the path before; 0: none */
        bool late_before;   /* in the interval before the last */
        usec_t sent_at;     /* when WireGuard was last seen to have sent; 0: never */
        usec_t received_at; /* and to have received, by whichever path */
        HandoverReading first, last;
} Handover;

/* The new path is there beside the one in use. wanted: it is taken after `delay`; otherwise it is only held.
 */
void handover_hold(Handover *h, usec_t t, bool wanted, usec_t delay);

/* The same path is wanted now, or is another one: what is held is held on. */
void handover_want(Handover *h, usec_t t, usec_t delay);

/* While it is held: the peer uses the new path. */
HandoverAction handover_heard(Handover *h);

/* The same from who can only count: so many packets came by the new path, and WireGuard had received so much
 * just before. Anyone can send such packets. Where the new path is not wanted, they count if WireGuard has
 * accepted something since there were none. */
HandoverAction handover_counted(Handover *h, uint64_t packets, uint64_t rx_bytes);

/* WireGuard has been told to use the new path. irrevocable: the one before is dead, there is no way back. */
void handover_switched(Handover *h, usec_t t, bool irrevocable, const HandoverReading *now);

/* A reading is in. */
HandoverAction handover_observe(Handover *h, usec_t t, const HandoverReading *now);

/* Time has passed, and there need not be readings: the broker may be away. */
HandoverAction handover_elapse(Handover *h, usec_t t);

/* When handover_elapse() and a reading are due, CLOCK_BOOTTIME; USEC_INFINITY while idle. */
usec_t handover_next(const Handover *h);

/* It is over, or there is no path any more. */
void handover_stop(Handover *h);

static inline bool handover_is_holding(const Handover *h)
{
        return h->state == HANDOVER_HOLDING;
}

/* Is the path before kept? */
static inline bool handover_is_switching(const Handover *h)
{
        return h->state == HANDOVER_TRYING || h->state == HANDOVER_PROVEN;
}

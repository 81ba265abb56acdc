/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>

#include "alloc-util.h"
#include "signalling.h"

/* Two ends, and a message from one to the other without anything in between. */
typedef struct Pair {
        Signalling a, b; /* a controls */
        usec_t now;
} Pair;

static Pair pair_new(void)
{
        Pair p = { .now = USEC_PER_HOUR };

        signalling_init(&p.a, /* controlling= */ true);
        signalling_init(&p.b, /* controlling= */ false);
        return p;
}

static Message stamped(Signalling *from, MessageType type, uint64_t to)
{
        Message m = { .type = type };

        signalling_stamp(from, to, &m);
        return m;
}

static void expect(Pair *p, Signalling *at, const Message *m, SignallingVerdict verdict)
{
        uint64_t before = at->counters[verdict];
        SignallingVerdict v = signalling_judge(at, m, p->now);

        cr_assert_eq(v, verdict, "%s instead of %s", signalling_verdict_to_string(v),
                     signalling_verdict_to_string(verdict));
        cr_assert_eq(at->counters[verdict], before + 1);
}

/* As two daemons do that start at once. */
static Pair pair_bound(void)
{
        Pair p = pair_new();
        Message hello = stamped(&p.b, MESSAGE_HELLO, 0), offer, answer;

        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        offer = stamped(&p.a, MESSAGE_OFFER, hello.instance);
        expect(&p, &p.b, &offer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        answer = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &answer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        cr_assert_eq(p.a.peer_instance, p.b.instance);
        cr_assert_eq(p.b.peer_instance, p.a.instance);
        return p;
}

static void expect_bound(Pair *p)
{
        Message m = stamped(&p->a, MESSAGE_HELLO, 0), n = stamped(&p->b, MESSAGE_HELLO, 0);

        expect(p, &p->b, &m, SIGNALLING_ACCEPT);
        expect(p, &p->a, &n, SIGNALLING_ACCEPT);
}

Test(signalling, stamp)
{
        Pair p = pair_new();
        Message m = stamped(&p.a, MESSAGE_HELLO, 0), n = stamped(&p.a, MESSAGE_HELLO, 77);

        cr_assert_neq(m.instance, 0);
        cr_assert_eq(m.to, 0);
        cr_assert_eq(m.sequence, 1);
        cr_assert_eq(n.instance, m.instance, "bound to nobody, so anyone may have it");
        cr_assert_eq(n.to, 77);
        cr_assert_eq(n.sequence, 2);

        p = pair_bound();
        m = stamped(&p.a, MESSAGE_HELLO, 0);
        cr_assert_eq(m.instance, p.a.instance);
        cr_assert_eq(m.to, p.b.instance);
        n = stamped(&p.a, MESSAGE_HELLO, 77);
        cr_assert_neq(n.instance, p.a.instance, "what we are to one is not shown to another");
        cr_assert_neq(n.instance, 0);
        cr_assert_eq(stamped(&p.a, MESSAGE_HELLO, 78).instance, n.instance);
}

Test(signalling, both_start_at_once)
{
        Pair p = pair_new();
        Message a = stamped(&p.a, MESSAGE_HELLO, 0), b = stamped(&p.b, MESSAGE_HELLO, 0), answer_a, answer_b;

        expect(&p, &p.b, &a, SIGNALLING_ANSWER_HELLO);
        expect(&p, &p.a, &b, SIGNALLING_ANSWER_HELLO);
        answer_b = stamped(&p.b, MESSAGE_HELLO, a.instance);
        answer_a = stamped(&p.a, MESSAGE_OFFER, b.instance);
        expect(&p, &p.a, &answer_b, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.b, &answer_a, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);
        /* Late copies. */
        expect(&p, &p.a, &answer_b, SIGNALLING_DROP_DUPLICATE);
        expect(&p, &p.a, &b, SIGNALLING_DROP_DUPLICATE);
}

/* A goodbye proves nothing if it is from another instance than the one we believe in. But where it is all
 * that will ever come, there is an answer to it that makes it prove itself. */
Test(signalling, goodbye_of_one_that_has_restarted)
{
        Pair p = pair_bound();
        Message hello = stamped(&p.a, MESSAGE_HELLO, 0), bye, answer;

        signalling_init(&p.b, /* controlling= */ false);
        hello.to = 0;
        expect(&p, &p.b, &hello, SIGNALLING_ANSWER_HELLO);
        bye = stamped(&p.b, MESSAGE_BYE, hello.instance);
        expect(&p, &p.a, &bye, SIGNALLING_DROP_STALE);
        bye = stamped(&p.b, MESSAGE_BYE, hello.instance);
        bye.network.policy = POLICY_OFF;
        expect(&p, &p.a, &bye, SIGNALLING_SAY_HELLO);
        answer = stamped(&p.a, MESSAGE_HELLO, bye.instance);
        expect(&p, &p.b, &answer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        bye = stamped(&p.b, MESSAGE_BYE, 0);
        bye.network.policy = POLICY_OFF;
        expect(&p, &p.a, &bye, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.a, &bye, SIGNALLING_DROP_DUPLICATE);
        expect_bound(&p);
}

Test(signalling, one_restarts)
{
        Pair p = pair_bound();
        uint64_t dead = p.b.instance;
        Message last = stamped(&p.b, MESSAGE_ANSWER, 0), hello, offer, answer, old;

        signalling_init(&p.b, /* controlling= */ false);
        hello = stamped(&p.b, MESSAGE_HELLO, 0);
        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        cr_assert_eq(p.a.peer_instance, dead, "a hello proves nothing");
        offer = stamped(&p.a, MESSAGE_OFFER, hello.instance);
        expect(&p, &p.b, &offer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        answer = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &answer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);

        /* What the dead one said, held back until now. */
        expect(&p, &p.a, &last, SIGNALLING_DROP_STALE);
        old = stamped(&p.a, MESSAGE_OFFER, dead);
        expect(&p, &p.b, &old, SIGNALLING_DROP_STALE);
        expect_bound(&p);
}

Test(signalling, both_restart)
{
        Pair p = pair_bound();
        Message old = stamped(&p.a, MESSAGE_OFFER, 0), hello, offer, answer;

        signalling_init(&p.a, /* controlling= */ true);
        signalling_init(&p.b, /* controlling= */ false);
        hello = stamped(&p.b, MESSAGE_HELLO, 0);
        /* From a life of both that has passed: it costs an answer, as long as nobody is known. */
        expect(&p, &p.b, &old, SIGNALLING_SAY_HELLO);
        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        offer = stamped(&p.a, MESSAGE_OFFER, hello.instance);
        expect(&p, &p.b, &offer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        answer = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &answer, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.b, &old, SIGNALLING_DROP_STALE);
        expect_bound(&p);
}

/* Who is not bound tells one who still speaks to its past, so that a restart is noticed even if its hellos
 * drown.
 */
Test(signalling, unbound_answers_the_unaware)
{
        Pair p = pair_bound();
        Message offer, hello, challenge, last;

        signalling_init(&p.b, /* controlling= */ false);
        offer = stamped(&p.a, MESSAGE_OFFER, 0);
        expect(&p, &p.b, &offer, SIGNALLING_SAY_HELLO);
        hello = stamped(&p.b, MESSAGE_HELLO, offer.instance);
        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        challenge = stamped(&p.a, MESSAGE_OFFER, hello.instance);
        expect(&p, &p.b, &challenge, SIGNALLING_ACCEPT_NEW_INSTANCE);
        last = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &last, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);
}

/* An earlier self's answer, held back until a later self is believed in, changes nothing; delivered first,
 * it is believed, but does not lock the later one out. */
Test(signalling, withheld_answer_of_an_earlier_self)
{
        Pair p = pair_new();
        Signalling early = p.b, late;
        Message hello = stamped(&p.a, MESSAGE_HELLO, 0), from_early, from_late, challenge, last;

        expect(&p, &early, &hello, SIGNALLING_ANSWER_HELLO);
        from_early = stamped(&early, MESSAGE_HELLO, hello.instance);
        signalling_init(&late, /* controlling= */ false);
        expect(&p, &late, &hello, SIGNALLING_ANSWER_HELLO);
        from_late = stamped(&late, MESSAGE_HELLO, hello.instance);

        p.b = late;
        expect(&p, &p.a, &from_late, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.a, &from_early, SIGNALLING_ANSWER_HELLO);
        cr_assert_eq(p.a.peer_instance, late.instance);

        signalling_init(&p.a, /* controlling= */ true);
        hello = stamped(&p.a, MESSAGE_HELLO, 0);
        expect(&p, &early, &hello, SIGNALLING_ANSWER_HELLO);
        from_early = stamped(&early, MESSAGE_HELLO, hello.instance);
        expect(&p, &p.b, &hello, SIGNALLING_ANSWER_HELLO);
        from_late = stamped(&p.b, MESSAGE_HELLO, hello.instance);
        expect(&p, &p.a, &from_early, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.a, &from_late, SIGNALLING_ANSWER_HELLO);
        challenge = stamped(&p.a, MESSAGE_OFFER, from_late.instance);
        expect(&p, &p.b, &challenge, SIGNALLING_ACCEPT_NEW_INSTANCE);
        last = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &last, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);
}

/* Both know an instance of the other, but not the one that the other means. Any offer or hello leads out of
 * it.
 */
Test(signalling, bound_to_the_wrong_one)
{
        Pair p = pair_bound();
        Message m, n;

        p.a.peer_instance = 12345; /* as if an earlier self's answer had come first */
        m = stamped(&p.b, MESSAGE_HELLO, 0);
        expect(&p, &p.a, &m, SIGNALLING_ANSWER_HELLO);
        n = stamped(&p.a, MESSAGE_OFFER, m.instance);
        expect(&p, &p.b, &n, SIGNALLING_SAY_HELLO);
        m = stamped(&p.b, MESSAGE_HELLO, n.instance);
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT_NEW_INSTANCE);
        n = stamped(&p.a, MESSAGE_OFFER, 0);
        expect(&p, &p.b, &n, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);
}

Test(signalling, a_replayed_hello_changes_nothing)
{
        Pair p = pair_new();
        Message hello = stamped(&p.b, MESSAGE_HELLO, 0), reaction;
        Signalling before;

        signalling_init(&p.a, /* controlling= */ true);
        signalling_init(&p.b, /* controlling= */ false);
        p = pair_bound();
        before = p.a;
        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        cr_assert_eq(p.a.peer_instance, before.peer_instance);
        cr_assert_eq(p.a.instance, before.instance);
        cr_assert_eq(p.a.window, before.window);
        reaction = stamped(&p.a, MESSAGE_OFFER, hello.instance);
        expect(&p, &p.b, &reaction, SIGNALLING_DROP_STALE);
        expect(&p, &p.a, &hello, SIGNALLING_DROP_DUPLICATE);
        expect_bound(&p);
}

/* What the peer said before it knew us, and nobody delivered, is no reason to begin anew. */
Test(signalling, a_withheld_hello_changes_nothing)
{
        Pair p = pair_new();
        Message from_a = stamped(&p.a, MESSAGE_HELLO, 0), from_b = stamped(&p.b, MESSAGE_HELLO, 0), m;

        m = stamped(&p.b, MESSAGE_HELLO, from_a.instance);
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT_NEW_INSTANCE);
        m = stamped(&p.a, MESSAGE_OFFER, 0);
        expect(&p, &p.b, &m, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect_bound(&p);
        expect(&p, &p.a, &from_b, SIGNALLING_DROP_STALE);
        expect(&p, &p.b, &from_a, SIGNALLING_DROP_STALE);
        /* But one that has lost us since is heard. */
        m = stamped(&p.b, MESSAGE_HELLO, 0);
        m.to = 0;
        expect(&p, &p.a, &m, SIGNALLING_ANSWER_HELLO);
}

Test(signalling, roles)
{
        Pair p = pair_bound();
        Message offer = stamped(&p.b, MESSAGE_OFFER, 0), answer = stamped(&p.a, MESSAGE_ANSWER, 0);

        expect(&p, &p.a, &offer, SIGNALLING_DROP_ROLE);
        expect(&p, &p.b, &answer, SIGNALLING_DROP_ROLE);
        /* Not counted as seen. */
        offer.type = MESSAGE_ANSWER;
        expect(&p, &p.a, &offer, SIGNALLING_ACCEPT);
}

Test(signalling, window)
{
        Pair p = pair_bound();
        Message m = stamped(&p.b, MESSAGE_HELLO, 0);
        uint64_t base = 1000;

        m.sequence = base;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT); /* a jump over more than the window */
        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        m.sequence = base - 63;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        m.sequence = base - 64;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.sequence = 1;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.sequence = base + 1; /* base - 63 leaves */
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m.sequence = base - 63;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.sequence = base;
        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        m.sequence = base + 64; /* by 63: only base + 1 stays */
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m.sequence = base + 1;
        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        m.sequence = base + 128; /* by 64: nothing stays */
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m.sequence = base + 65;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m.sequence = base + 64;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.sequence = MESSAGE_SEQUENCE_MAX;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m.sequence = MESSAGE_SEQUENCE_MAX - 1;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
}

Test(signalling, messages_are_limited)
{
        Pair p = pair_bound();
        Message m;

        p.now += USEC_PER_MINUTE;
        for (size_t i = 0; i < SIGNALLING_MESSAGES_BURST; i++) {
                m = stamped(&p.b, MESSAGE_CANDIDATES, 0);
                expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
                /* Copies cost nothing. */
                for (size_t k = 0; k < 5; k++)
                        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        }
        m = stamped(&p.b, MESSAGE_CANDIDATES, 0);
        expect(&p, &p.a, &m, SIGNALLING_DROP_FLOOD);
        p.now += SIGNALLING_MESSAGES_INTERVAL;
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        m = stamped(&p.b, MESSAGE_CANDIDATES, 0);
        expect(&p, &p.a, &m, SIGNALLING_DROP_FLOOD);
}

Test(signalling, hellos_are_limited)
{
        Pair p = pair_bound();
        Message hello = { .type = MESSAGE_HELLO }, m;

        p.now += USEC_PER_MINUTE;
        for (size_t i = 0; i < SIGNALLING_HELLOS_BURST; i++) {
                hello.instance = 100 + i;
                hello.sequence = 1;
                expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
                for (size_t k = 0; k < 5; k++)
                        expect(&p, &p.a, &hello, SIGNALLING_DROP_DUPLICATE);
        }
        hello.sequence = 2;
        expect(&p, &p.a, &hello, SIGNALLING_DROP_FLOOD);
        /* Neither those that know us, nor the peer itself, suffer from it. */
        expect_bound(&p);
        hello.to = p.a.instance;
        for (size_t i = 0; i < SIGNALLING_CHALLENGES_BURST; i++) {
                hello.instance = 200 + i;
                expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        }
        hello.instance++;
        expect(&p, &p.a, &hello, SIGNALLING_DROP_FLOOD);
        m = stamped(&p.b, MESSAGE_ANSWER, 0);
        expect(&p, &p.a, &m, SIGNALLING_ACCEPT);
        p.now += SIGNALLING_HELLOS_INTERVAL;
        hello.to = 0;
        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
}

/* The believing is limited as well, and what was turned away for it may come again. */
Test(signalling, a_flood_does_not_change_the_belief)
{
        Pair p = pair_bound();
        Message hello = { .type = MESSAGE_HELLO, .instance = 5, .sequence = 1 }, m;

        expect(&p, &p.a, &hello, SIGNALLING_ANSWER_HELLO);
        hello.to = stamped(&p.a, MESSAGE_OFFER, hello.instance).instance;
        do
                m = stamped(&p.b, MESSAGE_HELLO, 0);
        while (signalling_judge(&p.a, &m, p.now) == SIGNALLING_ACCEPT);
        expect(&p, &p.a, &hello, SIGNALLING_DROP_FLOOD);
        cr_assert_eq(p.a.peer_instance, p.b.instance);
        p.now += SIGNALLING_MESSAGES_INTERVAL;
        expect(&p, &p.a, &hello, SIGNALLING_ACCEPT_NEW_INSTANCE);
        expect(&p, &p.a, &hello, SIGNALLING_DROP_DUPLICATE);
}

Test(signalling, unproven_without_answer)
{
        Pair p = pair_bound();
        Message m = { .type = MESSAGE_BYE, .instance = 5, .to = p.a.instance, .sequence = 1 };

        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.type = MESSAGE_CANDIDATES;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
        m.type = MESSAGE_HELLO;
        m.to = 99;
        expect(&p, &p.a, &m, SIGNALLING_DROP_STALE);
}

/* The peer that we believe in says hello as if it did not know us: it may have missed our answer. */
Test(signalling, hello_of_the_known)
{
        Pair p = pair_bound();
        Message m = stamped(&p.b, MESSAGE_HELLO, 0);

        m.to = 0;
        expect(&p, &p.a, &m, SIGNALLING_ANSWER_HELLO);
        expect(&p, &p.a, &m, SIGNALLING_DROP_DUPLICATE);
        cr_assert_eq(stamped(&p.a, MESSAGE_OFFER, m.instance).instance, p.a.instance);
        expect_bound(&p);
}

Test(signalling, verdicts_have_names)
{
        for (SignallingVerdict v = 0; v < _SIGNALLING_VERDICT_MAX; v++)
                cr_assert_eq(signalling_verdict_from_string(signalling_verdict_to_string(v)), v);
}

/* From here on: two peers that want a session with each other, over two rendezvous that lose, delay, reorder
 * and duplicate, with someone between who has recorded everything and plays it again; peers restart at any
 * time. Never may a message count twice, nor the word of an earlier self after that of a later one; and when
 * the restarts end the two must agree, while all the rest goes on. */

#define TICK (50 * USEC_PER_MSEC)
#define RETRY 20 /* ticks */
#define RENDEZVOUS 2
#define QUEUE_MAX 4096
#define RECORD_MAX 65536

/* A Message without its SDP. */
typedef struct Packet {
        MessageType type;
        uint64_t instance, for_instance, sequence, session;
        size_t id;
        size_t to; /* index of the receiver */
        unsigned life;
        unsigned due;
} Packet;

typedef struct Offer {
        uint64_t session;
        uint64_t to;
} Offer;

typedef struct End {
        Signalling s;
        unsigned life;    /* counts restarts */
        unsigned heard;   /* the latest life of the other that it believed, in this life */
        uint64_t session; /* established, as it sees it */
        Offer offers[2];  /* the last one to the peer that it believes in, and to one that it does not */
        unsigned retry;
} End;

typedef struct World {
        uint64_t random;
        unsigned tick;
        End ends[2];
        Packet *queue;
        size_t n_queue;
        Packet *record;
        size_t n_record;
        bool *accepted;         /* by id */
        unsigned loss, replays; /* per cent; replays per 100 ticks */
        bool shy; /* say hello to anyone when nothing works, instead of to whom one believes in */
} World;

static uint64_t world_random(World *w, uint64_t bound)
{
        w->random ^= w->random << 13;
        w->random ^= w->random >> 7;
        w->random ^= w->random << 17;
        return (w->random >> 11) % bound;
}

static void world_deliver_later(World *w, const Packet *p, unsigned delay)
{
        if (w->n_queue == QUEUE_MAX)
                return;
        w->queue[w->n_queue] = *p;
        w->queue[w->n_queue++].due = w->tick + delay;
}

static void world_send(World *w, size_t from, uint64_t to, MessageType type, uint64_t session)
{
        Packet p = { .to = !from, .life = w->ends[from].life, .id = w->n_record, .session = session };
        Message m = { .type = type };

        signalling_stamp(&w->ends[from].s, to, &m);
        if (w->shy && to == 0 && type == MESSAGE_HELLO)
                m.to = 0;
        p.type = type;
        p.instance = m.instance;
        p.for_instance = m.to;
        p.sequence = m.sequence;
        cr_assert_lt(w->n_record, RECORD_MAX);
        w->record[w->n_record++] = p;
        for (size_t i = 0; i < RENDEZVOUS; i++)
                for (size_t copies = world_random(w, 10) == 0 ? 2 : 1; copies > 0; copies--)
                        if (world_random(w, 100) >= w->loss)
                                world_deliver_later(w, &p, (unsigned) world_random(w, 12));
}

/* What we ask a peer for: the controlling end offers, the other wants to be offered something. */
static void world_ask(World *w, size_t i, uint64_t to)
{
        End *e = w->ends + i;
        Offer *offer;

        if (to == 0 && !w->shy)
                to = e->s.peer_instance;
        if (!e->s.controlling || to == 0) {
                world_send(w, i, to, MESSAGE_HELLO, 0);
                return;
        }
        offer = e->offers + (to != e->s.peer_instance);
        *offer = (Offer) { .session = 1 + world_random(w, UINT64_MAX >> 12), .to = to };
        world_send(w, i, to, MESSAGE_OFFER, offer->session);
}

static bool was_offered(const End *e, const Packet *p)
{
        for (size_t i = 0; i < ELEMENTSOF(e->offers); i++)
                if (e->offers[i].session == p->session && e->offers[i].to == p->instance)
                        return true;
        return false;
}

static void end_act(World *w, size_t i, const Packet *p)
{
        End *e = w->ends + i;

        if (p->type == MESSAGE_OFFER) {
                e->session = p->session;
                world_send(w, i, 0, MESSAGE_ANSWER, e->session);
        } else if (p->type == MESSAGE_ANSWER && was_offered(e, p))
                e->session = p->session;
        else if (p->type == MESSAGE_HELLO && e->session == 0 && e->offers[1].to != p->instance)
                world_ask(w, i, p->instance);
}

static void world_receive(World *w, const Packet *p)
{
        Message m = {
                .type = p->type, .instance = p->instance, .to = p->for_instance, .sequence = p->sequence
        };
        End *e = w->ends + p->to;
        SignallingVerdict verdict = signalling_judge(&e->s, &m, USEC_PER_HOUR + w->tick * TICK);

        if (verdict == SIGNALLING_ANSWER_HELLO)
                world_ask(w, p->to, p->instance);
        if (verdict == SIGNALLING_SAY_HELLO)
                world_send(w, p->to, p->instance, MESSAGE_HELLO, 0);
        if (verdict != SIGNALLING_ACCEPT && verdict != SIGNALLING_ACCEPT_NEW_INSTANCE)
                return;
        cr_assert_not(w->accepted[p->id], "message %zu counted twice", p->id);
        w->accepted[p->id] = true;
        cr_assert_geq(p->life, e->heard, "life %u believed after life %u", p->life, e->heard);
        e->heard = p->life;
        if (verdict == SIGNALLING_ACCEPT_NEW_INSTANCE)
                e->session = 0;
        end_act(w, p->to, p);
}

static bool world_connected(const World *w)
{
        const End *a = w->ends, *b = w->ends + 1;

        return a->session != 0 && a->session == b->session && a->s.peer_instance == b->s.instance &&
               b->s.peer_instance == a->s.instance;
}

static void world_restart(World *w, size_t i)
{
        w->ends[i] = (End) { .life = w->ends[i].life + 1 };
        signalling_init(&w->ends[i].s, /* controlling= */ i == 0);
}

static void world_tick(World *w)
{
        w->tick++;
        for (size_t i = 0; i < w->n_queue;) {
                Packet p = w->queue[i];

                if (p.due > w->tick) {
                        i++;
                        continue;
                }
                w->queue[i] = w->queue[--w->n_queue];
                world_receive(w, &p);
        }
        for (unsigned n = w->replays; n > 0 && w->n_record > 0; n -= MIN(n, 100U))
                if (world_random(w, 100) < n)
                        world_receive(w, w->record + world_random(w, w->n_record));
        for (size_t i = 0; i < 2; i++)
                if (!world_connected(w) && w->tick >= w->ends[i].retry) {
                        w->ends[i].retry = w->tick + RETRY / 2 + (unsigned) world_random(w, RETRY);
                        world_ask(w, i, 0);
                }
}

static World *world_new(uint64_t seed, unsigned loss, unsigned replays)
{
        World *w = new0(World, 1);

        cr_assert(w);
        *w = (World) {
                .random = seed * 0x9e3779b97f4a7c15 + 1,
                .loss = loss,
                .replays = replays,
                .shy = seed % 2,
                .queue = new (Packet, QUEUE_MAX),
                .record = new (Packet, RECORD_MAX),
                .accepted = new0(bool, RECORD_MAX),
        };
        cr_assert(w->queue && w->record && w->accepted);
        world_restart(w, 0);
        world_restart(w, 1);
        return w;
}

static World *world_free(World *w)
{
        free(w->queue);
        free(w->record);
        free(w->accepted);
        return mfree(w);
}

/* Ticks until the two agree. */
static unsigned world_settle(World *w, unsigned max)
{
        unsigned start = w->tick;

        while (!world_connected(w)) {
                cr_assert_lt(w->tick - start, max, "no session after %u ticks", max);
                world_tick(w);
        }
        return w->tick - start;
}

static void run_world(uint64_t seed, unsigned loss, unsigned replays, unsigned restarts)
{
        World *w = world_new(seed, loss, replays);

        for (unsigned i = 0; i < restarts; i++) {
                for (uint64_t n = world_random(w, 60); n > 0; n--)
                        world_tick(w);
                world_restart(w, world_random(w, 2));
        }
        /* What was still on its way may begin one more session; then it holds, whatever is replayed. */
        for (unsigned held = 0; held < 200;) {
                (void) world_settle(w, 4000);
                cr_assert_lt(w->tick, 20000, "no session lasts, seed %llu", (unsigned long long) seed);
                for (held = 0; held < 200 && world_connected(w); held++)
                        world_tick(w);
        }
        world_free(w);
}

Test(simulation, no_trouble)
{
        for (uint64_t seed = 1; seed <= 50; seed++)
                run_world(seed, /* loss= */ 0, /* replays= */ 0, /* restarts= */ 3);
}

Test(simulation, loss_and_restarts)
{
        for (uint64_t seed = 1; seed <= 50; seed++)
                run_world(seed, /* loss= */ 40, /* replays= */ 0, /* restarts= */ 10);
}

Test(simulation, replays)
{
        for (uint64_t seed = 1; seed <= 100; seed++)
                run_world(seed, /* loss= */ 20, /* replays= */ 20, /* restarts= */ 10);
}

Test(simulation, flood_of_replays)
{
        for (uint64_t seed = 1; seed <= 20; seed++)
                run_world(seed, /* loss= */ 20, /* replays= */ 500, /* restarts= */ 10);
}

Test(simulation, one_restarts_100_times)
{
        World *w = world_new(/* seed= */ 7, /* loss= */ 10, /* replays= */ 20);

        for (unsigned i = 0; i < 100; i++) {
                (void) world_settle(w, 4000);
                world_restart(w, 1);
        }
        (void) world_settle(w, 4000);
        cr_assert_eq(w->ends[0].life, 1);
        cr_assert_eq(w->ends[0].heard, 101);
        world_free(w);
}

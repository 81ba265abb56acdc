/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "signalling.h"

#include "random-util.h"

#define WINDOW_SIZE 64

static const char *const signalling_verdict_table[_SIGNALLING_VERDICT_MAX] = {
        [SIGNALLING_ACCEPT] = "accept",
        [SIGNALLING_ACCEPT_NEW_INSTANCE] = "accept-new-instance",
        [SIGNALLING_ANSWER_HELLO] = "answer-hello",
        [SIGNALLING_SAY_HELLO] = "say-hello",
        [SIGNALLING_DROP_DUPLICATE] = "drop-duplicate",
        [SIGNALLING_DROP_STALE] = "drop-stale",
        [SIGNALLING_DROP_FLOOD] = "drop-flood",
        [SIGNALLING_DROP_ROLE] = "drop-role",
};
DEFINE_STRING_TABLE(signalling_verdict, SignallingVerdict);

static uint64_t draw_instance(void)
{
        uint64_t instance;

        do
                instance = random_u64();
        while (instance == 0);
        return instance;
}

void signalling_init(Signalling *s, bool controlling)
{
        *s = (Signalling) {
                .controlling = controlling,
                .instance = draw_instance(),
                .messages = { .interval = SIGNALLING_MESSAGES_INTERVAL, .burst = SIGNALLING_MESSAGES_BURST },
                .hellos = { .interval = SIGNALLING_HELLOS_INTERVAL, .burst = SIGNALLING_HELLOS_BURST },
                .challenges = { .interval = SIGNALLING_CHALLENGES_INTERVAL,
                                .burst = SIGNALLING_CHALLENGES_BURST },
        };
}

/* How far below the highest is it? 0 for all above. */
static uint64_t window_distance(const Signalling *s, uint64_t sequence)
{
        return sequence < s->window_top ? s->window_top - sequence : 0;
}

static bool window_too_old(const Signalling *s, uint64_t sequence)
{
        return window_distance(s, sequence) >= WINDOW_SIZE;
}

static bool window_seen(const Signalling *s, uint64_t sequence)
{
        return sequence <= s->window_top && (s->window & (uint64_t) 1 << window_distance(s, sequence));
}

static void window_mark(Signalling *s, uint64_t sequence)
{
        uint64_t ahead;

        if (sequence > s->window_top) {
                ahead = sequence - s->window_top;
                s->window = ahead >= WINDOW_SIZE ? 0 : s->window << ahead;
                s->window_top = sequence;
        }
        s->window |= (uint64_t) 1 << window_distance(s, sequence);
}

static bool has_wrong_role(const Signalling *s, const Message *m)
{
        return m->type == (s->controlling ? MESSAGE_OFFER : MESSAGE_ANSWER);
}

/* What is to be done about a message that does not show that its sender is the peer as it is now. A goodbye
 * needs no answer, unless it is the only one that we shall ever get: then it has to be proven. Candidates
 * come in numbers, behind something else that gets one. */
static SignallingVerdict reaction(const Message *m)
{
        switch (m->type) {
        case MESSAGE_HELLO:
                return SIGNALLING_ANSWER_HELLO;
        case MESSAGE_OFFER:
        case MESSAGE_ANSWER:
                return SIGNALLING_SAY_HELLO;
        case MESSAGE_BYE:
                return m->network.policy == POLICY_OFF ? SIGNALLING_SAY_HELLO : SIGNALLING_DROP_STALE;
        default:
                return SIGNALLING_DROP_STALE;
        }
}

static bool was_answered(const Signalling *s, const Message *m)
{
        for (size_t i = 0; i < MIN(s->n_answered, (size_t) SIGNALLING_ANSWERED_MAX); i++)
                if (s->answered[i].instance == m->instance && s->answered[i].sequence == m->sequence)
                        return true;
        return false;
}

/* From the instance that we believe in. If it does not address us by what we are to it, it is fresh all the
 * same, but does not know, or has lost, what we are; unless it has said something later: then the answer
 * came long since, and whoever withheld this does not get to start anything with it. */
static SignallingVerdict judge_known(Signalling *s, const Message *m, usec_t t)
{
        if (window_too_old(s, m->sequence))
                return SIGNALLING_DROP_STALE;
        /* Or a late copy of what it said before we believed in it. */
        if (window_seen(s, m->sequence) || was_answered(s, m))
                return SIGNALLING_DROP_DUPLICATE;
        if (m->to != s->instance && m->sequence < s->window_top)
                return SIGNALLING_DROP_STALE;
        /* What is turned away here may come again, so it is not marked. */
        if (!ratelimit_ok(&s->messages, t))
                return SIGNALLING_DROP_FLOOD;
        window_mark(s, m->sequence);
        return m->to == s->instance ? SIGNALLING_ACCEPT : reaction(m);
}

/* The sender has answered an instance of ours that was not taken yet: it is the peer as it is now. */
static SignallingVerdict believe(Signalling *s, const Message *m, usec_t t)
{
        if (!ratelimit_ok(&s->messages, t))
                return SIGNALLING_DROP_FLOOD;
        s->instance = m->to;
        s->next = 0;
        s->peer_instance = m->instance;
        s->window_top = s->window = 0;
        window_mark(s, m->sequence);
        return SIGNALLING_ACCEPT_NEW_INSTANCE;
}

/* From an instance that we do not believe in: the peer's next self, or an earlier one that is replayed. */
static SignallingVerdict judge_unknown(Signalling *s, const Message *m, usec_t t)
{
        if (reaction(m) == SIGNALLING_DROP_STALE)
                return SIGNALLING_DROP_STALE;
        if (was_answered(s, m))
                return SIGNALLING_DROP_DUPLICATE;
        if (!ratelimit_ok(m->to == s->instance ? &s->challenges : &s->hellos, t))
                return SIGNALLING_DROP_FLOOD;
        s->answered[s->n_answered++ % SIGNALLING_ANSWERED_MAX] = (SignallingAnswered) {
                .instance = m->instance,
                .sequence = m->sequence,
        };
        return reaction(m);
}

static SignallingVerdict judge(Signalling *s, const Message *m, usec_t t)
{
        if (has_wrong_role(s, m))
                return SIGNALLING_DROP_ROLE;
        if (m->instance == s->peer_instance)
                return judge_known(s, m, t);
        if (m->to != 0 && m->to == (s->peer_instance == 0 ? s->instance : s->next))
                return believe(s, m, t);
        /* To answer what is for an instance of the past would be wrong while we are bound: a replayed hello
         * makes us say something to the dead, and the living must not take that up. While we are not, it is
         * from one who has not noticed that we started anew. */
        if (m->to == 0 || m->to == s->instance || s->peer_instance == 0)
                return judge_unknown(s, m, t);
        return SIGNALLING_DROP_STALE;
}

SignallingVerdict signalling_judge(Signalling *s, const Message *m, usec_t t)
{
        SignallingVerdict verdict = judge(s, m, t);

        s->counters[verdict]++;
        return verdict;
}

void signalling_stamp(Signalling *s, uint64_t to, Message *m)
{
        assert(s->sequence < MESSAGE_SEQUENCE_MAX);

        if (to == 0)
                to = s->peer_instance;
        m->instance = s->instance;
        if (s->peer_instance != 0 && to != s->peer_instance) {
                if (s->next == 0)
                        s->next = draw_instance();
                m->instance = s->next;
        }
        m->to = to;
        m->sequence = ++s->sequence;
}

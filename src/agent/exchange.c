/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "exchange.h"

#include "log-event.h"
#include "manager.h"
#include "peer-call.h"
#include "peer-policy.h"
#include "string-util.h"
#include "try.h"

bool exchange_is_busy(const Peer *peer)
{
        return peer->calls;
}

void exchange_free_early(Peer *peer)
{
        if (peer->early)
                erase(peer->early, sizeof(*peer->early));
        peer->early = mfree(peer->early);
}

void exchange_subscribe(Peer *peer, Rendezvous *r)
{
        int error;

        if (isempty(peer->topic_receive))
                return;
        error = rendezvous_subscribe(r, peer->topic_receive);
        if (error < 0)
                log_peer_full(peer, LOG_WARNING, error, "Failed to listen on %s, ignoring: %m", r->name);
}

/* Two links with the same keys and the same peer have the same topics: only the first can be told apart. */
static bool claim_topic(Peer *peer, const char *receive)
{
        Manager *m = peer->link->manager;
        Peer *other;

        HASH_FIND(hh_topic, m->peers_by_topic, receive, TOPIC_SIZE - 1, other);
        if (other) {
                log_peer_event(peer, LOG_WARNING, 0, LOG_EVENT_LINK_CONFLICT,
                               (LOG_FIELD("ICEWIRE_OTHER_LINK=%s", peer_link_name(other))),
                               "%s has the same keys; this one is left alone.", peer_link_name(other));
                return false;
        }
        strcpy(peer->topic_receive, receive);
        HASH_ADD(hh_topic, m->peers_by_topic, topic_receive[0], TOPIC_SIZE - 1, peer);
        return true;
}

static void on_topics(Broker *b, int error, const char *send, const char *receive, void *userdata)
{
        Peer *peer = peer_call_finish(userdata);
        Manager *m = peer->link->manager;

        if (error < 0) {
                log_peer_full(peer, error == -ENOKEY ? LOG_DEBUG : LOG_WARNING, error,
                              "Failed to derive the topics: %m");
                return;
        }
        if (strlen(send) != TOPIC_SIZE - 1 || strlen(receive) != TOPIC_SIZE - 1 ||
            !isempty(peer->topic_receive) || !claim_topic(peer, receive))
                return;
        strcpy(peer->topic_send, send);
        for (size_t i = 0; i < m->n_rendezvous; i++)
                exchange_subscribe(peer, m->rendezvous[i]);
        peer_update_reason(peer);
}

void exchange_start(Peer *peer)
{
        Broker *b = peer->link->manager->broker;
        PeerCall *c;
        int r;

        if (!isempty(peer->topic_receive) || wireguard_key_is_zero(&peer->link->public_key) || !b ||
            !b->connected)
                return;
        c = peer_call_new(peer);
        if (!c) {
                log_oom();
                return;
        }
        r = b->ops->derive_topics(b, peer->link->name, &peer->public_key, on_topics, c, &c->call);
        if (r < 0) {
                peer_call_free(c);
                log_peer_full(peer, LOG_WARNING, r, "Failed to ask for the topics: %m");
        }
}

void exchange_stop(Peer *peer)
{
        Manager *m = peer->link->manager;

        while (peer->calls)
                peer_call_free(peer->calls);
        if (isempty(peer->topic_receive))
                return;
        for (size_t i = 0; i < m->n_rendezvous; i++)
                (void) rendezvous_unsubscribe(m->rendezvous[i], peer->topic_receive);
        HASH_DELETE(hh_topic, m->peers_by_topic, peer);
        peer->topic_receive[0] = peer->topic_send[0] = '\0';
        manager_topics_released(m, peer);
}

static void on_sealed(Broker *b, int error, const void *envelope, size_t size, const char *text,
                      void *userdata)
{
        Peer *peer = peer_call_finish(userdata);
        Manager *m = peer->link->manager;
        bool sent = false;

        if (error < 0) {
                log_peer_full(peer, LOG_WARNING, error, "Failed to seal a message: %m");
                return;
        }
        for (size_t i = 0; i < m->n_rendezvous; i++)
                if (m->rendezvous[i]->state == RENDEZVOUS_STATE_UP &&
                    rendezvous_publish(m->rendezvous[i], peer->topic_send, envelope, size) >= 0)
                        sent = true;
        if (sent)
                peer->counters.envelopes_sent++;
        manager_check_stopped(m);
}

static int seal(Peer *peer, const char *body)
{
        Broker *b = peer->link->manager->broker;
        PeerCall *c;
        int r;

        if (!b || !b->connected)
                return -ENOTCONN;
        c = peer_call_new(peer);
        if (!c)
                return -ENOMEM;
        r = b->ops->seal(b, peer->link->name, &peer->public_key, body, strlen(body), on_sealed, c, &c->call);
        if (r < 0)
                peer_call_free(c);
        return r;
}

static void send_stamped(Peer *peer, const Message *m)
{
        _cleanup_erase_free_ char *body = NULL; /* has an ICE password */
        int r;

        if (isempty(peer->topic_send) || manager_n_rendezvous_up(peer->link->manager) == 0)
                return;
        r = message_format(m, &body);
        if (r >= 0)
                r = seal(peer, body);
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to send %s: %m",
                              message_type_to_string(m->type));
        else
                log_peer_full(peer, LOG_DEBUG, 0, "Sending %s.", message_type_to_string(m->type));
}

void exchange_send(Peer *peer, uint64_t to, Message *m)
{
        signalling_stamp(&peer->signalling, to, m);
        m->stranded = try_is_stranded(peer);
        peer_describe_network(peer, &m->network);
        send_stamped(peer, m);
}

void exchange_send_hello(Peer *peer, uint64_t to)
{
        Message m = { .type = MESSAGE_HELLO, .stranded = try_is_stranded(peer) };

        signalling_stamp(&peer->signalling, to, &m);
        peer_describe_network(peer, &m.network);
        /* Not an answer: whoever the peer is now is to hear it, also an instance that we do not know. */
        if (to == 0)
                m.to = 0;
        send_stamped(peer, &m);
}

static void handle_body(Peer *peer, const char *body, size_t size)
{
        _cleanup_(message_erase) Message m = {};
        _cleanup_free_ char *error = NULL;
        SignallingVerdict verdict;
        int r;

        peer->refused_since_accepted = false;
        r = message_parse(body, size, &m, &error);
        if (r < 0) {
                peer->counters.messages_malformed++;
                log_peer_full(peer, LOG_DEBUG, r, "Malformed message, ignoring: %s",
                              error ?: "out of memory");
                return;
        }
        verdict = signalling_judge(&peer->signalling, &m, now(CLOCK_BOOTTIME));
        log_peer_full(peer, LOG_DEBUG, 0, "Received %s: %s.", message_type_to_string(m.type),
                      signalling_verdict_to_string(verdict));
        if (peer_policy_refuses(peer, &m, verdict))
                return;
        if (verdict == SIGNALLING_SAY_HELLO)
                exchange_send_hello(peer, m.instance);
        else if (verdict <= SIGNALLING_ANSWER_HELLO)
                try_handle_message(peer, &m, verdict);
}

static void on_opened(Broker *b, int error, const void *body, size_t size, const char *text, void *userdata)
{
        Peer *peer = peer_call_finish(userdata);

        if (error >= 0) {
                handle_body(peer, body, size);
                return;
        }
        if (error != -EBADMSG) {
                log_peer_full(peer, LOG_WARNING, error, "Failed to open an envelope: %m");
                return;
        }
        peer->counters.envelopes_refused++;
        peer->refused_since_accepted = true;
        log_peer_full(peer, LOG_DEBUG, error, "Envelope refused: %s", text ?: "unknown error");
        peer_update_reason(peer);
}

bool exchange_receive(Peer *peer, size_t rendezvous_index, const void *envelope, size_t size)
{
        Manager *m = peer->link->manager;
        Broker *b = m->broker;
        PeerCall *c;
        int r;

        peer->counters.envelopes_received++;
        if (!ratelimit_ok(&peer->incoming[rendezvous_index], now(CLOCK_BOOTTIME)) ||
            size > EXCHANGE_OPENING_MAX - m->opening) {
                peer->counters.envelopes_flooded++;
                return false;
        }
        if (!b || !b->connected)
                return true;
        c = peer_call_new(peer);
        if (!c) {
                log_oom();
                return true;
        }
        peer_call_set_opening(c, size);
        r = b->ops->open(b, peer->link->name, &peer->public_key, envelope, size, on_opened, c, &c->call);
        if (r < 0) {
                peer_call_free(c);
                log_peer_full(peer, LOG_WARNING, r, "Failed to have an envelope opened: %m");
        }
        return true;
}

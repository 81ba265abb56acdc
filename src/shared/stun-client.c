/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun-client.h"

#include <stdio.h>

#include "alloc-util.h"
#include "event-util.h"
#include "stun-socket.h"
#include "stun-transaction.h"

/* Enough for a network that loses one or two. */
#define HAIRPIN_REQUESTS_MAX 3

/* One request under way. */
typedef struct Question {
        StunClient *client;
        SocketAddress to;
        StunTransaction transaction;
        sd_event_source *timer;
} Question;

struct StunClient {
        const StunClientCallbacks *callbacks;
        void *userdata;
        sd_event *event;
        StunSocket socket;
        StunAgent agent;
        Question questions[STUN_CLIENT_SERVERS_MAX]; /* free ones are closed */
        Question hairpin;
};

static void question_end(Question *q)
{
        stun_transaction_end(&q->transaction, &q->client->agent);
        event_disarm_timer(q->timer);
}

/* Both may free the client. */
static void question_answered(Question *q, int error, const SocketAddress *mapped, usec_t round_trip_time)
{
        StunClient *client = q->client;
        SocketAddress server = q->to;

        question_end(q);
        client->callbacks->answered(client, &server, error, mapped, round_trip_time, client->userdata);
}

static void hairpin_finish(StunClient *client, bool came)
{
        question_end(&client->hairpin);
        client->callbacks->hairpin(client, came, client->userdata);
}

static int question_send(Question *q);

static int on_question_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        Question *q = userdata;
        int r;

        r = question_send(q);
        if (r < 0)
                question_answered(q, r, /* mapped= */ NULL, USEC_INFINITY);
        return 0;
}

static int on_hairpin_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        Question *q = userdata;

        if (q->transaction.n_sent >= HAIRPIN_REQUESTS_MAX || question_send(q) < 0)
                hairpin_finish(q->client, /* came= */ false);
        return 0;
}

static int question_send(Question *q)
{
        StunClient *client = q->client;
        bool hairpin = q == &client->hairpin;
        usec_t wait;
        int r;

        r = stun_transaction_send(&q->transaction, client->socket.fd, &q->to, &wait);
        if (r < 0)
                return r;
        return event_arm_timer(client->event, &q->timer, wait,
                               hairpin ? on_hairpin_timer : on_question_timer, q,
                               hairpin ? "stun-hairpin" : "stun-question");
}

static int question_start(Question *q, const SocketAddress *to, const char *username)
{
        int r;

        question_end(q);
        q->to = *to;
        r = stun_transaction_start(&q->transaction, &q->client->agent, username);
        if (r < 0)
                return r;
        r = question_send(q);
        if (r < 0)
                question_end(q);
        return r;
}

/* ---- What comes ---- */

static Question *find_question(StunClient *client, const SocketAddress *to)
{
        for (size_t i = 0; i < ELEMENTSOF(client->questions); i++) {
                Question *q = client->questions + i;

                if (stun_transaction_is_open(&q->transaction) && socket_address_equal(&q->to, to))
                        return q;
        }
        return NULL;
}

/* Whatever way it took and however its source was changed: nobody else knows these bytes. */
static bool is_own_hairpin(const StunClient *client, const uint8_t *data, size_t size)
{
        const StunTransaction *t = &client->hairpin.transaction;

        return stun_transaction_is_open(t) && size == t->size && memcmp(data, t->request, size) == 0;
}

static bool on_received(uint8_t *data, size_t size, const SocketAddress *from, void *userdata)
{
        StunClient *client = userdata;
        SocketAddress mapped;
        Question *q;
        int r;

        if (is_own_hairpin(client, data, size)) {
                hairpin_finish(client, /* came= */ true);
                return true;
        }
        q = find_question(client, from);
        r = q ? stun_transaction_parse(&q->transaction, &client->agent, data, size, &mapped) : 0;
        if (r == 0)
                return false;
        if (r > 0 && mapped.sa.sa_family != client->socket.local.sa.sa_family)
                r = -EPROTO;
        question_answered(q, MIN(r, 0), r < 0 ? NULL : &mapped,
                          r < 0 ? USEC_INFINITY : usec_sub(now(CLOCK_BOOTTIME), q->transaction.sent));
        return true;
}

/* ---- Life ---- */

int stun_client_new(sd_event *event, const SocketAddress *local, const StunClientCallbacks *callbacks,
                    void *userdata, StunClient **ret)
{
        _cleanup_(stun_client_freep) StunClient *client = new0(StunClient, 1);
        int r;

        if (!client)
                return -ENOMEM;
        client->event = sd_event_ref(event);
        client->callbacks = callbacks;
        client->userdata = userdata;
        client->socket = STUN_SOCKET_CLOSED;
        for (size_t i = 0; i < ELEMENTSOF(client->questions); i++)
                client->questions[i].client = client;
        client->hairpin.client = client;
        stun_transaction_agent_init(&client->agent);
        r = stun_socket_open(&client->socket, event, local, "stun-client", on_received, client);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(client);
        return 0;
}

StunClient *stun_client_free(StunClient *client)
{
        if (!client)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(client->questions); i++)
                event_source_disable_unref(client->questions[i].timer);
        event_source_disable_unref(client->hairpin.timer);
        stun_socket_close(&client->socket);
        sd_event_unref(client->event);
        return mfree(client);
}

int stun_client_fd(const StunClient *client)
{
        return client->socket.fd;
}

const SocketAddress *stun_client_local(const StunClient *client)
{
        return &client->socket.local;
}

static Question *find_free_question(StunClient *client)
{
        for (size_t i = 0; i < ELEMENTSOF(client->questions); i++)
                if (!stun_transaction_is_open(&client->questions[i].transaction))
                        return client->questions + i;
        return NULL;
}

int stun_client_ask(StunClient *client, const SocketAddress *server)
{
        Question *q;

        if (server->sa.sa_family != client->socket.local.sa.sa_family)
                return -EAFNOSUPPORT;
        q = find_question(client, server) ?: find_free_question(client);
        return q ? question_start(q, server, /* username= */ NULL) : -ENOBUFS;
}

void stun_client_forget(StunClient *client, const SocketAddress *server)
{
        Question *q = find_question(client, server);

        if (q)
                question_end(q);
}

int stun_client_test_hairpin(StunClient *client, const char *ufrag, const SocketAddress *mapped)
{
        char username[64];

        if (mapped->sa.sa_family != client->socket.local.sa.sa_family)
                return -EAFNOSUPPORT;
        if (snprintf(username, sizeof(username), "%s:hairpin", ufrag) >= (int) sizeof(username))
                return -EINVAL;
        return question_start(&client->hairpin, mapped, username);
}

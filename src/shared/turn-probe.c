/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turn-probe.h"

#include <stun/stunagent.h>
#include <stun/usages/turn.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "stun-transaction.h"

#define MESSAGE_MAX 2048
/* Requests without credentials, with the nonce that the answer told, and with a newer one. */
#define REQUESTS_MAX 4
#define ERROR_FORBIDDEN 403
#define ERROR_QUOTA 486
#define ERROR_CAPACITY 508

struct TurnProbe {
        sd_event *event;
        turn_probe_callback_t callback;
        void *userdata;
        int type, fd;
        char *username, *password;
        sd_event_source *io;
        sd_event_source *timer;    /* repeats */
        sd_event_source *patience; /* ends */
        StunAgent agent;
        uint8_t request[MESSAGE_MAX], response[MESSAGE_MAX], challenge_bytes[MESSAGE_MAX];
        size_t request_size, request_sent, response_size;
        StunMessage challenge; /* the latest 401 or 438, in challenge_bytes */
        bool challenged;
        bool connected;
        bool allocated; /* and to be given back */
        unsigned n_requests, n_repeats;
        char reason[128];
};

/* libnice keeps there the key that it makes of the password. */
static void stun_message_erase(StunMessage *m)
{
        erase(m, sizeof(*m));
}

TurnProbe *turn_probe_free(TurnProbe *p)
{
        if (!p)
                return NULL;
        event_source_disable_unref(p->io);
        event_source_disable_unref(p->timer);
        event_source_disable_unref(p->patience);
        safe_close(p->fd);
        sd_event_unref(p->event);
        free(p->username);
        (void) erase_and_free_string(p->password);
        erase(p, sizeof(*p)); /* the key is in the agent as well */
        return mfree(p);
}

static void finish(TurnProbe *p, int error, const char *reason)
{
        p->io = event_source_disable_unref(p->io);
        p->timer = event_source_disable_unref(p->timer);
        p->patience = event_source_disable_unref(p->patience);
        p->fd = safe_close(p->fd);
        p->callback(p, error, error < 0 ? reason : NULL, p->userdata);
}

/* ---- requests ---- */

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata);

static int wait_for(TurnProbe *p, uint32_t events)
{
        return sd_event_source_set_io_events(p->io, events);
}

/* What TCP does not take now follows when it does; UDP is repeated. */
static int send_request(TurnProbe *p)
{
        ssize_t n;

        n = send(p->fd, p->request + p->request_sent, p->request_size - p->request_sent,
                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && !stun_errno_is_transient(errno))
                return -errno;
        if (p->type == SOCK_DGRAM)
                return event_arm_timer(p->event, &p->timer, STUN_RTO << MIN(p->n_repeats, 8U), on_timer, p,
                                       "turn-probe");
        p->request_sent += n > 0 ? (size_t) n : 0;
        return wait_for(p, p->request_sent < p->request_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        TurnProbe *p = userdata;
        int r;

        p->n_repeats++;
        r = send_request(p);
        if (r < 0)
                finish(p, r, strerror(-r));
        return 0;
}

static int start_request(TurnProbe *p)
{
        _cleanup_(stun_message_erase) StunMessage message = {};
        uint8_t *user = (uint8_t *) p->username, *password = (uint8_t *) p->password;
        StunMessage *challenge = p->challenged ? &p->challenge : NULL;
        size_t n;

        if (p->n_requests++ >= REQUESTS_MAX)
                return -ELOOP;
        if (p->allocated)
                n = stun_usage_turn_create_refresh(&p->agent, &message, p->request, sizeof(p->request),
                                                   challenge, /* lifetime= */ 0, user, strlen(p->username),
                                                   password, strlen(p->password),
                                                   STUN_USAGE_TURN_COMPATIBILITY_RFC5766);
        else
                n = stun_usage_turn_create(&p->agent, &message, p->request, sizeof(p->request), challenge,
                                           STUN_USAGE_TURN_REQUEST_PORT_NORMAL, /* bandwidth= */ -1,
                                           /* lifetime= */ -1, user, strlen(p->username), password,
                                           strlen(p->password), STUN_USAGE_TURN_COMPATIBILITY_RFC5766);
        if (n == 0)
                return -ENOBUFS;
        p->request_size = n;
        p->request_sent = 0;
        p->n_repeats = 0;
        return send_request(p);
}

/* ---- answers ---- */

static bool is_challenge(const StunMessage *m, int code)
{
        uint16_t size;

        return (code == STUN_ERROR_UNAUTHORIZED || code == STUN_ERROR_STALE_NONCE) &&
               stun_message_find(m, STUN_ATTRIBUTE_REALM, &size) &&
               stun_message_find(m, STUN_ATTRIBUTE_NONCE, &size);
}

/* Kept, since the next request takes realm and nonce from it. */
static int take_challenge(TurnProbe *p, const StunMessage *m)
{
        size_t size = stun_message_length(m);

        if (size > sizeof(p->challenge_bytes))
                return -EPROTO;
        memcpy(p->challenge_bytes, m->buffer, size);
        p->challenge = *m;
        p->challenge.buffer = p->challenge_bytes;
        p->challenge.buffer_len = sizeof(p->challenge_bytes);
        p->challenged = true;
        return start_request(p);
}

static int take_error(TurnProbe *p, const StunMessage *m)
{
        int code = 0;

        if (stun_message_find_error(m, &code) != STUN_MESSAGE_RETURN_SUCCESS)
                return -EPROTO;
        if (is_challenge(m, code) && (!p->challenged || code == STUN_ERROR_STALE_NONCE))
                return take_challenge(p, m);
        switch (code) {
        case STUN_ERROR_UNAUTHORIZED:
                snprintf(p->reason, sizeof(p->reason), "it refuses the user name or the password");
                return -EACCES;
        case ERROR_FORBIDDEN:
                snprintf(p->reason, sizeof(p->reason), "it gives this user no allocation (error 403)");
                return -EACCES;
        case ERROR_QUOTA:
                snprintf(p->reason, sizeof(p->reason), "this user has too many allocations (error 486)");
                return -EDQUOT;
        case ERROR_CAPACITY:
                snprintf(p->reason, sizeof(p->reason), "it has no capacity left (error 508)");
                return -EDQUOT;
        default:
                snprintf(p->reason, sizeof(p->reason), "it answers with error %i", code);
                return -EPROTO;
        }
}

/* 1: all is said; 0: goes on, or was no answer; or an error. */
static int take_response(TurnProbe *p, const uint8_t *data, size_t size)
{
        _cleanup_(stun_message_erase) StunMessage m = {};
        StunValidationStatus status;

        status = stun_agent_validate(&p->agent, &m, data, size, /* validater= */ NULL,
                                     /* validater_data= */ NULL);
        if (status == STUN_VALIDATION_UNAUTHORIZED || status == STUN_VALIDATION_UNAUTHORIZED_BAD_REQUEST) {
                snprintf(p->reason, sizeof(p->reason), "its answer is not signed with the password");
                return -EACCES;
        }
        if (status != STUN_VALIDATION_SUCCESS)
                return 0;
        event_disarm_timer(p->timer);
        if (stun_message_get_class(&m) == STUN_ERROR)
                return take_error(p, &m);
        if (p->allocated)
                return 1;
        p->allocated = true;
        return start_request(p);
}

/* The length of the STUN message at the start of what came; 0: not known yet. */
static size_t message_size(const TurnProbe *p)
{
        if (p->response_size < STUN_MESSAGE_HEADER_LENGTH)
                return 0;
        return STUN_MESSAGE_HEADER_LENGTH + (size_t) (p->response[2] << 8 | p->response[3]);
}

static int take_stream(TurnProbe *p)
{
        int r = 0;

        for (size_t n; r == 0 && (n = message_size(p)) > 0;) {
                uint8_t message[MESSAGE_MAX];

                if (n > sizeof(p->response))
                        return -EPROTO;
                if (p->response_size < n)
                        return 0;
                memcpy(message, p->response, n);
                p->response_size -= n;
                memmove(p->response, p->response + n, p->response_size);
                r = take_response(p, message, n);
        }
        return r;
}

static int receive(TurnProbe *p)
{
        size_t start = p->type == SOCK_STREAM ? p->response_size : 0;
        ssize_t n;

        n = recv(p->fd, p->response + start, sizeof(p->response) - start, MSG_DONTWAIT);
        if (n < 0)
                return stun_errno_is_transient(errno) ? 0 : -errno;
        if (p->type == SOCK_DGRAM)
                return take_response(p, p->response, (size_t) n);
        if (n == 0)
                return -ECONNRESET;
        p->response_size += (size_t) n;
        return take_stream(p);
}

static int finish_connect(TurnProbe *p)
{
        socklen_t size = sizeof(int);
        int error = 0;

        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        if (error)
                return -error;
        p->connected = true;
        return start_request(p);
}

static const char *explain(const TurnProbe *p, int error)
{
        if (*p->reason)
                return p->reason;
        switch (error) {
        case -ECONNRESET:
                return "it closed the connection";
        case -ELOOP:
        case -EPROTO:
                return "its answers make no sense";
        default:
                return strerror(-error);
        }
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        TurnProbe *p = userdata;
        int r = 0;

        if (!p->connected)
                r = finish_connect(p);
        else if (revents & EPOLLOUT)
                r = send_request(p);
        if (r >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = receive(p);
        if (r > 0)
                finish(p, 0, /* reason= */ NULL);
        else if (r < 0)
                finish(p, p->allocated ? 0 : r, explain(p, r));
        return 0;
}

/* An allocation that could not be given back runs out by itself. */
static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
        TurnProbe *p = userdata;

        finish(p, p->allocated ? 0 : -ETIMEDOUT, "no answer");
        return 0;
}

static int open_socket(TurnProbe *p, const SocketAddress *server)
{
        int r;

        p->fd = socket(server->sa.sa_family, p->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->fd < 0)
                return -errno;
        if (connect(p->fd, &server->sa, socket_address_length(server)) < 0 && errno != EINPROGRESS)
                return -errno;
        p->connected = p->type == SOCK_DGRAM;
        r = event_add_io(p->event, &p->io, p->fd, p->connected ? EPOLLIN : EPOLLOUT, on_io, p,
                         "turn-probe-io");
        if (r < 0)
                return r;
        return event_arm_timer(p->event, &p->patience, TURN_PROBE_PATIENCE, on_patience, p,
                               "turn-probe-patience");
}

int turn_probe_new(sd_event *event, int type, const SocketAddress *server, const char *username,
                   const char *password, turn_probe_callback_t callback, void *userdata, TurnProbe **ret)
{
        _cleanup_(turn_probe_freep) TurnProbe *p = new0(TurnProbe, 1);
        int r;

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        p->callback = callback;
        p->userdata = userdata;
        p->type = type;
        p->fd = -EBADF;
        p->username = strdup(username);
        p->password = strdup(password);
        if (!p->username || !p->password)
                return -ENOMEM;
        stun_agent_init(&p->agent, STUN_ALL_KNOWN_ATTRIBUTES, STUN_COMPATIBILITY_RFC5389,
                        STUN_AGENT_USAGE_LONG_TERM_CREDENTIALS);
        r = open_socket(p, server);
        if (r >= 0 && p->connected)
                r = start_request(p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

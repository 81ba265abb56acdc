/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink.h>

#include "broker-client.h"
#include "path-watch.h"
#include "varlink-broker.h"

/* What the parts of the broker's client have for each other: that it is there, and comes back
 * (broker-client.c), its connections (broker-client-channel.c), what is asked (broker-client-requests.c) and
 * answered (broker-client-answers.c), and what is told (broker-client-events.c). */

typedef struct BrokerClient BrokerClient;

typedef enum BrokerChannelKind {
        CHANNEL_WATCH,
        CHANNEL_INSTANT, /* answered at once */
        CHANNEL_LINK,    /* answered when a link answers */
        CHANNEL_SOCKETS, /* one call at a time: sd-varlink would give a call's descriptors to the one before
                            it */
        _CHANNEL_MAX,
} BrokerChannelKind;

typedef struct BrokerChannel {
        BrokerClient *client;
        BrokerChannelKind kind;
        sd_varlink *link;
        BrokerCall *calls; /* in the order in which they are answered; behind them those not yet sent */
        sd_event_source *flush;
} BrokerChannel;

struct BrokerClient {
        Broker broker; /* the first member, so that one pointer serves for both */
        sd_event *event;
        char *path;
        BrokerChannel channels[_CHANNEL_MAX];
        PathWatch *path_watch;
        sd_event_source *retry;
        sd_event_source *impatience;
        usec_t retry_delay;
        bool told; /* that it is lost */
        int error; /* of the last attempt */
};

typedef enum CallKind {
        CALL_DATA,
        CALL_DONE,
        CALL_TOPICS,
        CALL_DEVICE,
        CALL_REDIRECT,
        CALL_MOVE,
} CallKind;

struct BrokerCall {
        Broker *broker;
        CallKind kind;
        const char *field; /* CALL_DATA: which one of the answer */
        union {
                broker_data_callback_t data;
                broker_done_callback_t done;
                broker_topics_callback_t topics;
                broker_device_callback_t device;
                broker_redirect_callback_t redirect;
                broker_move_callback_t move;
        } callback;
        void *userdata;
        bool abandoned;              /* nobody wants the answer, but it still comes, in its turn */
        bool regardless;             /* it is to be made all the same */
        const char *method;          /* static */
        sd_json_variant *parameters; /* not yet sent; NULL: sent */
        int fds[BROKER_FDS_MAX];     /* that go with it; owned duplicates, until it is sent */
        size_t n_fds;
        BrokerCall *prev, *next;
};

/* --- broker-client.c --- */

/* A connection broke, which costs all of them: every call ends, and it is tried again later. */
void broker_client_lose(BrokerClient *c, int error);

/* Every link was told. */
void broker_client_ready(BrokerClient *c);

Broker *broker_client_free(Broker *b);

/* --- broker-client-channel.c --- */

int broker_channel_connect(BrokerChannel *channel);
void broker_channel_close(BrokerChannel *channel);

/* Sends a call whose kind, callback, userdata and descriptors stand in `prototype`; method is static, ret
 * may be NULL. On success the descriptors are the call's. -ENOTCONN, -ENOMEM. */
int broker_client_call(Broker *b, BrokerChannelKind kind, const char *method, sd_json_variant *parameters,
                       const BrokerCall *prototype, BrokerCall **ret);

/* Those that are left, in their order: with this error, or without a word to anybody. */
void broker_channel_end_calls(BrokerChannel *channel, int error);
void broker_channel_forget_calls(BrokerChannel *channel);

/* --- broker-client-requests.c --- */

extern const BrokerOps broker_client_ops;

/* --- broker-client-answers.c --- */

/* The end of a call that is in no list any more. v: the answer's parameters, unless there is an error. */
void broker_call_finish(BrokerCall *call, int error, sd_json_variant *v);
/* The same without a word to anybody. */
void broker_call_destroy(BrokerCall *call);

/* What an error's identifier means: icewire-broker's, or (local) sd-varlink's, which ends the connection. */
int broker_client_error(const char *id, sd_json_variant *parameters, sd_varlink_reply_flags_t flags);

/* Lent; NULL: there is no such string. */
const char *broker_string_field(sd_json_variant *v, const char *name);

/* --- broker-client-events.c --- */

int broker_client_on_watch(sd_varlink *link, sd_json_variant *v, const char *error_id,
                           sd_varlink_reply_flags_t flags, void *userdata);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker-manager.h"
#include "broker-redirect.h"
#include "ratelimit.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* The server of org.icewire.Broker: who may call, who watches. The methods are in broker-methods.c and
 * redirect-methods.c. */

/* Connections in all, and for each user; strangers, who are only told that they may not, get few together.
 */
#define BROKER_CONNECTIONS_MAX 64U
#define BROKER_CONNECTIONS_PER_USER_MAX 24U
#define BROKER_CONNECTIONS_STRANGERS_MAX 8U

/* Of initiations that are told: so many at once, and one each so often. Of thousands of peers that all do
 * not answer, what is told for some is enough. */
#define BROKER_INITIATIONS_BURST 64U
#define BROKER_INITIATIONS_INTERVAL (50 * USEC_PER_MSEC)

typedef struct BrokerServer BrokerServer;
typedef struct BrokerRequest BrokerRequest;

struct BrokerServer {
        BrokerManager *manager;   /* lent, outlives the server; set before the loop runs */
        BrokerRedirect *redirect; /* likewise */
        sd_varlink_server *server;
        uid_t user; /* who is served beside root; UID_INVALID: nobody */
        unsigned strangers;
        VarlinkWatchers watchers;
        VarlinkWatchers early;           /* came before the manager was settled */
        VarlinkWatchers redirecting;     /* SetRedirect, likewise */
        sd_event_source *redirect_check; /* NULL until the first SetRedirect */
        sd_event_source *move_expiry;    /* NULL until the first MoveSource */
        RateLimit initiations;           /* that are told */
        usec_t redirect_checked;         /* CLOCK_BOOTTIME; set beside `redirect` */
        BrokerRequest *requests;         /* that wait for a link; owned, an utlist */
};

#define UID_INVALID ((uid_t) - 1)

int broker_server_new(sd_event *event, uid_t user, BrokerServer **ret);
BrokerServer *broker_server_free(BrokerServer *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(BrokerServer *, broker_server_free);

/* 1: on sockets from systemd; 0: at `path`. */
int broker_server_listen(BrokerServer *s, const char *path);

/* What the manager tells, for its callbacks; userdata is the server. */
extern const BrokerManagerCallbacks broker_server_manager_callbacks;

/* 0, or the answer NotAllowed was given: return it. */
int broker_server_check_caller(BrokerServer *s, sd_varlink *link);

/* The same, and reads the parameters by the table into userdata; 0, or an answer was given: return it. */
int broker_server_parse(BrokerServer *s, sd_varlink *link, sd_json_variant *parameters,
                        const sd_json_dispatch_field *table, void *userdata);

/* The methods, and what they have under way. */
int broker_methods_bind(sd_varlink_server *server);
void broker_requests_cancel(BrokerServer *s, sd_varlink *link); /* link NULL: all */

int broker_method_watch_links(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata);
int broker_method_set_redirect(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata);
int broker_method_add_sockets(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata);
int broker_method_remove_sockets(sd_varlink *link, sd_json_variant *parameters,
                                 sd_varlink_method_flags_t flags, void *userdata);

int broker_method_move_source(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata);

/* The UDP sockets that came with this call, lent: the connection closes them after the call. 0, or the
 * answer was given (there are none, too many, or something else): return it. */
int broker_peek_udp_sockets(sd_varlink *link, int ret_fds[static BROKER_FDS_MAX], size_t *ret_n);

/* To all watchers: SetRedirect may give another answer now. */
void broker_server_tell_redirect(BrokerServer *s);

/* Tells all watchers of the handshake initiations that the redirect sees from now on; `redirect` is set. */
int broker_server_watch_initiations(BrokerServer *s, sd_event *event);

/* SetRedirect calls that came too early; see `redirecting`. */
void broker_server_resume_redirecting(BrokerServer *s);

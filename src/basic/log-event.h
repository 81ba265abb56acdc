/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "log.h"

/* The kinds of events that somebody may wait for, or want explained: each has a MESSAGE_ID in the journal
 * (journalctl MESSAGE_ID=…), a name (journalctl ICEWIRE_EVENT=path-changed), and a text in the catalog
 * (journalctl --catalog; data/icewire.catalog, which a test compares with this). */

typedef enum LogEvent {
        LOG_EVENT_STARTED,               /* the daemon is ready */
        LOG_EVENT_STOPPING,              /* it has been told to stop */
        LOG_EVENT_START_FAILED,          /* it cannot do its work, and ends */
        LOG_EVENT_UNFIT,                 /* a part of it has stopped: the watchdog is no longer fed */
        LOG_EVENT_RELOADED,              /* the configuration was read again */
        LOG_EVENT_RELOAD_FAILED,         /* it could not be; the one before stays */
        LOG_EVENT_CONFIGURATION_PROBLEM, /* a line of it is wrong, and left out */
        LOG_EVENT_SECRET_PROBLEM, /* a password or the like cannot be read, is missing, or is not kept well
                                   */
        LOG_EVENT_BROKER_READY,   /* icewired has the broker, and knows all links */
        LOG_EVENT_BROKER_LOST,    /* icewired has no broker */
        LOG_EVENT_LINK_APPEARED,
        LOG_EVENT_LINK_GONE,
        LOG_EVENT_LINK_KEY_CHANGED, /* its private key is another one, or there is none */
        LOG_EVENT_LINK_CONFLICT,    /* another link has the same keys and peer */
        LOG_EVENT_REDIRECT_SETTLED, /* how ICE shares WireGuard's port is known */
        LOG_EVENT_REDIRECT_LOST,    /* it does not: every path is a proxied one */
        LOG_EVENT_RENDEZVOUS_UP,
        LOG_EVENT_RENDEZVOUS_DOWN,
        LOG_EVENT_RENDEZVOUS_LIMITED,  /* it is up, and not as good as it should be */
        LOG_EVENT_CERTIFICATE_REFUSED, /* that of a server, by us */
        LOG_EVENT_RELAY_WORKS,         /* a TURN server, after it did not */
        LOG_EVENT_RELAY_UNREACHABLE,
        LOG_EVENT_RELAY_REFUSED,  /* it gives no allocation, or refuses who asks */
        LOG_EVENT_SERVER_UNKNOWN, /* the name of a STUN or TURN server has no address */
        LOG_EVENT_PATH_CHANGED,
        LOG_EVENT_PATH_DEAD,    /* nothing comes by it any more */
        LOG_EVENT_PATH_ALIVE,   /* something does again */
        LOG_EVENT_PATH_REFUTED, /* ICE gets through by it, WireGuard does not */
        LOG_EVENT_PEER_CONNECTED,
        LOG_EVENT_PEER_NOT_DIRECT,   /* a peer has no direct path for another reason than before */
        LOG_EVENT_PEER_LEFT,         /* it said goodbye */
        LOG_EVENT_ENDPOINT_RESTORED, /* what others have set did not work, ours is set again */
        LOG_EVENT_POLICY_CHANGED,    /* a peer's, here or there */
        LOG_EVENT_HOST_RESUMED,      /* it has slept */
        _LOG_EVENT_MAX,
        _LOG_EVENT_INVALID = -EINVAL,
} LogEvent;

/* Its 128-bit ID, as 32 hexadecimal digits, and its name; NULL for what is no event. */
const char *log_event_id(LogEvent event);
const char *log_event_name(LogEvent event);

/* Both as fields of the journal. */
const char *log_event_field_id(LogEvent event);
const char *log_event_field_name(LogEvent event);

/* What an event's message may say in the journal besides, each with LOG_FIELD(), all of them in parentheses;
 * () for none. */
#define LOG_EVENT_FIELDS(...) __VA_OPT__(__VA_ARGS__, )

/* Like log_full_errno(), as an event of this kind:
 *
 *     log_event(LOG_INFO, 0, LOG_EVENT_LINK_GONE, (LOG_FIELD("ICEWIRE_LINK=%s", name)), "%s is gone.",
 * name);
 */
#define log_event(level, error, event, fields, ...)                                                         \
        log_full_fields(level, error,                                                                       \
                        ((const char *const[]) { log_event_field_id(event), log_event_field_name(event),    \
                                                 LOG_EVENT_FIELDS fields NULL }),                           \
                        __VA_ARGS__)

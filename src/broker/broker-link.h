/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker-poll.h"
#include "broker-secrets.h"
#include "wireguard-netlink.h"

/* One WireGuard link as it was last read, and its readings. A link is *known*, that is shown to others, from
 * its first good reading until one says that nobody is there. */

typedef struct BrokerManager BrokerManager;
typedef struct BrokerLink BrokerLink;
typedef struct BrokerRead BrokerRead;

struct BrokerLink {
        BrokerManager *manager;
        char name[IF_NAMESIZE];
        WireguardKind kind;
        int ifindex;             /* 0: a UAPI socket without an interface */
        bool up;                 /* of the interface */
        WireguardDevice *device; /* without secrets; NULL: not known */
        BrokerSecrets *secrets;
        BrokerPoll poll;
        sd_event_source *timer;
        WireguardCall *reading; /* under way */
        bool polled;            /* it is of our own accord */
        bool again;             /* something happened since it began */
        unsigned failures;      /* in a row */
        bool hung;              /* the last call to it was not answered in time */
        bool tried;             /* a first reading ended */
        BrokerRead *waiting;    /* for the reading that begins next */
        BrokerRead *served;     /* by the one under way */
        BrokerLink *prev, *next;
};

/* Adds a link to the manager and begins to read it. ifindex 0: unknown. -ENOMEM. */
int broker_link_new(BrokerManager *m, const char *name, WireguardKind kind, int ifindex);

/* Takes it out of the manager and ends what waits for it with -ENODEV. */
BrokerLink *broker_link_free(BrokerLink *link);
/* The same, and tells that it is gone if it was known. */
void broker_link_remove(BrokerLink *link);

/* Reads it again now, or once more if a reading is under way; from then on at the quick pace. */
void broker_link_refresh(BrokerLink *link);

/* The same, at the pace that there is: what was written to it, if anything, tells how to go on. */
void broker_link_look(BrokerLink *link);

/* rtnetlink's news of the interface. */
void broker_link_set_name(BrokerLink *link, const char *name);
void broker_link_set_interface(BrokerLink *link, int ifindex, bool up);

/* It has not answered a call in time. From then on calls to it fail at once with -ETIMEDOUT, since those
 * that wait hold up what their callers want of other links; until a reading, tried again and again,
 * succeeds. */
void broker_link_set_hung(BrokerLink *link);

/* Calls back after a reading that began after this call. error: 0; -ENODEV: the link is gone, `link` is
 * NULL; or why it could not be read. Never from inside; the handle is gone then. Freeing it before means no
 * callback. Returns -ETIMEDOUT (it hangs), -ENOMEM. */
typedef void (*broker_read_callback_t)(int error, BrokerLink *link, void *userdata);
int broker_link_read(BrokerLink *link, broker_read_callback_t callback, void *userdata, BrokerRead **ret);
BrokerRead *broker_read_free(BrokerRead *read);

/* As wireguard_netlink_set_endpoint(), by whichever way the link has; a peer to which that would not help
 * for seconds is made anew (peer-renewal.h). -ETIMEDOUT: it hangs. */
int broker_link_set_endpoint(BrokerLink *link, const WireguardKey *peer, const SocketAddress *endpoint,
                             int keepalive, wireguard_done_callback_t callback, void *userdata,
                             WireguardCall **ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker-link.h"
#include "device-watch.h"
#include "ratelimit.h"
#include "rtnl.h"
#include "uapi-folder.h"

/* All WireGuard links of this network namespace: those of the kernel, found by rtnetlink, and those with a
 * UAPI socket, found by inotify. Where both have one name the kernel's counts. */

typedef struct BrokerManager BrokerManager;

typedef struct BrokerManagerCallbacks {
        /* A link is new, or its configuration, an endpoint, a handshake or its being up changed. */
        void (*link_changed)(BrokerManager *m, BrokerLink *link, void *userdata);
        void (*link_removed)(BrokerManager *m, const char *name, void *userdata);
        /* Once: every link that existed at the start was read, or could not be. */
        void (*settled)(BrokerManager *m, void *userdata);
} BrokerManagerCallbacks;

struct BrokerManager {
        sd_event *event;
        char *uapi_path;
        RtnlMonitor *rtnl;
        WireguardNetlink *wireguard;
        UapiFolder *folder;
        DeviceWatch *watch; /* owned; NULL: the kernel's devices are read now and then alone */
        RateLimit written;  /* readings because something was written */
        bool written_again; /* beyond that: one is due */
        sd_event_source *written_timer;
        BrokerLink *links; /* owned, an utlist */
        bool enumerated;   /* rtnetlink told all links */
        bool settled;
        const BrokerManagerCallbacks *callbacks;
        void *userdata;
};

/* `uapi_path`: the folder of the UAPI sockets. No callback comes from inside. */
int broker_manager_new(sd_event *event, const char *uapi_path, const BrokerManagerCallbacks *callbacks,
                       void *userdata, BrokerManager **ret);
BrokerManager *broker_manager_free(BrokerManager *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(BrokerManager *, broker_manager_free);

/* NULL if there is none of that name that could be read. */
BrokerLink *broker_manager_find(const BrokerManager *m, const char *name);

/* From now on what others write to devices of the kernel is seen at once. Takes ownership of what
 * device_watch_new() has made, also when it fails, which is no more than a pity. */
int broker_manager_set_watch(BrokerManager *m, DeviceWatch *watch);
/* A link of the kernel's was read, so that it is known what generic netlink calls them. */
void broker_manager_tell_family(BrokerManager *m);

/* Looks at everything again: sockets and every link. */
void broker_manager_refresh(BrokerManager *m);

/* What the links tell. */
void broker_manager_link_changed(BrokerManager *m, BrokerLink *link);
void broker_manager_link_removed(BrokerManager *m, const char *name);
void broker_manager_check_settled(BrokerManager *m);

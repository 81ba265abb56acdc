/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <uthash.h>

#include "rendezvous.h"

/* The topics that a rendezvous listens to; NULL is the empty set. */

typedef struct Subscription {
        char topic[RENDEZVOUS_TOPIC_LENGTH + 1];
        bool told; /* to the far end, on this connection; multicast: to our own side */
        int mid;   /* MQTT: in this packet, as number `index` */
        size_t index;
        UT_hash_handle hh;
} Subscription;

/* 1: it was added, 0: it was there. -EINVAL: not a topic; -ENOMEM. */
int subscription_add(Subscription **set, const char *topic);

/* Lent; NULL if there is none. Anything may be asked for. */
Subscription *subscription_find(Subscription *set, const char *topic);

void subscription_remove(Subscription **set, Subscription *s);

/* Another connection, or nobody who hears us any more: each is to be told again. */
void subscription_forget_told(Subscription *set);

void subscription_clear(Subscription **set);

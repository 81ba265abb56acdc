/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "subscription.h"

#include "alloc-util.h"

Subscription *subscription_find(Subscription *set, const char *topic)
{
        Subscription *s;

        HASH_FIND_STR(set, topic, s);
        return s;
}

int subscription_add(Subscription **set, const char *topic)
{
        Subscription *s;

        if (!rendezvous_topic_is_valid(topic))
                return -EINVAL;
        if (subscription_find(*set, topic))
                return 0;
        s = new0(Subscription, 1);
        if (!s)
                return -ENOMEM;
        memcpy(s->topic, topic, sizeof(s->topic));
        HASH_ADD_STR(*set, topic, s);
        return 1;
}

void subscription_remove(Subscription **set, Subscription *s)
{
        HASH_DEL(*set, s);
        free(s);
}

void subscription_forget_told(Subscription *set)
{
        for (Subscription *s = set; s; s = s->hh.next)
                s->told = false;
}

void subscription_clear(Subscription **set)
{
        Subscription *s, *next;

        HASH_ITER(hh, *set, s, next)
        {
                subscription_remove(set, s);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-call.h"

#include <utlist.h>

#include "manager.h"

PeerCall *peer_call_new(Peer *peer)
{
        PeerCall *c = new0(PeerCall, 1);

        if (!c)
                return NULL;
        c->peer = peer;
        c->move = peer->move;
        DL_APPEND(peer->calls, c);
        return c;
}

void peer_call_set_opening(PeerCall *c, size_t size)
{
        c->opening = size;
        c->peer->link->manager->opening += size;
}

PeerCall *peer_call_free(PeerCall *c)
{
        if (!c)
                return NULL;
        broker_call_free(c->call);
        c->peer->link->manager->opening -= c->opening;
        DL_DELETE(c->peer->calls, c);
        free(c);
        return NULL;
}

Peer *peer_call_finish(PeerCall *c)
{
        Peer *peer = c->peer;

        c->call = NULL;
        peer_call_free(c);
        return peer;
}

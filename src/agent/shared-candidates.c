/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "shared-candidates.h"

#include <stdio.h>

#include "link-mappings.h"
#include "sdp.h"

static bool is_shared(const IceCandidate *c)
{
        return c->type == ICE_CANDIDATE_HOST && c->transport == ICE_TRANSPORT_UDP;
}

/* To our libnice, which discovers it, a candidate at the link's port is peer-reflexive. The peer's is to
 * order pairs as ours does (RFC 8445 section 6.1.2.3), so that is the priority which it is told. */
static IceCandidate from_outside(const Link *link, const IceCandidate *own)
{
        IceCandidate c = *own;

        if (!is_shared(own))
                return c;
        socket_address_set_port(&c.address, link->listen_port);
        c.priority = ice_candidate_prflx_priority(own);
        return c;
}

/* Where STUN servers see the link's port at this host candidate's address, if that is another address. */
static bool make_mapped(const Link *link, const IceCandidate *host, size_t i, IceCandidate *ret)
{
        const SocketAddress *mapped;

        if (!is_shared(host))
                return false;
        mapped = link_mapped_address(link, &host->address);
        if (!mapped || socket_address_equal(mapped, &host->address))
                return false;
        ice_candidate_make_srflx(host, mapped, ret);
        (void) snprintf(ret->foundation, sizeof(ret->foundation), "m%zu", i);
        return true;
}

size_t shared_candidates_build(const Link *link, const IceCandidate *own, size_t n, IceCandidate *ret,
                               size_t max)
{
        size_t k = 0;

        for (size_t i = 0; i < n && k < max; i++)
                /* Where a TURN server has seen a socket's own port. */
                if (own[i].type != ICE_CANDIDATE_SRFLX)
                        ret[k++] = from_outside(link, &own[i]);
        for (size_t i = 0; i < n && k < max; i++) {
                IceCandidate host = from_outside(link, &own[i]);

                k += make_mapped(link, &host, i, &ret[k]);
        }
        return k;
}

void shared_candidates_name(const Link *link, const IceCandidate *own, size_t n, IceCandidate *local)
{
        IceCandidate known[SDP_CANDIDATES_MAX];
        IceCandidate outside = from_outside(link, local);
        size_t k;

        if (local->transport != ICE_TRANSPORT_UDP || local->type == ICE_CANDIDATE_RELAY)
                return;
        *local = outside;
        k = shared_candidates_build(link, own, n, known, ELEMENTSOF(known));
        for (size_t i = 0; i < k; i++)
                if (known[i].type != ICE_CANDIDATE_RELAY &&
                    socket_address_equal(&known[i].address, &local->address)) {
                        *local = known[i];
                        return;
                }
}

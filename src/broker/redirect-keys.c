/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-keys.h"

#include <string.h>

struct redirect_address redirect_address_from(const SocketAddress *a)
{
        struct redirect_address out = { .word = { 0, 0, htonl(0xffff), 0 } };

        if (a->sa.sa_family == AF_INET)
                out.word[3] = a->in.sin_addr.s_addr;
        else
                memcpy(out.word, &a->in6.sin6_addr, sizeof(out.word));
        return out;
}

struct redirect_endpoint redirect_endpoint_from(const SocketAddress *a)
{
        return (struct redirect_endpoint) {
                .address = redirect_address_from(a),
                .port = htons(socket_address_port(a)),
        };
}

void redirect_endpoint_to(const struct redirect_endpoint *e, SocketAddress *ret)
{
        socket_address_from_bytes(AF_INET6, e->address.word, ntohs(e->port), ret);
}

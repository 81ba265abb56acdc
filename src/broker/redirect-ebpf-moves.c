/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <utlist.h>

#include "alloc-util.h"
#include "log.h"
#include "redirect-ebpf-internal.h"
#include "redirect-keys.h"
#include "route.h"

struct EbpfMove {
        struct redirect_flow flow;
        uint16_t wireguard_port; /* host order */
        bool loopback;           /* it comes by lo */
        EbpfMove *prev, *next;
};

static struct redirect_flow to_flow(const RedirectMove *move)
{
        return (struct redirect_flow) {
                .remote = redirect_endpoint_from(&move->from),
                .wireguard_port = htons(move->wireguard_port),
        };
}

static EbpfMove *find(const EbpfBackend *e, const struct redirect_flow *flow)
{
        EbpfMove *move;

        DL_FOREACH (e->moves, move)
                if (memcmp(&move->flow, flow, sizeof(*flow)) == 0)
                        return move;
        return NULL;
}

static uint64_t count(const EbpfBackend *e, const struct redirect_flow *flow)
{
        struct redirect_move value;

        return bpf_map__lookup_elem(e->skeleton->maps.redirect_moves, flow, sizeof(*flow), &value,
                                    sizeof(value), 0) < 0
                       ? 0
                       : value.packets;
}

static bool comes_by_loopback(const RedirectMove *move)
{
        Route route;

        /* What cannot be reached any more may still have something under way. */
        return socket_address_is_loopback(&move->from) ||
               (route_find(&move->from, 0, &route) >= 0 && route.ifindex == LOOPBACK_IFINDEX);
}

/* What comes from outside cannot look as if it came from this host: the kernel takes nothing with such a
 * source ("martian") but what it has sent by lo itself. */
static int describe(const RedirectMove *move, bool loopback, struct redirect_move *ret)
{
        struct redirect_move value = { .to = redirect_endpoint_from(&move->to) };
        Route route;
        int r;

        r = route_find(&move->to, move->mark, &route);
        if (r < 0)
                log_debug_errno(r, "Failed to find the way to %s, leaving the link as it is: %m",
                                SOCKET_ADDRESS_STR(&move->to));
        else if (route.ifindex != LOOPBACK_IFINDEX) {
                value.ifindex = (uint32_t) route.ifindex;
                value.local = redirect_address_from(&route.local);
                ebpf_find_mac(route.ifindex, value.mac);
        } else if (!loopback)
                return -ENOTSUP;
        *ret = value;
        return 0;
}

static void leave_loopback(EbpfBackend *e)
{
        const EbpfMove *move;

        DL_FOREACH (e->moves, move)
                if (move->loopback)
                        return;
        (void) ebpf_use_loopback(e, LOOPBACK_USER_MOVES, /* used= */ false);
}

static EbpfMove *move_free(EbpfBackend *e, EbpfMove *move)
{
        DL_DELETE(e->moves, move);
        ebpf_release_port(e, e->move_references, move->wireguard_port, REDIRECT_PORT_MOVES);
        ebpf_release_port(e, e->wireguard_references, move->wireguard_port, REDIRECT_PORT_WIREGUARD);
        (void) bpf_map__delete_elem(e->skeleton->maps.redirect_moves, &move->flow, sizeof(move->flow), 0);
        if (move->loopback)
                leave_loopback(e);
        return mfree(move);
}

static int move_new(EbpfBackend *e, const RedirectMove *m, const struct redirect_flow *flow, bool loopback)
{
        EbpfMove *move;
        int r;

        if (loopback) {
                r = ebpf_use_loopback(e, LOOPBACK_USER_MOVES, /* used= */ true);
                if (r < 0)
                        return r;
        }
        move = new (EbpfMove, 1);
        if (!move) {
                leave_loopback(e);
                return -ENOMEM;
        }
        *move = (EbpfMove) { .flow = *flow, .wireguard_port = m->wireguard_port, .loopback = loopback };
        DL_APPEND(e->moves, move);
        ebpf_reference_port(e, e->wireguard_references, m->wireguard_port, REDIRECT_PORT_WIREGUARD);
        ebpf_reference_port(e, e->move_references, m->wireguard_port, REDIRECT_PORT_MOVES);
        return 0;
}

int ebpf_move(RedirectBackend *b, const RedirectMove *move, usec_t until)
{
        EbpfBackend *e = ebpf_backend(b);
        struct redirect_flow flow = to_flow(move);
        EbpfMove *known = find(e, &flow);
        bool loopback = known ? known->loopback : comes_by_loopback(move);
        struct redirect_move value;
        int r;

        r = describe(move, loopback, &value);
        if (r < 0)
                return r;
        value.until = until * 1000;
        value.packets = count(e, &flow);
        r = bpf_map__update_elem(e->skeleton->maps.redirect_moves, &flow, sizeof(flow), &value,
                                 sizeof(value), BPF_ANY);
        if (r < 0)
                return r == -E2BIG ? -ENOSPC : r;
        if (known)
                return 0;
        r = move_new(e, move, &flow, loopback);
        if (r < 0)
                (void) bpf_map__delete_elem(e->skeleton->maps.redirect_moves, &flow, sizeof(flow), 0);
        return r;
}

uint64_t ebpf_count_moved(RedirectBackend *b, const RedirectMove *move)
{
        struct redirect_flow flow = to_flow(move);

        return count(ebpf_backend(b), &flow);
}

void ebpf_end_move(RedirectBackend *b, const RedirectMove *move)
{
        EbpfBackend *e = ebpf_backend(b);
        struct redirect_flow flow = to_flow(move);
        EbpfMove *known = find(e, &flow);

        if (known)
                move_free(e, known);
}

void ebpf_end_moves(EbpfBackend *e)
{
        while (e->moves)
                move_free(e, e->moves);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bpf/libbpf.h>

#include "redirect-backend.h"
#include "redirect-initiations.h"
#include "redirect.h"
#include "redirect.skel.h"

/* Inside of the backend: redirect-ebpf.c is its life, sockets, relays and links; redirect-ebpf-moves.c its
 * moves. */

/* In every network namespace. */
#define LOOPBACK_IFINDEX 1

typedef struct Uplink {
        int ifindex;
        struct bpf_link *ingress, *egress; /* NULL: by clsact */
} Uplink;

typedef enum LoopbackUser {
        LOOPBACK_USER_TEST = 1 << 0,
        LOOPBACK_USER_MOVES = 1 << 1,
} LoopbackUser;

typedef struct EbpfMove EbpfMove;

typedef struct EbpfBackend {
        RedirectBackend backend;
        struct redirect_bpf *skeleton;
        bool clsact;
        Uplink *uplinks;
        size_t n_uplinks, allocated_uplinks;
        Uplink loopback; /* ifindex 0: not attached; by tcx the way in alone */
        unsigned loopback_users;
        struct redirect_endpoint relays[REDIRECT_RELAYS_MAX];
        size_t n_relays;
        EbpfMove *moves; /* owned, an utlist */
        RedirectInitiations *initiations;
        /* How many sockets and moves a flag of a port (host order) stands for. */
        uint16_t wireguard_references[REDIRECT_PORTS];
        uint16_t socket_references[REDIRECT_PORTS];
        uint16_t move_references[REDIRECT_PORTS];
} EbpfBackend;

static inline EbpfBackend *ebpf_backend(RedirectBackend *b)
{
        return CONTAINER_OF(b, EbpfBackend, backend);
}

void ebpf_reference_port(EbpfBackend *e, uint16_t *references, uint16_t port, uint8_t flag);
void ebpf_release_port(EbpfBackend *e, uint16_t *references, uint16_t port, uint8_t flag);

/* The way in, since nothing that leaves by lo is of interest, and for each hook of tcx that comes or goes
 * the kernel waits for RCU, 10 to 20 ms. clsact would be quicker, but whoever makes or removes its qdisc
 * takes the link out of service for a moment (dev_deactivate() in the kernel's qdisc_graft()): packets of
 * everybody are lost on lo. So it is for kernels that have nothing better. */
int ebpf_use_loopback(EbpfBackend *e, LoopbackUser user, bool used);

bool ebpf_is_uplink(const EbpfBackend *e, int ifindex);

/* Of a link with an Ethernet header the MAC address; zero for one without, or none at all. */
void ebpf_find_mac(int ifindex, uint8_t ret[static 6]);

int ebpf_move(RedirectBackend *b, const RedirectMove *move, usec_t until);
uint64_t ebpf_count_moved(RedirectBackend *b, const RedirectMove *move);
void ebpf_end_move(RedirectBackend *b, const RedirectMove *move);
void ebpf_end_moves(EbpfBackend *e);

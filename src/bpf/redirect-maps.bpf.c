/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-maps.bpf.h"

struct redirect_sockets_map redirect_sockets SEC(".maps");
struct redirect_relays_map redirect_relays SEC(".maps");
struct redirect_ufrags_map redirect_ufrags SEC(".maps");
struct redirect_transactions_map redirect_transactions SEC(".maps");
struct redirect_contacted_map redirect_contacted SEC(".maps");
struct redirect_moves_map redirect_moves SEC(".maps");
struct redirect_initiations_map redirect_initiations SEC(".maps");
struct redirect_initiated_map redirect_initiated SEC(".maps");
struct redirect_statistics_map redirect_statistics SEC(".maps");
__u8 redirect_ports[REDIRECT_PORTS];
__u8 redirect_rewrites;

/* For bpf_fib_lookup(), which is open to GPL-compatible programs only; the LGPL is (section 3). */
char LICENSE[] SEC("license") = "GPL";

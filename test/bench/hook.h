/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

/* A BPF program at an interface, by tcx, that can be attached and detached. What fails ends the process,
 * with a message. */

typedef struct Hook {
        int program;
        int ifindex;
        enum bpf_attach_type type;
        int netns; /* where the interface is */
        int link;  /* ours; -1: nothing is attached */
} Hook;

/* A decimal number from a command line. */
unsigned number(const char *text);

/* The network namespace at this path. */
int netns_open(const char *path);

/* Moves the calling thread there. */
void netns_enter(int netns);

/* The program, and the place, of somebody else's link (BPF's) with this ID; its interface is in `netns`.
 * take_over: that link is detached, for good. */
Hook hook_open(const char *id, int netns, bool take_over);

/* Leaves the calling thread in the hook's network namespace. */
void hook_attach(Hook *hook);

void hook_detach(Hook *hook);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

/* Both give up, for ever and for whatever this process might execute, every capability but a few (those of
 * them that it has); new privileges; and memory dumps. The user stays root: UAPI sockets belong to it.
 * -EPERM: there is no CAP_NET_ADMIN to begin with; otherwise the errors of prctl(2) and capset(2). */

/* Keeps CAP_NET_ADMIN; and CAP_BPF and CAP_PERFMON, with which eBPF programs are loaded, and CAP_SETPCAP,
 * for the second step. */
int privileges_drop_for_loading(void);

/* Keeps CAP_NET_ADMIN alone: with it loaded programs are attached, their maps written, tables of nftables
 * made. */
int privileges_drop(void);

/* A capability (CAP_*) is in force for this process. */
bool privileges_have(unsigned capability);

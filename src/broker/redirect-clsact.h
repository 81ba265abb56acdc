/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"

/* Programs at a link's clsact qdisc: for kernels without tcx (before Linux 6.6). Unlike tcx links, filters
 * outlive the process that made them. Ours are told by priority and by their names, which begin so: */

#define REDIRECT_CLSACT_PREFIX "icewire_"

/* Makes the qdisc where there is none, and attaches both programs (their fds stay the caller's). -ENODEV: no
 * such link; -EEXIST: they are attached already; other errors of netlink. Nothing stays after a failure. */
int redirect_clsact_attach(int ifindex, int ingress_fd, int egress_fd);

/* 1: both programs are at this link; 0: they are not. */
int redirect_clsact_is_attached(int ifindex);

/* Detaches them, and takes the qdisc away if it was made by us and nobody else has come to use it. No such
 * link, or nothing there, is success. */
int redirect_clsact_detach(int ifindex);

/* The same at all links: what a crashed broker has left. */
int redirect_clsact_sweep(void);

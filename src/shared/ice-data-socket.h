/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A second socket on the address and port of base_fd, which is bound and not connected: what looks like
 * WireGuard (a message type of 1 to 4 and three zero bytes, as its protocol has them) comes to it,
 * everything else stays with base_fd. Both are in one SO_REUSEPORT group, where a classic BPF program
 * chooses; the kernel lets only sockets of one user into a group.
 * Several may be open on one base: the oldest one receives until it is closed, then the next; with none open
 * base_fd gets everything. Non-blocking; the caller owns *ret. errno of the system calls. */
int ice_data_socket_open(int base_fd, int *ret);

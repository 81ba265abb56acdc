/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "socket-address.h"

/* UDP in batches: many datagrams per system call, and where the kernel can, many segments per datagram. */

/* `size` bytes that are datagrams of `segment` bytes each; only the last may be shorter. */
typedef struct Datagrams {
        uint8_t *data;
        size_t size;
        size_t segment;
        SocketAddress source;
} Datagrams;

#define DATAGRAMS_BATCH_MAX 64

/* How many datagrams they are. */
size_t datagrams_count(const Datagrams *d);

/* Asks the kernel to hand over datagrams of one size and source as one (Linux 5.0); without it they just
 * come singly. */
void datagrams_enable_receive_offload(int fd);

/* Fills up to n (≤ DATAGRAMS_BATCH_MAX) entries from a non-blocking socket; buffers: n times buffer_size
 * bytes, which the entries point into. Returns how many, 0 if there is nothing; errno otherwise. */
int datagrams_receive(int fd, uint8_t *buffers, size_t buffer_size, Datagrams *ret, size_t n);

/* Sends n (≤ DATAGRAMS_BATCH_MAX) entries to one address, joining those of one size into segmented sends
 * (UDP_SEGMENT, Linux 4.18) while *segmentation, which is set to false where the kernel or the device cannot
 * do it. Returns how many datagrams (not entries) were lost: the socket was full or the network refused. */
size_t datagrams_send(int fd, const SocketAddress *to, const Datagrams *datagrams, size_t n,
                      bool *segmentation);

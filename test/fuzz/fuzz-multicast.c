/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "multicast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static uint8_t buf[MULTICAST_PACKET_MAX];
        MulticastPacket packet;

        if (multicast_packet_parse(data, size, &packet) < 0)
                return 0;
        /* What was understood is all there was: it makes the same datagram again. */
        if (multicast_packet_build(&packet, buf) != (ssize_t) size || memcmp(buf, data, size) != 0)
                abort();
        return 0;
}

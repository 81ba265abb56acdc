/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "rtnl.h"
#include "wireguard-netlink.h"

/* Attributes of WireGuard's generic netlink; the same bytes as an rtnetlink message. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Netlink payload is aligned, which the fuzzer's buffer need not be. */
static void *aligned_copy(const uint8_t *data, size_t size, size_t header)
{
        uint8_t *copy = malloc(header + size);

        if (!copy)
                abort();
        if (size > 0)
                memcpy(copy + header, data, size);
        return copy;
}

static void fuzz_wireguard(const uint8_t *data, size_t size)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        _cleanup_free_ void *copy = aligned_copy(data, size, /* header= */ 0);

        if (wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device) < 0)
                abort();
        if (wireguard_netlink_parse(copy, size, device) < 0)
                return;
        /* The same again is a continuation: no peer may come twice. */
        {
                size_t n = device->n_peers;

                if (wireguard_netlink_parse(copy, size, device) < 0 || device->n_peers != n)
                        abort();
        }
        if (wireguard_device_compare(device, device) != 0)
                abort();
}

static void fuzz_rtnetlink(const uint8_t *data, size_t size)
{
        static const uint16_t types[] = { RTM_NEWLINK, RTM_DELLINK,  RTM_NEWADDR,
                                          RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE };
        static const RtnlCallbacks none = {};
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *monitor = NULL;
        _cleanup_free_ struct nlmsghdr *message = aligned_copy(data, size, sizeof(struct nlmsghdr));

        if (rtnl_monitor_new(/* event= */ NULL, &none, /* userdata= */ NULL, &monitor) < 0)
                abort();
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                *message = (struct nlmsghdr) { .nlmsg_len = (uint32_t) (sizeof(*message) + size),
                                               .nlmsg_type = types[i] };
                (void) rtnl_monitor_process(monitor, message);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size > 1024 * 1024)
                return 0;
        fuzz_wireguard(data, size);
        fuzz_rtnetlink(data, size);
        return 0;
}

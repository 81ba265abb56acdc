/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>

#include "wireguard-uapi.h"

/* The answer of a userspace WireGuard. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        if (wireguard_device_new("wg0", WIREGUARD_KIND_USERSPACE, &device) < 0)
                abort();
        r = wireguard_uapi_parse((const char *) data, size, device, &error);
        /* What is wrong is always said; a device's own error (which may be EBADMSG too) comes without. */
        if (r > 0 || (error && r != -EBADMSG))
                abort();
        if (wireguard_device_compare(device, device) != 0)
                abort();
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-call.h"

void wireguard_call_finish(WireguardCall *call, int error, WireguardDevice *device)
{
        call->finished = true;
        if (call->on_device)
                call->on_device(error, device, call->userdata);
        else
                call->on_done(error, call->userdata);
        call->destroy(call);
}

WireguardCall *wireguard_call_free(WireguardCall *call)
{
        /* From inside its callback: wireguard_call_finish() does it. */
        if (call && !call->finished)
                call->destroy(call);
        return NULL;
}

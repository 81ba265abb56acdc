/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wireguard-netlink.h"

/* What the calls of wireguard-netlink and wireguard-uapi have in common: the first member of theirs. */

struct WireguardCall {
        /* Exactly one of the two. */
        wireguard_device_callback_t on_device;
        wireguard_done_callback_t on_done;
        void *userdata;
        /* Takes the call out of whatever knows it and frees it. */
        void (*destroy)(WireguardCall *call);
        bool finished; /* its callback runs */
};

/* Calls back and destroys the call. device: for on_device, ownership moves; NULL with an error. */
void wireguard_call_finish(WireguardCall *call, int error, WireguardDevice *device);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A model of one link, wg0, with two peers. */

#include "model.h"

static WireguardDevice *device;
static int reload_result;
static unsigned n_reloads;

static inline void answer_reads(int error)
{
        answer_with(error, device);
}

static inline WireguardPeer *add_peer(uint8_t number)
{
        return model_add_peer(device, number);
}

/* The broker tells of the link as it is in `device`. */
static inline void tell_of_link(void)
{
        model_tell(device);
}

static int on_reload(void *userdata, unsigned *ret_n_problems, char **ret_message)
{
        n_reloads++;
        *ret_n_problems = 3;
        if (reload_result < 0)
                *ret_message = strdup("it is on fire");
        return reload_result;
}

static inline void one_link_set_up(void)
{
        model_set_up(on_reload);
        device = model_device("wg0", 1);
        cr_assert_eq(socket_address_from_string("192.0.2.7:7", &add_peer(2)->endpoint), 0);
        add_peer(1);
        tell_of_link();
}

static inline void one_link_tear_down(void)
{
        model_tear_down();
        device = wireguard_device_free(device);
}

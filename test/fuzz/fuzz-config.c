/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Config *config = NULL, *copy = NULL;

        log_set_max_level(LOG_CRIT);
        if (config_parse("fuzz", (const char *) data, size, &config, /* ret_n_problems= */ NULL) < 0)
                return 0;
        (void) config_manages_link(config, "wg0");
        (void) peer_configs_policy(&config->peers, &(WireguardKey) { .bytes = { 1 } });
        /* A copy is the same. */
        if (config_copy(config, &copy) >= 0 && !config_rendezvous_equal(config, copy))
                abort();
        config_free(copy);
        config_free(config);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "daemon.h"
#include "log-event.h"
#include "rendezvous-mqtt.h"
#include "rendezvous-multicast.h"
#include "string-util.h"

/* What is in the configuration and what a person set for one run: the latter wins. */
static void apply_log_level(const Config *config)
{
        if (!getenv("ICEWIRE_LOG_LEVEL"))
                log_set_max_level(config->log_level);
}

static void add_rendezvous(Daemon *d, const char *what, int error, Rendezvous *r)
{
        if (error >= 0)
                error = manager_add_rendezvous(d->manager, r);
        if (error < 0)
                log_event(LOG_ERR, error, LOG_EVENT_RENDEZVOUS_DOWN,
                          (LOG_FIELD("ICEWIRE_RENDEZVOUS=%s", what),
                           LOG_FIELD("ICEWIRE_ERROR=%s", strerror(-error))),
                          "Failed to set up the rendezvous %s, going without: %m", what);
        else if (d->verbs)
                verbs_tell_rendezvous(d->verbs, r, /* removed= */ false);
}

static void add_mqtt(Daemon *d, const MqttServerConfig *server)
{
        Rendezvous *rendezvous = NULL;
        int r;

        r = rendezvous_mqtt_new(d->event, d->manager->resolver, d->rendezvous_config, server,
                                &manager_rendezvous_callbacks, d->manager, &rendezvous);
        add_rendezvous(d, server->host, r, rendezvous);
}

static void add_multicast(Daemon *d)
{
        Rendezvous *rendezvous = NULL;
        int r;

        r = rendezvous_multicast_new(d->event, d->manager->rtnl, &d->rendezvous_config->addresses,
                                     &manager_rendezvous_callbacks, d->manager, &rendezvous);
        add_rendezvous(d, "multicast", r, rendezvous);
}

static void remove_all_rendezvous(Daemon *d)
{
        Manager *m = d->manager;

        while (m->n_rendezvous > 0) {
                Rendezvous *last = m->rendezvous[m->n_rendezvous - 1];

                if (d->verbs)
                        verbs_tell_rendezvous(d->verbs, last, /* removed= */ true);
                manager_remove_rendezvous(m, last);
        }
}

int daemon_set_up_rendezvous(Daemon *d)
{
        Manager *m = d->manager;
        Config *config = NULL;
        int r;

        if (d->rendezvous_config && config_rendezvous_equal(d->rendezvous_config, m->config))
                return 0;
        /* A copy, since the manager's own goes with the next reload, and these may stay. */
        r = config_copy(m->config, &config);
        if (r < 0)
                return r;
        remove_all_rendezvous(d);
        config_free(d->rendezvous_config);
        d->rendezvous_config = config;

        for (size_t i = 0; i < config->n_mqtt_servers; i++)
                add_mqtt(d, &config->mqtt_servers[i]);
        if (config->multicast)
                add_multicast(d);
        return 0;
}

static int load(Daemon *d, unsigned *ret_n_problems)
{
        Config *config = NULL;
        int r;

        r = config_load(/* root= */ NULL, &config, ret_n_problems);
        if (r < 0)
                return r;
        if (*ret_n_problems > config->n_secret_problems) {
                *ret_n_problems -= config->n_secret_problems;
                config_free(config);
                return -EBADMSG;
        }
        apply_log_level(config);
        manager_reload(d->manager, config);
        return daemon_set_up_rendezvous(d);
}

static char *explain(int error, unsigned n_problems)
{
        if (error != -EBADMSG)
                return asprintf_safe("The configuration cannot be read: %s", strerror(-error));
        return asprintf_safe("%u settings of the configuration make no sense, the journal names each. The "
                             "configuration before stays in force.",
                             n_problems);
}

int daemon_reload(void *userdata, unsigned *ret_n_problems, char **ret_message)
{
        _cleanup_free_ char *message = NULL;
        unsigned n_problems = 0;
        Daemon *d = userdata;
        int r;

        (void) sd_notifyf(/* unset_environment= */ false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                          now(CLOCK_MONOTONIC));
        r = load(d, &n_problems);
        if (r < 0) {
                message = explain(r, n_problems);
                log_event(LOG_ERR, r, LOG_EVENT_RELOAD_FAILED,
                          (LOG_FIELD("ICEWIRE_PROBLEMS=%u", n_problems)), "%s",
                          message ?: "The configuration was not read again.");
        } else
                log_event(n_problems > 0 ? LOG_WARNING : LOG_INFO, 0, LOG_EVENT_RELOADED,
                          (LOG_FIELD("ICEWIRE_PROBLEMS=%u", n_problems)),
                          "The configuration was read again%s.",
                          n_problems > 0 ? ", not all of its secrets could be" : "");
        (void) sd_notify(/* unset_environment= */ false, "READY=1");
        if (r < 0) {
                *ret_message = TAKE_PTR(message);
                return r;
        }
        *ret_n_problems = n_problems;
        return 0;
}

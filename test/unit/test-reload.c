/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* icewired's rendezvous follow its configuration. */

#include <criterion/criterion.h>
#include <limits.h>
#include <sys/stat.h>

#include "daemon.h"
#include "log.h"
#include "sandbox.h"
#include "string-util.h"

static Daemon d;

static void configure(const char *text)
{
        sandbox_write("/etc/icewire/icewire.conf", text);
}

static void start(const char *text)
{
        Config *config;

        sandbox_need_root();
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/etc", "tmpfs", 0, "mode=0755"), 0);
        cr_assert_eq(mkdir("/etc/icewire", 0755), 0);
        unsetenv("ICEWIRE_LOG_LEVEL");
        configure(text);
        cr_assert_geq(sd_event_new(&d.event), 0);
        cr_assert_eq(config_load(NULL, &config, NULL), 0);
        cr_assert_eq(manager_new(d.event, config, &d.manager), 0);
        cr_assert_geq(manager_start(d.manager), 0);
        cr_assert_eq(daemon_set_up_rendezvous(&d), 0);
}

static void reload(const char *text)
{
        char *message = NULL;
        unsigned n_problems = UINT_MAX;

        configure(text);
        cr_assert_eq(daemon_reload(&d, &n_problems, &message), 0, "%s", message);
        cr_assert_null(message);
        cr_assert_eq(n_problems, 0);
}

static void stop(void)
{
        d.manager = manager_free(d.manager);
        config_free(d.rendezvous_config);
        sd_event_unref(d.event);
}

static bool has_rendezvous(const char *name)
{
        for (size_t i = 0; i < d.manager->n_rendezvous; i++)
                if (streq(d.manager->rendezvous[i]->name, name))
                        return true;
        return false;
}

#define SERVER "[Rendezvous]\nMQTT=mqtt://127.0.0.1:1\n"

Test(reload, rendezvous_follow)
{
        start(SERVER "Multicast=no\n");
        cr_assert_eq(d.manager->n_rendezvous, 1);
        cr_assert(has_rendezvous("mqtt://127.0.0.1:1"));
        reload(SERVER "MQTT=mqtts://[::1]:2\n");
        cr_assert_eq(d.manager->n_rendezvous, 3);
        cr_assert(has_rendezvous("mqtt://127.0.0.1:1"));
        cr_assert(has_rendezvous("mqtts://[::1]:2"));
        cr_assert(has_rendezvous("multicast"));
        reload("[Rendezvous]\nMulticast=no\n");
        cr_assert_eq(d.manager->n_rendezvous, 0);
        stop();
}

Test(reload, what_has_not_changed_stays)
{
        start(SERVER "Multicast=no\n");
        d.manager->rendezvous[0]->counters.sent = 77;
        reload(SERVER "Multicast=no\n[ICE]\nSTUNServers=192.0.2.1:3478\n[Agent]\nIgnoreLinks=wg9\n");
        cr_assert_eq(d.manager->rendezvous[0]->counters.sent, 77);
        cr_assert_eq(d.manager->config->n_ice_servers, 1);
        /* Which interfaces may be used concerns multicast. */
        reload(SERVER "Multicast=no\n[ICE]\nInterfaces=eth0\n");
        cr_assert_eq(d.manager->rendezvous[0]->counters.sent, 0);
        stop();
}

Test(reload, log_level)
{
        start("[Agent]\nLogLevel=err\n");
        reload("[Agent]\nLogLevel=debug\n");
        cr_assert_eq(log_get_max_level(), LOG_DEBUG);
        setenv("ICEWIRE_LOG_LEVEL", "debug", 1);
        reload("[Agent]\nLogLevel=err\n");
        cr_assert_eq(log_get_max_level(), LOG_DEBUG, "a person has set it for this run");
        stop();
}

/* The one before stays as a whole: a line that makes no sense may be the one that everything depends on. */
Test(reload, mistakes)
{
        char *message = NULL;
        unsigned n;

        start(SERVER "Multicast=no\n[Agent]\nLogLevel=emerg\n");
        log_set_max_level(LOG_EMERG);
        configure("[Rendezvous]\nMulticast=perhaps\nNoSuchKey=1\nMQTT=http://"
                  "example\n[Agent]\nLogLevel=debug\n");
        cr_assert_eq(daemon_reload(&d, &n, &message), -EBADMSG);
        cr_assert_not_null(message);
        cr_assert_not_null(strstr(message, "3 settings"), "%s", message);
        free(message);
        cr_assert(has_rendezvous("mqtt://127.0.0.1:1"));
        cr_assert_eq(d.manager->n_rendezvous, 1);
        cr_assert_not(d.manager->config->multicast);
        cr_assert_eq(log_get_max_level(), LOG_EMERG);
        /* A secret may come later, and is no reason to keep what was. */
        configure("[Agent]\nLogLevel=emerg\n[ICE]\nTURNServers=turn:192.0.2.1\nTURNUser=me\n");
        cr_assert_eq(daemon_reload(&d, &n, &message), 0);
        cr_assert_eq(n, 1);
        cr_assert_eq(d.manager->config->n_ice_servers, 0);
        reload("[Agent]\nLogLevel=emerg\n");
        cr_assert_eq(d.manager->n_rendezvous, 1);
        cr_assert(has_rendezvous("multicast"));
        stop();
}

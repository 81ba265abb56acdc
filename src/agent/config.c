/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "config-settings.h"
#include "log.h"
#include "string-util.h"
#include "strv.h"

static const char *const tcp_mode_table[_TCP_MODE_MAX] = {
        [TCP_MODE_AUTO] = "auto",
        [TCP_MODE_YES] = "yes",
        [TCP_MODE_NO] = "no",
};
DEFINE_STRING_TABLE(tcp_mode, TcpMode);

static void loader_done(ConfigLoader *loader)
{
        secret_sources_done(&loader->secrets);
        free(loader->turn_servers.file);
        peer_sections_done(&loader->peers);
        loader->config = config_free(loader->config);
}

void config_clear_mqtt_servers(Config *config)
{
        for (size_t i = 0; i < config->n_mqtt_servers; i++)
                free(config->mqtt_servers[i].host);
        config->mqtt_servers = mfree(config->mqtt_servers);
        config->n_mqtt_servers = 0;
}

int config_add_mqtt_server(Config *config, MqttServerConfig *server)
{
        MqttServerConfig *more;

        for (size_t i = 0; i < config->n_mqtt_servers; i++)
                if (streq(config->mqtt_servers[i].host, server->host) &&
                    config->mqtt_servers[i].port == server->port) {
                        free(server->host);
                        return 0;
                }
        more = reallocarray(config->mqtt_servers, config->n_mqtt_servers + 1, sizeof(*more));
        if (!more) {
                free(server->host);
                return -ENOMEM;
        }
        more[config->n_mqtt_servers++] = *server;
        config->mqtt_servers = more;
        return 0;
}

/* STUN or TURN, whichever is asked for; the others stay. */
void config_clear_ice_servers(Config *config, bool stun)
{
        size_t n = 0;

        for (size_t i = 0; i < config->n_ice_servers; i++)
                if ((config->ice_servers[i].kind == ICE_SERVER_STUN) == stun)
                        free(config->ice_servers[i].host);
                else
                        config->ice_servers[n++] = config->ice_servers[i];
        config->n_ice_servers = n;
        if (n == 0)
                config->ice_servers = mfree(config->ice_servers);
}

int config_add_ice_server(Config *config, const IceServerConfig *server)
{
        IceServerConfig *more;

        more = reallocarray(config->ice_servers, config->n_ice_servers + 1, sizeof(*more));
        if (!more) {
                free(server->host);
                return -ENOMEM;
        }
        more[config->n_ice_servers++] = *server;
        config->ice_servers = more;
        return 0;
}

static const char *missing_for_relays(const Config *config)
{
        if (config->turn_secret || (config->turn_user && config->turn_password))
                return NULL;
        if (!config->turn_user)
                return "TURNUser=";
        return "password (the credential turn.password, or TURNPasswordFile=) and no secret (turn.secret, "
               "or TURNSecretFile=)";
}

/* No TURN server relays for strangers, and an agent with such a server would not even start. */
static void drop_relays_without_credentials(ConfigLoader *loader)
{
        Config *config = loader->config;
        const char *missing = missing_for_relays(config);
        size_t n = config->n_ice_servers;

        if (!missing)
                return;
        config_clear_ice_servers(config, /* stun= */ false);
        if (config->n_ice_servers == n)
                return;
        config->n_secret_problems++;
        log_event(LOG_WARNING, 0, LOG_EVENT_SECRET_PROBLEM,
                  (LOG_FIELD("CONFIG_FILE=%s", loader->turn_servers.file),
                   LOG_FIELD("CONFIG_LINE=%u", loader->turn_servers.line)),
                  "%s:%u: [ICE] TURNServers=: there is no %s, going without relays.",
                  loader->turn_servers.file, loader->turn_servers.line, missing);
}

static int config_new(Config **ret)
{
        Config *config = new0(Config, 1);

        if (!config)
                return -ENOMEM;
        config->log_level = LOG_INFO;
        config->multicast = true;
        *ret = config;
        return 0;
}

int config_load(const char *root, Config **ret, unsigned *ret_n_problems)
{
        _cleanup_(loader_done) ConfigLoader loader = {};
        int r;

        r = config_new(&loader.config);
        if (r < 0)
                return r;
        r = conf_load(root, "icewire", &config_callbacks, &loader);
        if (r < 0)
                return r;
        r = peer_sections_end(&loader.peers, &loader.config->peers);
        if (r < 0)
                return r;
        r = secrets_load(&loader.secrets, loader.config, &loader.config->n_secret_problems);
        if (r < 0)
                return r;
        drop_relays_without_credentials(&loader);
        if (ret_n_problems)
                *ret_n_problems = loader.n_problems + loader.config->n_secret_problems;
        *ret = TAKE_PTR(loader.config);
        return 0;
}

int config_parse(const char *name, const char *text, size_t size, Config **ret, unsigned *ret_n_problems)
{
        _cleanup_(loader_done) ConfigLoader loader = {};
        int r;

        r = config_new(&loader.config);
        if (r < 0)
                return r;
        r = conf_parse(name, text, size, &config_callbacks, &loader);
        if (r < 0)
                return r;
        r = peer_sections_end(&loader.peers, &loader.config->peers);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(loader.config);
        if (ret_n_problems)
                *ret_n_problems = loader.n_problems;
        return 0;
}

Config *config_free(Config *config)
{
        if (!config)
                return NULL;
        strv_clear(&config->links);
        strv_clear(&config->ignore_links);
        strv_clear(&config->addresses.interfaces);
        strv_clear(&config->addresses.exclude_interfaces);
        config_clear_mqtt_servers(config);
        config_clear_ice_servers(config, /* stun= */ true);
        config_clear_ice_servers(config, /* stun= */ false);
        peer_configs_done(&config->peers);
        free(config->mqtt_user);
        free(config->mqtt_ca_file);
        free(config->turn_user);
        free(config->turn_ca_file);
        (void) erase_and_free_string(config->mqtt_password);
        (void) erase_and_free_string(config->mqtt_identity);
        (void) erase_and_free_string(config->turn_password);
        (void) erase_and_free_string(config->turn_secret);
        return mfree(config);
}

static int copy_lists(Config *copy, const Config *config)
{
        int r = strv_copy(&copy->links, config->links);

        if (r >= 0)
                r = strv_copy(&copy->ignore_links, config->ignore_links);
        if (r >= 0)
                r = strv_copy(&copy->addresses.interfaces, config->addresses.interfaces);
        return r < 0 ? r
                     : strv_copy(&copy->addresses.exclude_interfaces, config->addresses.exclude_interfaces);
}

static int copy_servers(Config *copy, const Config *config)
{
        int r = 0;

        for (size_t i = 0; i < config->n_mqtt_servers && r >= 0; i++) {
                MqttServerConfig server = config->mqtt_servers[i];

                server.host = strdup(server.host);
                r = server.host ? config_add_mqtt_server(copy, &server) : -ENOMEM;
        }
        for (size_t i = 0; i < config->n_ice_servers && r >= 0; i++) {
                IceServerConfig server = config->ice_servers[i];

                server.host = strdup(server.host);
                r = server.host ? config_add_ice_server(copy, &server) : -ENOMEM;
        }
        return r;
}

static int copy_strings(Config *copy, const Config *config)
{
        const struct {
                char **to;
                const char *from;
        } strings[] = {
                { &copy->mqtt_user, config->mqtt_user },
                { &copy->mqtt_ca_file, config->mqtt_ca_file },
                { &copy->mqtt_password, config->mqtt_password },
                { &copy->mqtt_identity, config->mqtt_identity },
                { &copy->turn_user, config->turn_user },
                { &copy->turn_password, config->turn_password },
                { &copy->turn_secret, config->turn_secret },
                { &copy->turn_ca_file, config->turn_ca_file },
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                int r = free_and_strdup(strings[i].to, strings[i].from);

                if (r < 0)
                        return r;
        }
        return 0;
}

int config_copy(const Config *config, Config **ret)
{
        _cleanup_(config_freep) Config *copy = NULL;
        int r;

        r = config_new(&copy);
        if (r < 0)
                return r;
        copy->log_level = config->log_level;
        copy->multicast = config->multicast;
        copy->redirect = config->redirect;
        copy->tcp = config->tcp;
        r = copy_lists(copy, config);
        if (r < 0)
                return r;
        r = copy_servers(copy, config);
        if (r < 0)
                return r;
        r = peer_configs_copy(&config->peers, &copy->peers);
        if (r < 0)
                return r;
        r = copy_strings(copy, config);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}

static bool mqtt_servers_equal(const Config *a, const Config *b)
{
        if (a->n_mqtt_servers != b->n_mqtt_servers)
                return false;
        for (size_t i = 0; i < a->n_mqtt_servers; i++)
                if (!streq(a->mqtt_servers[i].host, b->mqtt_servers[i].host) ||
                    a->mqtt_servers[i].port != b->mqtt_servers[i].port ||
                    a->mqtt_servers[i].tls != b->mqtt_servers[i].tls)
                        return false;
        return true;
}

bool config_rendezvous_equal(const Config *a, const Config *b)
{
        return mqtt_servers_equal(a, b) && streq_ptr(a->mqtt_user, b->mqtt_user) &&
               streq_ptr(a->mqtt_password, b->mqtt_password) &&
               streq_ptr(a->mqtt_identity, b->mqtt_identity) &&
               streq_ptr(a->mqtt_ca_file, b->mqtt_ca_file) && a->multicast == b->multicast &&
               strv_equal(a->addresses.interfaces, b->addresses.interfaces) &&
               strv_equal(a->addresses.exclude_interfaces, b->addresses.exclude_interfaces);
}

bool config_relay_credentials_equal(const Config *a, const Config *b)
{
        return streq_ptr(a->turn_user, b->turn_user) && streq_ptr(a->turn_password, b->turn_password) &&
               streq_ptr(a->turn_secret, b->turn_secret);
}

static bool any_glob_matches(char **globs, const char *name)
{
        for (size_t i = 0; globs && globs[i]; i++)
                if (fnmatch(globs[i], name, 0) == 0)
                        return true;
        return false;
}

bool config_manages_link(const Config *config, const char *name)
{
        if (config->links && !any_glob_matches(config->links, name))
                return false;
        return !any_glob_matches(config->ignore_links, name);
}

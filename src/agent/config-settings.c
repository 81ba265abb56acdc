/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-settings.h"

#include <stdlib.h>

#include "alloc-util.h"
#include "log.h"
#include "parse-util.h"
#include "peer.h"
#include "string-util.h"
#include "strv.h"

#define LIST_MAX 64
#define MQTT_SERVERS_MAX (RENDEZVOUS_MAX - 1) /* and multicast */

/* Where the assignment under way stands, for its messages. */
struct Context {
        ConfigLoader *loader;
        const char *file;
        unsigned line;
        const char *section;
        unsigned section_line;
        const char *key;
        const ConfigSetting *setting; /* NULL: there is none of that name */
};

static void bad_value(Context *c, const char *value, const char *expected)
{
        _cleanup_free_ char *escaped = cescape(value, strlen(value));

        c->loader->n_problems++;
        log_config_problem(c->file, c->line, "%s:%u: [%s] %s=: \"%s\" is not %s, ignoring.", c->file,
                           c->line, c->section, c->key, strna(escaped), expected);
}

static void bad_form(Context *c, const char *value)
{
        bad_value(c, value, c->setting->form);
}

/* Words are separated by white space, lines included. */
typedef int (*add_word_t)(Context *c, const char *word);

static int for_each_word(Context *c, const char *value, add_word_t add)
{
        _cleanup_free_ char *words = strdup(value);
        char *save = NULL;
        int r;

        if (!words)
                return -ENOMEM;
        for (char *word = strtok_r(words, " \t\r\n", &save); word; word = strtok_r(NULL, " \t\r\n", &save)) {
                r = add(c, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int config_log_level(Context *c, const char *value)
{
        int level = log_level_from_string(value);

        if (level < 0)
                bad_form(c, value);
        else
                c->loader->config->log_level = level;
        return 0;
}

static int config_multicast(Context *c, const char *value)
{
        if (parse_boolean(value, &c->loader->config->multicast) < 0)
                bad_form(c, value);
        return 0;
}

static int config_redirect(Context *c, const char *value)
{
        RedirectMode mode = redirect_mode_from_string(value);

        if (mode < 0)
                bad_form(c, value);
        else
                c->loader->config->redirect = mode;
        return 0;
}

static int config_tcp(Context *c, const char *value)
{
        TcpMode mode = tcp_mode_from_string(value);
        bool on;

        if (mode >= 0)
                c->loader->config->tcp = mode;
        else if (parse_boolean(value, &on) >= 0)
                c->loader->config->tcp = on ? TCP_MODE_YES : TCP_MODE_NO;
        else
                bad_form(c, value);
        return 0;
}

/* Which list of globs a key fills. */
static char ***glob_list(Context *c)
{
        Config *config = c->loader->config;

        if (streq(c->key, "Links"))
                return &config->links;
        if (streq(c->key, "IgnoreLinks"))
                return &config->ignore_links;
        if (streq(c->key, "Interfaces"))
                return &config->addresses.interfaces;
        return &config->addresses.exclude_interfaces;
}

static int add_glob(Context *c, const char *word)
{
        char ***list = glob_list(c);

        if (strlen(word) > 64 || strchr(word, '/')) {
                bad_form(c, word);
                return 0;
        }
        if (strv_length(*list) >= LIST_MAX) {
                bad_value(c, word, "within the limit of 64 entries");
                return 0;
        }
        return strv_append(list, word);
}

static int config_globs(Context *c, const char *value)
{
        if (isempty(value)) {
                strv_clear(glob_list(c));
                return 0;
        }
        return for_each_word(c, value, add_glob);
}

static int add_mqtt_server(Context *c, const char *word)
{
        MqttServerConfig server;
        int r = mqtt_server_parse(word, &server);

        if (r == -EINVAL)
                bad_form(c, word);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        if (c->loader->config->n_mqtt_servers >= MQTT_SERVERS_MAX) {
                bad_value(c, word, "within the limit of 15 servers");
                free(server.host);
                return 0;
        }
        return config_add_mqtt_server(c->loader->config, &server);
}

static int config_mqtt(Context *c, const char *value)
{
        if (isempty(value)) {
                config_clear_mqtt_servers(c->loader->config);
                return 0;
        }
        return for_each_word(c, value, add_mqtt_server);
}

static int add_ice_server(Context *c, const char *word, int r, IceServerConfig *server)
{
        if (r == -EINVAL)
                bad_form(c, word);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        if (c->loader->config->n_ice_servers >= LIST_MAX) {
                bad_value(c, word, "within the limit of 64 entries");
                free(server->host);
                return 0;
        }
        return config_add_ice_server(c->loader->config, server);
}

static int add_stun_server(Context *c, const char *word)
{
        IceServerConfig server;
        int r = stun_server_parse(word, &server);

        return add_ice_server(c, word, r, &server);
}

static int add_turn_server(Context *c, const char *word)
{
        IceServerConfig server;
        int r = turn_server_parse(word, &server);

        return add_ice_server(c, word, r, &server);
}

static int config_stun_servers(Context *c, const char *value)
{
        if (isempty(value)) {
                config_clear_ice_servers(c->loader->config, /* stun= */ true);
                return 0;
        }
        return for_each_word(c, value, add_stun_server);
}

static int config_turn_servers(Context *c, const char *value)
{
        int r;

        if (isempty(value)) {
                config_clear_ice_servers(c->loader->config, /* stun= */ false);
                return 0;
        }
        r = secret_source_set(&c->loader->turn_servers, /* path= */ NULL, c->file, c->line);
        return r < 0 ? r : for_each_word(c, value, add_turn_server);
}

static int set_string(char **p, const char *value)
{
        int r = free_and_strdup(p, isempty(value) ? NULL : value);

        return r < 0 ? r : 0;
}

static int config_user(Context *c, const char *value)
{
        Config *config = c->loader->config;

        if (strlen(value) > 256 || strchr(value, '\n')) {
                bad_form(c, value);
                return 0;
        }
        return set_string(streq(c->key, "MQTTUser") ? &config->mqtt_user : &config->turn_user, value);
}

static bool is_path(Context *c, const char *value)
{
        if (isempty(value) || (*value == '/' && !strchr(value, '\n')))
                return true;
        bad_form(c, value);
        return false;
}

static int config_ca_file(Context *c, const char *value)
{
        Config *config = c->loader->config;

        if (!is_path(c, value))
                return 0;
        return set_string(streq(c->key, "MQTTCAFile") ? &config->mqtt_ca_file : &config->turn_ca_file,
                          value);
}

static SecretSource *secret_source(Context *c)
{
        SecretSources *sources = &c->loader->secrets;

        if (streq(c->key, "MQTTPasswordFile"))
                return &sources->mqtt_password;
        if (streq(c->key, "MQTTIdentityFile"))
                return &sources->mqtt_identity;
        return streq(c->key, "TURNSecretFile") ? &sources->turn_secret : &sources->turn_password;
}

static int config_secret_file(Context *c, const char *value)
{
        return is_path(c, value) ? secret_source_set(secret_source(c), value, c->file, c->line) : 0;
}

static int peer_section(Context *c, PeerSection **ret)
{
        return peer_sections_get(&c->loader->peers, &c->loader->config->peers, c->file, c->section_line,
                                 ret);
}

static void peer_section_is_bad(Context *c, PeerSection *section, const char *why)
{
        section->bad = true;
        c->loader->n_problems++;
        log_config_problem(c->file, c->line, "%s:%u: [Peer] PublicKey=: %s, ignoring the section.", c->file,
                           c->line, why);
}

/* What is meant for one peer must not hit another one, or all. */
static int config_peer_key(Context *c, const char *value)
{
        PeerSection *section;
        int r = peer_section(c, &section);

        if (r < 0)
                return r;
        if (section->has_key)
                peer_section_is_bad(c, section, "stands here twice, and each section is about one peer");
        else if (wireguard_key_from_base64(value, &section->public_key) < 0 ||
                 wireguard_key_is_zero(&section->public_key))
                peer_section_is_bad(c, section, "this is no public key as wg(8) prints it");
        section->has_key = true;
        return 0;
}

static int config_policy(Context *c, const char *value)
{
        Policy policy = policy_from_string(value);
        PeerSection *section;
        int r = peer_section(c, &section);

        if (r < 0)
                return r;
        if (policy < 0) {
                bad_form(c, value);
                return 0;
        }
        section->policy = policy;
        section->has_policy = true;
        return 0;
}

#define LOG_LEVELS "a log level (emerg, alert, crit, err, warning, notice, info, debug)"
#define GLOB "an interface name or a glob"
#define USER "a user name"
#define PATH "an absolute path"

enum { ONE, LIST }; /* word or words */

static const ConfigSetting settings[] = {
        { "Agent", "LogLevel", LOG_LEVELS, ONE, "info", config_log_level },
        { "Agent", "Links", GLOB, LIST, "", config_globs },
        { "Agent", "IgnoreLinks", GLOB, LIST, "", config_globs },
        { "Rendezvous", "MQTT", MQTT_SERVER_FORM, LIST, "", config_mqtt },
        { "Rendezvous", "MQTTUser", USER, ONE, "", config_user },
        { "Rendezvous", "MQTTPasswordFile", PATH, ONE, "", config_secret_file },
        { "Rendezvous", "MQTTIdentityFile", PATH, ONE, "", config_secret_file },
        { "Rendezvous", "MQTTCAFile", PATH, ONE, "", config_ca_file },
        { "Rendezvous", "Multicast", "yes or no", ONE, "yes", config_multicast },
        { "ICE", "Redirect", "auto, ebpf, nftables or proxy", ONE, "auto", config_redirect },
        { "ICE", "TCP", "auto, yes or no", ONE, "auto", config_tcp },
        { "ICE", "STUNServers", STUN_SERVER_FORM, LIST, "", config_stun_servers },
        { "ICE", "TURNServers", TURN_SERVER_FORM, LIST, "", config_turn_servers },
        { "ICE", "TURNUser", USER, ONE, "", config_user },
        { "ICE", "TURNPasswordFile", PATH, ONE, "", config_secret_file },
        { "ICE", "TURNSecretFile", PATH, ONE, "", config_secret_file },
        { "ICE", "TURNCAFile", PATH, ONE, "", config_ca_file },
        { "ICE", "Interfaces", GLOB, LIST, "", config_globs },
        { "ICE", "ExcludeInterfaces", GLOB, LIST, "", config_globs },
        { "Peer", "PublicKey", "a public key as wg(8) prints it", ONE, NULL, config_peer_key },
        { "Peer", "Policy", "auto, direct, relay or off", ONE, "auto", config_policy },
};

const ConfigSetting *config_setting(size_t i)
{
        return i < ELEMENTSOF(settings) ? &settings[i] : NULL;
}

static const ConfigSetting *find_setting(const char *section, const char *key)
{
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (streq(settings[i].section, section) && streq(settings[i].key, key))
                        return &settings[i];
        return NULL;
}

static bool is_section(const char *section)
{
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (streq(settings[i].section, section))
                        return true;
        return false;
}

static void unknown_setting(Context *c)
{
        _cleanup_free_ char *section = cescape(c->section, strlen(c->section));
        _cleanup_free_ char *key = cescape(c->key, strlen(c->key));

        c->loader->n_problems++;
        if (isempty(c->section))
                log_config_problem(c->file, c->line, "%s:%u: %s= is in no section, ignoring.", c->file,
                                   c->line, strna(key));
        else
                log_config_problem(c->file, c->line, "%s:%u: Unknown %s [%s] %s=, ignoring.", c->file,
                                   c->line, is_section(c->section) ? "setting" : "section in",
                                   strna(section), strna(key));
}

/* What may be a PublicKey= misspelt must not make the section that of all peers. */
static int doubt_peer_section(Context *c)
{
        PeerSection *section;
        int r;

        if (!streq(c->section, "Peer"))
                return 0;
        r = peer_section(c, &section);
        if (r >= 0)
                section->doubtful = true;
        return r;
}

static int on_assign(const char *file, unsigned line, const char *section, unsigned section_line,
                     const char *key, char *value, void *userdata)
{
        Context c = { .loader = userdata,
                      .file = file,
                      .line = line,
                      .section = section,
                      .section_line = section_line,
                      .key = key,
                      .setting = find_setting(section, key) };

        /* Others may keep their own settings in our files. */
        if (startswith(section, "X-"))
                return 0;
        if (c.setting)
                return c.setting->assign(&c, isempty(value) ? strempty(c.setting->preset) : value);
        unknown_setting(&c);
        return doubt_peer_section(&c);
}

static void on_problem(const char *file, unsigned line, const char *message, void *userdata)
{
        ConfigLoader *loader = userdata;

        loader->n_problems++;
        if (line > 0)
                log_config_problem(file, line, "%s:%u: %s, ignoring the line.", file, line, message);
        else
                log_config_problem(file, line, "%s: %s, ignoring.", file, message);
}

const ConfCallbacks config_callbacks = {
        .assign = on_assign,
        .problem = on_problem,
};

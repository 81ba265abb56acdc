/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "conf-file.h"
#include "fd-util.h"
#include "log.h"
#include "parse-util.h"
#include "peer.h"
#include "string-util.h"

#define LIST_MAX 64
#define MQTT_SERVERS_MAX (RENDEZVOUS_MAX - 1) /* and multicast */
#define HOST_MAX 253                          /* RFC 1035 section 2.3.4 */
#define SECRET_MAX 4096
#define MQTT_PORT 1883
#define MQTTS_PORT 8883
#define STUN_PORT 3478  /* STUN and TURN over UDP and TCP: RFC 8489 section 8.6.1 */
#define TURNS_PORT 5349 /* TURN over TLS: RFC 8656 section 5 */

static const char *const tcp_mode_table[_TCP_MODE_MAX] = {
        [TCP_MODE_AUTO] = "auto",
        [TCP_MODE_YES] = "yes",
        [TCP_MODE_NO] = "no",
};
DEFINE_STRING_TABLE(tcp_mode, TcpMode);

/* Where the secrets are to be read from; what can be judged only when every file was read. */
typedef struct SecretSource {
        char *path;
        char *file; /* which file says so, and where */
        unsigned line;
} SecretSource;

typedef struct Loader {
        Config *config;
        SecretSource mqtt_password;
        SecretSource turn_password;
        SecretSource turn_secret;
        SecretSource turn_servers; /* no path: only where they are */
        PeerSections peers;
        unsigned n_problems;
} Loader;

/* Where the assignment under way stands, for its messages. */
typedef struct Context {
        Loader *loader;
        const char *file;
        unsigned line;
        const char *section;
        unsigned section_line;
        const char *key;
} Context;

static void secret_source_done(SecretSource *source)
{
        source->path = mfree(source->path);
        source->file = mfree(source->file);
}

static void loader_done(Loader *loader)
{
        secret_source_done(&loader->mqtt_password);
        secret_source_done(&loader->turn_password);
        secret_source_done(&loader->turn_secret);
        secret_source_done(&loader->turn_servers);
        peer_sections_done(&loader->peers);
        loader->config = config_free(loader->config);
}

static void bad_value(Context *c, const char *value, const char *expected)
{
        _cleanup_free_ char *escaped = cescape(value, strlen(value));

        c->loader->n_problems++;
        log_warning("%s:%u: [%s] %s=: \"%s\" is not %s, ignoring.", c->file, c->line, c->section, c->key,
                    strna(escaped), expected);
}

static void strv_clear(char ***l)
{
        for (size_t i = 0; *l && (*l)[i]; i++)
                free((*l)[i]);
        *l = mfree(*l);
}

static size_t strv_length(char **l)
{
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

static int strv_append(char ***l, const char *s)
{
        size_t n = strv_length(*l);
        char **more, *copy = strdup(s);

        if (!copy)
                return -ENOMEM;
        more = reallocarray(*l, n + 2, sizeof(char *));
        if (!more) {
                free(copy);
                return -ENOMEM;
        }
        more[n] = copy;
        more[n + 1] = NULL;
        *l = more;
        return 0;
}

/* Words are separated by white space, lines included. */
typedef int (*add_word_t)(Context *c, const char *word);

static int for_each_word(Context *c, char *value, add_word_t add)
{
        char *save = NULL;
        int r;

        for (char *word = strtok_r(value, " \t\r\n", &save); word; word = strtok_r(NULL, " \t\r\n", &save)) {
                r = add(c, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A name or an address, as far as it can be judged before it is resolved. */
static bool is_host(const char *s)
{
        SocketAddress address;
        size_t n = strlen(s);

        if (socket_address_from_ip(s, 0, &address) >= 0)
                return true;
        if (n == 0 || n > HOST_MAX || s[0] == '-' || s[0] == '.')
                return false;
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char) *p) && !strchr("-._", *p))
                        return false;
        return true;
}

/* "host", "host:port", "192.0.2.1:port", "[2001:db8::1]:port", "2001:db8::1". The caller owns *ret_host.
 * -EINVAL. */
static int parse_host_port(const char *s, uint16_t default_port, char **ret_host, uint16_t *ret_port)
{
        _cleanup_free_ char *host = NULL;
        const char *colon = strrchr(s, ':'), *port = NULL;
        uint16_t number = default_port;

        if (*s == '[') {
                const char *end = strchr(s, ']');

                if (!end || (end[1] && end[1] != ':'))
                        return -EINVAL;
                port = end[1] ? end + 2 : NULL;
                host = strndup(s + 1, (size_t) (end - s - 1));
        } else if (colon && strchr(s, ':') == colon) {
                port = colon + 1;
                host = strndup(s, (size_t) (colon - s));
        } else
                host = strdup(s);
        if (!host)
                return -ENOMEM;
        if (!is_host(host) || (port && (parse_u16(port, &number) < 0 || number == 0)))
                return -EINVAL;
        *ret_host = TAKE_PTR(host);
        *ret_port = number;
        return 0;
}

static int config_log_level(Context *c, char *value)
{
        int level = log_level_from_string(value);

        if (isempty(value))
                c->loader->config->log_level = LOG_INFO;
        else if (level < 0)
                bad_value(c, value, "a log level (emerg, alert, crit, err, warning, notice, info, debug)");
        else
                c->loader->config->log_level = level;
        return 0;
}

static int config_boolean(Context *c, char *value, bool *ret, bool preset)
{
        if (isempty(value))
                *ret = preset;
        else if (parse_boolean(value, ret) < 0)
                bad_value(c, value, "yes or no");
        return 0;
}

static int config_multicast(Context *c, char *value)
{
        return config_boolean(c, value, &c->loader->config->multicast, /* preset= */ true);
}

static int config_redirect(Context *c, char *value)
{
        RedirectMode mode = isempty(value) ? REDIRECT_MODE_AUTO : redirect_mode_from_string(value);

        if (mode < 0)
                bad_value(c, value, "auto, ebpf, nftables or proxy");
        else
                c->loader->config->redirect = mode;
        return 0;
}

static int config_tcp(Context *c, char *value)
{
        TcpMode mode = isempty(value) ? TCP_MODE_AUTO : tcp_mode_from_string(value);
        bool on;

        if (mode >= 0)
                c->loader->config->tcp = mode;
        else if (parse_boolean(value, &on) >= 0)
                c->loader->config->tcp = on ? TCP_MODE_YES : TCP_MODE_NO;
        else
                bad_value(c, value, "auto, yes or no");
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
                bad_value(c, word, "an interface name or a glob");
                return 0;
        }
        if (strv_length(*list) >= LIST_MAX) {
                bad_value(c, word, "within the limit of 64 entries");
                return 0;
        }
        return strv_append(list, word);
}

static int config_globs(Context *c, char *value)
{
        if (isempty(value)) {
                strv_clear(glob_list(c));
                return 0;
        }
        return for_each_word(c, value, add_glob);
}

static void mqtt_servers_clear(Config *config)
{
        for (size_t i = 0; i < config->n_mqtt_servers; i++)
                free(config->mqtt_servers[i].host);
        config->mqtt_servers = mfree(config->mqtt_servers);
        config->n_mqtt_servers = 0;
}

static int append_mqtt_server(Config *config, MqttServerConfig *server)
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

static int add_mqtt_server(Context *c, const char *word)
{
        const char *rest = startswith(word, "mqtts://");
        MqttServerConfig server = { .tls = rest };
        int r;

        rest = rest ?: startswith(word, "mqtt://");
        if (!rest || c->loader->config->n_mqtt_servers >= MQTT_SERVERS_MAX) {
                bad_value(c, word,
                          rest ? "within the limit of 15 servers"
                               : "of the form mqtts://HOST[:PORT] or mqtt://HOST[:PORT]");
                return 0;
        }
        r = parse_host_port(rest, server.tls ? MQTTS_PORT : MQTT_PORT, &server.host, &server.port);
        if (r == -EINVAL)
                bad_value(c, word, "of the form mqtts://HOST[:PORT] or mqtt://HOST[:PORT]");
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        return append_mqtt_server(c->loader->config, &server);
}

static int config_mqtt(Context *c, char *value)
{
        if (isempty(value)) {
                mqtt_servers_clear(c->loader->config);
                return 0;
        }
        return for_each_word(c, value, add_mqtt_server);
}

/* STUN or TURN, whichever is asked for; the others stay. */
static void ice_servers_clear(Config *config, bool stun)
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

static int append_ice_server(Config *config, const IceServerConfig *server)
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

static int add_ice_server(Context *c, const char *word, const char *address, IceServerKind kind,
                          const char *form)
{
        IceServerConfig server = { .kind = kind };
        uint16_t port = kind == ICE_SERVER_TURN_TLS ? TURNS_PORT : STUN_PORT;
        int r;

        if (c->loader->config->n_ice_servers >= LIST_MAX) {
                bad_value(c, word, "within the limit of 64 entries");
                return 0;
        }
        r = parse_host_port(address, port, &server.host, &server.port);
        if (r == -EINVAL)
                bad_value(c, word, form);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        return append_ice_server(c->loader->config, &server);
}

static int add_stun_server(Context *c, const char *word)
{
        return add_ice_server(c, word, startswith(word, "stun:") ?: word, ICE_SERVER_STUN,
                              "of the form HOST[:PORT]");
}

/* RFC 7065. TURN over DTLS ("turns:…?transport=udp") is not among what we speak. */
#define TURN_FORM "of the form turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]"

static IceServerKind turn_kind(bool tls, const char *query)
{
        if (tls)
                return !query || streq(query, "transport=tcp") ? ICE_SERVER_TURN_TLS
                                                               : _ICE_SERVER_KIND_INVALID;
        if (!query || streq(query, "transport=udp"))
                return ICE_SERVER_TURN_UDP;
        return streq(query, "transport=tcp") ? ICE_SERVER_TURN_TCP : _ICE_SERVER_KIND_INVALID;
}

static int add_turn_server(Context *c, const char *word)
{
        _cleanup_free_ char *address = NULL;
        const char *rest = startswith(word, "turns:");
        bool tls = rest;
        IceServerKind kind;
        char *query;

        rest = rest ?: startswith(word, "turn:");
        if (!rest) {
                bad_value(c, word, TURN_FORM);
                return 0;
        }
        address = strdup(rest);
        if (!address)
                return -ENOMEM;
        query = strchr(address, '?');
        if (query)
                *query++ = '\0';
        kind = turn_kind(tls, query);
        if (kind < 0) {
                bad_value(c, word, TURN_FORM);
                return 0;
        }
        return add_ice_server(c, word, address, kind, TURN_FORM);
}

static int config_stun_servers(Context *c, char *value)
{
        if (isempty(value)) {
                ice_servers_clear(c->loader->config, /* stun= */ true);
                return 0;
        }
        return for_each_word(c, value, add_stun_server);
}

static int config_turn_servers(Context *c, char *value)
{
        int r;

        if (isempty(value)) {
                ice_servers_clear(c->loader->config, /* stun= */ false);
                return 0;
        }
        c->loader->turn_servers.line = c->line;
        r = free_and_strdup(&c->loader->turn_servers.file, c->file);
        return r < 0 ? r : for_each_word(c, value, add_turn_server);
}

static int set_string(char **p, const char *value)
{
        int r = free_and_strdup(p, isempty(value) ? NULL : value);

        return r < 0 ? r : 0;
}

static int config_user(Context *c, char *value)
{
        Config *config = c->loader->config;

        if (strlen(value) > 256 || strchr(value, '\n')) {
                bad_value(c, value, "a user name");
                return 0;
        }
        return set_string(streq(c->key, "MQTTUser") ? &config->mqtt_user : &config->turn_user, value);
}

static bool is_path(Context *c, const char *value)
{
        if (isempty(value) || (*value == '/' && !strchr(value, '\n')))
                return true;
        bad_value(c, value, "an absolute path");
        return false;
}

static int config_ca_file(Context *c, char *value)
{
        Config *config = c->loader->config;

        if (!is_path(c, value))
                return 0;
        return set_string(streq(c->key, "MQTTCAFile") ? &config->mqtt_ca_file : &config->turn_ca_file,
                          value);
}

static SecretSource *secret_source(Context *c)
{
        if (streq(c->key, "MQTTPasswordFile"))
                return &c->loader->mqtt_password;
        return streq(c->key, "TURNSecretFile") ? &c->loader->turn_secret : &c->loader->turn_password;
}

static int config_secret_file(Context *c, char *value)
{
        SecretSource *source = secret_source(c);
        int r;

        if (!is_path(c, value))
                return 0;
        source->line = c->line;
        r = free_and_strdup(&source->file, c->file);
        return r < 0 ? r : set_string(&source->path, value);
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
        log_warning("%s:%u: [Peer] PublicKey=: %s, ignoring the section.", c->file, c->line, why);
}

/* What is meant for one peer must not hit another one, or all. */
static int config_peer_key(Context *c, char *value)
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

static int config_policy(Context *c, char *value)
{
        Policy policy = isempty(value) ? POLICY_AUTO : policy_from_string(value);
        PeerSection *section;
        int r = peer_section(c, &section);

        if (r < 0)
                return r;
        if (policy < 0) {
                bad_value(c, value, "auto, direct, relay or off");
                return 0;
        }
        section->policy = policy;
        section->has_policy = true;
        return 0;
}

static const struct {
        const char *section;
        const char *key;
        int (*assign)(Context *c, char *value);
} settings[] = {
        { "Agent", "LogLevel", config_log_level },
        { "Agent", "Links", config_globs },
        { "Agent", "IgnoreLinks", config_globs },
        { "Rendezvous", "MQTT", config_mqtt },
        { "Rendezvous", "MQTTUser", config_user },
        { "Rendezvous", "MQTTPasswordFile", config_secret_file },
        { "Rendezvous", "MQTTCAFile", config_ca_file },
        { "Rendezvous", "Multicast", config_multicast },
        { "ICE", "Redirect", config_redirect },
        { "ICE", "TCP", config_tcp },
        { "ICE", "STUNServers", config_stun_servers },
        { "ICE", "TURNServers", config_turn_servers },
        { "ICE", "TURNUser", config_user },
        { "ICE", "TURNPasswordFile", config_secret_file },
        { "ICE", "TURNSecretFile", config_secret_file },
        { "ICE", "TURNCAFile", config_ca_file },
        { "ICE", "Interfaces", config_globs },
        { "ICE", "ExcludeInterfaces", config_globs },
        { "Peer", "PublicKey", config_peer_key },
        { "Peer", "Policy", config_policy },
};

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
                log_warning("%s:%u: %s= is in no section, ignoring.", c->file, c->line, strna(key));
        else
                log_warning("%s:%u: Unknown %s [%s] %s=, ignoring.", c->file, c->line,
                            is_section(c->section) ? "setting" : "section in", strna(section), strna(key));
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
                      .key = key };

        /* Others may keep their own settings in our files. */
        if (startswith(section, "X-"))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(settings); i++)
                if (streq(settings[i].section, section) && streq(settings[i].key, key))
                        return settings[i].assign(&c, value);
        unknown_setting(&c);
        return doubt_peer_section(&c);
}

static void on_problem(const char *file, unsigned line, const char *message, void *userdata)
{
        Loader *loader = userdata;

        loader->n_problems++;
        if (line > 0)
                log_warning("%s:%u: %s, ignoring the line.", file, line, message);
        else
                log_warning("%s: %s, ignoring.", file, message);
}

static const ConfCallbacks conf_callbacks = {
        .assign = on_assign,
        .problem = on_problem,
};

/* A secret is its file's first line: editors and echo(1) end it with a newline. */
static int read_secret(const char *path, char **ret)
{
        char *text;
        int r;

        r = read_full_file(path, SECRET_MAX, &text, /* ret_size= */ NULL);
        if (r < 0)
                return r;
        erase(text + strcspn(text, "\r\n"), strlen(text + strcspn(text, "\r\n")));
        (void) erase_and_free_string(*ret);
        *ret = text;
        return 0;
}

/* systemd's LoadCredential= and its relatives. 1: there was one. */
static int load_credential(Loader *loader, const char *name, char **ret)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL;
        int r;

        if (isempty(folder))
                return 0;
        path = asprintf_safe("%s/%s", folder, name);
        if (!path)
                return -ENOMEM;
        r = read_secret(path, ret);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                loader->n_problems++;
                log_warning_errno(r, "Failed to read the credential %s, ignoring: %m", name);
                return 0;
        }
        return 1;
}

static int load_secret_file(Loader *loader, const SecretSource *source, char **ret)
{
        struct stat st;
        int r;

        if (!source->path)
                return 0;
        if (stat(source->path, &st) >= 0 && (st.st_mode & S_IRWXO)) {
                loader->n_problems++;
                log_warning("%s:%u: Everybody on this host may read or write the secret in %s: chmod o= it.",
                            source->file, source->line, source->path);
        }
        r = read_secret(source->path, ret);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                loader->n_problems++;
                log_warning_errno(r, "%s:%u: Failed to read the secret in %s, going without: %m",
                                  source->file, source->line, source->path);
        }
        return 0;
}

static int load_secret(Loader *loader, const char *credential, const SecretSource *source, char **ret)
{
        int r = load_credential(loader, credential, ret);

        return r != 0 ? r : load_secret_file(loader, source, ret);
}

static int load_secrets(Loader *loader)
{
        Config *config = loader->config;
        int r;

        r = load_secret(loader, "mqtt.password", &loader->mqtt_password, &config->mqtt_password);
        if (r >= 0)
                r = load_secret(loader, "turn.password", &loader->turn_password, &config->turn_password);
        return r < 0 ? r : load_secret(loader, "turn.secret", &loader->turn_secret, &config->turn_secret);
}

static const char *missing_for_relays(const Config *config)
{
        if (config->turn_secret || (config->turn_user && config->turn_password))
                return NULL;
        if (!config->turn_user)
                return "TURNUser=";
        return "password (the credential turn.password, or TURNPasswordFile=) and no secret (turn.secret, "
               "or "
               "TURNSecretFile=)";
}

/* No TURN server relays for strangers, and an agent with such a server would not even start. */
static void drop_relays_without_credentials(Loader *loader)
{
        Config *config = loader->config;
        const char *missing = missing_for_relays(config);
        size_t n = config->n_ice_servers;

        if (!missing)
                return;
        ice_servers_clear(config, /* stun= */ false);
        if (config->n_ice_servers == n)
                return;
        loader->n_problems++;
        log_warning("%s:%u: [ICE] TURNServers=: there is no %s, going without relays.",
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
        _cleanup_(loader_done) Loader loader = {};
        int r;

        r = config_new(&loader.config);
        if (r < 0)
                return r;
        r = conf_load(root, "icewire", &conf_callbacks, &loader);
        if (r < 0)
                return r;
        r = peer_sections_end(&loader.peers, &loader.config->peers);
        if (r < 0)
                return r;
        r = load_secrets(&loader);
        if (r < 0)
                return r;
        drop_relays_without_credentials(&loader);
        *ret = TAKE_PTR(loader.config);
        if (ret_n_problems)
                *ret_n_problems = loader.n_problems;
        return 0;
}

int config_parse(const char *name, const char *text, size_t size, Config **ret, unsigned *ret_n_problems)
{
        _cleanup_(loader_done) Loader loader = {};
        int r;

        r = config_new(&loader.config);
        if (r < 0)
                return r;
        r = conf_parse(name, text, size, &conf_callbacks, &loader);
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
        mqtt_servers_clear(config);
        ice_servers_clear(config, /* stun= */ true);
        ice_servers_clear(config, /* stun= */ false);
        peer_configs_done(&config->peers);
        free(config->mqtt_user);
        free(config->mqtt_ca_file);
        free(config->turn_user);
        free(config->turn_ca_file);
        (void) erase_and_free_string(config->mqtt_password);
        (void) erase_and_free_string(config->turn_password);
        (void) erase_and_free_string(config->turn_secret);
        return mfree(config);
}

static int strv_copy(char ***p, char **l)
{
        for (size_t i = 0; l && l[i]; i++) {
                int r = strv_append(p, l[i]);

                if (r < 0)
                        return r;
        }
        return 0;
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
                r = server.host ? append_mqtt_server(copy, &server) : -ENOMEM;
        }
        for (size_t i = 0; i < config->n_ice_servers && r >= 0; i++) {
                IceServerConfig server = config->ice_servers[i];

                server.host = strdup(server.host);
                r = server.host ? append_ice_server(copy, &server) : -ENOMEM;
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

static bool strv_equal(char **a, char **b)
{
        size_t n = strv_length(a);

        if (strv_length(b) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!streq(a[i], b[i]))
                        return false;
        return true;
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-files.h"
#include "config-settings.h"
#include "fd-util.h"
#include "peer.h"
#include "string-util.h"

static void expect_message(const char *text, const char *message)
{
        Capture c = capture_start();
        Config *config = parse(text, 1);
        const char *log = capture_end(&c);

        cr_assert(strstr(log, message), "no \"%s\" in: %s", message, log);
        config_free(config);
}

Test(config, defaults)
{
        Config *config = parse("", 0);

        cr_assert_eq(config->log_level, LOG_INFO);
        cr_assert(config->multicast);
        cr_assert_null(config->links);
        cr_assert_eq(config->n_mqtt_servers, 0);
        cr_assert_eq(config->n_ice_servers, 0);
        cr_assert(config_manages_link(config, "wg0"));
        config_free(config);
}

static const char everything[] = "# a comment\n"
                                 "; another = comment\n"
                                 "[Agent]\n"
                                 "LogLevel=debug\n"
                                 "Links=wg* office\n"
                                 "IgnoreLinks = wg9\n"
                                 "\n"
                                 "[Rendezvous]\n"
                                 "MQTT=mqtts://broker.example mqtt://192.0.2.1:1884\n"
                                 "MQTT=mqtts://[2001:db8::1]:8884\n"
                                 "MQTTUser=me#1\n"
                                 "MQTTCAFile=/etc/ca.pem\n"
                                 "Multicast=no\n"
                                 "[ICE]\n"
                                 "Redirect=nftables\n"
                                 "STUNServers=stun.example 192.0.2.2:3479 2001:db8::2\n"
                                 "TURNServers=turn:turn.example turn:192.0.2.3:5000?transport=tcp\n"
                                 "TURNServers=turns:turn.example turns:[2001:db8::3]:443?transport=tcp\n"
                                 "TURNCAFile=/etc/turn-ca.pem\n"
                                 "TCP=no\n"
                                 "TURNUser=\"you\"\n"
                                 "Interfaces=eth* wlan0\n"
                                 "ExcludeInterfaces=docker*\n"
                                 "[X-Others]\n"
                                 "Anything=goes\n";

static void expect_ice_server(const IceServerConfig *s, IceServerKind kind, const char *host, uint16_t port)
{
        cr_assert_eq(s->kind, kind);
        cr_assert_str_eq(s->host, host);
        cr_assert_eq(s->port, port);
}

static void expect_mqtt_server(const MqttServerConfig *s, bool tls, const char *host, uint16_t port)
{
        cr_assert_eq(s->tls, tls);
        cr_assert_str_eq(s->host, host);
        cr_assert_eq(s->port, port);
}

static void expect_everything(const Config *c)
{
        cr_assert_eq(c->log_level, LOG_DEBUG);
        cr_assert_str_eq(c->links[1], "office");
        cr_assert_null(c->links[2]);
        cr_assert_str_eq(c->ignore_links[0], "wg9");
        cr_assert_eq(c->n_mqtt_servers, 3);
        expect_mqtt_server(&c->mqtt_servers[0], true, "broker.example", 8883);
        expect_mqtt_server(&c->mqtt_servers[1], false, "192.0.2.1", 1884);
        expect_mqtt_server(&c->mqtt_servers[2], true, "2001:db8::1", 8884);
        cr_assert_str_eq(c->mqtt_user, "me#1");
        cr_assert_str_eq(c->mqtt_ca_file, "/etc/ca.pem");
        cr_assert_not(c->multicast);
        cr_assert_eq(c->redirect, REDIRECT_MODE_NFTABLES);
        cr_assert_eq(c->tcp, TCP_MODE_NO);
        cr_assert_eq(c->n_ice_servers, 7);
        expect_ice_server(&c->ice_servers[0], ICE_SERVER_STUN, "stun.example", 3478);
        expect_ice_server(&c->ice_servers[1], ICE_SERVER_STUN, "192.0.2.2", 3479);
        expect_ice_server(&c->ice_servers[2], ICE_SERVER_STUN, "2001:db8::2", 3478);
        expect_ice_server(&c->ice_servers[3], ICE_SERVER_TURN_UDP, "turn.example", 3478);
        expect_ice_server(&c->ice_servers[4], ICE_SERVER_TURN_TCP, "192.0.2.3", 5000);
        expect_ice_server(&c->ice_servers[5], ICE_SERVER_TURN_TLS, "turn.example", 5349);
        expect_ice_server(&c->ice_servers[6], ICE_SERVER_TURN_TLS, "2001:db8::3", 443);
        cr_assert_str_eq(c->turn_ca_file, "/etc/turn-ca.pem");
        cr_assert_str_eq(c->turn_user, "you");
        cr_assert_str_eq(c->addresses.interfaces[1], "wlan0");
        cr_assert_str_eq(c->addresses.exclude_interfaces[0], "docker*");
}

Test(config, every_key)
{
        Config *config = parse(everything, 0);

        expect_everything(config);
        config_free(config);
}

Test(config, copy_and_compare)
{
        Config *a = parse(everything, 0), *b = NULL, *other = parse("[Rendezvous]\nMulticast=no\n", 0);

        cr_assert_eq(config_copy(a, &b), 0);
        expect_everything(b);
        cr_assert(config_rendezvous_equal(a, b));
        cr_assert_not(config_rendezvous_equal(a, other));
        b->mqtt_servers[1].port++;
        cr_assert_not(config_rendezvous_equal(a, b));
        config_free(a);
        config_free(b);
        config_free(other);
}

/* The file that is installed has every key, and uncommented it says what the defaults are. */
Test(config, the_installed_file_is_true)
{
        _cleanup_free_ char *path = asprintf_safe("%s/units/icewire.conf", getenv("ICEWIRE_SOURCE")),
                            *text = NULL;
        Config *config;
        size_t size;

        cr_assert_geq(read_full_file(path, CONF_FILE_SIZE_MAX, &text, &size), 0);
        for (char *p = text; (p = strstr(p, "\n#")); p++)
                if (p[2] != ' ' && p[2] != '\n')
                        p[1] = ' ';
        cr_assert(strstr(text, " MQTTCAFile=") && strstr(text, " ExcludeInterfaces="));
        config = parse(text, 0);
        cr_assert_eq(config->log_level, LOG_INFO);
        cr_assert(config->multicast);
        cr_assert_null(config->links);
        config_free(config);
}

static void expect_defaults(const char *section, const char *key, const char *value)
{
        _cleanup_free_ char *text = asprintf_safe("[%s]\n%s=%s\n", section, key, value);
        Config *config = parse(text, 0), *defaults = parse("", 0);

        cr_assert_eq(config->log_level, defaults->log_level, "%s", text);
        cr_assert(config_rendezvous_equal(config, defaults), "%s", text);
        cr_assert(config_relay_credentials_equal(config, defaults), "%s", text);
        cr_assert_eq(config->redirect, defaults->redirect, "%s", text);
        cr_assert_eq(config->tcp, defaults->tcp, "%s", text);
        cr_assert_eq(config->n_ice_servers, 0, "%s", text);
        cr_assert(!config->links && !config->ignore_links && !config->turn_ca_file, "%s", text);
        cr_assert_eq(peer_configs_policy(&config->peers, &(WireguardKey) {}),
                     peer_configs_policy(&defaults->peers, &(WireguardKey) {}), "%s", text);
        config_free(config);
        config_free(defaults);
}

/* The table is what the manual page is compared with. */
Test(config, presets_are_what_holds_without)
{
        for (size_t i = 0; config_setting(i); i++) {
                const ConfigSetting *s = config_setting(i);

                if (!s->preset)
                        continue;
                expect_defaults(s->section, s->key, s->preset);
                expect_defaults(s->section, s->key, "");
        }
}

Test(config, which_links)
{
        Config *config = parse("[Agent]\nLinks=wg* office\nIgnoreLinks=wg9\n", 0);

        cr_assert(config_manages_link(config, "wg0"));
        cr_assert(config_manages_link(config, "office"));
        cr_assert_not(config_manages_link(config, "wg9"));
        cr_assert_not(config_manages_link(config, "eth0"));
        config_free(config);
}

Test(config, last_wins_lists_add_empty_resets)
{
        Config *config = parse("[Agent]\nLinks=a\nLinks=b\nLinks=\nLinks=c d\nLogLevel=err\nLogLevel=debug\n"
                               "[Rendezvous]\nMQTTUser=x\nMQTTUser=\nMulticast=no\nMulticast=\n"
                               "[ICE]\nSTUNServers=a\nTURNServers=turn:b\nSTUNServers=\nSTUNServers=c\n"
                               "Redirect=proxy\nRedirect=\n",
                               0);

        cr_assert_str_eq(config->links[0], "c");
        cr_assert_str_eq(config->links[1], "d");
        cr_assert_null(config->links[2]);
        cr_assert_eq(config->log_level, LOG_DEBUG);
        cr_assert_null(config->mqtt_user);
        cr_assert(config->multicast);
        cr_assert_eq(config->redirect, REDIRECT_MODE_AUTO);
        cr_assert_eq(config->n_ice_servers, 2);
        expect_ice_server(&config->ice_servers[0], ICE_SERVER_TURN_UDP, "b", 3478);
        expect_ice_server(&config->ice_servers[1], ICE_SERVER_STUN, "c", 3478);
        config_free(config);
}

Test(config, one_section_twice)
{
        Config *config = parse("[Agent]\nLinks=a\n[ICE]\nSTUNServers=s\n[Agent]\nLogLevel=err\nLinks=b\n",
                               0);

        cr_assert_str_eq(config->links[1], "b");
        cr_assert_eq(config->log_level, LOG_ERR);
        config_free(config);
}

#define KEY_A "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_B "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_C "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static void expect_policy(const Config *config, const char *key, Policy expected)
{
        WireguardKey k;

        cr_assert_eq(wireguard_key_from_base64(key, &k), 0);
        cr_assert_str_eq(policy_to_string(peer_configs_policy(&config->peers, &k)),
                         policy_to_string(expected));
}

Test(config, peers)
{
        Config *copy, *config = parse("[Peer]\nPolicy=direct\n"
                                      "[Agent]\nLogLevel=err\n"
                                      "[Peer]\nPublicKey=" KEY_A "\nPolicy=off\n"
                                      "[Peer]\nPolicy=relay\nPublicKey=" KEY_B "\n"
                                      "[Peer]\nPublicKey=" KEY_C "\n",
                                      0);

        cr_assert_eq(config->log_level, LOG_ERR);
        expect_policy(config, KEY_A, POLICY_OFF);
        expect_policy(config, KEY_B, POLICY_RELAY);
        expect_policy(config, KEY_C, POLICY_DIRECT);
        cr_assert_eq(config_copy(config, &copy), 0);
        config_free(config);
        expect_policy(copy, KEY_B, POLICY_RELAY);
        config_free(copy);
}

Test(config, peers_by_default)
{
        Config *config = parse("", 0);

        expect_policy(config, KEY_A, POLICY_AUTO);
        config_free(config);
}

Test(config, last_section_of_a_peer_counts)
{
        Config *config = parse("[Peer]\nPublicKey=" KEY_A "\nPolicy=off\n"
                               "[Peer]\nPublicKey=" KEY_A "\nPolicy=relay\n"
                               "[Peer]\nPolicy=off\n[Peer]\nPolicy=\n"
                               "[Peer]\nPublicKey=" KEY_B "\nPolicy=relay\nPolicy=direct\n",
                               0);

        expect_policy(config, KEY_A, POLICY_RELAY);
        expect_policy(config, KEY_B, POLICY_DIRECT);
        expect_policy(config, KEY_C, POLICY_AUTO);
        config_free(config);
}

/* As many as fit into a file: each is a section of the same name, with the same keys. */
Test(config, many_peers)
{
        size_t size = 0, n = 600;
        char *text = NULL;
        FILE *f = open_memstream(&text, &size);
        Config *config;

        for (size_t i = 1; i <= n; i++) {
                WireguardKey key = { .bytes = { (uint8_t) i, (uint8_t) (i >> 8) } };

                fprintf(f, "[Peer]\nPublicKey=%s\nPolicy=%s\n", WIREGUARD_KEY_STR(&key),
                        policy_to_string((Policy) (i % _POLICY_MAX)));
        }
        fclose(f);
        cr_assert_leq(size, CONF_FILE_SIZE_MAX);
        config = parse(text, 0);
        cr_assert_eq(config->peers.n, n);
        for (size_t i = 1; i <= n; i++) {
                WireguardKey key = { .bytes = { (uint8_t) i, (uint8_t) (i >> 8) } };

                expect_policy(config, WIREGUARD_KEY_STR(&key), (Policy) (i % _POLICY_MAX));
        }
        config_free(config);
        free(text);
}

Test(config, assignments_come_in_their_order)
{
        Config *config = parse(
                "[Agent]\nLogLevel=err\nLogLevel=debug\nLinks=a\n[Agent]\nLogLevel=crit\nLinks=b\n", 0);

        cr_assert_eq(config->log_level, LOG_CRIT);
        cr_assert_str_eq(config->links[0], "a");
        cr_assert_str_eq(config->links[1], "b");
        config_free(config);
}

/* What is meant for one peer does not hit another one, or all. */
Test(config, sections_that_cannot_be_told_are_about_nobody)
{
        Config *config = parse("[Peer]\nPublicKey=nonsense\nPolicy=off\n"
                               "[Peer]\nPublicKey=\nPolicy=off\n"
                               "[Peer]\nPolicy=off\nPubliKey=" KEY_A "\n"
                               "[Peer]\nPublicKey=" KEY_A "\nPublicKey=" KEY_B "\nPolicy=off\n"
                               "[Peer]\nPublicKey=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nPolicy=off\n"
                               "[Peer]\nPublicKey=" KEY_C "\nPolicy=relay\nComment=x\n",
                               6);

        expect_policy(config, KEY_A, POLICY_AUTO);
        expect_policy(config, KEY_B, POLICY_AUTO);
        expect_policy(config, KEY_C, POLICY_RELAY);
        config_free(config);
}

Test(config, bad_peers_are_named)
{
        expect_message("[Peer]\nPolicy=none\n",
                       "test.conf:2: [Peer] Policy=: \"none\" is not auto, direct, relay or off");
        expect_message("[Peer]\nPolicy=off\n[Peer]\nPublicKey=abc\n",
                       "test.conf:4: [Peer] PublicKey=: this is no public key");
        expect_message("[Peer]\nPublicKey=" KEY_A "\nPublicKey=" KEY_A "\n",
                       "test.conf:3: [Peer] PublicKey=: stands here twice");
        expect_message("[Peer]\nKey=a\n", "test.conf:2: Unknown setting [Peer] Key=");
}

Test(config, nothing_continues_a_line)
{
        expect_message("[ICE]\nSTUNServers=a\n  b\nInterfaces=e\n", "test.conf:3: The line is neither");
        config_free(parse("[ICE]\nSTUNServers=\n  \n\t\n\nInterfaces=e\n", 0));
}

Test(config, bad_values_are_named)
{
        expect_message("[Agent]\nLogLevel=loud\n",
                       "test.conf:2: [Agent] LogLevel=: \"loud\" is not a log level");
        expect_message("[Agent]\n\nLinks=a/b\n", "test.conf:3: [Agent] Links=: \"a/b\"");
        expect_message("[Rendezvous]\nMulticast=perhaps\n",
                       "test.conf:2: [Rendezvous] Multicast=: \"perhaps\" is not yes or no");
        expect_message("[ICE]\nRedirect=yes\n",
                       "test.conf:2: [ICE] Redirect=: \"yes\" is not auto, ebpf, nftables or proxy");
        expect_message("[Rendezvous]\nMQTT=mqtt://a\nMQTT=http://b\n",
                       "test.conf:3: [Rendezvous] MQTT=: \"http://b\"");
        expect_message("[Rendezvous]\nMQTT=mqtt://a:0\n", "test.conf:2");
        expect_message("[Rendezvous]\nMQTT=mqtt://a:99999\n", "test.conf:2");
        expect_message("[Rendezvous]\nMQTT=mqtt://a/path\n", "test.conf:2");
        expect_message("[Rendezvous]\nMQTT=mqtt://\n", "test.conf:2");
        expect_message("[Rendezvous]\nMQTTCAFile=ca.pem\n", "is not an absolute path");
        expect_message("[ICE]\nTURNServers=turn.example\n", "is not of the form turn:HOST");
        expect_message("[ICE]\nTURNServers=turn:a?transport=sctp\n", "is not of the form turn:HOST");
        expect_message("[ICE]\nTURNServers=turns:a?transport=udp\n", "or turns:HOST[:PORT]");
        expect_message("[ICE]\nTURNCAFile=ca.pem\n", "is not an absolute path");
        expect_message("[ICE]\nTCP=sometimes\n",
                       "test.conf:2: [ICE] TCP=: \"sometimes\" is not auto, yes or no");
        expect_message("[ICE]\nSTUNServers=[::1\n", "is not of the form HOST[:PORT]");
        expect_message("[ICE]\nSTUNServers=a;b\n", "is not of the form HOST[:PORT]");
        expect_message("[ICE]\nSTUNServers=\e[31m\n", "control character");
}

/* What is read is used: there is a place for each. */
Test(config, more_servers_than_there_are_places_for_are_named)
{
        char text[2048] = "[Rendezvous]\nMQTT=";
        Config *config;

        for (int i = 0; i < RENDEZVOUS_MAX; i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "mqtt://192.0.2.%d ", i + 1);
        strcat(text, "\n");
        expect_message(text, "\"mqtt://192.0.2.16\" is not within the limit of 15 servers");
        log_set_max_level(LOG_ERR);
        config = parse(text, 1);
        cr_assert_eq(config->n_mqtt_servers + config->multicast, RENDEZVOUS_MAX);
        config_free(config);
}

Test(config, unknown_things_are_named)
{
        expect_message("[Agent]\nLogLevels=debug\n", "test.conf:2: Unknown setting [Agent] LogLevels=");
        expect_message("[Nothing]\nLogLevel=debug\n", "test.conf:2: Unknown section in [Nothing] LogLevel=");
        expect_message("LogLevel=debug\n", "test.conf:1: LogLevel= is in no section");
        expect_message("[agent]\nLogLevel=debug\n", "Unknown section");
}

Test(config, bad_lines_do_not_spoil_the_rest)
{
        static const char text[] =
                "[Agent\nLinks=lost\n[]\n[Rendezvous] text\n[Agent]\nLogLevel=err\n[ICE]\n"
                "Interfaces=e\n";
        Capture c = capture_start();
        Config *config = NULL;
        unsigned n;
        const char *log;

        cr_assert_eq(config_parse("test.conf", text, strlen(text), &config, &n), 0);
        log = capture_end(&c);
        cr_assert_eq(config->log_level, LOG_ERR);
        cr_assert_str_eq(config->addresses.interfaces[0], "e");
        for (const char *const *p =
                     (const char *const[]) { "test.conf:1:", "test.conf:2: Links= is in no section",
                                             "test.conf:3:", "test.conf:4:", NULL };
             *p; p++)
                cr_assert(strstr(log, *p), "no %s in: %s", *p, log);
        config_free(config);
}

Test(config, nul_bytes_and_sizes)
{
        static const char nul[] = "[Agent]\nLinks=a\0b\nLogLevel=err\n";
        _cleanup_free_ char *big = calloc(1, CONF_FILE_SIZE_MAX + 1);
        Config *config = NULL;
        unsigned n;

        log_set_max_level(LOG_ERR);
        cr_assert_eq(config_parse("test.conf", nul, sizeof(nul) - 1, &config, &n), 0);
        cr_assert_eq(n, 1);
        cr_assert_null(config->links);
        cr_assert_eq(config->log_level, LOG_ERR);
        config_free(config);

        memset(big, '#', CONF_FILE_SIZE_MAX + 1);
        cr_assert_eq(config_parse("test.conf", big, CONF_FILE_SIZE_MAX + 1, &config, &n), 0);
        cr_assert_eq(n, 1);
        config_free(config);
}

Test(config, a_long_value_is_whole)
{
        char text[20000] = "[ICE]\nSTUNServers=";
        Config *config;

        for (int i = 0; i < 60; i++) {
                size_t n = strlen(text);

                snprintf(text + n, sizeof(text) - n, "%0200d.example ", i);
        }
        strcat(text, "\n");
        log_set_max_level(LOG_ERR);
        config = parse(text, 0);
        cr_assert_eq(config->n_ice_servers, 60);
        config_free(config);
}

/* Trees */

Test(config_tree, nothing_there, .init = make_root, .fini = remove_root)
{
        Config *config = load();

        cr_assert_eq(config->log_level, LOG_INFO);
        config_free(config);
}

Test(config_tree, precedence_and_masking, .init = make_root, .fini = remove_root)
{
        char link[512];
        Config *config;

        put("/usr/lib/icewire/icewire.conf", "[Agent]\nLogLevel=emerg\n");
        put("/etc/icewire/icewire.conf", "[Agent]\nLogLevel=err\nLinks=main\n");
        put("/usr/lib/icewire/icewire.conf.d/10-a.conf", "[Agent]\nLinks=usr-a\nLogLevel=debug\n");
        put("/usr/lib/icewire/icewire.conf.d/20-b.conf", "[Agent]\nLinks=usr-b\n");
        put("/run/icewire/icewire.conf.d/15-c.conf", "[Agent]\nLinks=run-c\n");
        put("/etc/icewire/icewire.conf.d/10-a.conf", "[Agent]\nLinks=etc-a\n");
        put("/etc/icewire/icewire.conf.d/30-not-a-drop-in.txt", "[Agent]\nLinks=no\n");
        snprintf(link, sizeof(link), "%s/etc/icewire/icewire.conf.d/20-b.conf", config_root);
        cr_assert_geq(symlink("/dev/null", link), 0);

        config = load();
        cr_assert_eq(config->log_level, LOG_ERR);
        cr_assert_str_eq(config->links[0], "main");
        cr_assert_str_eq(config->links[1], "etc-a");
        cr_assert_str_eq(config->links[2], "run-c");
        cr_assert_null(config->links[3]);
        config_free(config);
}

Test(config_tree, a_drop_in_is_named_with_its_line, .init = make_root, .fini = remove_root)
{
        const char *log;
        Config *config;
        Capture c;

        put("/etc/icewire/icewire.conf", "[Agent]\nLogLevel=err\n");
        put("/etc/icewire/icewire.conf.d/x.conf", "\n\n[Agent]\nLogLevel=x\n[broken\n[ICE]\nInterfaces=e\n");
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, "icewire.conf.d/x.conf:4: [Agent] LogLevel=: \"x\""), "%s", log);
        cr_assert(strstr(log, "icewire.conf.d/x.conf:5: "), "%s", log);
        cr_assert_eq(config->log_level, LOG_ERR);
        cr_assert_str_eq(config->addresses.interfaces[0], "e");
        config_free(config);
}

Test(config_tree, an_unreadable_file_is_named, .init = make_root, .fini = remove_root)
{
        Config *config;
        const char *log;
        Capture c;

        put("/etc/icewire/icewire.conf.d/dir.conf/x", "");
        put("/etc/icewire/icewire.conf", "[Agent]\nLogLevel=err\n");
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, "dir.conf: Is a directory"), "%s", log);
        cr_assert_eq(config->log_level, LOG_ERR);
        config_free(config);
}

Test(config_tree, a_folder_that_cannot_be_searched_is_named, .init = make_root, .fini = remove_root)
{
        char path[512];
        Config *config;
        const char *log;
        Capture c;

        put("/usr/lib/icewire/icewire.conf", "[Agent]\nLogLevel=err\n");
        put("/etc/x", "");
        snprintf(path, sizeof(path), "%s/etc/icewire", config_root);
        cr_assert_eq(symlink("icewire", path), 0);
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, "/etc/icewire/icewire.conf: Too many levels"), "%s", log);
        cr_assert(strstr(log, "/etc/icewire/icewire.conf.d: Too many levels"), "%s", log);
        config_free(config);
}

static void expect_no_relay(const char *text, const char *expected)
{
        Config *config;
        const char *log;
        Capture c;

        put("/etc/icewire/icewire.conf", text);
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, expected), "%s", log);
        cr_assert_eq(config->n_ice_servers, 1);
        expect_ice_server(&config->ice_servers[0], ICE_SERVER_STUN, "a", 3478);
        config_free(config);
}

/* One such server, and no negotiation would begin. */
Test(config_tree, relays_need_credentials, .init = make_root, .fini = remove_root)
{
        expect_no_relay("[ICE]\nSTUNServers=a\nTURNServers=turn:b\nTURNUser=me\n",
                        "icewire.conf:3: [ICE] TURNServers=: there is no password");
        expect_no_relay("[ICE]\nTURNServers=turn:b\nSTUNServers=a\nTURNUser=me\nTURNPasswordFile=/nowhere\n",
                        "icewire.conf:2: [ICE] TURNServers=: there is no password");
        expect_no_relay("[ICE]\nSTUNServers=a\nTURNServers=turn:b\nTURNServers=turn:c\n",
                        "icewire.conf:4: [ICE] TURNServers=: there is no TURNUser=");
}

static void expect_tcp(const char *value, TcpMode mode)
{
        char text[64];
        Config *config;

        snprintf(text, sizeof(text), "[ICE]\nTCP=%s\n", value);
        config = parse(text, 0);
        cr_assert_eq(config->tcp, mode);
        config_free(config);
}

Test(config, tcp)
{
        expect_tcp("auto", TCP_MODE_AUTO);
        expect_tcp("", TCP_MODE_AUTO);
        expect_tcp("yes", TCP_MODE_YES);
        expect_tcp("on", TCP_MODE_YES);
        expect_tcp("no", TCP_MODE_NO);
        expect_tcp("false", TCP_MODE_NO);
}

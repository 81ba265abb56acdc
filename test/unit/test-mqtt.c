/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "mqtt.h"
#include "rendezvous-mqtt.h"
#include "string-util.h"

/* A real mosquitto, its certificates made by the openssl command. */

#define PORT 18830
#define TOPIC_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOPIC_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

typedef struct Side {
        Rendezvous *rendezvous;
        unsigned n_state, n_up, n_down, n_subscribed, n_envelopes;
        char topic[128];
        char envelope[64];
        size_t size;
        char error[256]; /* the latest */
        bool free_on_envelope;
} Side;

static pid_t broker;
static sd_event *event;
static Resolver *resolver;
static Config config;

/* ---- The server ---- */

static void broker_wait(FILE *log)
{
        char line[512], all[8192] = "";

        while (fgets(line, sizeof(line), log)) {
                strncat(all, line, sizeof(all) - strlen(all) - 1);
                if (strstr(line, " running"))
                        return;
        }
        cr_assert_fail("mosquitto did not start: %s", all);
}

static void broker_start(const char *configuration)
{
        int fds[2];
        FILE *log;

        sandbox_write("mosquitto.conf", configuration);
        cr_assert_eq(pipe(fds), 0);
        broker = fork();
        cr_assert_geq(broker, 0);
        if (broker == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) dup2(fds[1], STDOUT_FILENO);
                (void) dup2(fds[1], STDERR_FILENO);
                close(fds[0]);
                close(fds[1]);
                execlp("mosquitto", "mosquitto", "-c", "mosquitto.conf", NULL);
                _exit(127);
        }
        close(fds[1]);
        log = fdopen(fds[0], "r");
        cr_assert_not_null(log);
        broker_wait(log);
        /* Kept open: a server whose log is closed gets SIGPIPE. It writes less than a pipe holds. */
        (void) log;
}

static void broker_stop(void)
{
        cr_assert_eq(kill(broker, SIGTERM), 0);
        cr_assert_eq(waitpid(broker, NULL, 0), broker);
        broker = 0;
}

#define PLAIN "user root\nallow_anonymous true\nlistener 18830 0.0.0.0\n"
#define TLS(name)                                                                                           \
        "user root\nallow_anonymous true\nlistener 18830 0.0.0.0\nkeyfile " name ".key\ncertfile " name     \
        ".pem\n"

static void make_certificates(void)
{
        sandbox_shell("exec >openssl.log 2>&1; set -e\n"
                      "for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                      "-nodes -days 2"
                      " -subj /CN=$ca -keyout $ca.key -out $ca.pem; done\n"
                      "make() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
                      " -keyout $1.key -out $1.csr; printf 'subjectAltName=%%s' $2 >$1.ext;"
                      " openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -days 2 -extfile $1.ext -out "
                      "$1.pem; }\n"
                      "make good DNS:broker.test,IP:127.0.0.1\n"
                      "make wrong DNS:elsewhere.test,IP:192.0.2.1\n");
}

/* ---- The client ---- */

static bool on_envelope(Rendezvous *r, const char *topic, const void *envelope, size_t size, void *userdata)
{
        Side *side = userdata;

        side->n_envelopes++;
        (void) snprintf(side->topic, sizeof(side->topic), "%s", topic);
        memcpy(side->envelope, envelope, MIN(size, sizeof(side->envelope)));
        side->size = size;
        if (side->free_on_envelope)
                side->rendezvous = rendezvous_free(side->rendezvous);
        return true;
}

static void on_state(Rendezvous *r, void *userdata)
{
        Side *side = userdata;

        side->n_state++;
        side->n_up += r->state == RENDEZVOUS_STATE_UP;
        side->n_down += r->state == RENDEZVOUS_STATE_DOWN;
        (void) snprintf(side->error, sizeof(side->error), "%s", strempty(r->error));
}

static void on_subscribed(Rendezvous *r, const char *topic, void *userdata)
{
        Side *side = userdata;

        side->n_subscribed++;
}

static const RendezvousCallbacks callbacks = {
        .envelope = on_envelope,
        .state = on_state,
        .subscribed = on_subscribed,
};

static void side_start(Side *side, MqttServerConfig *server)
{
        cr_assert_geq(
                rendezvous_mqtt_new(event, resolver, &config, server, &callbacks, side, &side->rendezvous),
                0);
}

static MqttServerConfig server_at(const char *host, bool tls)
{
        return (MqttServerConfig) { .host = (char *) host, .port = PORT, .tls = tls };
}

static void start(void)
{
        sandbox_need_root();
        sandbox_enter();
        sandbox_replace("/etc/hosts", "127.0.0.1 localhost broker.test\n::1 two.test\n127.0.0.2 two.test\n");
        sandbox_replace("/etc/resolv.conf", "nameserver 127.0.0.1\n");
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(resolver_new(event, &resolver), 0);
}

static void stop(void)
{
        resolver = resolver_free(resolver);
        event = sd_event_unref(event);
        if (broker > 0)
                broker_stop();
}

TestSuite(mqtt, .init = start, .fini = stop, .timeout = 60);

/* One envelope from `from` to who listens to `topic`. */
static void expect_delivery(Side *from, Side *to, const char *topic, const char *text)
{
        unsigned before = to->n_envelopes;

        cr_assert_geq(rendezvous_publish(from->rendezvous, topic, text, strlen(text)), 0);
        RUN_UNTIL(event, to->n_envelopes >= before + 1);
        cr_assert_str_eq(to->topic, topic);
        cr_assert_eq(to->size, strlen(text));
        cr_assert_eq(memcmp(to->envelope, text, to->size), 0);
}

static void expect_up(Side *side)
{
        RUN_UNTIL(event, side->n_up >= 1);
        cr_assert_null(side->rendezvous->error);
}

static void expect_down(Side *side, const char *why)
{
        RUN_UNTIL(event, side->n_down >= 1);
        cr_assert_not_null(strstr(side->error, why), "%s", side->error);
}

static void expect_connects(const char *host, bool tls)
{
        MqttServerConfig server = server_at(host, tls);
        Side side = {};

        side_start(&side, &server);
        expect_up(&side);
        cr_assert_eq(side.n_down, 0);
        rendezvous_free(side.rendezvous);
}

static void expect_refused(const char *host, bool tls, const char *why)
{
        MqttServerConfig server = server_at(host, tls);
        Side side = {};

        side_start(&side, &server);
        expect_down(&side, why);
        cr_assert_eq(side.n_up, 0);
        rendezvous_free(side.rendezvous);
}

Test(mqtt, plain)
{
        MqttServerConfig server = server_at("broker.test", false);
        Side a = {}, b = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        side_start(&b, &server);
        cr_assert_str_eq(a.rendezvous->name, "mqtt://broker.test:18830");
        cr_assert_eq(rendezvous_publish(a.rendezvous, TOPIC_B, "x", 1), -ENOTCONN);
        cr_assert_eq(rendezvous_subscribe(a.rendezvous, "#"), -EINVAL);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        RUN_UNTIL(event, a.n_subscribed >= 1);
        RUN_UNTIL(event, b.n_subscribed >= 1);
        expect_delivery(&a, &b, TOPIC_B, "from a to b");
        expect_delivery(&b, &a, TOPIC_A, "from b to a");
        cr_assert_eq(a.rendezvous->counters.sent, 1);
        cr_assert_eq(a.rendezvous->counters.received, 1);
        cr_assert_eq(a.n_state, 1);

        /* A topic more while connected, and one less. */
        cr_assert_geq(rendezvous_unsubscribe(b.rendezvous, TOPIC_B), 0);
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_A), 0);
        RUN_UNTIL(event, b.n_subscribed >= 2);
        cr_assert_geq(rendezvous_publish(a.rendezvous, TOPIC_B, "nobody", 6), 0);
        expect_delivery(&a, &b, TOPIC_A, "to both");
        cr_assert_eq(b.n_envelopes, 2);
        rendezvous_free(a.rendezvous);
        rendezvous_free(b.rendezvous);
}

/* More topics than go into one packet: each is told. */
Test(mqtt, many_topics)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        Side a = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        for (unsigned i = 0; i < 150; i++) {
                char topic[65];

                (void) snprintf(topic, sizeof(topic), "%064x", i);
                cr_assert_geq(rendezvous_subscribe(a.rendezvous, topic), 0);
        }
        RUN_UNTIL(event, a.n_subscribed >= 150);
        /* In one flight nothing may wait for an acknowledgement. */
        for (unsigned i = 0; i < 150; i++) {
                char topic[65];

                (void) snprintf(topic, sizeof(topic), "%064x", i);
                cr_assert_geq(rendezvous_publish(a.rendezvous, topic, topic, 64), 0);
        }
        RUN_UNTIL(event, a.n_envelopes >= 150);
        rendezvous_free(a.rendezvous);
}

Test(mqtt, envelope_callback_frees)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        Side a = {}, b = { .free_on_envelope = true };

        broker_start(PLAIN);
        side_start(&a, &server);
        side_start(&b, &server);
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        expect_up(&a);
        RUN_UNTIL(event, b.n_subscribed >= 1);
        cr_assert_geq(rendezvous_publish(a.rendezvous, TOPIC_B, "1", 1), 0);
        cr_assert_geq(rendezvous_publish(a.rendezvous, TOPIC_B, "2", 1), 0);
        RUN_UNTIL(event, b.n_envelopes >= 1);
        cr_assert_null(b.rendezvous);
        rendezvous_free(a.rendezvous);
}

Test(mqtt, tls_name)
{
        MqttServerConfig server = server_at("broker.test", true);
        Side a = {}, b = {};

        make_certificates();
        config.mqtt_ca_file = (char *) "ca.pem";
        broker_start(TLS("good"));
        side_start(&a, &server);
        side_start(&b, &server);
        cr_assert_str_eq(a.rendezvous->name, "mqtts://broker.test:18830");
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        expect_up(&a);
        RUN_UNTIL(event, b.n_subscribed >= 1);
        expect_delivery(&a, &b, TOPIC_B, "sealed twice");
        rendezvous_free(a.rendezvous);
        rendezvous_free(b.rendezvous);
        /* The certificate names the address as well, but not this other name of it. */
        expect_connects("127.0.0.1", true);
        expect_refused("localhost", true, "certificate verification failed: hostname mismatch");
}

Test(mqtt, tls_wrong_name)
{
        make_certificates();
        config.mqtt_ca_file = (char *) "ca.pem";
        broker_start(TLS("wrong"));
        expect_refused("broker.test", true, "certificate verification failed: hostname mismatch");
        expect_refused("127.0.0.1", true, "certificate verification failed: IP address mismatch");
}

Test(mqtt, tls_wrong_ca)
{
        make_certificates();
        broker_start(TLS("good"));
        config.mqtt_ca_file = (char *) "other.pem";
        expect_refused("broker.test", true,
                       "certificate verification failed: unable to get local issuer certificate");
        config.mqtt_ca_file = NULL;
        expect_refused("broker.test", true, "certificate verification failed: ");
        config.mqtt_ca_file = (char *) "missing.pem";
        expect_refused("broker.test", true, "cannot use the CA file missing.pem: No such file or directory");
        config.mqtt_ca_file = (char *) "openssl.log";
        expect_refused("broker.test", true, "cannot use the CA file openssl.log: it holds no certificate");
}

static char *read_text(const char *path)
{
        char *text;

        cr_assert_geq(read_full_file(path, 65536, &text, /* ret_size= */ NULL), 0);
        return text;
}

/* Servers that want to see a certificate get ours; and what cannot be one is named. */
Test(mqtt, tls_identity)
{
        char *good, *half, *mixed;

        make_certificates();
        sandbox_shell(
                "cat wrong.pem wrong.key >identity; cat wrong.pem >half; cat wrong.pem good.key >mixed");
        good = read_text("identity");
        half = read_text("half");
        mixed = read_text("mixed");
        config.mqtt_ca_file = (char *) "ca.pem";
        broker_start(TLS("good") "cafile ca.pem\nrequire_certificate true\n");
        expect_refused("broker.test", true, "");
        config.mqtt_identity = good;
        expect_connects("broker.test", true);
        config.mqtt_identity = half;
        expect_refused("broker.test", true, "the credential mqtt.identity");
        config.mqtt_identity = mixed;
        expect_refused("broker.test", true, "the credential mqtt.identity");
        config.mqtt_identity = NULL;
        free(good);
        free(half);
        free(mixed);
}

static unsigned n_refusals;

static void on_refused(Mqtt *m, int error, const char *reason, void *userdata)
{
        n_refusals++;
        cr_assert_eq(error, -EKEYREJECTED);
        cr_assert_str_eq(reason, "certificate verification failed: hostname mismatch");
}

/* Each request writes, and so drives the handshake on: here one of them meets the certificate. */
Test(mqtt, tls_wrong_name_while_subscribing)
{
        const MqttCallbacks refused = { .closed = on_refused };
        MqttParameters parameters = { .tls_name = "broker.test",
                                      .ca_file = "ca.pem",
                                      .connect_timeout = USEC_PER_MINUTE };
        const char *topic = "topic";
        int mid, r;
        Mqtt *m;

        make_certificates();
        broker_start(TLS("wrong"));
        cr_assert_geq(socket_address_from_ip("127.0.0.1", PORT, &parameters.address), 0);
        cr_assert_geq(mqtt_connect(event, &parameters, &refused, NULL, &m), 0);
        cr_assert_gt(sd_event_run(event, UINT64_MAX), 0);
        do
                r = mqtt_subscribe(m, &topic, 1, &mid);
        while (r >= 0);
        cr_assert(r == -EIO || r == -ENOTCONN, "the server may have been that quick");
        RUN_UNTIL(event, n_refusals > 0);
        mqtt_free(m);
}

Test(mqtt, tls_against_plain)
{
        broker_start(PLAIN);
        expect_refused("broker.test", true, "the server closed the connection");
}

Test(mqtt, plain_against_tls)
{
        make_certificates();
        broker_start(TLS("good"));
        expect_refused("broker.test", false, "");
}

#define PASSWORD "user root\nallow_anonymous false\npassword_file passwords\nlistener 18830 0.0.0.0\n"

Test(mqtt, password)
{
        sandbox_shell("mosquitto_passwd -b -c passwords me secret >openssl.log 2>&1");
        broker_start(PASSWORD);
        expect_refused("broker.test", false, "not authorised");
        config.mqtt_user = (char *) "me";
        config.mqtt_password = (char *) "wrong";
        expect_refused("broker.test", false, "not authorised");
        config.mqtt_password = (char *) "secret";
        expect_connects("broker.test", false);
}

Test(mqtt, subscription_refused)
{
        MqttServerConfig server = server_at("broker.test", false);
        Side a = {};

        /* mosquitto's plain acl_file refuses no subscription. */
        sandbox_write("security.json",
                      "{\"defaultACLAccess\":{\"publishClientSend\":true,\"publishClientReceive\":true,"
                      "\"subscribe\":false,\"unsubscribe\":true},\"clients\":[],\"anonymousGroup\":\"all\","
                      "\"groups\":[{\"groupname\":\"all\",\"roles\":[{\"rolename\":\"one\"}]}],"
                      "\"roles\":[{\"rolename\":\"one\",\"acls\":[{\"acltype\":\"subscribeLiteral\","
                      "\"topic\":\"icewire/v1/" TOPIC_A "\",\"priority\":0,\"allow\":true}]}]}");
        sandbox_shell("ln -s /usr/lib/*/mosquitto_dynamic_security.so .");
        broker_start(PLAIN "plugin ./mosquitto_dynamic_security.so\nplugin_opt_config_file security.json\n");
        side_start(&a, &server);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_B), 0);
        RUN_UNTIL(event, a.n_state >= 2);
        cr_assert_eq(a.n_subscribed, 1);
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_UP);
        cr_assert_not_null(strstr(a.error, "refuses subscriptions"));
        rendezvous_free(a.rendezvous);
}

Test(mqtt, names)
{
        broker_start(PLAIN);
        /* The first address has no server. */
        expect_connects("two.test", false);
        expect_refused("nowhere.test", false, "no name server answers");
        expect_refused("::1", false, "connection refused");
}

/* A bad server beside a good one. */
Test(mqtt, others_are_not_disturbed)
{
        MqttServerConfig good = server_at("127.0.0.1", false), bad = server_at("127.0.0.1", true);
        Side a = {}, b = {};

        broker_start(PLAIN);
        side_start(&b, &bad);
        side_start(&a, &good);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        RUN_UNTIL(event, a.n_subscribed >= 1);
        expect_down(&b, "the server closed the connection");
        expect_delivery(&a, &a, TOPIC_A, "still here");
        rendezvous_free(a.rendezvous);
        rendezvous_free(b.rendezvous);
}

Test(mqtt, restart)
{
        MqttServerConfig server = server_at("broker.test", false);
        Side a = {}, b = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        side_start(&b, &server);
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        expect_up(&a);
        RUN_UNTIL(event, b.n_subscribed >= 1);

        broker_stop();
        expect_down(&a, "connection lost");
        expect_down(&b, "connection lost");
        cr_assert_eq(rendezvous_publish(a.rendezvous, TOPIC_B, "lost", 4), -ENOTCONN);
        RUN_UNTIL(event, a.n_down >= 2);
        cr_assert_str_eq(a.error, "connection refused");

        broker_start(PLAIN);
        RUN_UNTIL(event, a.n_up >= 2);
        RUN_UNTIL(event, b.n_subscribed >= 2);
        cr_assert_null(a.rendezvous->error);
        expect_delivery(&a, &b, TOPIC_B, "again");
        cr_assert_eq(b.n_envelopes, 1);
        rendezvous_free(a.rendezvous);
        rendezvous_free(b.rendezvous);
}

/* A host that moves to another network keeps its connections, of which nothing will ever come again. */
Test(mqtt, connection_from_an_address_that_went)
{
        MqttServerConfig server = server_at("192.0.2.1", false);
        Side a = {};

        broker_start(PLAIN);
        sandbox_shell("ip address add 192.0.2.1/32 dev lo");
        side_start(&a, &server);
        expect_up(&a);
        a.rendezvous->ops->network_changed(a.rendezvous);
        run_pending(event);
        cr_assert_eq(a.n_down, 0);

        sandbox_shell("ip address del 192.0.2.1/32 dev lo");
        a.rendezvous->ops->network_changed(a.rendezvous);
        RUN_UNTIL(event, a.n_down >= 1);
        cr_assert_not_null(strstr(a.error, "this host has lost the address"), "%s", a.error);

        sandbox_shell("ip address add 192.0.2.1/32 dev lo");
        RUN_UNTIL(event, a.n_up >= 2);
        rendezvous_free(a.rendezvous);
}

/* In another network the name servers may not answer yet, and the server is where it was. */
Test(mqtt, connects_anew_without_asking_for_the_name)
{
        MqttServerConfig server = server_at("broker.test", false);
        Side a = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        expect_up(&a);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        RUN_UNTIL(event, a.n_subscribed >= 1);

        sandbox_replace("/etc/hosts", "127.0.0.1 localhost\n");
        a.rendezvous->ops->renew(a.rendezvous, "the test says so");
        cr_assert_eq(a.n_down, 1);
        cr_assert_str_eq(a.error, "the test says so");
        RUN_UNTIL(event, a.n_up >= 2);
        RUN_UNTIL(event, a.n_subscribed >= 2);
        expect_delivery(&a, &a, TOPIC_A, "anew");
        rendezvous_free(a.rendezvous);
}

/* All of one connection, for good: TCP's own repetitions do not help. */
#define LOSE_ONE_CONNECTION                                                                                 \
        "nft -f - <<END\n"                                                                                  \
        "table inet lossy {\n"                                                                              \
        "set lost {\n type inet_service; size 1; flags dynamic\n }\n"                                       \
        "chain input {\n type filter hook input priority 0\n"                                               \
        "tcp sport @lost drop\n"                                                                            \
        "tcp dport 18830 tcp flags & (syn|ack) == syn add @lost { tcp sport } drop\n"                       \
        "}\n}\nEND\n"

Test(mqtt, packets_that_get_lost_in_a_new_network_cost_little)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        Side a = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        expect_up(&a);
        sandbox_shell(LOSE_ONE_CONNECTION);
        a.rendezvous->ops->renew(a.rendezvous, "again");
        RUN_UNTIL(event, a.n_up >= 2);
        cr_assert_eq(a.n_down, 1, "down again: %s", a.error);
        rendezvous_free(a.rendezvous);
}

Test(mqtt, does_not_connect_anew_all_the_time)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        unsigned n_down;
        Side a = {};

        broker_start(PLAIN);
        side_start(&a, &server);
        expect_up(&a);
        for (unsigned i = 0; i < 20; i++) {
                a.rendezvous->ops->renew(a.rendezvous, "again");
                RUN_UNTIL(event, a.rendezvous->state == RENDEZVOUS_STATE_UP);
        }
        n_down = a.n_down;
        cr_assert_gt(n_down, 1);
        cr_assert_lt(n_down, 10);
        rendezvous_free(a.rendezvous);
}

/* Where links come and go all the time, a server that is down is left alone for a while all the same. */
Test(mqtt, network_changes_do_not_defeat_the_back_off)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htobe16(PORT),
                                       .sin_addr = { htobe32(INADDR_LOOPBACK) } };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        unsigned n_attempts = 0, n_changes = 0;
        Side a = {};

        /* A server that hangs up on everybody. */
        cr_assert_eq(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        cr_assert_eq(listen(listener, 16), 0);
        side_start(&a, &server);
        while (n_changes < 300) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0) {
                        n_attempts++;
                        close(fd);
                }
                cr_assert_geq(sd_event_run(event, USEC_PER_MSEC), 0);
                if (a.rendezvous->state == RENDEZVOUS_STATE_DOWN) {
                        n_changes++;
                        a.rendezvous->ops->network_changed(a.rendezvous);
                }
        }
        cr_assert_geq(n_attempts, 2, "a change is a reason to try at once");
        cr_assert_lt(n_attempts, n_changes / 10);
        rendezvous_free(a.rendezvous);
        close(listener);
}

/* ---- Payloads that are too long come from a client that is not ours ---- */

static unsigned n_foreign_connected;

static void on_foreign_connected(Mqtt *m, void *userdata)
{
        n_foreign_connected++;
}

static void on_foreign_closed(Mqtt *m, int error, const char *reason, void *userdata)
{
        cr_assert_fail("%s", reason);
}

static const MqttCallbacks foreign_callbacks = { .connected = on_foreign_connected,
                                                 .closed = on_foreign_closed };

Test(mqtt, oversized)
{
        MqttServerConfig server = server_at("127.0.0.1", false);
        MqttParameters parameters = { .connect_timeout = USEC_PER_MINUTE };
        _cleanup_free_ char *big = new0(char, 2 * MQTT_PACKET_MAX);
        Side a = {};
        Mqtt *foreign;

        broker_start(PLAIN);
        side_start(&a, &server);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        RUN_UNTIL(event, a.n_subscribed >= 1);
        cr_assert_eq(rendezvous_publish(a.rendezvous, TOPIC_A, big, RENDEZVOUS_ENVELOPE_MAX + 1), -EMSGSIZE);

        cr_assert_geq(socket_address_from_ip("127.0.0.1", PORT, &parameters.address), 0);
        cr_assert_geq(mqtt_connect(event, &parameters, &foreign_callbacks, NULL, &foreign), 0);
        RUN_UNTIL(event, n_foreign_connected >= 1);
        cr_assert_geq(mqtt_publish(foreign, "icewire/v1/" TOPIC_A, big, RENDEZVOUS_ENVELOPE_MAX + 1), 0);
        cr_assert_geq(mqtt_publish(foreign, "icewire/v1/" TOPIC_A, big, RENDEZVOUS_ENVELOPE_MAX), 0);
        RUN_UNTIL(event, a.n_envelopes >= 1);
        cr_assert_eq(a.size, RENDEZVOUS_ENVELOPE_MAX);
        cr_assert_eq(a.rendezvous->counters.oversized, 1);
        cr_assert_eq(a.rendezvous->counters.received, 1);
        cr_assert_eq(a.n_down, 0);

        /* What would fill our memory ends the connection; the next one is good. */
        cr_assert_geq(mqtt_publish(foreign, "icewire/v1/" TOPIC_A, big, 2 * MQTT_PACKET_MAX), 0);
        expect_down(&a, "the server sends more than we take in one packet");
        RUN_UNTIL(event, a.n_subscribed >= 2);
        cr_assert_geq(mqtt_publish(foreign, "icewire/v1/" TOPIC_A, "small", 5), 0);
        RUN_UNTIL(event, a.n_envelopes >= 2);
        mqtt_free(foreign);
        rendezvous_free(a.rendezvous);
}

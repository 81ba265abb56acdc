/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.icewire1 on a real dbus-daemon, and a client that is root; others are in test-agent-polkit. */

#include <sys/stat.h>

#include "agent-bus-internal.h"
#include "bus-client.h"
#include "fd-util.h"
#include "json.h"
#include "one-link.h"
#include "sharing.h"
#include "varlink-util.h"

#define LINK_PATH "/org/icewire1/link/wg0"
#define PEER_1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PEER_2 "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PEER_3 "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PEER_PATH(key) "/org/icewire1/peer/wg0/" key "_3d"
#define PEER_1_PATH PEER_PATH("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
#define PEER_2_PATH PEER_PATH("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
#define PEER_3_PATH PEER_PATH("AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")

#define MANAGER "org.icewire1.Manager"
#define LINK "org.icewire1.Link"
#define PEER "org.icewire1.Peer"
#define PROPERTIES "org.freedesktop.DBus.Properties"

static SystemBus *system_bus;
static Authority *authority;
static AgentBus *agent_bus;
static BusClient client;

static void start(void)
{
        sandbox_need_root();
        bus_set_up();
        one_link_set_up();
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
        cr_assert_eq(authority_new(system_bus, &authority), 0);
        cr_assert_geq(agent_bus_new(event, system_bus, verbs, authority, &agent_bus), 0);
        bus_start();
        bus_client_open(&client, event, 0);
}

static void stop(void)
{
        bus_client_close(&client);
        agent_bus = agent_bus_free(agent_bus);
        authority = authority_free(authority);
        system_bus = system_bus_free(system_bus);
        bus_stop();
        one_link_tear_down();
}

TestSuite(agent_bus, .init = start, .fini = stop, .timeout = 60);

/* Of a text that introspection has. */
static char *interface_in(const char *text, const char *name)
{
        _cleanup_free_ char *start_tag = asprintf_safe("<interface name=\"%s\">", name);
        const char *begin = strstr(text, start_tag), *end;

        cr_assert_not_null(begin, "no %s in: %s", name, text);
        end = strstr(begin, "</interface>");
        cr_assert_not_null(end);
        return strndup(begin, (size_t) (end - begin));
}

/* Without comments and what is between two tags. */
static char *tags_of(const char *xml)
{
        char *tags = malloc(strlen(xml) + 1), *q = tags;
        bool inside = false;

        for (const char *p = xml; *p; p++) {
                if (startswith(p, "<!--")) {
                        p = strstr(p, "-->");
                        cr_assert_not_null(p);
                        p += 2;
                        continue;
                }
                inside = inside || *p == '<';
                if (inside)
                        *q++ = *p;
                inside = inside && *p != '>';
        }
        *q = '\0';
        return tags;
}

static const char *introspect(const char *path)
{
        const char *xml;

        bus_client_call(&client, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "s", &xml), 0);
        return xml;
}

static void expect_file_says(const char *path, const char *interface)
{
        _cleanup_free_ char *live = interface_in(introspect(path), interface), *live_tags = tags_of(live),
                            *file = asprintf_safe("%s/dbus/%s.xml", getenv("ICEWIRE_SOURCE"), interface),
                            *text = NULL, *written = NULL, *written_tags = NULL;

        cr_assert_geq(read_full_file(file, 1024 * 1024, &text, /* ret_size= */ NULL), 0);
        written = interface_in(text, interface);
        written_tags = tags_of(written);
        cr_assert_str_eq(written_tags, live_tags, "%s does not say what icewired does: %s", file, live);

        /* A comment before each member. */
        for (const char *p = text; (p = strstr(p, "\n  <")); p++) {
                const char *before;

                if (!startswith(p, "\n  <method") && !startswith(p, "\n  <property"))
                        continue;
                for (before = p; before[-1] == ' ' || before[-1] == '\n'; before--)
                        ;
                cr_assert(startswith(before - 3, "-->"), "no comment before %.60s", p);
        }
}

Test(agent_bus, interfaces_are_as_they_are_written_down)
{
        cr_assert_not_null(getenv("ICEWIRE_SOURCE"));
        expect_file_says(MANAGER_PATH, MANAGER);
        expect_file_says(LINK_PATH, LINK);
        expect_file_says(PEER_1_PATH, PEER);
}

/* What a person sees. */
Test(agent_bus, busctl_shows_what_there_is)
{
        static const char *const commands[] = {
                "busctl tree --list org.icewire1 >" SANDBOX_DIR "/tree",
                "busctl introspect org.icewire1 " PEER_1_PATH " >" SANDBOX_DIR "/peer",
                "busctl get-property org.icewire1 " LINK_PATH " " LINK " ListenPort >" SANDBOX_DIR "/port",
        };
        _cleanup_free_ char *tree = NULL, *peer = NULL, *port = NULL;

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                const char *argv[] = { "sh", "-c", commands[i], NULL };
                pid_t pid = bus_spawn(argv);
                int status = 0;

                while (waitpid(pid, &status, WNOHANG) == 0) {
                        cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
                        answer_reads(0);
                }
                cr_assert_eq(status, 0, "%s", commands[i]);
        }
        cr_assert_geq(read_full_file(SANDBOX_DIR "/tree", 65536, &tree, NULL), 0);
        cr_assert_str_eq(tree, "/\n/org\n/org/freedesktop\n/org/freedesktop/LogControl1\n/org/icewire1\n"
                               "/org/icewire1/link\n" LINK_PATH "\n/org/icewire1/peer\n" PEER_1_PATH
                               "\n" PEER_2_PATH "\n");
        cr_assert_geq(read_full_file(SANDBOX_DIR "/peer", 65536, &peer, NULL), 0);
        cr_assert_not_null(strstr(peer, ".RxBytes"));
        cr_assert_null(strstr(peer, "rivate"), "no private or preshared key: %s", peer);
        cr_assert_geq(read_full_file(SANDBOX_DIR "/port", 65536, &port, NULL), 0);
        cr_assert_str_eq(port, "q 51820\n");
}

/* ---- Signals ---- */

static void expect_changed(const char *path, const char *names)
{
        _cleanup_free_ char *changed = NULL;
        sd_bus_message *m;

        RUN_UNTIL(event, bus_client_count(&client, "PropertiesChanged", path, &m) > 0);
        run_pending(event);
        cr_assert_eq(bus_client_count(&client, "PropertiesChanged", path, &m), 1);
        changed = bus_changed_names(m);
        cr_assert_str_eq(changed, names);
}

Test(agent_bus, tells_once_what_has_changed_and_nothing_else)
{
        device->listen_port = 51821;
        tell_of_link();
        device->ifindex = 8;
        tell_of_link();
        expect_changed(LINK_PATH, " InterfaceIndex ListenPort");
        bus_client_forget(&client);

        cr_assert_eq(socket_address_from_string("192.0.2.8:8", &device->peers[0].endpoint), 0);
        device->peers[0].rx_bytes += 1000; /* changes all the time, and is told by nobody */
        device->peers[1].tx_bytes += 1000;
        tell_of_link();
        expect_changed(PEER_2_PATH, " Endpoint");
        cr_assert_eq(bus_client_count(&client, "PropertiesChanged", PEER_1_PATH, NULL), 0);
        cr_assert_eq(bus_client_count(&client, "PropertiesChanged", LINK_PATH, NULL), 0);
        bus_client_forget(&client);

        /* What is there and back again within a turn is no change. */
        device->listen_port = 1;
        tell_of_link();
        device->listen_port = 51821;
        tell_of_link();
        run_pending(event);
        cr_assert_eq(bus_client_count(&client, "PropertiesChanged", LINK_PATH, NULL), 0);
}

Test(agent_bus, tells_what_changes_of_the_manager)
{
        broker.callbacks->ready(&broker, manager);
        expect_changed(MANAGER_PATH, " Broker Redirect RedirectReason");
        bus_client_forget(&client);
        broker.connected = false;
        broker.callbacks->lost(&broker, -ECONNRESET, manager);
        expect_changed(MANAGER_PATH, " Broker Redirect RedirectReason");
}

/* Whoever asks meanwhile would hear of no change afterwards, since there is none. */
Test(agent_bus, what_is_in_force_is_known_while_it_is_asked_for_again)
{
        const char *kind;

        broker.callbacks->ready(&broker, manager);
        expect_changed(MANAGER_PATH, " Broker Redirect RedirectReason");
        bus_client_forget(&client);
        manager->broker_ready = false; /* the answer does not come */
        sharing_update(manager);
        bus_client_call(&client, MANAGER_PATH, PROPERTIES, "Get", "ss", MANAGER, "Redirect");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "v", "s", &kind), 0);
        cr_assert_str_eq(kind, "proxy");
        run_pending(event);
        cr_assert_eq(bus_client_count(&client, "PropertiesChanged", MANAGER_PATH, NULL), 0);
}

static int ignore_topic(Rendezvous *r, const char *topic)
{
        return 0;
}

static int ignore_envelope(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        return 0;
}

static Rendezvous *free_rendezvous(Rendezvous *r)
{
        free(r->name);
        free(r->error);
        return mfree(r);
}

Test(agent_bus, tells_of_rendezvous)
{
        static const RendezvousOps ops = { .subscribe = ignore_topic,
                                           .unsubscribe = ignore_topic,
                                           .publish = ignore_envelope,
                                           .free = free_rendezvous };
        Rendezvous *r = new0(Rendezvous, 1);
        const char *name, *state, *error;

        rendezvous_init(r, &ops, &manager_rendezvous_callbacks, manager);
        r->name = strdup("test://somewhere");
        cr_assert_eq(manager_add_rendezvous(manager, r), 0);
        verbs_tell_rendezvous(verbs, r, /* removed= */ false);
        expect_changed(MANAGER_PATH, " Rendezvous");
        bus_client_forget(&client);
        rendezvous_set_state(r, RENDEZVOUS_STATE_DOWN, "\xff");
        expect_changed(MANAGER_PATH, " Rendezvous");
        bus_client_forget(&client);
        bus_client_call(&client, MANAGER_PATH, PROPERTIES, "Get", "ss", MANAGER, "Rendezvous");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "v", "a(sss)", 1, &name, &state, &error), 0);
        cr_assert_str_eq(name, "test://somewhere");
        cr_assert_str_eq(state, "down");
        cr_assert_str_eq(error, "\\xff");
}

Test(agent_bus, tells_of_what_others_configure)
{
        cr_assert_eq(wireguard_peer_add_allowed_ip(&device->peers[0],
                                                   &(IpPrefix) { .family = AF_INET, .length = 8 }),
                     0);
        tell_of_link();
        expect_changed(PEER_2_PATH, " AllowedIPs");
        bus_client_forget(&client);

        /* With another key of ours every peer is another one. */
        device->public_key.bytes[0]++;
        tell_of_link();
        RUN_UNTIL(event, bus_client_count(&client, "InterfacesAdded", MANAGER_PATH, NULL) == 2);
        run_pending(event);
        cr_assert_eq(bus_client_count(&client, "InterfacesRemoved", MANAGER_PATH, NULL), 2);
        expect_changed(LINK_PATH, " PublicKey");
}

/* First of the interfaces that a signal adds or removes. */
static bool names_interface(sd_bus_message *m, const char *interface)
{
        const char *path;
        char **names;
        bool found = false;

        cr_assert_geq(sd_bus_message_rewind(m, true), 0);
        cr_assert_gt(sd_bus_message_read(m, "o", &path), 0);
        if (streq(sd_bus_message_get_member(m), "InterfacesRemoved")) {
                cr_assert_gt(sd_bus_message_read_strv(m, &names), 0);
                for (char **name = names; *name; name++) {
                        found = found || streq(*name, interface);
                        free(*name);
                }
                free(names);
                return found;
        }
        cr_assert_gt(sd_bus_message_enter_container(m, 'a', "{sa{sv}}"), 0);
        while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
                const char *name;

                cr_assert_gt(sd_bus_message_read(m, "s", &name), 0);
                cr_assert_gt(sd_bus_message_skip(m, "a{sv}"), 0);
                cr_assert_geq(sd_bus_message_exit_container(m), 0);
                found = found || streq(name, interface);
        }
        return found;
}

/* One signal of the object manager about this object. */
static void expect_object(const char *member, const char *path, const char *interface)
{
        size_t n = 0;

        for (size_t i = 0; i < client.n_signals; i++) {
                sd_bus_message *m = client.signals[i];
                const char *object;

                if (!streq(sd_bus_message_get_member(m), member))
                        continue;
                cr_assert_geq(sd_bus_message_rewind(m, true), 0);
                cr_assert_gt(sd_bus_message_read(m, "o", &object), 0);
                if (!streq(object, path))
                        continue;
                cr_assert(names_interface(m, interface));
                n++;
        }
        cr_assert_eq(n, 1, "%s of %s: %zu", member, path, n);
}

Test(agent_bus, objects_come_and_go)
{
        add_peer(3);
        tell_of_link();
        RUN_UNTIL(event, bus_client_count(&client, "InterfacesAdded", MANAGER_PATH, NULL) == 1);
        run_pending(event);
        expect_object("InterfacesAdded", PEER_3_PATH, PEER);
        expect_changed(LINK_PATH, " NPeers");
        bus_client_forget(&client);

        device->n_peers--;
        tell_of_link();
        RUN_UNTIL(event, bus_client_count(&client, "InterfacesRemoved", MANAGER_PATH, NULL) == 1);
        run_pending(event);
        expect_object("InterfacesRemoved", PEER_3_PATH, PEER);
        expect_changed(LINK_PATH, " NPeers");
        bus_client_forget(&client);

        /* Gone before anybody was told that it is there. */
        device->n_peers++;
        tell_of_link();
        device->n_peers--;
        tell_of_link();
        run_pending(event);
        cr_assert_eq(client.n_signals, 0);

        broker.callbacks->link_removed(&broker, "wg0", manager);
        RUN_UNTIL(event, bus_client_count(&client, "InterfacesRemoved", MANAGER_PATH, NULL) == 3);
        expect_object("InterfacesRemoved", PEER_1_PATH, PEER);
        expect_object("InterfacesRemoved", PEER_2_PATH, PEER);
        expect_object("InterfacesRemoved", LINK_PATH, LINK);
        tell_of_link();
        RUN_UNTIL(event, bus_client_count(&client, "InterfacesAdded", MANAGER_PATH, NULL) == 3);
        expect_object("InterfacesAdded", LINK_PATH, LINK);
}

/* ---- Properties ---- */

static uint64_t counter(const char *name)
{
        uint64_t value;

        cr_assert_gt(sd_bus_message_read(client.answer, "v", "t", &value), 0, "%s", name);
        return value;
}

Test(agent_bus, counters_are_read_for_whoever_asks)
{
        unsigned before = n_reads;
        const char *name;

        bus_client_send(&client, false, PEER_2_PATH, PROPERTIES, "Get", "ss", PEER, "RxBytes");
        RUN_UNTIL(event, n_reads == before + 1);
        cr_assert_eq(client.n_answers, 0);
        device->peers[0].rx_bytes = 77;
        answer_reads(0);
        RUN_UNTIL(event, client.n_answers == 1);
        cr_assert_eq(counter("RxBytes"), 77);

        /* Several at once: one reading is enough. */
        bus_client_send(&client, false, PEER_2_PATH, PROPERTIES, "GetAll", "s", PEER);
        bus_client_send(&client, false, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager",
                        "GetManagedObjects", NULL);
        bus_client_send(&client, false, PEER_2_PATH, PROPERTIES, "Get", "ss", PEER, "RxBytes");
        /* When this is answered, they have come. */
        bus_client_call(&client, PEER_2_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL);
        cr_assert_eq(n_reads, before + 2);
        cr_assert_eq(client.n_answers, 2);
        device->peers[0].rx_bytes = 78;
        answer_reads(0);
        RUN_UNTIL(event, client.n_answers == 5);
        cr_assert_eq(n_reads, before + 2);
        cr_assert_eq(counter("RxBytes"), 78);

        /* What the model knows anyway is told without. */
        bus_client_call(&client, PEER_2_PATH, PROPERTIES, "Get", "ss", PEER, "State");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(n_reads, before + 2);

        /* Nobody to ask. */
        broker.connected = false;
        bus_client_call(&client, PEER_2_PATH, PROPERTIES, "Get", "ss", PEER, "RxBytes");
        cr_assert_eq(counter("RxBytes"), 78);
        bus_client_call(&client, PEER_2_PATH, PEER, "Describe", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "s", &name), 0);
        cr_assert_not_null(strstr(name, "\"rxBytes\":78"));
}

Test(agent_bus, who_waits_for_a_peer_that_goes_is_told)
{
        bus_client_send(&client, false, PEER_1_PATH, PEER, "Describe", NULL);
        RUN_UNTIL(event, calls);
        device->n_peers--;
        answer_reads(0);
        RUN_UNTIL(event, client.n_answers == 1);
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchPeer");
}

/* ---- Methods ---- */

static void expect_path(const char *path)
{
        const char *answer;

        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "o", &answer), 0);
        cr_assert_str_eq(answer, path);
}

Test(agent_bus, finds_objects_by_name)
{
        const char *link, *key, *state, *path_kind, *path;
        int32_t ifindex;

        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetLink", "s", "wg0");
        expect_path(LINK_PATH);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "wg0", PEER_1);
        expect_path(PEER_1_PATH);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "", PEER_2);
        expect_path(PEER_2_PATH);

        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetLink", "s", "wg1");
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchLink");
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "wg1", PEER_1);
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchLink");
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "", PEER_3);
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchPeer");
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "", "");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, PEER_3_PATH, PROPERTIES, "Get", "ss", PEER, "State");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_UNKNOWN_OBJECT);

        bus_client_call(&client, MANAGER_PATH, MANAGER, "ListLinks", NULL);
        cr_assert_gt(sd_bus_message_read(client.answer, "a(sio)", 1, &link, &ifindex, &path), 0);
        cr_assert_eq(ifindex, 7);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "ListPeers", "s", "wg0");
        cr_assert_gt(sd_bus_message_enter_container(client.answer, 'a', "(sssso)"), 0);
        cr_assert_gt(sd_bus_message_read(client.answer, "(sssso)", &link, &key, &state, &path_kind, &path),
                     0);
        cr_assert_str_eq(key, PEER_2);
        cr_assert_str_eq(path, PEER_2_PATH);
        cr_assert_gt(sd_bus_message_read(client.answer, "(sssso)", &link, &key, &state, &path_kind, &path),
                     0);
        cr_assert_str_eq(path_kind, "none");
        cr_assert_eq(sd_bus_message_at_end(client.answer, false), 1);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "ListPeers", "s", "wg1");
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchLink");
}

static Peer *peer_number(uint8_t number)
{
        WireguardKey key = { .bytes = { number } };
        Peer *peer = link_find_peer(manager_find_link(manager, "wg0"), &key);

        cr_assert_not_null(peer);
        return peer;
}

Test(agent_bus, policy_is_set)
{
        bus_client_call(&client, PEER_1_PATH, PEER, "SetPolicy", "s", "off");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(peer_number(1)->policy, POLICY_OFF);
        cr_assert(peer_number(1)->policy_temporary);
        cr_assert_eq(peer_number(2)->policy, POLICY_AUTO);
        RUN_UNTIL(event, bus_client_count(&client, "PropertiesChanged", PEER_1_PATH, NULL) > 0);

        bus_client_call(&client, MANAGER_PATH, MANAGER, "SetPolicy", "sss", "wg0", PEER_2, "relay");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(peer_number(2)->policy, POLICY_RELAY);

        bus_client_call(&client, PEER_1_PATH, PEER, "SetPolicy", "s", "nonsense");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "SetPolicy", "sss", "wg0", "nonsense", "relay");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "SetPolicy", "sss", "", PEER_3, "relay");
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchPeer");
        bus_client_call(&client, MANAGER_PATH, MANAGER, "SetPolicy", "sss", "wg0", "", "relay");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
}

/* What nobody asked for is not kept until the counters have been read. */
Test(agent_bus, does_not_wait_with_what_is_wrong)
{
        unsigned before = n_reads;

        bus_client_call(&client, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                        "s", "more");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, PEER_1_PATH, PROPERTIES, "Get", "sss", PEER, "RxBytes", "more");
        bus_client_call(&client, PEER_1_PATH, PROPERTIES, "GetAll", "ss", PEER, "more");
        cr_assert_eq(n_reads, before);
}

/* What a caller sent is not said again if it is long. */
Test(agent_bus, does_not_repeat_what_is_long)
{
        _cleanup_free_ char *text = malloc(100001);
        const struct {
                const char *path, *interface, *member, *arguments[2];
        } cases[] = {
                { MANAGER_PATH, MANAGER, "GetLink", { text } },
                { MANAGER_PATH, MANAGER, "ListPeers", { text } },
                { MANAGER_PATH, MANAGER, "Reconnect", { text, "" } },
                { MANAGER_PATH, MANAGER, "Reconnect", { "", text } },
                { PEER_1_PATH, PEER, "SetPolicy", { text } },
        };

        memset(text, 'x', 100000);
        text[100000] = 0;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bus_client_call(&client, cases[i].path, cases[i].interface, cases[i].member,
                                cases[i].arguments[1] ? "ss" : "s", cases[i].arguments[0],
                                cases[i].arguments[1]);
                cr_assert_not_null(sd_bus_message_get_error(client.answer), "%zu", i);
                cr_assert_lt(strlen(sd_bus_message_get_error(client.answer)->message), 100, "%zu", i);
        }
        bus_client_call(&client, "/org/freedesktop/LogControl1", PROPERTIES, "Set", "ssv",
                        "org.freedesktop.LogControl1", "LogLevel", "s", text);
        cr_assert_lt(strlen(sd_bus_message_get_error(client.answer)->message), 100);
}

Test(agent_bus, reconnects)
{
        static const struct {
                const char *path, *interface, *link, *key;
                bool first, second; /* of the two peers */
        } cases[] = {
                { PEER_1_PATH, PEER, NULL, NULL, true, false },
                { LINK_PATH, LINK, NULL, NULL, true, true },
                { MANAGER_PATH, MANAGER, "", "", true, true },
                { MANAGER_PATH, MANAGER, "wg0", PEER_2, false, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                peer_number(1)->because = peer_number(2)->because = PATH_CAUSE_UNKNOWN;
                if (cases[i].link)
                        bus_client_call(&client, cases[i].path, cases[i].interface, "Reconnect", "ss",
                                        cases[i].link, cases[i].key);
                else
                        bus_client_call(&client, cases[i].path, cases[i].interface, "Reconnect", NULL);
                EXPECT_BUS_SUCCESS(&client);
                cr_assert_eq(peer_number(1)->because == PATH_CAUSE_RECONNECT_REQUESTED, cases[i].first,
                             "%zu", i);
                cr_assert_eq(peer_number(2)->because == PATH_CAUSE_RECONNECT_REQUESTED, cases[i].second,
                             "%zu", i);
        }
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reconnect", "ss", "wg1", "");
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchLink");
}

Test(agent_bus, reloads)
{
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reload", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(n_reloads, 1);
        reload_result = -EIO;
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reload", NULL);
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.ConfigurationInvalid");
        cr_assert_str_eq(sd_bus_message_get_error(client.answer)->message, "it is on fire");
}

Test(agent_bus, diagnoses_and_describes)
{
        static const char *const methods[] = { "Diagnose", "Describe" };
        const char *text;

        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                _cleanup_json_ sd_json_variant *v = NULL;

                bus_client_call(&client, MANAGER_PATH, MANAGER, methods[i], NULL);
                EXPECT_BUS_SUCCESS(&client);
                cr_assert_gt(sd_bus_message_read(client.answer, "s", &text), 0);
                cr_assert_geq(sd_json_parse(text, 0, &v, NULL, NULL), 0);
                cr_assert_str_eq(string_at(v, "broker"), "connecting");
        }
        bus_client_call(&client, LINK_PATH, LINK, "Describe", NULL);
        cr_assert_gt(sd_bus_message_read(client.answer, "s", &text), 0);
        cr_assert_not_null(strstr(text, "\"listenPort\":51820"));
}

Test(agent_bus, counts_what_was_said)
{
        const char *name;
        uint64_t value;
        bool found = false;

        peer_number(1)->counters.sessions = 5;
        bus_client_call(&client, PEER_1_PATH, PEER, "GetCounters", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_enter_container(client.answer, 'a', "{st}"), 0);
        while (sd_bus_message_read(client.answer, "{st}", &name, &value) > 0)
                found = found || (streq(name, "sessions") && value == 5);
        cr_assert(found);
}

static void change_path(const char *remote)
{
        Peer *peer = peer_number(1);
        Path path = { .kind = PATH_DIRECT, .round_trip_time = USEC_INFINITY };

        path.since = now(CLOCK_BOOTTIME);
        cr_assert_eq(socket_address_from_string("192.0.2.1:51820", &path.local.address), 0);
        cr_assert_eq(socket_address_from_string(remote, &path.remote.address), 0);
        peer_set_path(peer, &path);
}

Test(agent_bus, tells_of_paths_and_their_history)
{
        const char *cause, *from, *to, *skip, *address;
        uint64_t realtime, boottime;

        change_path("192.0.2.2:1");
        expect_changed(PEER_1_PATH, " Path Transport LocalCandidate RemoteCandidate");
        bus_client_forget(&client);
        change_path("192.0.2.2:2");
        expect_changed(PEER_1_PATH, " RemoteCandidate");

        bus_client_call(&client, PEER_1_PATH, PEER, "GetHistory", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_enter_container(client.answer, 'a', "(tts(s(sss)(sss))(s(sss)(sss)))"),
                     0);
        cr_assert_gt(sd_bus_message_read(client.answer, "(tts(s(sss)(sss))(s(sss)(sss)))", &realtime,
                                         &boottime, &cause, &from, &skip, &skip, &skip, &skip, &skip, &skip,
                                         &to, &skip, &skip, &skip, &skip, &skip, &address),
                     0);
        cr_assert_str_eq(from, "none");
        cr_assert_str_eq(to, "direct");
        cr_assert_str_eq(cause, "first-path");
        cr_assert_str_eq(address, "192.0.2.2:1");
        cr_assert_gt(realtime, USEC_PER_SEC);
}

/* What others said may be no UTF-8. */
Test(agent_bus, takes_any_text)
{
        _cleanup_free_ char *changed = NULL;
        const char *text;

        peer_number(1)->reason_detail = strdup("\xff\xfe");
        peer_number(1)->reason = PEER_REASON_NO_PATH;
        peer_number(1)->dirty = true;
        manager_schedule_flush(manager);
        RUN_UNTIL(event, bus_client_count(&client, "PropertiesChanged", PEER_1_PATH, NULL) == 1);
        bus_client_call(&client, PEER_1_PATH, PROPERTIES, "Get", "ss", PEER, "ReasonDetail");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_gt(sd_bus_message_read(client.answer, "v", "s", &text), 0);
        cr_assert_str_eq(text, "\\xff\\xfe");
}

/* ---- LogControl1 ---- */

Test(agent_bus, log_level_is_set)
{
        static const char path[] = "/org/freedesktop/LogControl1",
                          interface[] = "org.freedesktop.LogControl1";
        const char *text;

        bus_client_call(&client, path, PROPERTIES, "Set", "ssv", interface, "LogLevel", "s", "debug");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(log_get_max_level(), LOG_DEBUG);
        log_set_max_level(LOG_ERR);
        bus_client_call(&client, path, PROPERTIES, "Get", "ss", interface, "LogLevel");
        cr_assert_gt(sd_bus_message_read(client.answer, "v", "s", &text), 0);
        cr_assert_str_eq(text, "err");
        bus_client_call(&client, path, PROPERTIES, "Set", "ssv", interface, "LogLevel", "s", "loud");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, path, PROPERTIES, "Set", "ssv", interface, "LogLevel", "u", 7);
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, path, PROPERTIES, "Set", "ssv", interface, "LogTarget", "s", "kmsg");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_NOT_SUPPORTED);
        bus_client_call(&client, path, PROPERTIES, "Get", "ss", interface, "LogTarget");
        cr_assert_gt(sd_bus_message_read(client.answer, "v", "s", &text), 0);
        cr_assert_str_eq(text, "console");
        bus_client_call(&client, path, PROPERTIES, "Set", "ssv", interface, "SyslogIdentifier", "s", "x");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_PROPERTY_READ_ONLY);
        cr_assert_eq(log_get_max_level(), LOG_ERR);
}

/* ---- The bus ---- */

Test(agent_bus, is_there_again_when_the_bus_is)
{
        bus_client_send(&client, false, PEER_1_PATH, PEER, "Describe", NULL); /* waits for the broker */
        RUN_UNTIL(event, calls);
        bus_client_close(&client);
        bus_stop();
        RUN_UNTIL(event, !system_bus_get(system_bus));
        answer_reads(0);
        add_peer(3); /* meanwhile */
        tell_of_link();
        run_pending(event);

        bus_start();
        bus_client_open(&client, event, 0);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetPeer", "ss", "wg0", PEER_3);
        expect_path(PEER_3_PATH);
        device->listen_port = 3;
        tell_of_link();
        expect_changed(LINK_PATH, " ListenPort");
}

Test(agent_bus, takes_the_name_when_another_lets_it_go)
{
        sd_bus *other;

        bus_client_close(&client);
        bus_stop();
        RUN_UNTIL(event, !system_bus_get(system_bus));
        bus_start();
        other = bus_owner_of(AGENT_BUS_NAME);
        RUN_UNTIL(event, system_bus_get(system_bus));
        run_pending(event);
        sd_bus_close_unref(other);
        bus_client_open(&client, event, 0);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetLink", "s", "wg0");
        expect_path(LINK_PATH);
}

/* A bus that began before there was the user whom its policy names. */
Test(agent_bus, asks_again_for_a_name_that_it_is_refused)
{
        bus_client_close(&client);
        bus_stop();
        RUN_UNTIL(event, !system_bus_get(system_bus));
        sandbox_write(SANDBOX_DIR "/bus.conf", BUS_CONFIGURATION_WITH("<deny own=\"" AGENT_BUS_NAME "\"/>"));
        bus_start();
        RUN_UNTIL(event, system_bus_get(system_bus) && !agent_bus->name);
        bus_reload(BUS_CONFIGURATION_WITH(""));
        bus_client_open(&client, event, 0);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "GetLink", "s", "wg0");
        expect_path(LINK_PATH);
}

static uint64_t count_unsent(void)
{
        uint64_t n;

        cr_assert_geq(sd_bus_get_n_queued_write(system_bus_get(system_bus), &n), 0);
        return n;
}

/* sd-bus has the kernel take megabytes of what is said to the bus. */
static void shrink_buffer(void)
{
        int size = 65536;

        cr_assert_eq(setsockopt(sd_bus_get_fd(system_bus_get(system_bus)), SOL_SOCKET, SO_SNDBUF, &size,
                                sizeof(size)),
                     0);
}

#define N_CHANGES 600

static void change_reason(unsigned number)
{
        Peer *peer = peer_number(1);
        char text[8192];

        (void) snprintf(text, sizeof(text), "%*u", (int) sizeof(text) - 1, number);
        free(peer->reason_detail);
        peer->reason_detail = strdup(text);
        peer->reason = PEER_REASON_NO_PATH;
        peer->dirty = true;
        manager_schedule_flush(manager);
}

/* One that stands still gets a bounded number of messages, and what the objects have become when it goes on.
 */
Test(agent_bus, does_not_pile_up_what_a_slow_bus_does_not_take)
{
        sd_bus_message *m = NULL;
        uint64_t most = 0;
        const char *text;

        cr_assert_eq(kill(bus_pid, SIGSTOP), 0);
        shrink_buffer();
        for (unsigned i = 1; i <= N_CHANGES; i++) {
                change_reason(i);
                run_pending(event);
                most = MAX(most, count_unsent());
        }
        cr_assert_eq(most, 256, "%u", (unsigned) most);
        cr_assert_eq(kill(bus_pid, SIGCONT), 0);
        do {
                bus_client_forget(&client);
                RUN_UNTIL(event, client.n_signals > 0);
                cr_assert_eq(bus_client_count(&client, "PropertiesChanged", PEER_1_PATH, &m),
                             client.n_signals);
                cr_assert_gt(sd_bus_message_skip(m, "s"), 0);
                cr_assert_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        cr_assert_gt(sd_bus_message_read(m, "s", &text), 0);
                        if (streq(text, "ReasonDetail"))
                                cr_assert_gt(sd_bus_message_read(m, "v", "s", &text), 0);
                        else
                                cr_assert_gt(sd_bus_message_skip(m, "v"), 0);
                        cr_assert_geq(sd_bus_message_exit_container(m), 0);
                }
        } while (atoi(text) != N_CHANGES);
        cr_assert_eq(count_unsent(), 0);
}

/* What has come for icewired, and is not read yet. */
static size_t count_unread(void)
{
        int n;

        cr_assert_eq(ioctl(sd_bus_get_fd(system_bus_get(system_bus)), FIONREAD, &n), 0);
        return (size_t) n;
}

#define N_CALLS 30

/* Answers that are not taken are not made either. */
Test(agent_bus, refuses_what_would_pile_up)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        unsigned n_refused = 0;

        broker.connected = false; /* nobody waits for counters */
        for (unsigned i = 3; i < 1000; i++) {
                WireguardKey key = { .bytes = { (uint8_t) i, (uint8_t) (i >> 8) } };
                WireguardPeer *peer;

                cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        }
        bus_client_close(&client); /* it would be told of them all */
        tell_of_link();
        run_pending(event);
        RUN_UNTIL(event, count_unsent() == 0);
        bus_client_open(&client, event, 0);
        bus_client_forget(&client);

        /* The bus has all the calls, passes them on, and stands still. */
        for (unsigned i = 0; i < N_CALLS; i++)
                bus_client_send(&client, false, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager",
                                "GetManagedObjects", NULL);
        cr_assert_geq(sd_bus_flush(client.bus), 0);
        while (count_unread() < N_CALLS * 128) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end);
                usleep(USEC_PER_MSEC);
        }
        cr_assert_eq(kill(bus_pid, SIGSTOP), 0);
        shrink_buffer();
        RUN_UNTIL(event, count_unread() == 0);
        run_pending(event);
        cr_assert_gt(count_unsent(), N_CALLS / 2);
        cr_assert_eq(kill(bus_pid, SIGCONT), 0);

        for (unsigned i = 1; i <= N_CALLS; i++) {
                RUN_UNTIL(event, client.n_answers >= i);
                n_refused += sd_bus_message_is_method_error(client.answer, SD_BUS_ERROR_LIMITS_EXCEEDED) > 0;
        }
        cr_assert_gt(n_refused, N_CALLS / 2);
        cr_assert_lt(n_refused, N_CALLS);
        RUN_UNTIL(event, count_unsent() == 0);
        bus_client_call(&client, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
                        NULL);
        EXPECT_BUS_SUCCESS(&client);
}

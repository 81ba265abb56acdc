/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "idl.h"
#include "string-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* With ICEWIRE_UPDATE=1 the printed form is written instead of compared. */
Test(varlink, broker_idl_is_the_file)
{
        _cleanup_free_ char *text = NULL, *path = NULL, *file = NULL;
        size_t size;

        cr_assert_geq(sd_varlink_idl_format(&vl_interface_org_icewire_Broker, &text), 0);
        path = asprintf_safe("%s/varlink/org.icewire.Broker.varlink", getenv("ICEWIRE_SOURCE") ?: ".");
        if (getenv("ICEWIRE_UPDATE")) {
                FILE *f = fopen(path, "we");

                cr_assert_not_null(f);
                fputs(text, f);
                fclose(f);
        }
        cr_assert_eq(read_full_file(path, 1 << 20, &file, &size), 0);
        cr_assert_str_eq(file, text, "run the test with ICEWIRE_UPDATE=1 and commit the file");
}

Test(varlink, broker_idl_is_consistent)
{
        idl_is_consistent(&vl_interface_org_icewire_Broker);
}

Test(varlink, everything_has_a_comment)
{
        idl_is_commented(&vl_interface_org_icewire_Broker);
}

Test(varlink, link_survives_json_without_secrets)
{
        WireguardDevice *a, *b;
        WireguardPeer *peer;
        sd_json_variant *v = NULL;
        _cleanup_free_ char *text = NULL;
        IpPrefix prefix;

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_USERSPACE, &a), 0);
        a->ifindex = 7;
        a->listen_port = 51820;
        a->fwmark = 0xffffffff;
        memset(&a->private_key, 0xee, sizeof(a->private_key));
        memset(&a->public_key, 0x11, sizeof(a->public_key));
        cr_assert_eq(wireguard_device_add_peer(a, &(WireguardKey) { .bytes = { 1 } }, &peer), 0);
        memset(&peer->preshared_key, 0xee, sizeof(peer->preshared_key));
        cr_assert_eq(socket_address_from_string("[fe80::1%3]:5", &peer->endpoint), 0);
        peer->persistent_keepalive = 65535;
        peer->preshared_key_changes = 3;
        peer->last_handshake = UINT64_C(1) << 60;
        peer->rx_bytes = UINT64_MAX;
        cr_assert_eq(ip_prefix_from_string("10.0.0.0/8", &prefix), 0);
        cr_assert_eq(wireguard_peer_add_allowed_ip(peer, &prefix), 0);
        cr_assert_eq(wireguard_device_add_peer(a, &(WireguardKey) { .bytes = { 2 } }, &peer), 0);

        cr_assert_eq(broker_link_build_json(a, &v), 0);
        cr_assert_geq(sd_json_variant_format(v, 0, &text), 0);
        cr_assert_null(strstr(text, "7u7u"), "a secret in %s", text);
        cr_assert_not_null(strstr(text, "\"hasPresharedKey\":true"));
        cr_assert_not_null(strstr(text, "\"hasPresharedKey\":false"));
        cr_assert_eq(broker_link_parse_json(v, &b), 0);
        cr_assert(wireguard_key_is_zero(&b->private_key));
        cr_assert(wireguard_key_is_zero(&b->peers[0].preshared_key));
        wireguard_key_erase(&a->private_key);
        wireguard_key_erase(&a->peers[0].preshared_key);
        cr_assert_eq(wireguard_device_compare(a, b), 0);
        cr_assert_eq(b->peers[0].preshared_key_changes, 3);
        cr_assert_str_eq(b->name, "wg0");
        cr_assert_eq(b->ifindex, 7);
        cr_assert_eq(b->kind, WIREGUARD_KIND_USERSPACE);
        sd_json_variant_unref(v);
        wireguard_device_free(a);
        wireguard_device_free(b);
}

Test(varlink, links_that_make_no_sense_are_refused)
{
#define REST "\"ifindex\":1,\"kind\":\"kernel\",\"listenPort\":1,\"firewallMark\":0"
        static const char *const cases[] = {
                "{}",
                "{\"name\":\"a/b\"," REST ",\"peers\":[]}",
                "{\"name\":7," REST ",\"peers\":[]}",
                "{\"name\":\"a\"," REST "}",
                "{\"name\":\"a\"," REST ",\"peers\":[{}]}",
                "{\"name\":\"a\"," REST ",\"peers\":[7]}",
                "{\"name\":\"a\"," REST ",\"peers\":[],\"publicKey\":\"x\"}",
                "{\"name\":\"a\",\"ifindex\":1,\"kind\":\"other\",\"listenPort\":1,\"firewallMark\":0,"
                "\"peers\":[]}",
                "{\"name\":\"a\",\"ifindex\":1,\"kind\":\"kernel\",\"listenPort\":65536,\"firewallMark\":0,"
                "\"peers\":[]}",
        };
        WireguardDevice *d = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                sd_json_variant *v = NULL;

                cr_assert_geq(sd_json_parse(cases[i], 0, &v, NULL, NULL), 0);
                cr_assert_eq(broker_link_parse_json(v, &d), -EINVAL, "%s", cases[i]);
                cr_assert_null(d);
                sd_json_variant_unref(v);
        }
}

/* --- watchers --- */

static VarlinkWatchers watchers;

static int method_watch(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                        void *userdata)
{
        return varlink_watchers_add(&watchers, link);
}

static void on_disconnect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
        varlink_watchers_remove(&watchers, link);
}

/* One watcher reads, one does not: only the second one is dropped. */
Test(varlink, watcher_that_does_not_read_is_dropped)
{
        static const char call[] = "{\"method\":\"org.icewire.Broker.WatchLinks\",\"more\":true}";
        static char buffer[1 << 16];
        sd_varlink_server *server;
        sd_json_variant *v = NULL;
        sd_event *event = NULL;
        int good[2], bad[2];

        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(varlink_server_start(event, &vl_interface_org_icewire_Broker, 8, 8, NULL, &server), 0);
        cr_assert_geq(sd_varlink_server_bind_method(server, BROKER_METHOD("WatchLinks"), method_watch), 0);
        cr_assert_geq(sd_varlink_server_bind_disconnect(server, on_disconnect), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, good), 0);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, bad), 0);
        cr_assert_geq(sd_varlink_server_add_connection(server, good[0], NULL), 0);
        cr_assert_geq(sd_varlink_server_add_connection(server, bad[0], NULL), 0);
        cr_assert_eq(write(good[1], call, sizeof(call)), sizeof(call));
        cr_assert_eq(write(bad[1], call, sizeof(call)), sizeof(call));
        while (watchers.n < 2)
                cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);

        watchers.patience = 50 * USEC_PER_MSEC;
        memset(buffer, 'x', sizeof(buffer) - 1);
        cr_assert_geq(sd_json_buildo(&v, SD_JSON_BUILD_PAIR_STRING("event", buffer)), 0);
        buffer[0] = '\0';
        while (watchers.n == 2) {
                varlink_watchers_send_all(&watchers, v);
                while (sd_event_run(event, 0) > 0)
                        while (read(good[1], buffer, sizeof(buffer)) > 0)
                                ;
        }
        cr_assert_eq(watchers.n, 1);
        cr_assert_neq(read(good[1], buffer, sizeof(buffer)), 0, "the wrong one was dropped");
        close(good[1]);
        close(bad[1]);
        while (sd_varlink_server_current_connections(server) > 0)
                cr_assert_geq(sd_event_run(event, UINT64_MAX), 0);
        cr_assert_eq(watchers.n, 0);
        varlink_watchers_done(&watchers);
        sd_json_variant_unref(v);
        sd_varlink_server_shutdown(server);
        sd_varlink_server_unref(server);
        sd_event_unref(event);
}

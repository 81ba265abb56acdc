/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel is this test's, and so is what it tells of others who write: when they do, between which two
 * steps, is what matters here. The message itself is test-wireguard-netlink.c's. */

#include "peer-renewal.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc-util.h"
#include "wireguard-call.h"
#include "wireguard-renewal.h"

#define ENDPOINT "192.0.2.7:51820"

typedef enum Step { STEP_NONE, STEP_READ, STEP_SET, STEP_RENEW } Step;

typedef struct FakeCall {
        WireguardCall call; /* first */
        Step step;
} FakeCall;

/* The device as it is, and what was asked of it. */
static WireguardDevice *device;
static FakeCall *under_way; /* one at a time */
static unsigned n_readings, n_renewals, n_freed;
static WireguardPeer written; /* what the last renewal says; allowed IPs are not kept */
static size_t n_written_allowed_ips;
static bool written_meanwhile; /* somebody begins to write when it is sent */
static SocketAddress endpoint_set;
static int keepalive_set;

/* What others do. */
static bool others_write;
static uint64_t n_others;

/* The answer. */
static unsigned n_done;
static int done_error;

static WireguardKey key_of(uint8_t n)
{
        WireguardKey key;

        memset(key.bytes, n, sizeof(key.bytes));
        return key;
}

/* --- in place of wireguard-netlink.c and device-watch.c --- */

static void fake_destroy(WireguardCall *call)
{
        FakeCall *c = CONTAINER_OF(call, FakeCall, call);

        if (under_way == c)
                under_way = NULL;
        n_freed++;
        free(c);
}

static int fake_call(Step step, wireguard_device_callback_t on_device, wireguard_done_callback_t on_done,
                     void *userdata, WireguardCall **ret)
{
        cr_assert_null(under_way);
        under_way = new0(FakeCall, 1);
        *under_way = (FakeCall) {
                .call = { .on_device = on_device,
                          .on_done = on_done,
                          .userdata = userdata,
                          .destroy = fake_destroy },
                .step = step,
        };
        *ret = &under_way->call;
        return 0;
}

int wireguard_netlink_get(WireguardNetlink *w, const char *name, wireguard_device_callback_t callback,
                          void *userdata, WireguardCall **ret)
{
        cr_assert_str_eq(name, "wg0");
        n_readings++;
        return fake_call(STEP_READ, callback, NULL, userdata, ret);
}

int wireguard_netlink_set_endpoint(WireguardNetlink *w, const char *name, const WireguardKey *peer,
                                   const SocketAddress *endpoint, int keepalive,
                                   wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        endpoint_set = *endpoint;
        keepalive_set = keepalive;
        return fake_call(STEP_SET, NULL, callback, userdata, ret);
}

int wireguard_netlink_renew_peer(WireguardNetlink *w, const char *name, const WireguardPeer *peer,
                                 wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        if (peer->n_allowed_ips > WIREGUARD_RENEWAL_ALLOWED_IPS_MAX)
                return -EMSGSIZE;
        written = *peer;
        n_written_allowed_ips = peer->n_allowed_ips;
        n_renewals++;
        n_others += written_meanwhile;
        return fake_call(STEP_RENEW, NULL, callback, userdata, ret);
}

bool device_watch_is_quiet(const DeviceWatch *w, uint64_t *ret_writes)
{
        *ret_writes = n_others;
        return !others_write;
}

/* --- what happens --- */

static WireguardPeer *peer(void)
{
        WireguardKey key = key_of(1);
        WireguardPeer *p;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &p), 0);
        return p;
}

static void add_allowed_ips(size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint8_t bytes[4] = { 10, 1, (uint8_t) (i >> 8), (uint8_t) i };
                IpPrefix prefix;

                ip_prefix_from_bytes(AF_INET, bytes, 32, &prefix);
                cr_assert_eq(wireguard_peer_add_allowed_ip(peer(), &prefix), 0);
        }
}

/* What is written to stderr goes there. */
static int log_fd = -EBADF;

static bool was_logged(const char *text)
{
        char log[8192];
        ssize_t n = pread(log_fd, log, sizeof(log) - 1, 0);

        cr_assert_geq(n, 0);
        log[n] = '\0';
        return strstr(log, text);
}

/* As somebody has written it. */
static void set_up(void)
{
        log_fd = memfd_create("log", MFD_CLOEXEC);
        cr_assert_geq(log_fd, 0);
        cr_assert_geq(dup2(log_fd, STDERR_FILENO), 0);
        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device), 0);
        peer()->persistent_keepalive = 25;
        peer()->preshared_key = key_of(9);
        add_allowed_ips(3);
}

static void tear_down(void)
{
        cr_assert_null(under_way);
        wireguard_device_free(device);
        close(log_fd);
}

TestSuite(renewal, .init = set_up, .fini = tear_down);

static void on_done(int error, void *userdata)
{
        n_done++;
        done_error = error;
}

static WireguardCall *start(int keepalive)
{
        WireguardKey key = key_of(1);
        SocketAddress endpoint;
        WireguardCall *call;

        cr_assert_eq(socket_address_from_string(ENDPOINT, &endpoint), 0);
        cr_assert_eq(peer_renewal_new(NULL, NULL, "wg0", &key, &endpoint, keepalive, on_done, NULL, &call),
                     0);
        cr_assert_eq(under_way->step, STEP_READ);
        return call;
}

static WireguardDevice *copy_of_device(void)
{
        WireguardDevice *copy;

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &copy), 0);
        for (size_t i = 0; i < device->n_peers; i++) {
                WireguardPeer *p;

                cr_assert_eq(wireguard_device_add_peer(copy, &device->peers[i].public_key, &p), 0);
                *p = device->peers[i];
                p->allowed_ips = NULL;
                p->n_allowed_ips = p->allowed_ips_allocated = 0;
                for (size_t j = 0; j < device->peers[i].n_allowed_ips; j++)
                        cr_assert_eq(wireguard_peer_add_allowed_ip(p, &device->peers[i].allowed_ips[j]), 0);
        }
        return copy;
}

/* The kernel answers; returns what is asked of it next. */
static Step answer(int error)
{
        FakeCall *c = under_way;

        under_way = NULL;
        wireguard_call_finish(&c->call, error, c->step == STEP_READ && error >= 0 ? copy_of_device() : NULL);
        return under_way ? under_way->step : STEP_NONE;
}

static void expect_done(int error)
{
        cr_assert_null(under_way);
        cr_assert_eq(n_done, 1);
        cr_assert_eq(done_error, error);
}

Test(renewal, helps_a_peer_that_was_just_written)
{
        SocketAddress endpoint;

        cr_assert(peer_renewal_helps(peer()));
        peer()->persistent_keepalive = 0;
        cr_assert_not(peer_renewal_helps(peer()), "it has sent nothing yet");
        peer()->persistent_keepalive = 1;
        peer()->last_handshake = 1;
        cr_assert_not(peer_renewal_helps(peer()), "it has a session");
        peer()->last_handshake = 0;
        peer()->rx_bytes = 148;
        cr_assert_not(peer_renewal_helps(peer()), "the other one has begun a handshake");
        peer()->rx_bytes = 0;
        cr_assert_eq(socket_address_from_string(ENDPOINT, &endpoint), 0);
        peer()->endpoint = endpoint;
        cr_assert_not(peer_renewal_helps(peer()), "what it has sent went somewhere");
}

Test(renewal, writes_what_was_there_and_the_endpoint)
{
        WireguardKey secret = key_of(9);

        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&written.endpoint), ENDPOINT);
        cr_assert_eq(written.persistent_keepalive, 25);
        cr_assert(wireguard_key_equal(&written.preshared_key, &secret));
        cr_assert_eq(n_written_allowed_ips, 3);
        cr_assert_eq(n_done, 0);
        answer(0);
        expect_done(0);
        cr_assert_eq(n_readings, 1);
}

Test(renewal, writes_the_keepalive_that_is_wanted)
{
        start(7);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_eq(written.persistent_keepalive, 7);
        answer(0);
        expect_done(0);
}

Test(renewal, brings_no_peer_back)
{
        WireguardKey other = key_of(2);

        start(-1);
        /* Taken out before the reading. */
        device->peers[0].public_key = other;
        cr_assert_eq(answer(0), STEP_SET, "this makes none");
        answer(0);
        expect_done(0);
}

Test(renewal, leaves_a_peer_alone_that_has_been_heard_of)
{
        start(25);
        peer()->rx_bytes = 148;
        cr_assert_eq(answer(0), STEP_SET);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&endpoint_set), ENDPOINT);
        cr_assert_eq(keepalive_set, 25);
        answer(0);
        expect_done(0);
}

Test(renewal, reads_again_when_somebody_has_written)
{
        start(-1);
        n_others++;
        cr_assert_eq(answer(0), STEP_READ, "after the reading, or before it: nobody knows");
        peer()->persistent_keepalive = 33;
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_eq(written.persistent_keepalive, 33);
        answer(0);
        expect_done(0);
}

Test(renewal, reads_again_when_somebody_was_writing)
{
        others_write = true;
        start(-1);
        /* The kernel has come to it after the reading. */
        others_write = false;
        cr_assert_eq(answer(0), STEP_READ);
        cr_assert_eq(answer(0), STEP_RENEW);
        answer(0);
        expect_done(0);
}

Test(renewal, is_not_made_while_somebody_has_begun_to_write)
{
        start(-1);
        n_others++;
        others_write = true;
        cr_assert_eq(answer(0), STEP_READ);
        others_write = false;
        cr_assert_eq(answer(0), STEP_READ, "he was not ready when it began");
        cr_assert_eq(answer(0), STEP_RENEW);
        answer(0);
        expect_done(0);
}

Test(renewal, gives_way_to_who_writes_without_end)
{
        Step step;

        start(-1);
        do {
                n_others++;
                step = answer(0);
        } while (step == STEP_READ && n_readings < 1000);
        cr_assert_eq(step, STEP_SET);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&endpoint_set), ENDPOINT);
        answer(0);
        expect_done(0);
}

Test(renewal, sets_the_endpoint_alone_where_not_all_fits)
{
        add_allowed_ips(WIREGUARD_RENEWAL_ALLOWED_IPS_MAX - 2);
        start(-1);
        cr_assert_eq(answer(0), STEP_SET);
        cr_assert_eq(keepalive_set, -1);
        answer(0);
        expect_done(0);
}

/* An exit node beside it. */
static void add_other(const char *allowed_ip)
{
        WireguardKey key = key_of(2);
        WireguardPeer *p;
        IpPrefix prefix;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &p), 0);
        cr_assert_eq(ip_prefix_from_string(allowed_ip, &prefix), 0);
        cr_assert_eq(wireguard_peer_add_allowed_ip(p, &prefix), 0);
}

Test(renewal, gives_no_packets_to_another_peer)
{
        add_other("10.1.0.0/31");
        start(-1);
        cr_assert_eq(answer(0), STEP_SET);
        answer(0);
        expect_done(0);
        n_done = 0;

        device->peers[1].n_allowed_ips = 0;
        add_other("0.0.0.0/0");
        start(-1);
        cr_assert_eq(answer(0), STEP_SET);
        answer(0);
        expect_done(0);
}

Test(renewal, does_not_mind_peers_beside)
{
        add_other("10.1.0.3/32");
        add_other("10.1.0.4/30");
        add_other("::/0");
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        answer(0);
        expect_done(0);
}

/* The kernel is short of memory: the peer may be missing, or a part of it. */
Test(renewal, is_repeated_if_nobody_writes)
{
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_eq(answer(-ENOMEM), STEP_RENEW);
        cr_assert_eq(n_written_allowed_ips, 3);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&written.endpoint), ENDPOINT);
        answer(0);
        expect_done(0);
        cr_assert_eq(n_readings, 1);
}

Test(renewal, is_not_repeated_without_end)
{
        Step step;

        start(-1);
        step = answer(0);
        while (step == STEP_RENEW && n_renewals < 1000)
                step = answer(-ENOMEM);
        cr_assert_eq(step, STEP_NONE);
        cr_assert_gt(n_renewals, 1);
        cr_assert_lt(n_renewals, 100);
        expect_done(-ENOMEM);
        cr_assert(was_logged("it may be missing"));
}

Test(renewal, brings_no_peer_back_by_repeating)
{
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        n_others++;
        cr_assert_eq(answer(-ENOMEM), STEP_NONE);
        expect_done(-ENOMEM);
        cr_assert(was_logged("wg0: Failed to make peer"));
}

Test(renewal, warns_if_somebody_has_written_meanwhile)
{
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        answer(0);
        cr_assert_not(was_logged("at the very moment"));

        written_meanwhile = true;
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_not(was_logged("at the very moment"));
        answer(0);
        cr_assert(was_logged("at the very moment"));
}

/* It may have had to wait to be sent. */
Test(renewal, warns_if_somebody_has_written_before_the_answer)
{
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        n_others++;
        answer(0);
        expect_done(0);
        cr_assert(was_logged("at the very moment"));
}

/* By way of another connection. */
Test(renewal, takes_the_last_wish)
{
        WireguardKey key = key_of(1), other = key_of(2);
        SocketAddress endpoint, none = {};

        cr_assert_eq(socket_address_from_string("192.0.2.8:1", &endpoint), 0);
        start(-1);
        peer_renewal_amend(NULL, "wg1", &key, &endpoint, 1);
        peer_renewal_amend(NULL, "wg0", &other, &endpoint, 1);
        peer_renewal_amend(NULL, "wg0", &key, &none, -1);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&written.endpoint), ENDPOINT);
        cr_assert_eq(written.persistent_keepalive, 25);
        answer(0);

        start(-1);
        peer_renewal_amend(NULL, "wg0", &key, &endpoint, 7);
        cr_assert_eq(answer(0), STEP_RENEW);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&written.endpoint), "192.0.2.8:1");
        cr_assert_eq(written.persistent_keepalive, 7);
        answer(0);
        peer_renewal_amend(NULL, "wg0", &key, &endpoint, 8);
}

Test(renewal, says_what_went_wrong)
{
        start(-1);
        cr_assert_eq(answer(-ENODEV), STEP_NONE);
        expect_done(-ENODEV);
        n_done = 0;
        start(-1);
        cr_assert_eq(answer(0), STEP_RENEW);
        answer(-ENOBUFS);
        expect_done(-ENOBUFS);
}

Test(renewal, ends_when_nobody_wants_it)
{
        for (unsigned n = 1; n <= 2; n++) {
                WireguardCall *call = start(-1);

                n_freed = 0;
                if (n == 2)
                        cr_assert_eq(answer(0), STEP_RENEW);
                cr_assert_null(wireguard_call_free(call));
                cr_assert_eq(n_freed, n, "what was under way as well");
                cr_assert_null(under_way);
        }
        cr_assert_eq(n_done, 0);
}

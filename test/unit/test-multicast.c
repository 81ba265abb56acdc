/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <linux/if_addr.h>

#include "alloc-util.h"
#include "encode.h"
#include "event-util.h"
#include "fd-util.h"
#include "multicast.h"
#include "netns.h"
#include "rendezvous-multicast.h"
#include "string-util.h"

#define TOPIC_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOPIC_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static sd_event *event;

/* ---- Packets ---- */

Test(multicast_packet, round_trip)
{
        uint8_t buf[MULTICAST_PACKET_MAX];
        MulticastPacket packet = { .topic = { 1, 2, 3 }, .envelope = "envelope", .size = 8 }, parsed;
        ssize_t n = multicast_packet_build(&packet, buf);

        cr_assert_eq(n, MULTICAST_HEADER_SIZE + 8);
        cr_assert_eq(multicast_packet_parse(buf, (size_t) n, &parsed), 0);
        cr_assert_eq(memcmp(parsed.topic, packet.topic, sizeof(packet.topic)), 0);
        cr_assert_eq(parsed.size, 8);
        cr_assert_eq(memcmp(parsed.envelope, "envelope", 8), 0);
}

Test(multicast_packet, refused)
{
        static uint8_t buf[MULTICAST_PACKET_MAX + 1], envelope[MULTICAST_ENVELOPE_MAX + 1];
        MulticastPacket packet = { .envelope = envelope, .size = MULTICAST_ENVELOPE_MAX }, parsed;

        cr_assert_eq(multicast_packet_build(&packet, buf), MULTICAST_PACKET_MAX);
        cr_assert_eq(multicast_packet_parse(buf, MULTICAST_PACKET_MAX, &parsed), 0);
        cr_assert_eq(multicast_packet_parse(buf, MULTICAST_PACKET_MAX + 1, &parsed), -EMSGSIZE);
        cr_assert_eq(multicast_packet_parse(buf, MULTICAST_HEADER_SIZE, &parsed), -EBADMSG);
        cr_assert_eq(multicast_packet_parse(buf, 0, &parsed), -EBADMSG);
        buf[4]++;
        cr_assert_eq(multicast_packet_parse(buf, MULTICAST_PACKET_MAX, &parsed), -EPROTONOSUPPORT);
        buf[0]++;
        cr_assert_eq(multicast_packet_parse(buf, MULTICAST_PACKET_MAX, &parsed), -EBADMSG);
        packet.size = 0;
        cr_assert_eq(multicast_packet_build(&packet, buf), -EINVAL);
        packet.size = sizeof(envelope);
        cr_assert_eq(multicast_packet_build(&packet, buf), -EMSGSIZE);
}

/* ---- Hosts a and b on two links, c on the second one only ---- */

static void start(void)
{
        sandbox_need_root();
        sandbox_enter();
        sandbox_shell("exec >setup.log 2>&1; set -e\n"
                      "mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns\n"
                      "for n in a b c; do ip netns add $n; ip -n $n link set lo up;"
                      " ip netns exec $n sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'; done\n"
                      "ip -n a link add lan0 type veth peer name lan0 netns b\n"
                      "ip -n a link add lan1 type veth peer name lan1 netns c\n"
                      "addr() { ip -n $1 addr add $3/24 dev $2; ip -n $1 link set $2 up; }\n"
                      "addr a lan0 192.0.2.1; addr b lan0 192.0.2.2; addr a lan1 192.0.2.11; addr c lan1 "
                      "192.0.2.12\n"
                      /* The kernel tells its own time when a link is ready; what is sent before is lost. */
                      "ready() { until ip -n $1 link show $2 | grep -q 'state UP' &&"
                      " ip -n $1 addr show $2 scope link | grep fe80 | grep -qv tentative; do sleep 0.02; "
                      "done; }\n"
                      "ready a lan0; ready b lan0; ready a lan1; ready c lan1\n");
        cr_assert_geq(sd_event_new(&event), 0);
}

static void stop(void)
{
        event = sd_event_unref(event);
}

TestSuite(multicast, .init = start, .fini = stop, .timeout = 60);

/* Sockets belong to the namespace in which they are made. */
static void enter_host(const char *name)
{
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), "/run/netns/%s", name);
        fd = netns_open(path);
        netns_enter(fd);
        close(fd);
}

static int interface(const char *name)
{
        unsigned i = if_nametoindex(name);

        cr_assert_gt(i, 0, "%s", name);
        return (int) i;
}

typedef struct Heard {
        Multicast *multicast;
        unsigned n;
        char data[64];
        size_t size;
        bool useless, leave, free;
} Heard;

static bool on_datagram(Multicast *m, const void *data, size_t size, void *userdata)
{
        Heard *heard = userdata;

        heard->n++;
        heard->size = size;
        memcpy(heard->data, data, MIN(size, sizeof(heard->data)));
        if (heard->leave)
                (void) multicast_set_memberships(m, NULL, 0);
        if (heard->free)
                heard->multicast = multicast_free(m);
        return !heard->useless;
}

static void listen_at(Heard *heard, const char *host, const char *name, int family)
{
        MulticastMembership membership;

        enter_host(host);
        membership = (MulticastMembership) { interface(name), family };
        if (!heard->multicast)
                cr_assert_geq(multicast_new(event, on_datagram, heard, &heard->multicast), 0);
        cr_assert_eq(multicast_set_memberships(heard->multicast, &membership, 1), 1);
}

static void exchange(int family)
{
        Heard a = {}, b = {}, other = {}, c = {};

        listen_at(&a, "a", "lan0", family);
        listen_at(&b, "b", "lan0", family);
        listen_at(&other, "b", "lan0", family);
        listen_at(&c, "c", "lan1", family);
        cr_assert_eq(multicast_send(a.multicast, "hello", 5), 1);
        /* Both daemons of the other host, and ourselves. */
        RUN_UNTIL(event, b.n >= 1);
        RUN_UNTIL(event, other.n >= 1);
        RUN_UNTIL(event, a.n >= 1);
        cr_assert_eq(b.size, 5);
        cr_assert_eq(memcmp(b.data, "hello", 5), 0);
        cr_assert_eq(multicast_send(b.multicast, "and back", 8), 1);
        RUN_UNTIL(event, a.n >= 2);
        cr_assert_eq(memcmp(a.data, "and back", 8), 0);
        cr_assert_eq(c.n, 0);
        multicast_free(a.multicast);
        multicast_free(b.multicast);
        multicast_free(other.multicast);
        multicast_free(c.multicast);
}

Test(multicast, ipv4)
{
        exchange(AF_INET);
}

Test(multicast, ipv6)
{
        exchange(AF_INET6);
}

/* Whoever has joined on one interface does not hear the other, though this host's other socket has joined
 * there; and what is sent goes out on all. */
static void two_interfaces(int family)
{
        Heard a0 = {}, a1 = {}, both = {}, b = {}, c = {};
        MulticastMembership memberships[2];

        listen_at(&a0, "a", "lan0", family);
        listen_at(&a1, "a", "lan1", family);
        listen_at(&b, "b", "lan0", family);
        listen_at(&c, "c", "lan1", family);
        enter_host("a");
        cr_assert_geq(multicast_new(event, on_datagram, &both, &both.multicast), 0);
        memberships[0] = (MulticastMembership) { interface("lan0"), family };
        memberships[1] = (MulticastMembership) { interface("lan1"), family };
        cr_assert_eq(multicast_send(both.multicast, "x", 1), -ENOTCONN);
        cr_assert_eq(multicast_set_memberships(both.multicast, memberships, 2), 2);
        cr_assert_eq(multicast_set_memberships(both.multicast, memberships, 2), 0);
        cr_assert_eq(multicast_send(c.multicast, "from c", 6), 1);
        RUN_UNTIL(event, a1.n >= 1);
        RUN_UNTIL(event, both.n >= 1);
        cr_assert_eq(a0.n, 0);
        cr_assert_eq(multicast_send(both.multicast, "to all", 6), 2);
        RUN_UNTIL(event, b.n >= 1);
        RUN_UNTIL(event, c.n >= 2);
        RUN_UNTIL(event, both.n >= 3);

        /* One of the two is left. */
        cr_assert_eq(multicast_set_memberships(both.multicast, memberships, 1), 0);
        cr_assert_eq(multicast_n_memberships(both.multicast), 1);
        cr_assert_eq(multicast_send(c.multicast, "not heard", 9), 1);
        RUN_UNTIL(event, a1.n >= 3);
        cr_assert_eq(both.n, 3);
        multicast_free(a0.multicast);
        multicast_free(a1.multicast);
        multicast_free(both.multicast);
        multicast_free(b.multicast);
        multicast_free(c.multicast);
}

Test(multicast, two_interfaces_ipv4)
{
        two_interfaces(AF_INET);
}

Test(multicast, two_interfaces_ipv6)
{
        two_interfaces(AF_INET6);
}

/* The longest envelope travels in fragments; one byte more is seen as too long. */
Test(multicast, long_datagrams)
{
        static uint8_t data[MULTICAST_PACKET_MAX + 1];
        Heard a = {}, b = {};

        listen_at(&a, "a", "lan0", AF_INET6);
        listen_at(&b, "b", "lan0", AF_INET6);
        cr_assert_eq(multicast_send(a.multicast, data, MULTICAST_PACKET_MAX), 1);
        RUN_UNTIL(event, b.n >= 1);
        cr_assert_eq(b.size, MULTICAST_PACKET_MAX);
        cr_assert_eq(multicast_send(a.multicast, data, sizeof(data)), 1);
        RUN_UNTIL(event, b.n >= 2);
        cr_assert_gt(b.size, MULTICAST_PACKET_MAX);
        multicast_free(a.multicast);
        multicast_free(b.multicast);
}

/* What is sent to an address of ours, and not to the group, does not get in. */
Test(multicast, unicast_is_not_heard)
{
        Heard b = {};
        SocketAddress to;
        int fd;

        listen_at(&b, "b", "lan0", AF_INET);
        enter_host("a");
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(fd, 0);
        cr_assert_geq(socket_address_from_ip("192.0.2.2", MULTICAST_PORT, &to), 0);
        cr_assert_eq(sendto(fd, "x", 1, 0, &to.sa, sizeof(to.in)), 1);
        cr_assert_geq(socket_address_from_ip(MULTICAST_GROUP_IPV4, MULTICAST_PORT, &to), 0);
        /* The second one comes behind the first. */
        cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF,
                                &(struct ip_mreqn) { .imr_ifindex = interface("lan0") },
                                sizeof(struct ip_mreqn)),
                     0);
        cr_assert_eq(sendto(fd, "group", 5, 0, &to.sa, sizeof(to.in)), 5);
        RUN_UNTIL(event, b.n >= 1);
        cr_assert_eq(b.size, 5);
        close(fd);
        multicast_free(b.multicast);
}

Test(multicast, callback_leaves_and_frees)
{
        Heard a = {}, b = { .leave = true }, c = { .free = true };

        listen_at(&a, "a", "lan0", AF_INET);
        listen_at(&b, "b", "lan0", AF_INET);
        listen_at(&c, "b", "lan0", AF_INET);
        cr_assert_eq(multicast_send(a.multicast, "1", 1), 1);
        cr_assert_eq(multicast_send(a.multicast, "2", 1), 1);
        RUN_UNTIL(event, b.n >= 1);
        RUN_UNTIL(event, c.n >= 1);
        RUN_UNTIL(event, a.n >= 2);
        cr_assert_eq(b.n, 1);
        cr_assert_eq(multicast_n_memberships(b.multicast), 0);
        cr_assert_null(c.multicast);
        multicast_free(a.multicast);
        multicast_free(b.multicast);
}

/* Sends until the other side has not read for a while. */
static void expect_deafness(Multicast *m, const void *data, size_t size, const unsigned *n_heard)
{
        unsigned before = 0, n_unheard = 0;

        for (unsigned i = 0; i < 300000 && n_unheard < 300; i++) {
                cr_assert_eq(multicast_send(m, data, size), 1);
                run_pending(event);
                n_unheard = *n_heard == before ? n_unheard + 1 : 0;
                before = *n_heard;
        }
        cr_assert_geq(n_unheard, 300, "everything is read");
        cr_assert_gt(*n_heard, 0);
}

/* A flood of what is of no use is not read for a while, and everything is well afterwards. */
Test(multicast, flood)
{
        Heard a = {}, b = { .useless = true };

        listen_at(&a, "a", "lan0", AF_INET);
        listen_at(&b, "b", "lan0", AF_INET);
        expect_deafness(a.multicast, "junk", 4, &b.n);
        b.useless = false;
        b.n = 0;
        while (b.n == 0 || b.size != 4 || memcmp(b.data, "good", 4) != 0) {
                cr_assert_eq(multicast_send(a.multicast, "good", 4), 1);
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
                b.n = MAX(b.n, 1u);
        }
        multicast_free(a.multicast);
        multicast_free(b.multicast);
}

/* ---- The rendezvous, with links and addresses that the test tells ---- */

struct RtnlMonitor {
        RtnlLink links[4];
        size_t n_links;
        RtnlAddress addresses[8];
        size_t n_addresses;
        bool ready;
};

const RtnlLink *rtnl_monitor_links(const RtnlMonitor *monitor, size_t *ret_n)
{
        *ret_n = monitor->n_links;
        return monitor->links;
}

const RtnlAddress *rtnl_monitor_addresses(const RtnlMonitor *monitor, size_t *ret_n)
{
        *ret_n = monitor->n_addresses;
        return monitor->addresses;
}

bool rtnl_monitor_is_ready(const RtnlMonitor *monitor)
{
        return monitor->ready;
}

bool interface_is_uplink(const RtnlLink *link, bool has_default_route, const AddressPolicy *policy)
{
        return startswith(link->name, "lan");
}

typedef struct Side {
        Rendezvous *rendezvous;
        RtnlMonitor monitor;
        unsigned n_state, n_subscribed, n_envelopes;
        char topic[128];
        size_t size;
} Side;

static bool on_envelope(Rendezvous *r, const char *topic, const void *envelope, size_t size, void *userdata)
{
        Side *side = userdata;

        side->n_envelopes++;
        side->size = size;
        (void) snprintf(side->topic, sizeof(side->topic), "%s", topic);
        return side->n_envelopes <= 40; /* as the exchange does */
}

static void on_state(Rendezvous *r, void *userdata)
{
        Side *side = userdata;

        side->n_state++;
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

static void add_link(RtnlMonitor *monitor, const char *name)
{
        RtnlLink *link = &monitor->links[monitor->n_links++];

        link->ifindex = interface(name);
        link->flags = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
        (void) snprintf(link->name, sizeof(link->name), "%s", name);
}

static void add_address(RtnlMonitor *monitor, const char *name, const char *address, uint32_t flags)
{
        RtnlAddress *a = &monitor->addresses[monitor->n_addresses++];

        a->ifindex = interface(name);
        a->flags = flags;
        cr_assert_geq(socket_address_from_ip(address, 0, &a->address), 0);
}

static void side_start(Side *side, const char *host)
{
        enter_host(host);
        cr_assert_geq(
                rendezvous_multicast_new(event, &side->monitor, NULL, &callbacks, side, &side->rendezvous),
                0);
}

Test(multicast, rendezvous)
{
        Side a = {}, b = { .monitor.ready = true };
        char longest[RENDEZVOUS_ENVELOPE_MAX + 1] = "";

        side_start(&a, "a");
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_CONNECTING);
        cr_assert_geq(rendezvous_subscribe(a.rendezvous, TOPIC_A), 0);
        cr_assert_eq(rendezvous_subscribe(a.rendezvous, "ABC"), -EINVAL);
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_DOWN);
        cr_assert_str_eq(a.rendezvous->error, "no LAN interface");
        cr_assert_eq(rendezvous_publish(a.rendezvous, TOPIC_B, "x", 1), -ENOTCONN);

        /* Loopback is none, nor is an interface from which nothing can be sent yet. */
        add_link(&a.monitor, "lo");
        add_link(&a.monitor, "lan0");
        add_address(&a.monitor, "lo", "127.0.0.1", 0);
        add_address(&a.monitor, "lan0", "fe80::1", IFA_F_TENTATIVE);
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_DOWN);
        cr_assert_eq(a.n_state, 1);
        a.monitor.addresses[1].flags = 0;
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_UP);
        cr_assert_null(a.rendezvous->error);
        cr_assert_eq(a.n_state, 2);
        cr_assert_eq(a.n_subscribed, 0);
        RUN_UNTIL(event, a.n_subscribed >= 1);

        /* The monitor knew everything before. */
        enter_host("b");
        add_link(&b.monitor, "lan0");
        add_address(&b.monitor, "lan0", "fe80::2", 0);
        side_start(&b, "b");
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        RUN_UNTIL(event, b.n_subscribed >= 1);

        cr_assert_geq(rendezvous_publish(a.rendezvous, TOPIC_B, "hello", 5), 0);
        RUN_UNTIL(event, b.n_envelopes >= 1);
        cr_assert_str_eq(b.topic, TOPIC_B);
        cr_assert_eq(b.size, 5);
        cr_assert_geq(rendezvous_publish(b.rendezvous, TOPIC_A, longest, RENDEZVOUS_ENVELOPE_MAX), 0);
        RUN_UNTIL(event, a.n_envelopes >= 1);
        cr_assert_eq(a.size, RENDEZVOUS_ENVELOPE_MAX);
        cr_assert_eq(rendezvous_publish(b.rendezvous, TOPIC_A, longest, sizeof(longest)), -EMSGSIZE);
        /* Our own words come back and are none for us. */
        cr_assert_eq(a.n_envelopes, 1);
        cr_assert_eq(a.rendezvous->counters.malformed, 0);

        /* Another interface: somebody may be there who has not heard us. */
        enter_host("a");
        add_link(&a.monitor, "lan1");
        add_address(&a.monitor, "lan1", "192.0.2.11", 0);
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.n_state, 3);
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.n_state, 3);

        /* All gone, and back: topics are told again. */
        a.monitor.n_links = 0;
        rendezvous_multicast_update(a.rendezvous);
        cr_assert_eq(a.rendezvous->state, RENDEZVOUS_STATE_DOWN);
        a.monitor.n_links = 3;
        rendezvous_multicast_update(a.rendezvous);
        RUN_UNTIL(event, a.n_subscribed >= 2);
        rendezvous_free(a.rendezvous);
        rendezvous_free(b.rendezvous);
}

Test(multicast, foreign_datagrams)
{
        Heard foreign = {};
        Side b = { .monitor.ready = true };

        enter_host("b");
        add_link(&b.monitor, "lan0");
        add_address(&b.monitor, "lan0", "192.0.2.2", 0);
        side_start(&b, "b");
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        RUN_UNTIL(event, b.n_subscribed >= 1);
        listen_at(&foreign, "a", "lan0", AF_INET);
        cr_assert_eq(multicast_send(foreign.multicast, "junk", 4), 1);
        cr_assert_eq(multicast_send(foreign.multicast, "icew\1", 5), 1);
        cr_assert_eq(
                multicast_send(foreign.multicast, "icew\2 of another version, with enough bytes in it", 49),
                1);
        while (b.rendezvous->counters.malformed < 3)
                cr_assert_geq(sd_event_run(event, USEC_PER_SEC), 0);
        cr_assert_eq(b.n_envelopes, 0);
        rendezvous_free(b.rendezvous);
        multicast_free(foreign.multicast);
}

/* Topics can be heard on the LAN. What is sent to one of ours, again and again, is no better than noise. */
Test(multicast, flood_of_a_topic_of_ours)
{
        MulticastPacket packet = { .envelope = "replayed", .size = 8 };
        uint8_t buf[MULTICAST_PACKET_MAX];
        Side b = { .monitor.ready = true };
        Heard foreign = {};
        ssize_t size;
        size_t n;

        enter_host("b");
        add_link(&b.monitor, "lan0");
        add_address(&b.monitor, "lan0", "192.0.2.2", 0);
        side_start(&b, "b");
        cr_assert_geq(rendezvous_subscribe(b.rendezvous, TOPIC_B), 0);
        RUN_UNTIL(event, b.n_subscribed >= 1);
        listen_at(&foreign, "a", "lan0", AF_INET);
        cr_assert_eq(hex_decode(TOPIC_B, 64, packet.topic, sizeof(packet.topic), &n), 0);
        size = multicast_packet_build(&packet, buf);
        cr_assert_gt(size, 0);
        expect_deafness(foreign.multicast, buf, (size_t) size, &b.n_envelopes);
        rendezvous_free(b.rendezvous);
        multicast_free(foreign.multicast);
}

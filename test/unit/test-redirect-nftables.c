/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stun/usages/ice.h>

#include "fd-util.h"
#include "netns.h"
#include "privileges.h"
#include "redirect-nftables.h"
#include "string-util.h"
#include "udp.h"

/* Two hosts on a link: the test itself is on the one with the redirect, `peer` has none. WireGuard is a UDP
 * socket that tells what it got. */

#define W 51820
#define PEER_PORT 41000
#define UFRAG "abcdefgh"
#define UFRAG2 "ABCDEFGH"

/* Nothing waits that long unless the test fails: what must not come to one socket comes to another. */
#define PATIENCE_MS ((int) (SANDBOX_PATIENCE / USEC_PER_MSEC))

static RedirectBackend *backend;
static int host_netns = -EBADF, peer_netns = -EBADF;

/* ---- Hosts ---- */

/* Checksums as they are on a wire: neither left to a network card nor believed without a look. */
static void offload_nothing(const char *interface)
{
        static const uint32_t commands[] = { ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                struct ethtool_value value = { .cmd = commands[i] };
                struct ifreq ifr = { .ifr_data = (void *) &value };

                (void) snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", interface);
                /* The second is fixed in veth: it follows the other end's first. */
                cr_assert(ioctl(fd, SIOCETHTOOL, &ifr) == 0 || i > 0, "%m");
        }
        close(fd);
}

static void make_backend(uid_t user)
{
        char *message = NULL;
        int r = redirect_nftables_new(user, &backend, &message);

        cr_assert_eq(r, 0, "%s: %s", strerror(-r), strna(message));
}

static void start(void)
{
        sandbox_need_root();
        sandbox_enter();
        sandbox_shell("exec >setup.log 2>&1; set -e\n"
                      "mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; ip netns add peer\n"
                      "ip link add wan type veth peer name wan netns peer\n"
                      "ip addr add 192.0.2.1/24 dev wan; ip addr add 192.0.2.11/24 dev wan\n"
                      "ip addr add 2001:db8::1/64 dev wan nodad; ip -n peer addr add 192.0.2.2/24 dev wan\n"
                      "ip -n peer addr add 2001:db8::2/64 dev wan nodad; ip -n peer link set lo up\n"
                      "ip link set wan up; ip -n peer link set wan up\n"
                      "until ip link show wan | grep -q 'state UP'; do sleep 0.02; done\n");
        host_netns = netns_here();
        peer_netns = netns_open("/run/netns/peer");
        offload_nothing("wan");
        netns_enter(peer_netns);
        offload_nothing("wan");
        netns_enter(host_netns);
        make_backend(0);
}

static void stop(void)
{
        backend = redirect_backend_free(backend);
        host_netns = safe_close(host_netns);
        peer_netns = safe_close(peer_netns);
}

TestSuite(redirect_nftables, .init = start, .fini = stop, .timeout = 60);

static int peer_socket(const char *s)
{
        int fd;

        netns_enter(peer_netns);
        fd = udp_socket(s);
        netns_enter(host_netns);
        return fd;
}

static void user_becomes(uid_t user)
{
        cr_assert_eq(seteuid(user), 0, "%m");
}

/* ---- Packets ---- */

typedef struct Packet {
        size_t size;
        uint8_t data[2048];
} Packet;

enum { NOMINATE = 1, CONTROLLED = 2 };

/* As libnice writes it. */
static Packet request(const char *ufrag, int flags)
{
        char username[32];
        StunAgent agent;
        StunMessage message;
        Packet p;

        (void) snprintf(username, sizeof(username), "%s:remote", ufrag);
        stun_agent_init(&agent, (const uint16_t[]) { 0 }, STUN_COMPATIBILITY_RFC5389,
                        STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
        p.size = stun_usage_ice_conncheck_create(
                &agent, &message, p.data, sizeof(p.data), (const uint8_t *) username, strlen(username),
                (const uint8_t *) "password", 8, flags & NOMINATE, !(flags & CONTROLLED), 1, 2,
                /* candidate_identifier= */ NULL, STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
        cr_assert_gt(p.size, 0);
        return p;
}

/* As our STUN client writes it: no attributes but USERNAME, or none at all. */
static Packet plain_request(const char *ufrag)
{
        StunAgent agent;
        StunMessage message;
        Packet p;

        stun_agent_init(&agent, (const uint16_t[]) { 0 }, STUN_COMPATIBILITY_RFC5389, 0);
        cr_assert(stun_agent_init_request(&agent, &message, p.data, sizeof(p.data), STUN_BINDING));
        if (ufrag) {
                char username[32];

                (void) snprintf(username, sizeof(username), "%s:hairpin", ufrag);
                cr_assert_eq(stun_message_append_string(&message, STUN_ATTRIBUTE_USERNAME, username),
                             STUN_MESSAGE_RETURN_SUCCESS);
        }
        p.size = stun_agent_finish_message(&agent, &message, NULL, 0);
        cr_assert_gt(p.size, 0);
        return p;
}

/* More than fits into one frame: SOFTWARE of that size behind all the rest. */
static Packet make_large(Packet p)
{
        size_t attribute = 1600;

        memcpy(p.data + p.size, (const uint8_t[]) { 0x80, 0x22, attribute >> 8, attribute & 0xff }, 4);
        p.size += 4 + attribute;
        p.data[2] = (uint8_t) ((p.size - 20) >> 8);
        p.data[3] = (uint8_t) (p.size - 20);
        return p;
}

/* With XOR-MAPPED-ADDRESS and SOFTWARE, whose values do not matter here; long enough that UDP looks at the
 * checksum only when it is received. type: 0x0101, or 0x0111 for an error. */
static Packet response(const Packet *to, uint16_t type)
{
        Packet p = { .size = 120 };

        memcpy(p.data, to->data, 20);
        p.data[0] = (uint8_t) (type >> 8);
        p.data[1] = (uint8_t) type;
        p.data[2] = 0;
        p.data[3] = (uint8_t) (p.size - 20);
        memcpy(p.data + 20, (const uint8_t[]) { 0, 0x20, 0, 8, 0, 1 }, 6);
        memcpy(p.data + 32, (const uint8_t[]) { 0x80, 0x22, 0, 84 }, 4);
        return p;
}

/* Looks as much like STUN as WireGuard's packets can: the receiver's index is the cookie. */
static Packet wireguard(uint8_t type, size_t size, const Packet *like)
{
        Packet p = { .size = size, .data = { type, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42 } };

        if (like)
                memcpy(p.data + 4, like->data + 4, size - 4);
        return p;
}

static void send_to(int fd, const char *to, const Packet *p)
{
        SocketAddress a = address(to);

        cr_assert_eq(sendto(fd, p->data, p->size, 0, &a.sa, socket_address_length(&a)), (ssize_t) p->size,
                     "%m");
}

/* The next packet is this one, from there. */
static void expect(int fd, const char *from, const Packet *p)
{
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);
        SocketAddress wanted = address(from), a;
        uint8_t buf[2048];
        ssize_t n;

        cr_assert_eq(poll(&pollfd, 1, PATIENCE_MS), 1, "nothing came from %s", from);
        n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *) &storage, &size);
        cr_assert_eq(n, (ssize_t) p->size);
        cr_assert_arr_eq(buf, p->data, p->size);
        cr_assert_geq(socket_address_from_sockaddr(&storage, size, &a), 0);
        cr_assert(socket_address_equal(&a, &wanted), "from %s instead of %s", SOCKET_ADDRESS_STR(&a), from);
}

static void pass(int fd, const char *to, const Packet *p, int to_fd, const char *from)
{
        send_to(fd, to, p);
        expect(to_fd, from, p);
}

/* ---- Shared sockets ---- */

static RedirectSocket describe(int fd, uint16_t wireguard_port, const char *ufrag)
{
        RedirectSocket s = { .local = local_address(fd), .wireguard_port = wireguard_port };
        socklen_t size = sizeof(s.cookie);

        cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &size), 0, "%m");
        cr_assert_eq(redirect_nftables_prepare(fd), 0);
        cr_assert_lt(snprintf(s.ufrag, sizeof(s.ufrag), "%s", ufrag), (int) sizeof(s.ufrag));
        return s;
}

static RedirectSocket share(int fd, uint16_t wireguard_port, const char *ufrag)
{
        RedirectSocket s = describe(fd, wireguard_port, ufrag);
        int r = backend->ops->add(backend, &s);

        cr_assert_eq(r, 0, "%s", strerror(-r));
        return s;
}

/* All that the redirect is for, between a socket of ours and one of the peer's. */
static void check_both_ways(int ice, const char *ours, int peer, const char *theirs)
{
        static const int flags[] = { 0, NOMINATE, CONTROLLED, NOMINATE | CONTROLLED };
        Packet p, answer;

        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                p = request(UFRAG, flags[i]);
                pass(peer, ours, &p, ice, theirs);
                answer = response(&p, 0x0101);
                pass(ice, theirs, &answer, peer, ours);

                p = request("peerfrag", flags[i]);
                pass(ice, theirs, &p, peer, ours);
                answer = response(&p, i % 2 ? 0x0111 : 0x0101);
                pass(peer, ours, &answer, ice, theirs);
        }
        p = plain_request(NULL);
        pass(ice, theirs, &p, peer, ours);
        answer = response(&p, 0x0101);
        pass(peer, ours, &answer, ice, theirs);
        p = plain_request(UFRAG);
        pass(peer, ours, &p, ice, theirs);
}

/* Its packets come to WireGuard and go from it as if there were no redirect. */
static void check_wireguard(int wg, const char *ours, int peer, const char *theirs)
{
        Packet stun = request(UFRAG, 0), packets[] = {
                wireguard(1, 148, NULL), wireguard(2, 92, NULL),  wireguard(4, 32, NULL),
                wireguard(4, 80, NULL),  wireguard(4, 80, &stun),
        };

        for (size_t i = 0; i < ELEMENTSOF(packets); i++) {
                pass(peer, ours, &packets[i], wg, theirs);
                pass(wg, theirs, &packets[i], peer, ours);
        }
}

Test(redirect_nftables, both_ways)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), ice = udp_socket("192.0.2.1:0");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");

        (void) share(ice, W, UFRAG);
        check_both_ways(ice, "192.0.2.1:51820", peer, "192.0.2.2:41000");
        check_wireguard(wg, "192.0.2.1:51820", peer, "192.0.2.2:41000");
}

Test(redirect_nftables, both_ways_ipv6)
{
        _cleanup_close_ int wg = udp_socket("[2001:db8::1]:51820"), ice = udp_socket("[2001:db8::1]:0");
        _cleanup_close_ int peer = peer_socket("[2001:db8::2]:41000");

        (void) share(ice, W, UFRAG);
        check_both_ways(ice, "[2001:db8::1]:51820", peer, "[2001:db8::2]:41000");
        check_wireguard(wg, "[2001:db8::1]:51820", peer, "[2001:db8::2]:41000");
}

/* Both sides on one host, by lo: each request is known as a transaction, too, of the one who sent it. */
Test(redirect_nftables, loopback)
{
        _cleanup_close_ int wg = udp_socket("127.0.0.1:51820"), wg2 = udp_socket("127.0.0.1:51821");
        _cleanup_close_ int ice = udp_socket("127.0.0.1:0"), ice2 = udp_socket("127.0.0.1:0");
        Packet p = request(UFRAG2, 0), answer = response(&p, 0x0101);

        (void) share(ice, W, UFRAG);
        (void) share(ice2, W + 1, UFRAG2);
        pass(ice, "127.0.0.1:51821", &p, ice2, "127.0.0.1:51820");
        pass(ice2, "127.0.0.1:51820", &answer, ice, "127.0.0.1:51821");
        check_wireguard(wg, "127.0.0.1:51820", wg2, "127.0.0.1:51821");
        /* The hairpin test: to itself. */
        p = plain_request(UFRAG);
        pass(ice, "127.0.0.1:51820", &p, ice, "127.0.0.1:51820");
}

static void check_odd_packets(int ice, const char *ours, int peer, const char *theirs)
{
        Packet p = make_large(request(UFRAG, 0));

        pass(peer, ours, &p, ice, theirs);
        p = make_large(request("peerfrag", 0));
        pass(ice, theirs, &p, peer, ours);
        cr_assert_eq(setsockopt(peer, SOL_SOCKET, SO_NO_CHECK, &(int) { 1 }, sizeof(int)), 0);
        p = request(UFRAG, 0);
        pass(peer, ours, &p, ice, theirs);
}

/* In fragments, and without a checksum from the start. */
Test(redirect_nftables, odd_packets)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:0"), ice6 = udp_socket("[2001:db8::1]:0");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000"),
                            peer6 = peer_socket("[2001:db8::2]:41000");

        (void) share(ice, W, UFRAG);
        (void) share(ice6, W, UFRAG);
        check_odd_packets(ice, "192.0.2.1:51820", peer, "192.0.2.2:41000");
        check_odd_packets(ice6, "[2001:db8::1]:51820", peer6, "[2001:db8::2]:41000");
}

/* What nobody waits for goes to WireGuard, as it would without us. */
static void check_strangers(int peer, int wg, Packet *packets, size_t n)
{
        for (size_t i = 0; i < n; i++)
                pass(peer, "192.0.2.1:51820", &packets[i], wg, "192.0.2.2:41000");
}

Test(redirect_nftables, strange_responses)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), ice = udp_socket("192.0.2.1:0");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        Packet sent = request("peerfrag", 0), answered = request("peerfrag", 0), p[7];

        (void) share(ice, W, UFRAG);
        pass(ice, "192.0.2.2:41000", &sent, peer, "192.0.2.1:51820");
        p[0] = response(&answered, 0x0101);
        pass(ice, "192.0.2.2:41000", &p[0], peer, "192.0.2.1:51820"); /* no request: nothing is waited for */
        p[1] = response(&sent, 0x0101);
        p[1].data[19] ^= 1; /* another transaction */
        p[2] = response(&sent, 0x0101);
        p[2].data[4] ^= 1;              /* another cookie */
        p[3] = response(&sent, 0x0011); /* an indication */
        p[4] = response(&sent, 0x4101); /* ChannelData */
        p[5] = response(&sent, 0x0101);
        p[5].data[3] = 13; /* no multiple of 4 */
        p[6] = response(&sent, 0x0101);
        p[6].size = 19; /* cut short */
        check_strangers(peer, wg, p, ELEMENTSOF(p));
        p[0] = response(&sent, 0x0101);
        pass(peer, "192.0.2.1:51820", &p[0], ice, "192.0.2.2:41000");
}

Test(redirect_nftables, strange_requests)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), other = udp_socket("192.0.2.11:51820");
        _cleanup_close_ int ice = udp_socket("192.0.2.1:0"), peer = peer_socket("192.0.2.2:41000");
        Packet right = request(UFRAG, 0), p[] = {
                request("abcdefgx", 0),     request("abcdefghi", 0), request("abcdefghi", NOMINATE),
                plain_request("abcdefghi"), plain_request(NULL),     right,
        };

        (void) share(ice, W, UFRAG);
        p[5].data[1] = 0x11; /* an indication */
        check_strangers(peer, wg, p, ELEMENTSOF(p));
        /* To another address of ours. */
        pass(peer, "192.0.2.11:51820", &right, other, "192.0.2.2:41000");
        pass(peer, "192.0.2.1:51820", &right, ice, "192.0.2.2:41000");
}

Test(redirect_nftables, many_sessions_on_one_port)
{
        int ice[20], peer = peer_socket("192.0.2.2:41000");
        RedirectSocket sockets[ELEMENTSOF(ice)];
        Packet sent[ELEMENTSOF(ice)], p;
        char ufrag[REDIRECT_UFRAG_SIZE + 1];

        for (size_t i = 0; i < ELEMENTSOF(ice); i++) {
                (void) snprintf(ufrag, sizeof(ufrag), "session%c", (char) ('a' + i));
                ice[i] = udp_socket("192.0.2.1:0");
                sockets[i] = share(ice[i], W, ufrag);
                sent[i] = request("peerfrag", 0);
                pass(ice[i], "192.0.2.2:41000", &sent[i], peer, "192.0.2.1:51820");
        }
        for (size_t i = 0; i < ELEMENTSOF(ice); i++) {
                p = response(&sent[i], 0x0101);
                pass(peer, "192.0.2.1:51820", &p, ice[i], "192.0.2.2:41000");
                p = request(sockets[i].ufrag, 0);
                pass(peer, "192.0.2.1:51820", &p, ice[i], "192.0.2.2:41000");
        }
        for (size_t i = 0; i < ELEMENTSOF(ice); i++)
                close(ice[i]);
        close(peer);
}

Test(redirect_nftables, two_links)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), wg2 = udp_socket("192.0.2.1:51821");
        _cleanup_close_ int ice = udp_socket("192.0.2.1:0"), ice2 = udp_socket("192.0.2.1:0");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        Packet p;

        (void) share(ice, W, UFRAG);
        (void) share(ice2, W + 1, UFRAG); /* unique with W */
        p = request(UFRAG, 0);
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
        pass(peer, "192.0.2.1:51821", &p, ice2, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:51820");
        pass(ice2, "192.0.2.2:41000", &p, peer, "192.0.2.1:51821");
        check_wireguard(wg, "192.0.2.1:51820", peer, "192.0.2.2:41000");
        check_wireguard(wg2, "192.0.2.1:51821", peer, "192.0.2.2:41000");
}

/* The same port at two addresses: two sockets. */
Test(redirect_nftables, one_port_at_two_addresses)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:40001"), other = udp_socket("192.0.2.11:40001");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        Packet p = request("peerfrag", 0);

        (void) share(ice, W, UFRAG);
        pass(other, "192.0.2.2:41000", &p, peer, "192.0.2.11:40001");
        (void) share(other, W + 1, UFRAG2);
        pass(other, "192.0.2.2:41000", &p, peer, "192.0.2.11:51821");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:51820");
}

static void set_relays(const char *const *relays)
{
        SocketAddress addresses[8];
        size_t n = 0;

        for (; relays && relays[n]; n++)
                addresses[n] = address(relays[n]);
        cr_assert_eq(backend->ops->set_relays(backend, addresses, n), 0);
}

Test(redirect_nftables, relays)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:40001"), stun = udp_socket("192.0.2.1:40002");
        _cleanup_close_ int ice6 = udp_socket("[2001:db8::1]:40001");
        _cleanup_close_ int relay = peer_socket("192.0.2.2:3478"),
                            relay6 = peer_socket("[2001:db8::2]:3478");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        RedirectSocket s = describe(ice, W, UFRAG), s6 = describe(ice6, W, UFRAG);
        Packet p = plain_request(NULL), answer = response(&p, 0x0101), channel = wireguard(0x40, 64, NULL);

        s.keeps_relays = s6.keeps_relays = true;
        cr_assert_eq(backend->ops->add(backend, &s), 0);
        cr_assert_eq(backend->ops->add(backend, &s6), 0);
        (void) share(stun, W, UFRAG2);

        set_relays((const char *[]) { "192.0.2.2:3478", "[2001:db8::2]:3478", "192.0.2.2:3478", NULL });
        pass(ice, "192.0.2.2:3478", &p, relay, "192.0.2.1:40001");
        pass(relay, "192.0.2.1:40001", &answer, ice, "192.0.2.2:3478");
        pass(ice, "192.0.2.2:3478", &channel, relay, "192.0.2.1:40001");
        pass(ice6, "[2001:db8::2]:3478", &p, relay6, "[2001:db8::1]:40001");
        pass(stun, "192.0.2.2:3478", &p, relay, "192.0.2.1:51820"); /* it keeps none */
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:51820");  /* no relay's port */

        set_relays((const char *[]) { "[2001:db8::2]:3478", NULL });
        pass(ice, "192.0.2.2:3478", &p, relay, "192.0.2.1:51820");
        pass(ice6, "[2001:db8::2]:3478", &p, relay6, "[2001:db8::1]:40001");
        set_relays(NULL);
        pass(ice6, "[2001:db8::2]:3478", &p, relay6, "[2001:db8::1]:51820");
}

/* ---- Coming and going ---- */

Test(redirect_nftables, remove)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), ice = udp_socket("192.0.2.1:40001");
        _cleanup_close_ int ice2 = udp_socket("192.0.2.1:40002"), peer = peer_socket("192.0.2.2:41000");
        RedirectSocket s, s2;
        Packet p = request(UFRAG, 0), p2 = request(UFRAG2, 0);

        s = describe(ice, W, UFRAG);
        s.keeps_relays = true;
        cr_assert_eq(backend->ops->add(backend, &s), 0);
        s2 = share(ice2, W, UFRAG2);
        backend->ops->remove(backend, &s);
        pass(peer, "192.0.2.1:51820", &p, wg, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:40001");
        /* The other on the same port stays. */
        pass(peer, "192.0.2.1:51820", &p2, ice2, "192.0.2.2:41000");
        pass(ice2, "192.0.2.2:41000", &p2, peer, "192.0.2.1:51820");

        backend->ops->remove(backend, &s);
        backend->ops->remove(backend, &s2);
        pass(peer, "192.0.2.1:51820", &p2, wg, "192.0.2.2:41000");
        pass(ice2, "192.0.2.2:41000", &p2, peer, "192.0.2.1:40002");
        sandbox_shell("nft list table inet icewire >table; ! grep -q 'elements = .*[^0-9]4000[12]' table; "
                      "! grep -q 'elements = .*51820' table");

        /* And it can come again. */
        cr_assert_eq(backend->ops->add(backend, &s), 0);
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
}

Test(redirect_nftables, several_ufrags)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), ice = udp_socket("192.0.2.1:40001");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        RedirectSocket s = describe(ice, W, UFRAG), s2 = describe(ice, W, UFRAG2), wrong = s2;
        Packet p = request(UFRAG, 0), p2 = request(UFRAG2, 0);

        s.keeps_relays = s2.keeps_relays = true;
        cr_assert_eq(backend->ops->add(backend, &s), 0);
        cr_assert_eq(backend->ops->add(backend, &wrong), -EEXIST);
        cr_assert_eq(backend->ops->add(backend, &s2), 0);
        cr_assert_eq(backend->ops->add(backend, &s2), -EEXIST);
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
        pass(peer, "192.0.2.1:51820", &p2, ice, "192.0.2.2:41000");

        backend->ops->remove(backend, &s);
        pass(peer, "192.0.2.1:51820", &p, wg, "192.0.2.2:41000");
        pass(peer, "192.0.2.1:51820", &p2, ice, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &p2, peer, "192.0.2.1:51820");
        backend->ops->remove(backend, &s2);
        pass(peer, "192.0.2.1:51820", &p2, wg, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &p2, peer, "192.0.2.1:40001");
        sandbox_shell("nft list table inet icewire >table; ! grep -q 'elements = .*[^0-9]40001' table; "
                      "! grep -q 'elements = .*51820' table");
}

Test(redirect_nftables, refused)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:40001"), other = udp_socket("192.0.2.1:40002");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000"), wan = udp_socket("192.0.2.11:0");
        RedirectSocket s = share(ice, W, UFRAG), t;
        Packet p = request(UFRAG, 0);

        cr_assert_eq(backend->ops->add(backend, &s), -EEXIST);
        t = describe(other, W, UFRAG); /* the same request */
        cr_assert_eq(backend->ops->add(backend, &t), -EEXIST);
        t = describe(other, W + 1, UFRAG2);
        t.cookie = s.cookie;
        cr_assert_eq(backend->ops->add(backend, &t), -EEXIST);
        t = describe(other, W, UFRAG2);
        t.local = s.local;
        cr_assert_eq(backend->ops->add(backend, &t), -EEXIST);
        t = describe(other, 0, UFRAG2);
        cr_assert_eq(backend->ops->add(backend, &t), -EINVAL);
        t = describe(other, W, "short");
        cr_assert_eq(backend->ops->add(backend, &t), -EINVAL);
        t = describe(other, W, UFRAG2);
        t.local = address("0.0.0.0:40002");
        cr_assert_eq(backend->ops->add(backend, &t), -EINVAL);
        t.local = (SocketAddress) {};
        cr_assert_eq(backend->ops->add(backend, &t), -EINVAL);
        t.local = address("[fe80::1%1]:40002");
        cr_assert_eq(backend->ops->add(backend, &t), 0);
        t = describe(wan, W, "tuvwxyz0");
        t.local = address("[fe80::1%2]:40002");
        cr_assert_eq(backend->ops->add(backend, &t), -EEXIST);
        pass(other, "192.0.2.2:41000", &p, peer, "192.0.2.1:40002");
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
}

/* Whatever is in a ufrag: it is a number to nftables. */
Test(redirect_nftables, no_injection)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:0"), peer = peer_socket("192.0.2.2:41000");
        Packet p = request("};\n \"#1\\", 0);

        (void) share(ice, W, "};\n \"#1\\");
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
}

Test(redirect_nftables, other_users)
{
        _cleanup_close_ int root = udp_socket("192.0.2.1:40001"), ice = -EBADF;
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        Packet p = request(UFRAG, 0);

        backend = redirect_backend_free(backend);
        make_backend(65534);
        user_becomes(65534);
        ice = udp_socket("192.0.2.1:40002");
        user_becomes(0);
        (void) share(root, W, UFRAG);
        (void) share(ice, W, UFRAG2);
        pass(root, "192.0.2.2:41000", &p, peer, "192.0.2.1:40001");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:51820");
}

/* Others' tables go, ours does not; with us it goes as well. */
Test(redirect_nftables, ruleset)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:40001"), peer = peer_socket("192.0.2.2:41000");
        Packet p = request(UFRAG, 0);

        (void) share(ice, W, UFRAG);
        sandbox_shell("exec >flush.log 2>&1; set -e; nft add table inet other; nft flush ruleset\n"
                      "[ \"$(nft list tables)\" = 'table inet icewire' ]\n"
                      "! nft delete table inet icewire; ! nft flush table inet icewire");
        pass(peer, "192.0.2.1:51820", &p, ice, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:51820");

        backend = redirect_backend_free(backend);
        sandbox_shell("[ -z \"$(nft list ruleset)\" ]");
        pass(ice, "192.0.2.2:41000", &p, peer, "192.0.2.1:40001");
}

Test(redirect_nftables, table_of_somebody_else)
{
        RedirectBackend *other = NULL;
        char *message = NULL;

        cr_assert_eq(redirect_nftables_new(0, &other, &message), -EPERM);
        cr_assert_str_eq(message, "there is a table inet icewire of somebody else");
        free(message);
        backend = redirect_backend_free(backend);
        sandbox_shell("nft add table inet icewire");
        cr_assert_eq(redirect_nftables_new(0, &other, &message), -EEXIST);
        cr_assert_str_eq(message, "there is a table inet icewire of somebody else");
        free(message);
        cr_assert_null(other);
        sandbox_shell("nft list ruleset | grep -q icewire");
}

Test(redirect_nftables, no_right)
{
        RedirectBackend *other = NULL;
        char *message = NULL;

        user_becomes(65534);
        cr_assert_eq(redirect_nftables_new(0, &other, &message), -EPERM);
        user_becomes(0);
        cr_assert_str_eq(message, "the capability CAP_NET_ADMIN is missing");
        cr_assert_null(other);
        free(message);
}

/* All that the broker keeps is enough. */
Test(redirect_nftables, few_rights)
{
        _cleanup_close_ int ice = udp_socket("192.0.2.1:0"), peer = peer_socket("192.0.2.2:41000");

        backend = redirect_backend_free(backend);
        cr_assert_eq(privileges_drop(), 0);
        make_backend(0);
        (void) share(ice, W, UFRAG);
        check_both_ways(ice, "192.0.2.1:51820", peer, "192.0.2.2:41000");
}

Test(redirect_nftables, self_test)
{
        char *message = NULL;
        int r = redirect_self_test(backend, &message);

        cr_assert_eq(r, 0, "%s: %s", strerror(-r), strna(message));
        sandbox_shell("nft 'table inet firewall { chain input {"
                      " type filter hook input priority filter; policy drop; }; }'");
        cr_assert_lt(redirect_self_test(backend, &message), 0);
        cr_assert_not_null(message);
        free(message);
}

/* ---- A stateful firewall on the host: "established only", and a hole at W or none ---- */

static void firewall(const char *rule)
{
        sandbox_shell("nft -f - <<END\n"
                      "table inet firewall {\n"
                      "        counter refused { }\n"
                      "        chain input {\n"
                      "                type filter hook input priority filter; policy accept;\n"
                      "                ct state established,related accept\n"
                      "                %s\n"
                      "                meta l4proto udp counter name refused drop\n"
                      "        }\n"
                      "}\n"
                      "END\n",
                      rule);
}

/* So many packets, in all. */
static void expect_refused(unsigned n)
{
        sandbox_shell("for i in $(seq 500); do nft list counters table inet firewall | grep -q 'packets %u "
                      "bytes' && exit; "
                      "sleep 0.02; "
                      "done; exit 1",
                      n);
}

/* W closed: what the peer sends is refused, until we have sent; then its response, its check and its
 * WireGuard come, although only ICE has opened the port. */
static void check_established_only(const char *any, const char *ours, const char *theirs)
{
        _cleanup_close_ int wg = udp_socket(ours), ice = udp_socket(any), peer = peer_socket(theirs);
        Packet check = request(UFRAG, 0), request_sent = request("peerfrag", 0);
        Packet answer = response(&request_sent, 0x0101), data = wireguard(1, 148, NULL);

        firewall("");
        (void) share(ice, W, UFRAG);
        send_to(peer, ours, &check);
        expect_refused(1);
        send_to(peer, ours, &data);
        expect_refused(2);

        pass(ice, theirs, &request_sent, peer, ours);
        pass(peer, ours, &answer, ice, theirs);
        pass(peer, ours, &check, ice, theirs);
        pass(peer, ours, &data, wg, theirs);
        expect_refused(2);
}

Test(redirect_nftables, firewall_established_only)
{
        check_established_only("192.0.2.1:0", "192.0.2.1:51820", "192.0.2.2:41000");
}

Test(redirect_nftables, firewall_established_only_ipv6)
{
        check_established_only("[2001:db8::1]:0", "[2001:db8::1]:51820", "[2001:db8::2]:41000");
}

Test(redirect_nftables, firewall_with_open_port)
{
        _cleanup_close_ int wg = udp_socket("192.0.2.1:51820"), ice = udp_socket("192.0.2.1:40001");
        _cleanup_close_ int peer = peer_socket("192.0.2.2:41000");
        Packet check = request(UFRAG, 0), answer = response(&check, 0x0101), data = wireguard(1, 148, NULL);

        firewall("udp dport 51820 accept");
        (void) share(ice, W, UFRAG);
        send_to(peer, "192.0.2.1:40001", &check);
        expect_refused(1);
        pass(peer, "192.0.2.1:51820", &check, ice, "192.0.2.2:41000");
        pass(ice, "192.0.2.2:41000", &answer, peer, "192.0.2.1:51820");
        pass(peer, "192.0.2.1:51820", &data, wg, "192.0.2.2:41000");
        expect_refused(1);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "random-util.h"
#include "redirect-backend.h"
#include "redirect-nftables.h"
#include "string-util.h"
#include "time-util.h"

/* Real sockets on loopback play everybody: WireGuard and ICE here, and two others out there. That programs
 * could be loaded says little: rights, other programs, firewalls and kernels differ in what they let
 * through. */

#define PATIENCE USEC_PER_SEC
#define PATIENCE_UNASKED (100 * USEC_PER_MSEC)
#define LOOPBACK_IFINDEX 1

#define UFRAG "selftest"
static_assert(sizeof(UFRAG) == REDIRECT_UFRAG_SIZE + 1, "ufrags have one length");

typedef enum Actor {
        ACTOR_WIREGUARD,
        ACTOR_ICE,
        ACTOR_FRIEND,   /* out there, ICE sends to it */
        ACTOR_STRANGER, /* out there, nobody has sent to it */
        _ACTOR_MAX,
} Actor;

typedef enum Content {
        CONTENT_REQUEST,  /* STUN, with a USERNAME for ICE */
        CONTENT_RESPONSE, /* STUN, to the last request */
        CONTENT_INITIATION,
} Content;

typedef struct Step {
        Actor from;
        Actor to;       /* whose address it is sent to */
        Actor receiver; /* who gets it */
        Actor source;   /* whose port it comes from then */
        Content content;
        const char *failure;
} Step;

/* It came to somebody else, or from somebody else. */
#define ASTRAY (-EPROTO)

/* What depends on the host's rules of NAT. */
static const Step unasked = {
        ACTOR_STRANGER, ACTOR_WIREGUARD, ACTOR_ICE,
        ACTOR_STRANGER, CONTENT_REQUEST, "a STUN request that comes unasked does not come to ICE",
};

static const Step steps[] = {
        { ACTOR_ICE, ACTOR_FRIEND, ACTOR_FRIEND, ACTOR_WIREGUARD, CONTENT_REQUEST,
          "what ICE sends does not arrive from WireGuard's port" },
        { ACTOR_FRIEND, ACTOR_WIREGUARD, ACTOR_ICE, ACTOR_FRIEND, CONTENT_RESPONSE,
          "a STUN response does not come to ICE" },
        { ACTOR_FRIEND, ACTOR_WIREGUARD, ACTOR_ICE, ACTOR_FRIEND, CONTENT_REQUEST,
          "a STUN request from where ICE has sent to does not come to it" },
        { ACTOR_STRANGER, ACTOR_WIREGUARD, ACTOR_WIREGUARD, ACTOR_STRANGER, CONTENT_INITIATION,
          "WireGuard does not get its own packets" },
        { ACTOR_FRIEND, ACTOR_WIREGUARD, ACTOR_WIREGUARD, ACTOR_FRIEND, CONTENT_INITIATION,
          "WireGuard does not get its packets from where ICE has sent to" },
        { ACTOR_WIREGUARD, ACTOR_FRIEND, ACTOR_FRIEND, ACTOR_WIREGUARD, CONTENT_INITIATION,
          "what WireGuard sends does not arrive" },
};

/* RFC 8489 section 5, with one attribute. */
typedef struct StunMessage {
        uint16_t type;
        uint16_t length; /* of what follows the header */
        uint32_t cookie;
        uint8_t transaction[12];
        uint16_t attribute;
        uint16_t attribute_length;
        char value[12];
} StunMessage;
static_assert(sizeof(StunMessage) == 36, "as on the wire");

/* Of a handshake initiation, the first thing that WireGuard sends. */
#define INITIATION_TYPE 1
#define INITIATION_SIZE 148

typedef struct Packet {
        uint8_t bytes[INITIATION_SIZE];
        size_t size;
} Packet;

typedef struct SelfTest {
        RedirectBackend *backend;
        usec_t deadline;
        bool all;            /* every step, or only the unasked one */
        const char *failure; /* what does not work, a literal */
        int fds[_ACTOR_MAX];
        SocketAddress addresses[_ACTOR_MAX];
        uint8_t transaction[12]; /* of the last request */
} SelfTest;

/* Every response has an attribute, and by that is told from WireGuard's packets in nftables. */
static void make_stun(SelfTest *t, bool request, Packet *ret)
{
        StunMessage m = {
                .type = htons(request ? 0x0001 : 0x0101), /* Binding */
                .length = htons(sizeof(m) - offsetof(StunMessage, attribute)),
                .cookie = htonl(0x2112A442),
                .attribute = htons(request ? 0x0006 : 0x8022), /* USERNAME, SOFTWARE */
                .attribute_length = htons(sizeof(m.value)),
                .value = { 's', 'e', 'l', 'f', 't', 'e', 's', 't', ':', 'e', 'l', 's' },
        };

        if (request)
                random_bytes(t->transaction, sizeof(t->transaction));
        memcpy(m.transaction, t->transaction, sizeof(m.transaction));
        memcpy(ret->bytes, &m, sizeof(m));
        ret->size = sizeof(m);
}

static void make_packet(SelfTest *t, Content content, Packet *ret)
{
        if (content != CONTENT_INITIATION) {
                make_stun(t, content == CONTENT_REQUEST, ret);
                return;
        }
        ret->size = INITIATION_SIZE;
        random_bytes(ret->bytes, ret->size);
        ret->bytes[0] = INITIATION_TYPE;
        memset(ret->bytes + 1, 0, 3);
}

/* Takes what has come, and says whether it is this. */
static bool take(int fd, const Packet *expected, SocketAddress *ret_from)
{
        uint8_t bytes[INITIATION_SIZE + 1];
        SocketAddress from = {};
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT, &from.sa, &size);

        *ret_from = from;
        return n >= 0 && (size_t) n == expected->size && memcmp(bytes, expected->bytes, (size_t) n) == 0;
}

/* Whatever else comes to our ports is skipped. The source's address is not looked at: there are hosts that
 * masquerade whatever they send, on lo as well. -ETIMEDOUT, ASTRAY. */
static int receive(const SelfTest *t, Actor receiver, const Packet *expected, uint16_t source_port)
{
        struct pollfd fds[_ACTOR_MAX];
        SocketAddress from;

        for (Actor actor = 0; actor < _ACTOR_MAX; actor++)
                fds[actor] = (struct pollfd) { .fd = t->fds[actor], .events = POLLIN };
        for (;;) {
                usec_t left = usec_sub(t->deadline, now(CLOCK_MONOTONIC));

                if (poll(fds, ELEMENTSOF(fds), (int) (left / USEC_PER_MSEC)) == 0)
                        return -ETIMEDOUT;
                for (Actor actor = 0; actor < _ACTOR_MAX; actor++)
                        if (fds[actor].revents && take(fds[actor].fd, expected, &from))
                                return actor == receiver && socket_address_port(&from) == source_port
                                               ? 0
                                               : ASTRAY;
                if (left == 0)
                        return -ETIMEDOUT;
        }
}

static int run_step(SelfTest *t, const Step *step)
{
        const SocketAddress *to = &t->addresses[step->to];
        Packet packet;

        make_packet(t, step->content, &packet);
        if (sendto(t->fds[step->from], packet.bytes, packet.size, 0, &to->sa, socket_address_length(to)) < 0)
                return -errno;
        return receive(t, step->receiver, &packet, socket_address_port(&t->addresses[step->source]));
}

/* 0: what comes unasked gets through as it is; 1: rewritten. On failure it is treated as before. */
static int run_unasked(SelfTest *t)
{
        RedirectBackend *b = t->backend;
        int family = t->addresses[ACTOR_ICE].sa.sa_family, r;
        bool before;

        t->failure = unasked.failure;
        if (!b->ops->set_rewriting)
                return run_step(t, &unasked);
        before = b->ops->set_rewriting(b, family, /* rewriting= */ false);
        r = run_step(t, &unasked);
        if (r >= 0)
                return 0;
        if (r == ASTRAY) {
                (void) b->ops->set_rewriting(b, family, /* rewriting= */ true);
                r = run_step(t, &unasked);
                if (r >= 0)
                        return 1;
        }
        (void) b->ops->set_rewriting(b, family, before);
        return r;
}

static int open_socket(const char *ip, int *ret_fd, SocketAddress *ret_address)
{
        _cleanup_close_ int fd = -EBADF;
        SocketAddress a;
        socklen_t size = sizeof(a);
        int r;

        r = socket_address_from_ip(ip, 0, &a);
        if (r < 0)
                return r;
        fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, &a.sa, socket_address_length(&a)) < 0 || getsockname(fd, &a.sa, &size) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        *ret_address = a;
        return 0;
}

static int describe_ice(const SelfTest *t, RedirectSocket *ret)
{
        RedirectSocket s = {
                .local = t->addresses[ACTOR_ICE],
                .wireguard_port = socket_address_port(&t->addresses[ACTOR_WIREGUARD]),
                .ufrag = UFRAG,
        };
        socklen_t size = sizeof(s.cookie);

        if (getsockopt(t->fds[ACTOR_ICE], SOL_SOCKET, SO_COOKIE, &s.cookie, &size) < 0)
                return -errno;
        *ret = s;
        return redirect_nftables_prepare(t->fds[ACTOR_ICE]);
}

/* As run_unasked(), which comes first: where our own packets are masqueraded, what comes back looks unasked.
 */
static int run_steps(SelfTest *t)
{
        int limited, r;

        limited = run_unasked(t);
        if (limited < 0 || !t->all)
                return limited;
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                t->failure = steps[i].failure;
                r = run_step(t, &steps[i]);
                if (r < 0)
                        return r;
        }
        return limited;
}

static int run_with_ice(SelfTest *t)
{
        RedirectSocket ice;
        int r;

        t->failure = "a socket is not taken";
        r = describe_ice(t, &ice);
        if (r < 0)
                return r;
        r = t->backend->ops->add(t->backend, &ice);
        if (r < 0)
                return r;
        r = run_steps(t);
        t->backend->ops->remove(t->backend, &ice);
        return r;
}

/* optional: a host that does not have the address needs no test. */
static int test_address(SelfTest *t, const char *ip, bool optional)
{
        int r = 0;

        for (Actor actor = 0; actor < _ACTOR_MAX; actor++)
                t->fds[actor] = -EBADF;
        for (Actor actor = 0; actor < _ACTOR_MAX && r >= 0; actor++)
                r = open_socket(ip, &t->fds[actor], &t->addresses[actor]);
        if (r >= 0)
                r = run_with_ice(t);
        else if (optional && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT))
                r = 0;
        else
                t->failure = "there are no sockets";
        for (Actor actor = 0; actor < _ACTOR_MAX; actor++)
                safe_close(t->fds[actor]);
        return r;
}

/* 1: for one of the two at least. */
static int test_addresses(SelfTest *t)
{
        int four, six;

        four = test_address(t, "127.0.0.1", /* optional= */ false);
        if (four < 0)
                return four;
        six = test_address(t, "::1", /* optional= */ true);
        return six < 0 ? six : four || six;
}

int redirect_self_test(RedirectBackend *b, char **ret_message)
{
        SelfTest t = {
                .backend = b,
                .deadline = usec_add(now(CLOCK_MONOTONIC), PATIENCE),
                .all = true,
                .failure = "it cannot be attached to lo",
        };
        int r;

        r = b->ops->set_uplinks(b, &(int) { LOOPBACK_IFINDEX }, 1);
        if (r >= 0)
                r = test_addresses(&t);
        (void) b->ops->set_uplinks(b, NULL, 0);
        if (r < 0)
                *ret_message = asprintf_safe("in the self-test %s (%s)", t.failure,
                                             r == ASTRAY ? "it goes astray" : strerror(-r));
        return r;
}

int redirect_self_test_unasked(RedirectBackend *b)
{
        SelfTest t = { .backend = b };
        int r;

        if (b->ops->set_loopback) {
                r = b->ops->set_loopback(b, /* attached= */ true);
                if (r < 0)
                        return r;
        }
        t.deadline = usec_add(now(CLOCK_MONOTONIC), PATIENCE_UNASKED);
        r = test_addresses(&t);
        if (b->ops->set_loopback)
                (void) b->ops->set_loopback(b, /* attached= */ false);
        return r;
}

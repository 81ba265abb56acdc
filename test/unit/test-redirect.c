/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "broker-varlink.h"
#include "fd-util.h"
#include "sandbox.h"
#include "string-util.h"
#include "udp.h"

/* The registry of shared sockets and the Varlink methods before it, with backends that only remember what
 * they were told. */

#define FAKE_SOCKETS_MAX 32U

typedef struct Fake {
        RedirectBackend backend;
        RedirectKind kind;
        /* What it is to do. */
        int new_error, test_error, uplinks_error, relays_error;
        int unasked_error;
        bool limited; /* what comes unasked has to be rewritten */
        size_t room;  /* for so many sockets */
        const char *message;
        /* What it was told. */
        bool alive;
        unsigned n_made, n_tested, n_unasked;
        uid_t user;
        RedirectSocket sockets[FAKE_SOCKETS_MAX];
        size_t n_sockets;
        int uplinks[8];
        size_t n_uplinks;
        SocketAddress relays[8];
        size_t n_relays;
        struct {
                RedirectMove move;
                usec_t until;
        } moves[8];
        size_t n_moves;
        int move_error;
        redirect_initiation_t initiated;
        void *watcher;
} Fake;

static Fake fakes[_REDIRECT_KIND_MAX];
#define EBPF (&fakes[REDIRECT_EBPF])
#define NFTABLES (&fakes[REDIRECT_NFTABLES])

static int fake_add(RedirectBackend *b, const RedirectSocket *socket)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (f->n_sockets >= f->room)
                return -ENOSPC;
        f->sockets[f->n_sockets++] = *socket;
        return 0;
}

static void fake_remove(RedirectBackend *b, const RedirectSocket *socket)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        for (size_t i = 0; i < f->n_sockets; i++)
                if (f->sockets[i].cookie == socket->cookie && streq(f->sockets[i].ufrag, socket->ufrag)) {
                        f->sockets[i] = f->sockets[--f->n_sockets];
                        return;
                }
        cr_assert_fail("removed what was not added");
}

static int fake_set_relays(RedirectBackend *b, const SocketAddress *relays, size_t n)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (f->relays_error < 0)
                return f->relays_error;
        memcpy(f->relays, relays, n * sizeof(*relays));
        f->n_relays = n;
        return 0;
}

static int fake_set_uplinks(RedirectBackend *b, const int *ifindexes, size_t n)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (n > 0 && f->uplinks_error < 0)
                return f->uplinks_error;
        for (size_t i = 0; i < n; i++)
                f->uplinks[i] = ifindexes[i];
        f->n_uplinks = n;
        return 0;
}

static size_t find_move(const Fake *f, const RedirectMove *move)
{
        size_t i = 0;

        while (i < f->n_moves && (f->moves[i].move.wireguard_port != move->wireguard_port ||
                                  !socket_address_equal(&f->moves[i].move.from, &move->from)))
                i++;
        return i;
}

static int fake_move(RedirectBackend *b, const RedirectMove *move, usec_t until)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);
        size_t i = find_move(f, move);

        if (f->move_error < 0)
                return f->move_error;
        cr_assert_lt(i, ELEMENTSOF(f->moves));
        f->moves[i].move = *move;
        f->moves[i].until = until;
        f->n_moves = MAX(f->n_moves, i + 1);
        return 0;
}

/* Each has moved as many as its port says. */
static uint64_t fake_count_moved(RedirectBackend *b, const RedirectMove *move)
{
        return socket_address_port(&move->from);
}

static void fake_end_move(RedirectBackend *b, const RedirectMove *move)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);
        size_t i = find_move(f, move);

        cr_assert_lt(i, f->n_moves, "ended what was not there");
        f->moves[i] = f->moves[--f->n_moves];
}

static int fake_watch(RedirectBackend *b, sd_event *event, redirect_initiation_t callback, void *userdata)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->initiated = callback;
        f->watcher = userdata;
        return 0;
}

static RedirectBackend *fake_free(RedirectBackend *b)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        cr_assert(f->alive);
        cr_assert_eq(f->n_moves, 0, "something is still moved");
        f->alive = false;
        f->n_sockets = f->n_uplinks = f->n_relays = 0;
        return NULL;
}

#define FAKE_OPS(kind_, ...)                                                                                \
        { .kind = (kind_),                                                                                  \
          .add = fake_add,                                                                                  \
          .remove = fake_remove,                                                                            \
          .set_relays = fake_set_relays,                                                                    \
          .set_uplinks = fake_set_uplinks,                                                                  \
          .free = fake_free,                                                                                \
          __VA_ARGS__ }

/* Only one of them moves anything, and sees handshakes. */
static const RedirectBackendOps fake_ops[_REDIRECT_KIND_MAX] = {
        [REDIRECT_NFTABLES] = FAKE_OPS(REDIRECT_NFTABLES, ),
        [REDIRECT_EBPF] = FAKE_OPS(REDIRECT_EBPF, .move = fake_move, .count_moved = fake_count_moved,
                                   .end_move = fake_end_move, .watch = fake_watch),
};

static int fake_new(RedirectKind kind, RedirectBackend **ret, char **ret_message)
{
        Fake *f = &fakes[kind];

        cr_assert(!f->alive, "there are two");
        f->n_made++;
        if (f->new_error < 0) {
                *ret_message = f->message ? strdup(f->message) : NULL;
                return f->new_error;
        }
        f->alive = true;
        f->backend.ops = &fake_ops[kind];
        *ret = &f->backend;
        return 0;
}

static int fake_new_ebpf(void *userdata, RedirectBackend **ret, char **ret_message)
{
        return fake_new(REDIRECT_EBPF, ret, ret_message);
}

static int fake_new_nftables(void *userdata, uid_t user, RedirectBackend **ret, char **ret_message)
{
        NFTABLES->user = user;
        return fake_new(REDIRECT_NFTABLES, ret, ret_message);
}

static int fake_self_test(void *userdata, RedirectBackend *b, char **ret_message)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->n_tested++;
        if (f->test_error < 0 && f->message)
                *ret_message = strdup(f->message);
        return f->test_error < 0 ? f->test_error : f->limited;
}

static int fake_test_unasked(void *userdata, RedirectBackend *b)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->n_unasked++;
        return f->unasked_error < 0 ? f->unasked_error : f->limited;
}

static const BrokerRedirectFactory factory = { fake_new_ebpf, fake_new_nftables, fake_self_test,
                                               fake_test_unasked, NULL };

#define USER 4711U

static void reset(void)
{
        memset(fakes, 0, sizeof(fakes));
        EBPF->room = NFTABLES->room = FAKE_SOCKETS_MAX;
}

static BrokerRedirect *make(void)
{
        BrokerRedirect *redirect;

        cr_assert_eq(broker_redirect_new(USER, &factory, &redirect), 0);
        broker_redirect_test(redirect);
        return redirect;
}

/* Two owners; only their addresses count. */
static const char alice, bob;

static RedirectKind set_mode(BrokerRedirect *redirect, const void *owner, RedirectMode mode,
                             const char **ret_reason)
{
        const int uplinks[] = { 7, 9 };
        const SocketAddress relay = address("192.0.2.1:3478");
        BrokerRedirectRequest request = { mode, uplinks, 2, &relay, 1 };
        const char *reason = "?";
        RedirectKind kind = _REDIRECT_KIND_INVALID;

        cr_assert_eq(broker_redirect_set(redirect, owner, &request, &kind, &reason), 0);
        cr_assert_eq(kind, broker_redirect_kind(redirect));
        if (ret_reason)
                *ret_reason = reason;
        return kind;
}

static RedirectSocket made_up(uint64_t cookie, const char *local, const char *ufrag)
{
        RedirectSocket s = { .cookie = cookie, .local = address(local), .wireguard_port = 51820 };

        strcpy(s.ufrag, ufrag);
        return s;
}

TestSuite(redirect, .init = reset);

Test(redirect, the_best_that_works_is_in_force)
{
        BrokerRedirect *redirect = make();
        const char *reason;

        cr_assert_eq(EBPF->n_tested, 1);
        cr_assert_eq(NFTABLES->n_made, 0, "nobody asked for it");
        cr_assert_eq(broker_redirect_kind(redirect), REDIRECT_PROXY);

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_EBPF);
        cr_assert_null(reason);
        cr_assert_eq(EBPF->n_uplinks, 2);
        cr_assert_eq(EBPF->uplinks[1], 9);
        cr_assert_eq(EBPF->n_relays, 1);
        cr_assert_eq(EBPF->n_made, 1);
        cr_assert_eq(EBPF->n_tested, 1, "once is enough");

        broker_redirect_free(redirect);
        cr_assert(!EBPF->alive && !NFTABLES->alive);
}

Test(redirect, what_does_not_work_says_why_and_the_next_takes_over)
{
        BrokerRedirect *redirect;
        const char *reason;

        EBPF->new_error = -EPERM;
        EBPF->message = "something is forbidden";
        redirect = make();
        cr_assert_eq(EBPF->n_tested, 0);
        cr_assert_eq(NFTABLES->n_tested, 1);
        cr_assert(!NFTABLES->alive, "nobody has asked for it yet");
        cr_assert_eq(NFTABLES->user, geteuid(), "it was tested with our sockets");

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_NFTABLES);
        cr_assert_str_eq(reason, "The redirect by ebpf does not work here: something is forbidden.");
        cr_assert_eq(NFTABLES->user, USER);
        cr_assert_eq(NFTABLES->n_tested, 1);
        cr_assert_eq(EBPF->n_made, 1, "it will not work the next time either");

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_EBPF, &reason), REDIRECT_PROXY);
        cr_assert_str_eq(reason, "The redirect by ebpf does not work here: something is forbidden.");
        cr_assert(!NFTABLES->alive);
        broker_redirect_free(redirect);
}

Test(redirect, the_self_test_decides)
{
        BrokerRedirect *redirect;
        const char *reason;

        EBPF->test_error = -ETIMEDOUT;
        EBPF->message = "nothing arrives";
        NFTABLES->new_error = -ENOTSUP; /* and has nothing to say */
        redirect = make();
        cr_assert(!EBPF->alive, "what does not work must not stay");
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_PROXY);
        cr_assert_str_eq(reason, "The redirect by ebpf does not work here: nothing arrives. "
                                 "The redirect by nftables does not work here: Operation not supported.");
        broker_redirect_free(redirect);
}

#define LIMIT                                                                                               \
        "This host has NAT rules: with eBPF, a firewall that opens WireGuard's port alone stops checks "    \
        "that "                                                                                             \
        "come unasked."

Test(redirect, ebpf_with_a_limit_comes_after_nftables)
{
        BrokerRedirect *redirect;
        const char *reason;

        EBPF->limited = true;
        redirect = make();
        cr_assert_eq(NFTABLES->n_tested, 1);
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_NFTABLES);
        cr_assert_str_eq(reason, LIMIT);
        cr_assert_eq(EBPF->n_uplinks, 0);
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_EBPF, &reason), REDIRECT_EBPF);
        cr_assert_str_eq(reason, LIMIT);
        cr_assert_eq(EBPF->n_uplinks, 2);
        cr_assert(!NFTABLES->alive);

        NFTABLES->relays_error = -ENOSPC;
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_EBPF);
        cr_assert_str_eq(reason, LIMIT " The redirect by nftables could not be put into force: No space "
                                       "left on device.");
        EBPF->uplinks_error = -EPFNOSUPPORT;
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_EBPF, &reason), REDIRECT_PROXY);
        cr_assert_str_eq(reason, LIMIT " The redirect by ebpf could not be put into force: Protocol family "
                                       "not supported.");
        broker_redirect_free(redirect);
}

Test(redirect, ebpf_with_a_limit_comes_before_the_proxy)
{
        BrokerRedirect *redirect;
        const char *reason;

        EBPF->limited = true;
        NFTABLES->new_error = -ENOTSUP;
        redirect = make();
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_EBPF);
        cr_assert_str_eq(reason, LIMIT " The redirect by nftables does not work here: Operation not "
                                       "supported.");
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_NFTABLES, &reason), REDIRECT_PROXY);
        broker_redirect_free(redirect);
}

Test(redirect, a_limit_comes_and_goes)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket s = made_up(1, "127.0.0.1:1000", "abcdefgh");
        const char *reason;

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_EBPF);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &s, 1), 0);
        cr_assert(!broker_redirect_check(redirect));
        EBPF->limited = true;
        cr_assert(broker_redirect_check(redirect));
        cr_assert(!broker_redirect_check(redirect), "that is known");
        cr_assert_eq(broker_redirect_kind(redirect), REDIRECT_EBPF, "nobody has asked for a change");
        cr_assert_eq(EBPF->n_uplinks, 2);
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_NFTABLES);
        cr_assert_str_eq(reason, LIMIT);
        cr_assert_eq(EBPF->n_sockets, 0);
        cr_assert_eq(NFTABLES->n_sockets, 1);

        /* Who does not know sticks to what was known. */
        EBPF->limited = false;
        EBPF->unasked_error = -ETIMEDOUT;
        cr_assert(!broker_redirect_check(redirect));
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_NFTABLES);
        EBPF->unasked_error = 0;
        cr_assert(broker_redirect_check(redirect));
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_EBPF);
        cr_assert_null(reason);
        cr_assert_eq(EBPF->n_sockets, 1);
        cr_assert(!NFTABLES->alive);
        cr_assert_eq(EBPF->n_tested + NFTABLES->n_tested, 2, "once each");
        broker_redirect_free(redirect);
}

Test(redirect, what_does_not_work_has_no_limit)
{
        BrokerRedirect *redirect;

        EBPF->test_error = -ETIMEDOUT;
        EBPF->limited = true;
        redirect = make();
        cr_assert(!broker_redirect_check(redirect));
        cr_assert_eq(EBPF->n_unasked, 0, "there is nothing to test");
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_NFTABLES);
        broker_redirect_free(redirect);
}

Test(redirect, modes_are_obeyed)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket s = made_up(1, "127.0.0.1:1000", "abcdefgh");
        const char *reason;

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_EBPF, &reason), REDIRECT_EBPF);
        cr_assert_null(reason);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &s, 1), 0);

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_NFTABLES, &reason), REDIRECT_NFTABLES);
        cr_assert_str_eq(reason, "Redirect=nftables is set.");
        cr_assert_eq(EBPF->n_uplinks, 0, "two would rewrite the same packets");
        cr_assert_eq(EBPF->n_sockets, 0);
        cr_assert(EBPF->alive, "the right to load it again is gone");
        cr_assert_eq(NFTABLES->n_sockets, 1, "sockets move along");
        cr_assert_eq(NFTABLES->sockets[0].cookie, 1);

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_PROXY, &reason), REDIRECT_PROXY);
        cr_assert_str_eq(reason, "Redirect=proxy is set.");
        cr_assert(!NFTABLES->alive);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &s, 1), -ENOTCONN);

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_EBPF);
        cr_assert_eq(EBPF->n_sockets, 1, "it is there still");
        broker_redirect_remove(redirect, &alice, "abcdefgh");
        cr_assert_eq(EBPF->n_sockets, 0);
        broker_redirect_free(redirect);
}

Test(redirect, what_cannot_be_attached_is_not_in_force)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket s = made_up(1, "127.0.0.1:1000", "abcdefgh");
        const char *reason;

        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_EBPF);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &s, 1), 0);
        EBPF->uplinks_error = -EPFNOSUPPORT;
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, &reason), REDIRECT_NFTABLES);
        cr_assert_not_null(strstr(reason, "Protocol family not supported"), "%s", reason);
        cr_assert_eq(EBPF->n_uplinks, 0);
        cr_assert_eq(EBPF->n_sockets, 0);
        cr_assert_eq(NFTABLES->n_sockets, 1);

        NFTABLES->relays_error = -ENOSPC;
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_PROXY);
        cr_assert(!NFTABLES->alive);

        /* Another set of links may do. */
        EBPF->uplinks_error = 0;
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL), REDIRECT_EBPF);
        cr_assert_eq(EBPF->n_sockets, 1);
        broker_redirect_free(redirect);
}

Test(redirect, sockets_come_all_or_none_and_once)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket first[] = { made_up(1, "127.0.0.1:1000", "abcdefgh"),
                                         made_up(2, "[::1]:1000", "abcdefgh") };
        const RedirectSocket same_cookie[] = { made_up(3, "127.0.0.1:1003", "ijklmnop"),
                                               made_up(2, "127.0.0.2:1004", "ijklmnop") };
        const RedirectSocket same_ufrag[] = { made_up(3, "127.0.0.1:1003", "ijklmnop"),
                                              made_up(4, "127.0.0.1:1004", "abcdefgh") };
        RedirectSocket other_link = made_up(4, "127.0.0.1:1004", "abcdefgh");

        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(broker_redirect_add(redirect, &alice, first, 2), 0);
        cr_assert_eq(EBPF->n_sockets, 2);
        cr_assert_eq(broker_redirect_add(redirect, &bob, same_cookie, 2), -EEXIST);
        cr_assert_eq(broker_redirect_add(redirect, &bob, same_ufrag, 2), -EEXIST);
        cr_assert_eq(EBPF->n_sockets, 2);
        cr_assert_eq(EBPF->sockets[0].cookie, 1);
        other_link.wireguard_port++;
        cr_assert_eq(broker_redirect_add(redirect, &bob, &other_link, 1), 0);

        EBPF->room = 4;
        cr_assert_eq(broker_redirect_add(redirect, &bob,
                                         (const RedirectSocket[]) { same_cookie[0],
                                                                    made_up(5, "127.0.0.5:5", "ijklmnop") },
                                         2),
                     -ENOSPC);
        cr_assert_eq(EBPF->n_sockets, 3);
        broker_redirect_free(redirect);
}

Test(redirect, a_socket_serves_several_ufrags)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket first = made_up(1, "127.0.0.1:1000", "abcdefgh"),
                             second = made_up(1, "127.0.0.1:1000", "ijklmnop");
        RedirectSocket other_port = made_up(1, "127.0.0.1:1000", "qrstuvwx"), other_link = other_port,
                       keeping = other_port;

        other_port.local = address("127.0.0.1:1001");
        other_link.wireguard_port++;
        keeping.keeps_relays = true;
        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &first, 1), 0);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &second, 1), 0);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &second, 1), -EEXIST);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &other_port, 1), -EEXIST);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &other_link, 1), -EEXIST);
        cr_assert_eq(broker_redirect_add(redirect, &alice, &keeping, 1), -EEXIST);
        cr_assert_eq(EBPF->n_sockets, 2);
        broker_redirect_remove(redirect, &alice, "abcdefgh");
        cr_assert_eq(EBPF->n_sockets, 1);
        cr_assert_str_eq(EBPF->sockets[0].ufrag, "ijklmnop");
        broker_redirect_free(redirect);
}

Test(redirect, a_socket_that_does_not_fit_elsewhere_is_left_behind)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket s[] = { made_up(1, "127.0.0.1:1000", "abcdefgh"),
                                     made_up(2, "127.0.0.1:1001", "ijklmnop") };

        NFTABLES->room = 1;
        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(broker_redirect_add(redirect, &alice, s, 2), 0);
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_NFTABLES, NULL), REDIRECT_NFTABLES);
        cr_assert_eq(NFTABLES->n_sockets, 1);
        broker_redirect_remove(redirect, &alice, "ijklmnop");
        broker_redirect_remove(redirect, &alice, "abcdefgh");
        cr_assert_eq(NFTABLES->n_sockets, 0);
        broker_redirect_free(redirect);
}

Test(redirect, what_an_owner_had_goes_with_it)
{
        BrokerRedirect *redirect = make();
        const RedirectSocket a[] = { made_up(1, "127.0.0.1:1000", "abcdefgh"),
                                     made_up(2, "127.0.0.1:1001", "ijklmnop") };
        const RedirectSocket b = made_up(3, "127.0.0.1:1002", "qrstuvwx");

        set_mode(redirect, &bob, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(broker_redirect_add(redirect, &alice, a, 2), 0);
        cr_assert_eq(broker_redirect_add(redirect, &bob, &b, 1), 0);
        broker_redirect_remove(redirect, &bob, "abcdefgh");
        cr_assert_eq(EBPF->n_sockets, 3, "that is not bob's");
        broker_redirect_remove(redirect, &alice, "abcdefgh");
        cr_assert_eq(EBPF->n_sockets, 2);

        broker_redirect_forget(redirect, &alice);
        cr_assert_eq(EBPF->n_sockets, 1);
        cr_assert_eq(EBPF->n_uplinks, 2, "bob wants it still");
        /* The last one who asked is who has to stay. */
        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        broker_redirect_forget(redirect, &bob);
        cr_assert_eq(broker_redirect_kind(redirect), REDIRECT_EBPF);
        cr_assert_eq(EBPF->n_sockets, 0);
        broker_redirect_forget(redirect, &alice);
        cr_assert_eq(broker_redirect_kind(redirect), REDIRECT_PROXY);
        cr_assert_eq(EBPF->n_uplinks, 0);
        broker_redirect_free(redirect);
}

/* --- moves --- */

static RedirectMove made_up_move(const char *from, const char *to)
{
        return (RedirectMove) { .wireguard_port = 51820, .from = address(from), .to = address(to) };
}

static bool is_moved(const char *from, const char *to, usec_t until)
{
        RedirectMove move = made_up_move(from, to);
        size_t i = find_move(EBPF, &move);

        return i < EBPF->n_moves && socket_address_equal(&EBPF->moves[i].move.to, &move.to) &&
               EBPF->moves[i].until == until;
}

static int move(BrokerRedirect *redirect, const void *owner, const char *from, const char *to,
                usec_t seconds, usec_t t, uint64_t *ret_packets)
{
        RedirectMove m = made_up_move(from, to);

        return broker_redirect_move(redirect, owner, &m, seconds * USEC_PER_SEC, t * USEC_PER_SEC,
                                    ret_packets);
}

#define A "192.0.2.1:1"
#define B "192.0.2.2:2"
#define C "192.0.2.3:3"
#define D "192.0.2.4:4"

Test(redirect, moves_go_on_and_end_in_time)
{
        BrokerRedirect *redirect = make();
        uint64_t packets = 4711;

        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), -ENOTCONN);
        cr_assert_eq(packets, 4711);
        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(broker_redirect_expire(redirect, 0), USEC_INFINITY);
        cr_assert_eq(move(redirect, &alice, A, A, 5, 100, &packets), -EINVAL);
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), 0);
        cr_assert_eq(move(redirect, &alice, C, D, 9, 100, &packets), 0);
        cr_assert(is_moved(A, B, 105 * USEC_PER_SEC) && is_moved(C, D, 109 * USEC_PER_SEC));
        cr_assert_eq(broker_redirect_expire(redirect, 104 * USEC_PER_SEC), 105 * USEC_PER_SEC);
        /* Again: from then on. */
        cr_assert_eq(move(redirect, &alice, A, B, 5, 103, &packets), 0);
        cr_assert_eq(packets, 1);
        cr_assert(is_moved(A, B, 108 * USEC_PER_SEC));
        cr_assert_eq(EBPF->n_moves, 2);
        cr_assert_eq(broker_redirect_expire(redirect, 108 * USEC_PER_SEC), 109 * USEC_PER_SEC);
        cr_assert_eq(EBPF->n_moves, 1);
        /* Before its time, and when it is not there any more. */
        cr_assert_eq(move(redirect, &alice, C, D, 0, 108, &packets), 0);
        cr_assert_eq(packets, 3);
        cr_assert_eq(EBPF->n_moves, 0);
        cr_assert_eq(move(redirect, &alice, C, D, 0, 108, &packets), 0);
        cr_assert_eq(packets, 0);
        cr_assert_eq(broker_redirect_expire(redirect, 0), USEC_INFINITY);
        broker_redirect_free(redirect);
}

/* Who has moved twice is followed, and who has come back is not sent round in circles. */
Test(redirect, moves_follow_each_other)
{
        BrokerRedirect *redirect = make();
        uint64_t packets;

        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), 0);
        cr_assert_eq(move(redirect, &alice, B, C, 5, 101, &packets), 0);
        cr_assert(is_moved(A, C, 105 * USEC_PER_SEC) && is_moved(B, C, 106 * USEC_PER_SEC));
        cr_assert_eq(EBPF->n_moves, 2);
        cr_assert_eq(move(redirect, &alice, C, A, 5, 102, &packets), 0);
        cr_assert(is_moved(B, A, 106 * USEC_PER_SEC) && is_moved(C, A, 107 * USEC_PER_SEC));
        cr_assert_eq(EBPF->n_moves, 2);
        /* Elsewhere than before: it is another one. */
        cr_assert_eq(move(redirect, &alice, C, D, 5, 103, &packets), 0);
        cr_assert(is_moved(C, D, 108 * USEC_PER_SEC) && is_moved(B, A, 106 * USEC_PER_SEC));
        cr_assert_eq(EBPF->n_moves, 2);
        broker_redirect_free(redirect);
}

Test(redirect, moves_go_with_their_owner_and_with_what_is_in_force)
{
        BrokerRedirect *redirect = make();
        uint64_t packets;

        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), 0);
        cr_assert_eq(move(redirect, &bob, C, D, 5, 100, &packets), 0);
        broker_redirect_forget(redirect, &bob);
        cr_assert_eq(EBPF->n_moves, 1);
        cr_assert(is_moved(A, B, 105 * USEC_PER_SEC));
        cr_assert_eq(set_mode(redirect, &alice, REDIRECT_MODE_NFTABLES, NULL), REDIRECT_NFTABLES);
        cr_assert_eq(EBPF->n_moves, 0);
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), -ENOTSUP);
        cr_assert_eq(broker_redirect_expire(redirect, 0), USEC_INFINITY);
        broker_redirect_free(redirect);
}

Test(redirect, moves_that_the_backend_refuses_are_not_there)
{
        BrokerRedirect *redirect = make();
        uint64_t packets;

        set_mode(redirect, &alice, REDIRECT_MODE_AUTO, NULL);
        EBPF->move_error = -ENOTSUP;
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), -ENOTSUP);
        cr_assert_eq(broker_redirect_expire(redirect, 0), USEC_INFINITY);
        /* Those that it does not take any further end. */
        EBPF->move_error = 0;
        cr_assert_eq(move(redirect, &alice, A, B, 5, 100, &packets), 0);
        EBPF->move_error = -ENOSPC;
        cr_assert_eq(move(redirect, &alice, A, C, 5, 100, &packets), -ENOSPC);
        cr_assert_eq(EBPF->n_moves, 0);
        broker_redirect_free(redirect);
}

Test(redirect, names_are_those_of_the_interface)
{
        cr_assert_eq(redirect_kind_from_string("ebpf"), REDIRECT_EBPF);
        cr_assert_eq(redirect_mode_from_string("auto"), REDIRECT_MODE_AUTO);
        cr_assert_lt(redirect_mode_from_string("best"), 0);
        for (RedirectKind kind = 0; kind < _REDIRECT_KIND_MAX; kind++)
                cr_assert_eq(redirect_kind_from_string(redirect_kind_to_string(kind)), kind);
        for (RedirectMode mode = 0; mode < _REDIRECT_MODE_MAX; mode++)
                cr_assert_eq(redirect_mode_from_string(redirect_mode_to_string(mode)), mode);
}

/* --- the methods: a server in this process, a client on the wire, WireGuard in userspace --- */

#define SOCKET SANDBOX_DIR "/broker/socket"
#define WIREGUARD_PORT 51820

static sd_event *event;
static BrokerRedirect *served;
static BrokerServer *server;
static BrokerManager *manager;
static pid_t wireguard;

static void start_server(void)
{
        cr_assert_eq(broker_redirect_new(USER, &factory, &served), 0);
        broker_redirect_test(served);
        cr_assert_eq(broker_server_new(event, USER, &server), 0);
        cr_assert_geq(broker_server_listen(server, SOCKET), 0);
        cr_assert_eq(broker_manager_new(event, "/run/wireguard", &broker_server_manager_callbacks, server,
                                        &manager),
                     0);
        server->manager = manager;
        server->redirect = served;
        server->redirect_checked = now(CLOCK_BOOTTIME);
        cr_assert_eq(broker_server_watch_initiations(server, event), 0);
}

static void start_wireguard(void)
{
        wireguard = fork();
        cr_assert_geq(wireguard, 0);
        if (wireguard > 0)
                return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LOG_LEVEL", "silent", 1);
        execlp("wireguard-go", "wireguard-go", "-f", "wga", NULL);
        _exit(127);
}

static void setup(void)
{
        reset();
        sandbox_need_root();
        if (access("/usr/bin/wireguard-go", X_OK) < 0)
                cr_skip_test("needs wireguard-go");
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        cr_assert_eq(sd_event_new(&event), 0);
        start_server();
}

/* Clients have closed their connections; the server has to see it, or they stay. */
static void teardown(void)
{
        run_pending(event);
        broker_server_free(server);
        broker_manager_free(manager);
        broker_redirect_free(served);
        event = sd_event_unref(event);
        if (wireguard > 0) {
                kill(wireguard, SIGTERM);
                waitpid(wireguard, NULL, 0);
        }
}

TestSuite(redirect_methods, .init = setup, .fini = teardown, .timeout = 110);

static int connect_client(void)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = SOCKET };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(connect(fd, (struct sockaddr *) &a, sizeof(a)), 0, "%m");
        return fd;
}

static void send_call(int fd, const char *method, const char *parameters, const int *fds, size_t n_fds)
{
        _cleanup_free_ char *json = asprintf_safe("{\"method\":\"org.icewire.Broker.%s\",\"parameters\":%s}",
                                                  method, parameters);
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(32 * sizeof(int))];
        } control = {};
        struct iovec iov = { json, strlen(json) + 1 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        cr_assert_leq(n_fds, 32);
        if (n_fds > 0) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header = (struct cmsghdr) { CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        }
        cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t) iov.iov_len);
}

static bool is_readable(int fd)
{
        struct pollfd p = { fd, POLLIN, 0 };

        return poll(&p, 1, 0) > 0;
}

static const char *receive_answer(int fd)
{
        static char buffer[4096];
        ssize_t n;

        RUN_UNTIL(event, is_readable(fd));
        n = recv(fd, buffer, sizeof(buffer) - 1, 0);
        cr_assert_gt(n, 0);
        buffer[n] = '\0';
        return buffer;
}

static const char *call(int fd, const char *method, const char *parameters, const int *fds, size_t n_fds)
{
        send_call(fd, method, parameters, fds, n_fds);
        return receive_answer(fd);
}

#define AUTO "{\"mode\":\"auto\",\"uplinks\":[],\"relays\":[]}"
#define ADD "{\"link\":\"wga\",\"ufrag\":\"abcdefgh\",\"keepsRelays\":true}"

static void assert_contains(const char *answer, const char *wanted)
{
        cr_assert_not_null(strstr(answer, wanted), "no '%s' in: %s", wanted, answer);
}

static void wait_for_link(void)
{
        start_wireguard();
        RUN_UNTIL(event, broker_manager_find(manager, "wga"));
        sandbox_shell("wg set wga listen-port %d && ip link set wga up", WIREGUARD_PORT);
        RUN_UNTIL(event, broker_manager_find(manager, "wga")->device->listen_port == WIREGUARD_PORT);
}

Test(redirect_methods, a_request_is_checked_and_obeyed)
{
        const SocketAddress relay = address("[2001:db8::1]:5");
        int fd = connect_client();
        char parameters[256];

        sandbox_shell("ip link add up0 type veth peer name other0");
        snprintf(parameters, sizeof(parameters),
                 "{\"mode\":\"auto\",\"uplinks\":[%u,999],\"relays\":[\"192.0.2.1:3478\",\"[2001:db8::1]:"
                 "5\"]}",
                 if_nametoindex("up0"));
        /* Sent before the links are known: it waits, it is not refused. */
        cr_assert(!manager->settled);
        assert_contains(call(fd, "SetRedirect", parameters, NULL, 0), "\"kind\":\"ebpf\"");
        cr_assert(manager->settled);
        cr_assert_eq(EBPF->n_uplinks, 2);
        cr_assert_eq(EBPF->uplinks[0], (int) if_nametoindex("up0"));
        cr_assert_eq(EBPF->n_relays, 2);
        cr_assert(socket_address_equal(&EBPF->relays[1], &relay));

        assert_contains(
                call(fd, "SetRedirect", "{\"mode\":\"proxy\",\"uplinks\":[],\"relays\":[]}", NULL, 0),
                "\"reason\":\"Redirect=proxy is set.\"");
        cr_assert_eq(EBPF->n_uplinks, 0);
        close(fd);
}

Test(redirect_methods, links_that_are_no_uplinks_are_refused)
{
        static const char *const names[] = { "lo", "port0", "wga" };
        int fd = connect_client();

        wait_for_link();
        sandbox_shell("ip link add br0 type bridge && ip link add port0 type veth peer name other0 && "
                      "ip link set port0 master br0");
        RUN_UNTIL(event, ({
                          const RtnlLink *l = rtnl_monitor_find_link(manager->rtnl,
                                                                     (int) if_nametoindex("port0"));
                          l && l->master != 0;
                  }));
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char parameters[128];
                const char *answer;

                snprintf(parameters, sizeof(parameters),
                         "{\"mode\":\"auto\",\"uplinks\":[%u,%u],\"relays\":[]}", if_nametoindex("br0"),
                         if_nametoindex(names[i]));
                answer = call(fd, "SetRedirect", parameters, NULL, 0);
                assert_contains(answer, "InvalidParameter");
                assert_contains(answer, "\"uplinks\"");
        }
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_PROXY);
        close(fd);
}

Test(redirect_methods, only_bound_udp_sockets_are_shared)
{
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234"), many[17];
        const int others[] = {
                socket(AF_INET, SOCK_STREAM, 0),
                socket(AF_UNIX, SOCK_DGRAM, 0),
                socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
                open("/dev/null", O_RDWR | O_CLOEXEC),
                socket(AF_INET, SOCK_DGRAM, 0), /* not bound */
                udp_socket("0.0.0.0:1235"),
        };

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "NoSuchLink");
        wait_for_link();
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                cr_assert_geq(others[i], 0);
                assert_contains(call(fd, "AddSockets", ADD, (const int[]) { good, others[i] }, 2), "error");
                cr_assert_eq(EBPF->n_sockets, 0);
        }
        assert_contains(call(fd, "AddSockets", ADD, NULL, 0), "error");
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = good;
        assert_contains(call(fd, "AddSockets", ADD, many, ELEMENTSOF(many)), "error");
        cr_assert_eq(EBPF->n_sockets, 0);

        broker_manager_find(manager, "wga")->device->listen_port = 1234;
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "error");
        cr_assert_eq(EBPF->n_sockets, 0, "a socket at W itself");
        close(fd);
}

Test(redirect_methods, bad_ufrags_are_refused)
{
        static const char *const ufrags[] = { "",         "abcdefg",  "abcdefghi",
                                              "abcdefg:", "abcd fgh", "\\u00e9abcdef" };
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234");

        wait_for_link();
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        for (size_t i = 0; i < ELEMENTSOF(ufrags); i++) {
                char parameters[128];
                const char *answer;

                snprintf(parameters, sizeof(parameters),
                         "{\"link\":\"wga\",\"ufrag\":\"%s\",\"keepsRelays\":false}", ufrags[i]);
                answer = call(fd, "AddSockets", parameters, &good, 1);
                assert_contains(answer, "error");
                cr_assert_eq(EBPF->n_sockets, 0, "%s", ufrags[i]);
        }
        close(fd);
}

Test(redirect_methods, sockets_are_described_removed_and_go_with_their_connection)
{
        int fd = connect_client(), second = connect_client();
        const int sockets[] = { udp_socket("127.0.0.1:1234"), udp_socket("[::1]:1234") };
        int another = udp_socket("127.0.0.1:1235");
        const SocketAddress local = address("[::1]:1234");
        const RedirectSocket *s = EBPF->sockets;
        uint64_t cookie;
        socklen_t size = sizeof(cookie);

        wait_for_link();
        assert_contains(call(fd, "AddSockets", ADD, sockets, 2), "NoRedirect");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        cr_assert_null(strstr(call(fd, "AddSockets", ADD, sockets, 2), "error"));
        cr_assert_eq(EBPF->n_sockets, 2);
        cr_assert_eq(getsockopt(sockets[1], SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
        cr_assert_eq(s[1].cookie, cookie);
        cr_assert(socket_address_equal(&s[1].local, &local));
        cr_assert_eq(s[1].wireguard_port, WIREGUARD_PORT);
        cr_assert_str_eq(s[1].ufrag, "abcdefgh");
        cr_assert(s[1].keeps_relays);
        assert_contains(call(second, "AddSockets", ADD, sockets, 2), "error");

        cr_assert_null(
                strstr(call(second, "AddSockets",
                            "{\"link\":\"wga\",\"ufrag\":\"ABCD+/12\",\"keepsRelays\":false}", &another, 1),
                       "error"));
        cr_assert_eq(EBPF->n_sockets, 3);
        cr_assert(!s[2].keeps_relays);
        call(second, "RemoveSockets", "{\"ufrag\":\"abcdefgh\"}", NULL, 0);
        cr_assert_eq(EBPF->n_sockets, 3, "that is the other connection's");
        call(fd, "RemoveSockets", "{\"ufrag\":\"abcdefgh\"}", NULL, 0);
        cr_assert_eq(EBPF->n_sockets, 1);
        cr_assert_null(strstr(call(fd, "AddSockets", ADD, sockets, 2), "error"));

        close(second);
        RUN_UNTIL(event, EBPF->n_sockets == 2);
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_EBPF);
        close(fd);
        RUN_UNTIL(event, EBPF->n_sockets == 0);
        RUN_UNTIL(event, broker_redirect_kind(served) == REDIRECT_PROXY);
}

Test(redirect_methods, a_link_without_a_port_shares_none)
{
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234");

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        wait_for_link();
        broker_manager_find(manager, "wga")->device->listen_port = 0;
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "NoListenPort");
        close(fd);
}

static int connect_watcher(void)
{
        static const char call[] = "{\"method\":\"org.icewire.Broker.WatchLinks\",\"more\":true}";
        int fd = connect_client();

        cr_assert_eq(send(fd, call, sizeof(call), MSG_NOSIGNAL), (ssize_t) sizeof(call));
        assert_contains(receive_answer(fd), "ready");
        return fd;
}

/* The timer's turn, before its time. */
static void let_it_look(void)
{
        unsigned n = EBPF->n_unasked;

        cr_assert_eq(sd_event_source_set_time_relative(server->redirect_check, 0), 0);
        RUN_UNTIL(event, EBPF->n_unasked == n + 1);
        run_pending(event);
}

Test(redirect_methods, a_limit_is_looked_for_now_and_then)
{
        int fd = connect_client(), watcher = connect_watcher(), enabled;

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        EBPF->limited = true;
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        cr_assert_eq(EBPF->n_unasked, 0, "it was looked a moment ago");
        server->redirect_checked -= 10 * USEC_PER_SEC;
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "nftables");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "NAT rules");
        cr_assert_eq(EBPF->n_unasked, 1);
        cr_assert(!is_readable(watcher), "who has asked has heard it");

        /* The last request is followed by another look. */
        EBPF->limited = false;
        let_it_look();
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_NFTABLES);
        assert_contains(receive_answer(watcher), "{\"event\":\"redirect\"}");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        let_it_look();
        cr_assert(!is_readable(watcher), "nothing has changed");

        call(fd, "SetRedirect", "{\"mode\":\"proxy\",\"uplinks\":[],\"relays\":[]}", NULL, 0);
        cr_assert_eq(sd_event_source_get_enabled(server->redirect_check, &enabled), 0);
        cr_assert_eq(enabled, SD_EVENT_OFF);
        close(watcher);
        close(fd);
}

#define MOVE(from, to, seconds)                                                                             \
        "{\"link\":\"wga\",\"from\":\"" from "\",\"to\":\"" to "\",\"seconds\":" #seconds "}"

Test(redirect_methods, moves_are_checked_made_and_end)
{
        static const struct {
                const char *parameters, *wanted;
        } bad[] = {
                { MOVE("192.0.2.1:0", B, 5), "\"parameter\":\"from\"" },
                { MOVE("0.0.0.0:1", B, 5), "\"parameter\":\"from\"" },
                { MOVE(A, "example.org:1", 5), "\"parameter\":\"to\"" },
                { MOVE(A, "[2001:db8::1]:1", 5), "\"parameter\":\"to\"" },
                { MOVE(A, B, 121), "\"parameter\":\"seconds\"" },
                { MOVE(A, B, -1), "\"parameter\":\"seconds\"" },
                { MOVE(A, B, true), "\"parameter\":\"seconds\"" },
                { "{\"link\":\"wga\",\"from\":\"192.0.2.1:1\",\"seconds\":1}", "\"parameter\":\"to\"" },
                { "{\"link\":\"wgb\",\"from\":\"192.0.2.1:1\",\"to\":\"192.0.2.1:2\",\"seconds\":1}",
                  "NoSuchLink" },
        };
        int fd = connect_client(), second = connect_client(), enabled;
        usec_t before = now(CLOCK_MONOTONIC);

        wait_for_link();
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_contains(call(fd, "MoveSource", bad[i].parameters, NULL, 0), bad[i].wanted);
        assert_contains(call(fd, "MoveSource", MOVE(A, B, 5), NULL, 0), "NoRedirect");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        assert_contains(call(second, "MoveSource", MOVE(A, B, 5), NULL, 0), "\"packets\":1");
        cr_assert_eq(EBPF->n_moves, 1);
        cr_assert_eq(EBPF->moves[0].move.wireguard_port, WIREGUARD_PORT);
        cr_assert_geq(EBPF->moves[0].until, before + 5 * USEC_PER_SEC);
        cr_assert_leq(EBPF->moves[0].until, now(CLOCK_MONOTONIC) + 5 * USEC_PER_SEC);
        EBPF->move_error = -ENOTSUP;
        assert_contains(call(second, "MoveSource", MOVE(C, D, 5), NULL, 0), "NoRedirect");
        EBPF->move_error = 0;

        /* The timer's turn, before that of the move: it is armed for what is left. */
        cr_assert_eq(sd_event_source_set_time_relative(server->move_expiry, 0), 0);
        run_pending(event);
        cr_assert_eq(EBPF->n_moves, 1);
        cr_assert_eq(sd_event_source_get_enabled(server->move_expiry, &enabled), 1);
        assert_contains(call(second, "MoveSource", MOVE(A, B, 0), NULL, 0), "\"packets\":1");
        cr_assert_eq(EBPF->n_moves, 0);
        cr_assert_eq(sd_event_source_get_enabled(server->move_expiry, &enabled), 0);

        assert_contains(call(second, "MoveSource", MOVE(A, B, 5), NULL, 0), "packets");
        close(second);
        RUN_UNTIL(event, EBPF->n_moves == 0);
        close(fd);
}

/* What has come so far, of all messages. */
static bool has_come(int fd, const char *text)
{
        static char seen[65536];
        static size_t n;

        while (is_readable(fd)) {
                ssize_t k = recv(fd, seen + n, sizeof(seen) - n, 0);

                cr_assert_gt(k, 0);
                n += (size_t) k;
        }
        return memmem(seen, n, text, strlen(text));
}

Test(redirect_methods, initiations_are_told_with_the_link)
{
        int watcher = connect_watcher();
        SocketAddress nobodys = address("192.0.2.1:5"), remote = address("[2001:db8::1]:5");

        wait_for_link();
        EBPF->initiated(WIREGUARD_PORT + 1, &nobodys, EBPF->watcher);
        EBPF->initiated(WIREGUARD_PORT, &remote, EBPF->watcher);
        RUN_UNTIL(event, has_come(watcher, "{\"event\":\"initiation\",\"name\":\"wga\",\"endpoint\":"
                                           "\"[2001:db8::1]:5\"}"));
        cr_assert(!has_come(watcher, "192.0.2.1:5"));
        close(watcher);
}

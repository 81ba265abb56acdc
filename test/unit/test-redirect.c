/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The registry of shared sockets and of moves. */

#include "fake-redirect.h"

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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "shared-candidates.h"
#include "string-util.h"

#define WIREGUARD_PORT 51820

static Mapping mapping;
static Link link_ = { .listen_port = WIREGUARD_PORT };

static SocketAddress address(const char *s)
{
        SocketAddress a;

        cr_assert_eq(socket_address_from_string(s, &a), 0);
        return a;
}

static IceCandidate candidate(IceCandidateType type, const char *s, const char *foundation)
{
        IceCandidate c = { .type = type, .priority = 126U << 24 | 0x1234ff, .address = address(s) };

        strcpy(c.foundation, foundation);
        return c;
}

static void set_mapping(const char *local, const char *mapped)
{
        mapping = (Mapping) { .local = address(local) };
        if (mapped)
                mapping.mapped = address(mapped);
        link_.mappings[0] = &mapping;
        link_.n_mappings = 1;
}

static void expect(const IceCandidate *c, IceCandidateType type, const char *s)
{
        cr_assert_eq(c->type, type, "%s", ICE_CANDIDATE_STR(c));
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&c->address), s);
}

Test(shared_candidates, hosts_have_the_links_port_and_relays_their_own)
{
        IceCandidate own[] = { candidate(ICE_CANDIDATE_HOST, "10.0.0.2:40000", "1"),
                               candidate(ICE_CANDIDATE_HOST, "[2001:db8::2]:40001", "2"),
                               candidate(ICE_CANDIDATE_SRFLX, "198.51.100.1:40000", "4"),
                               candidate(ICE_CANDIDATE_RELAY, "192.0.2.9:50000", "3") },
                     told[8];

        link_.n_mappings = 0;
        cr_assert_eq(shared_candidates_build(&link_, own, 4, told, 8), 3);
        expect(&told[0], ICE_CANDIDATE_HOST, "10.0.0.2:51820");
        expect(&told[1], ICE_CANDIDATE_HOST, "[2001:db8::2]:51820");
        expect(&told[2], ICE_CANDIDATE_RELAY, "192.0.2.9:50000");
        cr_assert_eq(told[0].priority, 110U << 24 | 0x1234ff, "as libnice has it when it discovers it");
        cr_assert_eq(told[2].priority, own[3].priority);
        cr_assert_eq(shared_candidates_build(&link_, own, 4, told, 2), 2);
}

Test(shared_candidates, what_stun_servers_see_is_a_candidate)
{
        IceCandidate own[] = { candidate(ICE_CANDIDATE_HOST, "10.0.0.2:40000", "1") }, told[8];

        set_mapping("10.0.0.2:51820", "198.51.100.1:7777");
        cr_assert_eq(shared_candidates_build(&link_, own, 1, told, 8), 2);
        expect(&told[1], ICE_CANDIDATE_SRFLX, "198.51.100.1:7777");
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&told[1].related), "10.0.0.2:51820");
        cr_assert_str_neq(told[1].foundation, told[0].foundation);
        cr_assert_eq(told[1].priority, 100U << 24 | 0x1234ff);
        cr_assert_eq(shared_candidates_build(&link_, own, 1, told, 1), 1);
}

Test(shared_candidates, no_nat_no_second_candidate)
{
        IceCandidate own[] = { candidate(ICE_CANDIDATE_HOST, "198.51.100.1:40000", "1") }, told[8];

        set_mapping("198.51.100.1:51820", "198.51.100.1:51820");
        cr_assert_eq(shared_candidates_build(&link_, own, 1, told, 8), 1);
        set_mapping("198.51.100.1:51820", NULL);
        cr_assert_eq(shared_candidates_build(&link_, own, 1, told, 8), 1);
        set_mapping("198.51.100.7:51820", "198.51.100.8:51820");
        cr_assert_eq(shared_candidates_build(&link_, own, 1, told, 8), 1);
}

Test(shared_candidates, the_selected_one_is_called_what_it_is)
{
        IceCandidate own[] = { candidate(ICE_CANDIDATE_HOST, "10.0.0.2:40000", "1"),
                               candidate(ICE_CANDIDATE_RELAY, "192.0.2.9:50000", "2") },
                     local;

        set_mapping("10.0.0.2:51820", "198.51.100.1:7777");
        local = candidate(ICE_CANDIDATE_HOST, "10.0.0.2:40000", "1");
        shared_candidates_name(&link_, own, 2, &local);
        expect(&local, ICE_CANDIDATE_HOST, "10.0.0.2:51820");
        local = candidate(ICE_CANDIDATE_PRFLX, "10.0.0.2:51820", "9");
        shared_candidates_name(&link_, own, 2, &local);
        expect(&local, ICE_CANDIDATE_HOST, "10.0.0.2:51820");
        local = candidate(ICE_CANDIDATE_PRFLX, "198.51.100.1:7777", "9");
        shared_candidates_name(&link_, own, 2, &local);
        expect(&local, ICE_CANDIDATE_SRFLX, "198.51.100.1:7777");
        /* Another port for this peer: nobody has told of that one. */
        local = candidate(ICE_CANDIDATE_PRFLX, "198.51.100.1:8888", "9");
        shared_candidates_name(&link_, own, 2, &local);
        expect(&local, ICE_CANDIDATE_PRFLX, "198.51.100.1:8888");
        local = candidate(ICE_CANDIDATE_RELAY, "192.0.2.9:50000", "2");
        shared_candidates_name(&link_, own, 2, &local);
        expect(&local, ICE_CANDIDATE_RELAY, "192.0.2.9:50000");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks and their answers as bytes; test-probe.c has them against ICE agents. */

#include <criterion/criterion.h>

#include "stun-check.h"

static StunCheckCredentials asks = {
        .local_ufrag = "abcdefgh",
        .local_pwd = "abcdefghijklmnopqrstuvwx",
        .remote_ufrag = "ABCDEFGH",
        .remote_pwd = "ABCDEFGHIJKLMNOPQRSTUVWX",
        .controlling = true,
};
static StunCheckCredentials answers = {
        .local_ufrag = "ABCDEFGH",
        .local_pwd = "ABCDEFGHIJKLMNOPQRSTUVWX",
        .remote_ufrag = "abcdefgh",
        .remote_pwd = "abcdefghijklmnopqrstuvwx",
};

/* In a buffer of its own size, so that a sanitizer sees what is read beyond. */
static int answer(const StunCheckCredentials *credentials, const void *data, size_t size, uint8_t *ret,
                  size_t *ret_size)
{
        uint8_t *copy = malloc(size);
        SocketAddress from;
        int r;

        cr_assert_geq(socket_address_from_string("192.0.2.7:4711", &from), 0);
        memcpy(copy, data, size);
        r = stun_check_answer(credentials, copy, size, &from, ret, ret_size);
        free(copy);
        return r;
}

static bool is_answer(StunCheck *check, const void *data, size_t size)
{
        uint8_t *copy = malloc(size);
        bool is;

        memcpy(copy, data, size);
        is = stun_check_is_answer(check, copy, size);
        free(copy);
        return is;
}

Test(stun_check, is_answered)
{
        StunCheck *check;
        const uint8_t *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        size_t size, n;

        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        cr_assert(stun_check_find_ufrag(request, size, ufrag));
        cr_assert_str_eq(ufrag, answers.local_ufrag);
        cr_assert_eq(answer(&answers, request, size, buffer, &n), 1);
        cr_assert_lt(n, size, "nobody is flooded by answers");
        cr_assert(is_answer(check, buffer, n));
        cr_assert(!is_answer(check, buffer, n), "it is there already");
        stun_check_free(check);
}

Test(stun_check, answers_over_ipv6_are_no_longer_than_requests)
{
        StunCheck *check;
        const void *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        SocketAddress from;
        size_t size, n;

        cr_assert_geq(socket_address_from_string("[2001:db8::7]:4711", &from), 0);
        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        cr_assert_eq(stun_check_answer(&answers, request, size, &from, buffer, &n), 1);
        cr_assert_lt(n, size);
        cr_assert(is_answer(check, buffer, n));
        stun_check_free(check);
}

Test(stun_check, others_are_not_answered)
{
        StunCheckCredentials other_password = answers, other_name = answers, other_peer = answers;
        StunCheck *check;
        const void *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        size_t size, n;

        other_password.local_pwd[3] = 'x';
        other_name.local_ufrag[3] = 'x';
        other_peer.remote_ufrag[3] = 'x';
        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        cr_assert_eq(answer(&other_password, request, size, buffer, &n), 0);
        cr_assert_eq(answer(&other_name, request, size, buffer, &n), 0);
        cr_assert_eq(answer(&other_peer, request, size, buffer, &n), 0);
        cr_assert_eq(answer(&asks, request, size, buffer, &n), 0);
        stun_check_free(check);
}

Test(stun_check, damaged_ones_are_not_answered)
{
        StunCheck *check;
        const uint8_t *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX], damaged[STUN_CHECK_REQUEST_MAX];
        size_t size, n;

        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        for (size_t bit = 0; bit < size * 8; bit++) {
                memcpy(damaged, request, size);
                damaged[bit / 8] ^= (uint8_t) (1 << bit % 8);
                cr_assert_eq(answer(&answers, damaged, size, buffer, &n), 0, "bit %zu", bit);
        }
        for (size_t k = 1; k < size; k++)
                cr_assert_eq(answer(&answers, request, k, buffer, &n), 0);
        stun_check_free(check);
}

Test(stun_check, damaged_answers_do_not_count)
{
        StunCheck *check;
        const void *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX], damaged[STUN_CHECK_ANSWER_MAX];
        size_t size, n;

        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        cr_assert_eq(answer(&answers, request, size, buffer, &n), 1);
        for (size_t bit = 0; bit < n * 8; bit++) {
                memcpy(damaged, buffer, n);
                damaged[bit / 8] ^= (uint8_t) (1 << bit % 8);
                cr_assert(!is_answer(check, damaged, n), "bit %zu", bit);
        }
        for (size_t k = 1; k < n; k++)
                cr_assert(!is_answer(check, buffer, k));
        cr_assert(is_answer(check, buffer, n), "the true one counts after all that");
        stun_check_free(check);
}

Test(stun_check, one_answer_is_not_anothers)
{
        StunCheck *one, *other;
        const void *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        size_t size, n;

        cr_assert_eq(stun_check_new(&asks, &one), 0);
        cr_assert_eq(stun_check_new(&asks, &other), 0);
        request = stun_check_request(one, &size);
        cr_assert_eq(answer(&answers, request, size, buffer, &n), 1);
        cr_assert(!is_answer(other, buffer, n));
        stun_check_free(one);
        stun_check_free(other);
}

Test(stun_check, other_names_of_the_two_are_the_same_on_both_sides)
{
        StunCheckCredentials beside, their_beside;

        stun_check_credentials_beside(&asks, &beside);
        stun_check_credentials_beside(&answers, &their_beside);
        cr_assert_str_eq(beside.local_ufrag, "bbcdefgh");
        cr_assert_str_eq(beside.local_ufrag, their_beside.remote_ufrag);
        cr_assert_str_eq(beside.remote_ufrag, their_beside.local_ufrag);
        cr_assert_str_eq(beside.remote_pwd, asks.remote_pwd);
        strcpy(asks.local_ufrag, "/bcdefgh");
        stun_check_credentials_beside(&asks, &beside);
        cr_assert_str_eq(beside.local_ufrag, "Abcdefgh");
        asks.local_ufrag[0] = '\0';
        stun_check_credentials_beside(&asks, &beside);
        cr_assert_str_eq(beside.local_ufrag, "", "none is none");
}

Test(stun_check, a_disguise_is_seen_through)
{
        StunCheck *check;
        const void *request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX], copy[STUN_CHECK_REQUEST_MAX];
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        size_t size, n;

        cr_assert_eq(stun_check_new(&asks, &check), 0);
        request = stun_check_request(check, &size);
        cr_assert(!stun_check_is_disguised(request, size));
        memcpy(copy, request, size);
        stun_check_disguise(copy);
        cr_assert(stun_check_is_disguised(copy, size));
        cr_assert(!stun_check_is_disguised(copy, size - 1));
        cr_assert(!stun_check_is_disguised(copy, 3));
        cr_assert(!stun_check_find_ufrag(copy, size, ufrag), "it is no request like that");
        cr_assert_eq(answer(&answers, copy, size, buffer, &n), 0);
        stun_check_disguise(copy);
        cr_assert_arr_eq(copy, request, size);
        cr_assert_eq(answer(&answers, copy, size, buffer, &n), 1);
        stun_check_disguise(buffer);
        cr_assert(stun_check_is_disguised(buffer, n));
        cr_assert(!is_answer(check, buffer, n));
        stun_check_disguise(buffer);
        cr_assert(is_answer(check, buffer, n));
        stun_check_free(check);
}

Test(stun_check, a_signature_that_is_too_short_is_none)
{
        /* A Binding request for abcdefgh:x that ends with an empty MESSAGE-INTEGRITY. */
        static const uint8_t request[] = { 0x00, 0x01, 0x00, 0x14, 0x21, 0x12, 0xa4, 0x42, 1,    2,
                                           3,    4,    5,    6,    7,    8,    9,    10,   11,   12,
                                           0x00, 0x06, 0x00, 0x0a, 'A',  'B',  'C',  'D',  'E',  'F',
                                           'G',  'H',  ':',  'x',  0,    0,    0x00, 0x08, 0x00, 0x00 };
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        size_t n;

        cr_assert_eq(answer(&answers, request, sizeof(request), buffer, &n), 0);
        cr_assert(!stun_check_find_ufrag(request, sizeof(request), ufrag));
}

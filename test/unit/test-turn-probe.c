/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turnserver.h"

#include <inttypes.h>
#include <malloc.h>
#include <openssl/evp.h>

#include "event-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "turn-probe.h"

#define KEY_SIZE 16 /* of MD5, RFC 8489 section 9.2.2 */

typedef struct Outcome {
        unsigned n;
        int error;
        char reason[128];
} Outcome;

static void on_probe(TurnProbe *probe, int error, const char *reason, void *userdata)
{
        Outcome *o = userdata;

        o->n++;
        o->error = error;
        (void) snprintf(o->reason, sizeof(o->reason), "%s", strempty(reason));
        cr_assert_eq(!reason, error == 0);
}

/* What a probe finds out; its own error if it could not begin. */
static Outcome probe(int type, const char *server, const char *user, const char *password)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(turn_probe_freep) TurnProbe *p = NULL;
        SocketAddress a = address(server);
        Outcome o = {};
        int r;

        cr_assert_geq(sd_event_new(&event), 0);
        r = turn_probe_new(event, type, &a, user, password, on_probe, &o, &p);
        if (r < 0)
                return (Outcome) { .error = r };
        RUN_UNTIL(event, o.n > 0);
        run_pending(event);
        cr_assert_eq(o.n, 1);
        return o;
}

#ifndef __SANITIZE_ADDRESS__ /* which has a heap of its own */
/* What STUN signs with. */
static void make_long_term_key(uint8_t *ret)
{
        static const char text[] = "user:test:secret";
        unsigned size = 0;

        cr_assert_eq(EVP_Digest(text, strlen(text), ret, &size, EVP_md5(), NULL), 1);
        cr_assert_eq(size, KEY_SIZE);
}

/* How often it is in the heap, freed or not. */
static unsigned count_in_heap(const uint8_t *key)
{
        _cleanup_free_ char *maps = NULL;
        const char *line;
        uintptr_t start, end;
        unsigned n = 0;

        cr_assert_geq(read_full_file("/proc/self/maps", 1024 * 1024, &maps, /* ret_size= */ NULL), 0);
        for (line = maps; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                const char *heap = strstr(line, "[heap]"), *next = strchr(line, '\n');

                if (!heap || (next && heap > next) ||
                    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2)
                        continue;
                for (const char *p = (const char *) start;
                     (p = memmem(p, end - (uintptr_t) p, key, KEY_SIZE)) != NULL; p++)
                        n++;
        }
        return n;
}

/* libnice's part of it keeps the key that it makes of the password. */
Test(turn_probe, leaves_no_key_behind)
{
        uint8_t key[KEY_SIZE];
        pid_t pid;

        sandbox_enter();
        cr_assert_eq(mallopt(M_PERTURB, 0), 1); /* which meson sets, and would hide it */
        make_long_term_key(key);
        pid = turnserver_start();
        cr_assert_eq(probe(SOCK_DGRAM, TURN_ADDRESS, "user", "secret").error, 0);
        cr_assert_eq(count_in_heap(key), 0);
        turnserver_stop(pid);
}
#endif

Test(turn_probe, gets_an_allocation_and_gives_it_back)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        Outcome o;
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        cr_assert_eq(probe(SOCK_STREAM, TURN_ADDRESS, "user", "secret").error, 0);
        cr_assert_eq(probe(SOCK_DGRAM, "[::1]:3478", "user", "secret").error, 0);
        /* All that the server has for one user. It takes them back within a second or two, and what nobody
         * gives back after ten minutes. */
        for (unsigned i = 2; i < TURN_USER_QUOTA; i++)
                cr_assert_eq(probe(SOCK_DGRAM, TURN_ADDRESS, "user", "secret").error, 0);
        while ((o = probe(SOCK_DGRAM, TURN_ADDRESS, "user", "secret")).error != 0) {
                cr_assert_eq(o.error, -EDQUOT, "%s", o.reason);
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "nothing is given back");
                (void) poll(NULL, 0, 50);
        }
        turnserver_stop(pid);
}

Test(turn_probe, tells_of_refused_credentials)
{
        Outcome o;
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        o = probe(SOCK_DGRAM, TURN_ADDRESS, "user", "wrong");
        cr_assert_eq(o.error, -EACCES);
        cr_assert(strstr(o.reason, "user name or the password"), "%s", o.reason);
        cr_assert_eq(probe(SOCK_STREAM, TURN_ADDRESS, "nobody", "secret").error, -EACCES);
        turnserver_stop(pid);
}

Test(turn_probe, tells_of_a_server_that_is_not_there)
{
        sandbox_enter();
        cr_assert_eq(probe(SOCK_DGRAM, TURN_ADDRESS, "user", "secret").error, -ECONNREFUSED);
        cr_assert_eq(probe(SOCK_STREAM, TURN_ADDRESS, "user", "secret").error, -ECONNREFUSED);
}

Test(turn_probe, tells_of_silence)
{
        _cleanup_close_ int fd = -EBADF;

        sandbox_enter();
        fd = udp_socket(TURN_ADDRESS);
        cr_assert_eq(probe(SOCK_DGRAM, TURN_ADDRESS, "user", "secret").error, -ETIMEDOUT);
}

/* A server that answers each request with what has nothing to do with it. */
Test(turn_probe, bears_nonsense)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(turn_probe_freep) TurnProbe *p = NULL;
        _cleanup_close_ int fd = -EBADF;
        SocketAddress server, mapped = address("192.0.2.7:5000"), from;
        uint8_t request[512];
        Outcome o = {};

        sandbox_enter();
        cr_assert_geq(sd_event_new(&event), 0);
        fd = udp_socket("127.0.0.1:0");
        server = local_address(fd);
        cr_assert_geq(turn_probe_new(event, SOCK_DGRAM, &server, "user", "secret", on_probe, &o, &p), 0);
        cr_assert_gt(stun_receive(fd, request, sizeof(request), &from), 0);
        cr_assert_eq(sendto(fd, "", 0, 0, &from.sa, socket_address_length(&from)), 0);
        cr_assert_eq(sendto(fd, request, 20, 0, &from.sa, socket_address_length(&from)), 20);
        stun_answer(fd, request, &mapped, &from);
        run_pending(event);
        cr_assert_eq(o.n, 0, "an answer to Binding is none to Allocate");
}

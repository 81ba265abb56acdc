/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turnserver.h"

#include <glib-unix.h>
#include <glib.h>
#include <sys/resource.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "glib-loop.h"
#include "ice-data-socket.h"
#include "ice.h"
#include "macro.h"
#include "random-util.h"
#include "string-util.h"
#include "stun.h"
#include "tls-leg.h"

static sd_event *make_event(void)
{
        sd_event *event;

        cr_assert(sd_event_new(&event) >= 0);
        return event;
}

/* ---- GMainContext on sd-event ---- */

static gboolean on_count(void *userdata)
{
        ++*(unsigned *) userdata;
        return G_SOURCE_CONTINUE;
}

static gboolean on_count_once(void *userdata)
{
        ++*(unsigned *) userdata;
        return G_SOURCE_REMOVE;
}

static gboolean on_count_io(int fd, GIOCondition condition, void *userdata)
{
        char buf[16];

        if (read(fd, buf, sizeof(buf)) > 0)
                ++*(unsigned *) userdata;
        return G_SOURCE_CONTINUE;
}

static GSource *attach(GlibContext *context, GSource *source, GSourceFunc callback, void *userdata)
{
        g_source_set_callback(source, callback, userdata, NULL);
        g_source_attach(source, glib_context_get(context));
        return source;
}

static void detach(GSource *source)
{
        g_source_destroy(source);
        g_source_unref(source);
}

Test(glib_loop, runs_timers_and_idles)
{
        _cleanup_event_ sd_event *event = make_event();
        _cleanup_(glib_context_freep) GlibContext *context = NULL;
        unsigned ticks = 0, idles = 0, late = 0;
        GSource *timer, *idle;

        cr_assert(glib_context_new(event, NULL, NULL, &context) >= 0);
        timer = attach(context, g_timeout_source_new(3), on_count, &ticks);
        RUN_UNTIL(event, ticks >= 3);
        idle = attach(context, g_idle_source_new(), on_count_once, &idles);
        RUN_UNTIL(event, idles == 1);
        detach(timer);
        ticks = 0;
        g_source_unref(idle);
        timer = attach(context, g_timeout_source_new(20), on_count_once, &late);
        RUN_UNTIL(event, late == 1);
        cr_assert(ticks == 0);
        g_source_unref(timer);
}

Test(glib_loop, slows_timers_down)
{
        _cleanup_event_ sd_event *event = make_event();
        _cleanup_(glib_context_freep) GlibContext *context = NULL;
        unsigned ticks = 0, idles = 0;
        GSource *timer, *idle;
        usec_t start;

        cr_assert(glib_context_new(event, NULL, NULL, &context) >= 0);
        timer = attach(context, g_timeout_source_new(1), on_count, &ticks);
        RUN_UNTIL(event, ticks >= 3);
        glib_context_set_slack(context, 100 * USEC_PER_MSEC);
        ticks = 0;
        start = now(CLOCK_MONOTONIC);
        RUN_UNTIL(event, ticks >= 3);
        cr_assert(now(CLOCK_MONOTONIC) - start >= 300 * USEC_PER_MSEC);
        /* What is due is not a timer's. */
        idle = attach(context, g_idle_source_new(), on_count_once, &idles);
        ticks = 0;
        RUN_UNTIL(event, idles == 1);
        cr_assert(ticks <= 1);
        glib_context_set_slack(context, 0);
        RUN_UNTIL(event, ticks >= 10);
        detach(timer);
        g_source_unref(idle);
}

Test(glib_loop, watches_file_descriptors_and_their_reuse)
{
        _cleanup_event_ sd_event *event = make_event();
        GlibContext *contexts[3] = {};
        unsigned counts[3] = {}, n = 0;
        int pipes[2], first = -1;
        GSource *source;

        for (size_t i = 0; i < 3; i++)
                cr_assert(glib_context_new(event, NULL, NULL, contexts + i) >= 0);
        /* The same number again and again, in one context and in the next. */
        for (size_t i = 0; i < 30; i++) {
                cr_assert(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) >= 0);
                if (first < 0)
                        first = pipes[0];
                cr_assert(pipes[0] == first);
                n = (unsigned) (i / 2 % 3);
                source = g_unix_fd_source_new(pipes[0], G_IO_IN);
                attach(contexts[n], source, G_SOURCE_FUNC(on_count_io), counts + n);
                counts[n] = 0;
                RUN_UNTIL(event, write(pipes[1], "x", 1) == 1);
                RUN_UNTIL(event, counts[n] >= 1);
                detach(source);
                close(pipes[0]);
                close(pipes[1]);
        }
        for (size_t i = 0; i < 3; i++)
                glib_context_free(contexts[i]);
}

/* As one that is on its way to the broker, for larger buffers, does: epoll then knows it still. */
Test(glib_loop, is_not_misled_by_a_copy_of_a_descriptor)
{
        _cleanup_event_ sd_event *event = make_event();
        GlibContext *gone, *stays;
        unsigned count = 0, idles = 0;
        GSource *source;
        int pipes[2], copy;

        cr_assert(glib_context_new(event, NULL, NULL, &gone) >= 0);
        cr_assert(glib_context_new(event, NULL, NULL, &stays) >= 0);
        cr_assert(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) >= 0);
        copy = fcntl(pipes[0], F_DUPFD_CLOEXEC, 3);
        cr_assert(copy >= 0);
        source = attach(gone, g_unix_fd_source_new(pipes[0], G_IO_IN), G_SOURCE_FUNC(on_count_io), &count);
        RUN_UNTIL(event, write(pipes[1], "x", 1) == 1);
        RUN_UNTIL(event, count >= 1);
        close(pipes[0]);
        detach(source);
        glib_context_free(gone);
        cr_assert(write(pipes[1], "x", 1) == 1);
        /* It is noticed once, and then the loop sleeps. */
        (void) sd_event_run(event, 0);
        (void) sd_event_run(event, 0);
        cr_assert(sd_event_run(event, 0) == 0);
        g_source_unref(attach(stays, g_idle_source_new(), on_count_once, &idles));
        RUN_UNTIL(event, idles);
        glib_context_free(stays);
        close(copy);
        close(pipes[1]);
}

typedef struct Freeing {
        GlibContext *contexts[3];
        unsigned n;
} Freeing;

static gboolean on_free_all(void *userdata)
{
        Freeing *f = userdata;

        f->n++;
        for (size_t i = 0; i < ELEMENTSOF(f->contexts); i++)
                f->contexts[i] = glib_context_free(f->contexts[i]);
        return G_SOURCE_REMOVE;
}

/* All of them are ready in the same turn; whoever runs first frees itself and the others. */
Test(glib_loop, may_be_freed_inside_dispatch)
{
        _cleanup_event_ sd_event *event = make_event();
        GlibContext *again = NULL;
        Freeing f = {};
        unsigned idles = 0;

        for (size_t i = 0; i < ELEMENTSOF(f.contexts); i++) {
                cr_assert(glib_context_new(event, NULL, NULL, f.contexts + i) >= 0);
                g_source_unref(attach(f.contexts[i], g_idle_source_new(), on_free_all, &f));
        }
        RUN_UNTIL(event, f.n);
        cr_assert(f.n == 1);
        /* The loop went with the last context, and comes again with the next. */
        cr_assert(glib_context_new(event, NULL, NULL, &again) >= 0);
        g_source_unref(attach(again, g_idle_source_new(), on_count_once, &idles));
        RUN_UNTIL(event, idles);
        glib_context_free(again);
}

static void on_orphaned(GlibContext *context, void *userdata)
{
        ++*(unsigned *) userdata;
        glib_context_free(context);
}

Test(glib_loop, tells_when_the_event_goes)
{
        sd_event *event = make_event();
        GlibContext *a, *b, *c;
        unsigned orphans = 0, ticks = 0;

        cr_assert(glib_context_new(event, on_orphaned, &orphans, &a) >= 0);
        cr_assert(glib_context_new(event, NULL, NULL, &b) >= 0);
        cr_assert(glib_context_new(event, on_orphaned, &orphans, &c) >= 0);
        g_source_unref(attach(a, g_timeout_source_new(1), on_count, &ticks));
        RUN_UNTIL(event, ticks);
        cr_assert(sd_event_unref(event) == NULL);
        cr_assert(orphans == 2);
        glib_context_free(b);
}

/* ---- agents ---- */

typedef struct Side Side;
struct Side {
        IceAgent *agent;
        Side *peer;
        sd_event *event;
        IceCandidate local[64];
        size_t n_local, n_given;
        size_t filter_type;      /* only such candidates are given to the peer */
        size_t filter_transport; /* likewise */
        bool gathered, done;
        IceState state;
        unsigned n_states, n_selected;
        IceCandidate selected_local, selected_remote;
        char data[2048];
        size_t n_data;
        unsigned n_received;
        unsigned free_on; /* a bit of Callback */
        unsigned seen;    /* bits of Callback */
};

typedef enum Callback {
        ON_CANDIDATE = 1 << 0,
        ON_GATHERED = 1 << 1,
        ON_STATE = 1 << 2,
        ON_SELECTED = 1 << 3,
        ON_DATA = 1 << 4,
} Callback;

#define ANY SIZE_MAX

static void side_called(Side *s, Callback which)
{
        cr_assert(s->agent, "callback after ice_agent_free()");
        s->seen |= which;
        if (s->free_on & which)
                s->agent = ice_agent_free(s->agent);
}

static void on_candidate(IceAgent *agent, const IceCandidate *candidate, void *userdata)
{
        Side *s = userdata;

        cr_assert(s->n_local < ELEMENTSOF(s->local));
        s->local[s->n_local++] = *candidate;
        side_called(s, ON_CANDIDATE);
}

static void on_gathering_done(IceAgent *agent, void *userdata)
{
        Side *s = userdata;

        cr_assert(!s->gathered);
        s->gathered = true;
        side_called(s, ON_GATHERED);
}

static void on_state(IceAgent *agent, IceState state, void *userdata)
{
        Side *s = userdata;

        s->state = state;
        s->n_states++;
        side_called(s, ON_STATE);
}

static void on_selected(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote,
                        void *userdata)
{
        Side *s = userdata;

        s->selected_local = *local;
        s->selected_remote = *remote;
        s->n_selected++;
        side_called(s, ON_SELECTED);
}

static void on_data(IceAgent *agent, const void *data, size_t size, void *userdata)
{
        Side *s = userdata;

        cr_assert(size <= sizeof(s->data));
        memcpy(s->data, data, size);
        s->n_data = size;
        s->n_received++;
        side_called(s, ON_DATA);
}

static const IceAgentCallbacks callbacks = {
        .candidate = on_candidate,
        .gathering_done = on_gathering_done,
        .state = on_state,
        .selected = on_selected,
        .data = on_data,
};

static int count_threads(void)
{
        char buf[4096], *threads;
        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, buf, sizeof(buf) - 1);

        close(fd);
        cr_assert(n > 0);
        buf[n] = '\0';
        threads = strstr(buf, "Threads:");
        cr_assert(threads);
        return atoi(threads + strlen("Threads:"));
}

static void side_start_with(Side *s, sd_event *event, const IceAgentParameters *p)
{
        s->event = event;
        s->filter_type = s->filter_transport = ANY;
        s->state = ICE_STATE_GATHERING;
        cr_assert(ice_agent_new(event, p, &callbacks, s, &s->agent) >= 0);
        cr_assert(strlen(ice_agent_ufrag(s->agent)) == ICE_LOCAL_UFRAG_SIZE);
        cr_assert(strlen(ice_agent_pwd(s->agent)) == ICE_LOCAL_PWD_SIZE);
}

static void side_start(Side *s, sd_event *event, const char *ip, bool controlling)
{
        SocketAddress a;
        IceAgentParameters p = { .controlling = controlling, .local_addresses = &a, .n_local_addresses = 1 };

        cr_assert(socket_address_from_ip(ip, 0, &a) >= 0);
        side_start_with(s, event, &p);
}

static void sides_introduce(Side *a, Side *b)
{
        a->peer = b;
        b->peer = a;
        cr_assert(ice_agent_set_remote_credentials(a->agent, ice_agent_ufrag(b->agent),
                                                   ice_agent_pwd(b->agent)) >= 0);
        cr_assert(ice_agent_set_remote_credentials(b->agent, ice_agent_ufrag(a->agent),
                                                   ice_agent_pwd(a->agent)) >= 0);
}

/* Trickle: what is new on one side goes to the other. */
static void side_give(Side *s)
{
        while (s->n_given < s->n_local) {
                const IceCandidate *c = s->local + s->n_given++;

                if ((s->filter_type == ANY || s->filter_type == (size_t) c->type) &&
                    (s->filter_transport == ANY ||
                     (s->filter_transport == ICE_TRANSPORT_UDP) == (c->transport == ICE_TRANSPORT_UDP)) &&
                    s->peer->agent)
                        cr_assert(ice_agent_add_remote_candidate(s->peer->agent, c) >= 0);
        }
        if (s->gathered && !s->done && s->peer->agent) {
                s->done = true;
                cr_assert(ice_agent_end_of_candidates(s->peer->agent) >= 0);
        }
}

#define RUN_SIDES(a, b, condition)                                                                          \
        RUN_UNTIL((a)->event, ({                                                                            \
                          side_give(a);                                                                     \
                          side_give(b);                                                                     \
                          (condition);                                                                      \
                  }))

/* Closing is done in the background: let it end before the event goes. */
static void side_stop(Side *s)
{
        s->agent = ice_agent_free(s->agent);
}

static void connect_sides(Side *a, Side *b)
{
        cr_assert(ice_agent_gather(a->agent) >= 0);
        cr_assert(ice_agent_gather(b->agent) >= 0);
        cr_assert(a->n_local > 0, "host candidates come before ice_agent_gather() returns");
        RUN_SIDES(a, b, a->n_selected && b->n_selected);
}

static void connect_on(const char *ip)
{
        _cleanup_event_ sd_event *event = NULL;
        Side a = {}, b = {};

        sandbox_enter();
        event = make_event();
        side_start(&a, event, ip, true);
        side_start(&b, event, ip, false);
        cr_assert(!streq(ice_agent_ufrag(a.agent), ice_agent_ufrag(b.agent)));
        sides_introduce(&a, &b);
        connect_sides(&a, &b);
        cr_assert(socket_address_equal(&a.selected_local.address, &b.selected_remote.address));
        cr_assert(socket_address_equal(&b.selected_local.address, &a.selected_remote.address));
        RUN_SIDES(&a, &b, a.state == ICE_STATE_READY && b.state == ICE_STATE_READY);
        cr_assert(ice_agent_state(a.agent) == ICE_STATE_READY);

        /* Before there is a data socket, libnice has the data. */
        cr_assert(ice_agent_send(a.agent, "hello", 5) >= 0);
        RUN_SIDES(&a, &b, b.n_received);
        cr_assert(b.n_data == 5 && memcmp(b.data, "hello", 5) == 0);
        side_stop(&a);
        side_stop(&b);
}

Test(ice, connects_over_ipv4)
{
        connect_on("127.0.0.1");
}

Test(ice, connects_over_ipv6)
{
        connect_on("::1");
}

/* Two agents under one controlling role each: a conflict (RFC 8445 section 7.3.1.1) is settled. */
Test(ice, settles_a_role_conflict)
{
        _cleanup_event_ sd_event *event = NULL;
        Side a = {}, b = {};

        sandbox_enter();
        event = make_event();
        side_start(&a, event, "127.0.0.1", true);
        side_start(&b, event, "127.0.0.1", true);
        sides_introduce(&a, &b);
        connect_sides(&a, &b);
        side_stop(&a);
        side_stop(&b);
}

/* ---- data sockets ---- */

static const uint8_t wireguard_data[96] = { 4, 0, 0, 0, 1, 2, 3, 4 };

static void send_from(int fd, const SocketAddress *to, const void *data, size_t size)
{
        cr_assert(sendto(fd, data, size, 0, &to->sa, socket_address_length(to)) == (ssize_t) size);
}

static bool data_arrives(int fd)
{
        uint8_t buf[2048];

        return recv(fd, buf, sizeof(buf), 0) == sizeof(wireguard_data) &&
               memcmp(buf, wireguard_data, sizeof(wireguard_data)) == 0;
}

static void on_mapping(StunQuery *query, int error, const SocketAddress *mapped, usec_t rtt, void *userdata)
{
        cr_assert(error == 0);
        *(SocketAddress *) userdata = *mapped;
}

/* Three sockets on one port: libnice's, the one for data, and a STUN query's. */
static void query_beside_data(sd_event *event, Side *s, int fd, int from_fd, const SocketAddress *to)
{
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        _cleanup_free_ int *fds = NULL;
        _cleanup_close_ int server = udp_socket("127.0.0.1:0"), second = -EBADF;
        SocketAddress a = local_address(server), from, mapped = address("192.0.2.1:1"), answer = {};
        uint8_t request[128];
        size_t n;

        cr_assert(ice_agent_sockets(s->agent, &fds, &n) >= 0 && n == 1);
        cr_assert(stun_query_new(event, fds[0], &a, on_mapping, &answer, &query) >= 0);
        cr_assert(ice_agent_open_data_socket(s->agent, &second) >= 0);
        send_from(from_fd, to, wireguard_data, sizeof(wireguard_data));
        cr_assert(data_arrives(fd));
        cr_assert(stun_receive(server, request, sizeof(request), &from) > 0);
        cr_assert(socket_address_equal(&from, to));
        stun_answer(server, request, &mapped, &from);
        RUN_UNTIL(event, socket_address_is_set(&answer));
        cr_assert(socket_address_equal(&answer, &mapped));
}

static void share_port_on(const char *ip)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_close_ int fd_a = -EBADF, fd_b = -EBADF, second = -EBADF;
        uint8_t junk[96] = { 0 }, channel[96] = { 0x40, 0 }, reserved[96] = { 4, 0, 1, 0 };
        Side a = {}, b = {};
        uint8_t buf[64];
        unsigned n;

        sandbox_enter();
        event = make_event();
        side_start(&a, event, ip, true);
        side_start(&b, event, ip, false);
        sides_introduce(&a, &b);
        cr_assert(ice_agent_open_data_socket(a.agent, &fd_a) == -ENOTCONN);
        connect_sides(&a, &b);
        /* In the middle of the checks: STUN still has to reach libnice for READY. */
        cr_assert(ice_agent_open_data_socket(a.agent, &fd_a) >= 0);
        cr_assert(ice_agent_open_data_socket(b.agent, &fd_b) >= 0);
        RUN_SIDES(&a, &b, a.state == ICE_STATE_READY && b.state == ICE_STATE_READY);

        send_from(fd_a, &a.selected_remote.address, wireguard_data, sizeof(wireguard_data));
        cr_assert(data_arrives(fd_b));
        send_from(fd_b, &b.selected_remote.address, wireguard_data, sizeof(wireguard_data));
        cr_assert(data_arrives(fd_a));

        /* What does not look like WireGuard stays with libnice, even empty. */
        send_from(fd_a, &a.selected_remote.address, "", 0);
        send_from(fd_a, &a.selected_remote.address, "\4", 1);
        send_from(fd_a, &a.selected_remote.address, junk, sizeof(junk));
        send_from(fd_a, &a.selected_remote.address, channel, sizeof(channel));
        n = b.n_received;
        send_from(fd_a, &a.selected_remote.address, reserved, sizeof(reserved));
        RUN_SIDES(&a, &b, b.n_received > n && b.n_data == sizeof(reserved) && b.data[2] == 1);
        cr_assert(recv(fd_b, buf, sizeof(buf), 0) < 0 && errno == EAGAIN);

        if (streq(ip, "127.0.0.1"))
                query_beside_data(event, &b, fd_b, fd_a, &a.selected_remote.address);

        /* A second one on the same port waits for its turn; nothing is lost on the way. */
        cr_assert(ice_agent_open_data_socket(b.agent, &second) >= 0);
        send_from(fd_a, &a.selected_remote.address, wireguard_data, sizeof(wireguard_data));
        cr_assert(data_arrives(fd_b));
        fd_b = safe_close(fd_b);
        send_from(fd_a, &a.selected_remote.address, wireguard_data, sizeof(wireguard_data));
        cr_assert(data_arrives(second));
        second = safe_close(second);
        n = b.n_received;
        send_from(fd_a, &a.selected_remote.address, wireguard_data, sizeof(wireguard_data));
        RUN_SIDES(&a, &b, b.n_received > n);
        side_stop(&a);
        side_stop(&b);
}

Test(ice, shares_an_ipv4_port_for_data)
{
        share_port_on("127.0.0.1");
}

Test(ice, shares_an_ipv6_port_for_data)
{
        share_port_on("::1");
}

Test(ice, tells_its_sockets)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_free_ int *fds = NULL;
        SocketAddress local;
        Side a = {};
        size_t n;

        sandbox_enter();
        event = make_event();
        side_start(&a, event, "127.0.0.1", true);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(ice_agent_gather(a.agent) == -EALREADY);
        cr_assert(ice_agent_sockets(a.agent, &fds, &n) >= 0);
        cr_assert(n == 1);
        local = local_address(fds[0]);
        cr_assert(socket_address_equal(&local, &a.local[0].address));
        side_stop(&a);
}

/* ---- servers ---- */

/* A STUN server that tells of a NAT: the mapping becomes a candidate. */
Test(ice, reports_the_mapped_address)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress local, mapped = address("192.0.2.7:5000"), from;
        IceServer servers[3];
        IceAgentParameters p = {
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = servers,
                .n_servers = 3,
        };
        int fds[3];
        uint8_t request[128];
        Side a = {};

        sandbox_enter();
        event = make_event();
        cr_assert(socket_address_from_ip("127.0.0.1", 0, &local) >= 0);
        for (size_t i = 0; i < 3; i++) {
                fds[i] = udp_socket("127.0.0.1:0");
                servers[i] = (IceServer) { .kind = ICE_SERVER_STUN, .address = local_address(fds[i]) };
        }
        side_start_with(&a, event, &p);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(a.n_local == 1 && !a.gathered);

        cr_assert(stun_receive(fds[0], request, sizeof(request), &from) > 0);
        cr_assert(socket_address_equal(&from, &a.local[0].address), "not from the candidate's port");
        stun_answer(fds[0], request, &mapped, &from);
        RUN_UNTIL(event, a.n_local == 2);
        cr_assert(a.local[1].type == ICE_CANDIDATE_SRFLX);
        cr_assert(a.local[1].transport == ICE_TRANSPORT_UDP);
        cr_assert(socket_address_equal(&a.local[1].address, &mapped));
        cr_assert(socket_address_equal(&a.local[1].related, &a.local[0].address));
        cr_assert(a.local[1].priority >> 24 == 100 && a.local[1].priority < a.local[0].priority);
        cr_assert(!streq(a.local[1].foundation, a.local[0].foundation));

        /* The same again is nothing new, and neither is "no NAT". */
        cr_assert(stun_receive(fds[1], request, sizeof(request), &from) > 0);
        stun_answer(fds[1], request, &mapped, &from);
        cr_assert(!a.gathered);
        cr_assert(stun_receive(fds[2], request, sizeof(request), &from) > 0);
        stun_answer(fds[2], request, &a.local[0].address, &from);
        RUN_UNTIL(event, a.gathered);
        cr_assert(a.n_local == 2);
        side_stop(&a);
        for (size_t i = 0; i < 3; i++)
                close(fds[i]);
}

/* A server that does not answer in time does not hold up the end of candidates; its answer still counts. */
Test(ice, does_not_wait_for_a_slow_server)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress local, mapped = address("192.0.2.7:5000"), from;
        IceServer server;
        IceAgentParameters p = {
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = &server,
                .n_servers = 1,
        };
        _cleanup_close_ int fd = -EBADF;
        uint8_t request[128];
        Side a = {};

        sandbox_enter();
        event = make_event();
        cr_assert(socket_address_from_ip("127.0.0.1", 0, &local) >= 0);
        fd = udp_socket("127.0.0.1:0");
        server = (IceServer) { .kind = ICE_SERVER_STUN, .address = local_address(fd) };
        side_start_with(&a, event, &p);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(stun_receive(fd, request, sizeof(request), &from) > 0);
        cr_assert(!a.gathered);
        RUN_UNTIL(event, a.gathered);
        cr_assert(a.n_local == 1);
        stun_answer(fd, request, &mapped, &from);
        RUN_UNTIL(event, a.n_local == 2);
        side_stop(&a);
}

static void relay_side_start(Side *s, sd_event *event, bool controlling, IceServerKind kind,
                             const TlsLeg *leg)
{
        IceServer server = {
                .kind = kind,
                .address = address(leg ? TURN_TLS_ADDRESS : TURN_ADDRESS),
                .username = "user",
                .password = "secret",
        };
        SocketAddress local;
        IceAgentParameters p = {
                .controlling = controlling,
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = &server,
                .n_servers = 1,
        };

        if (leg)
                server.leg = *tls_leg_address(leg, AF_INET);
        cr_assert(socket_address_from_ip("127.0.0.1", 0, &local) >= 0);
        side_start_with(s, event, &p);
}

static void on_leg_established(TlsLeg *leg, void *userdata)
{
        ++*(unsigned *) userdata;
}

static void on_leg_failed(TlsLeg *leg, int error, const char *reason, void *userdata)
{
        cr_assert_fail("%s", reason);
}

static const TlsLegCallbacks leg_callbacks = {
        .established = on_leg_established,
        .failed = on_leg_failed,
};

static void expect_server(Side *s, IceServerKind kind, const char *where)
{
        SocketAddress expected = address(where), found;
        IceServerKind found_kind;

        cr_assert(ice_agent_selected_server(s->agent, &found_kind, &found) >= 0);
        cr_assert(found_kind == kind);
        cr_assert(socket_address_equal(&found, &expected));
}

/* Both know of each other only by their relays: at least one end of the pair is one. */
static void relay_over(IceServerKind kind)
{
        _cleanup_event_ sd_event *event = NULL;
        Side sides[2] = {}, *a = sides, *b = sides + 1;
        bool tls = kind == ICE_SERVER_TURN_TLS;
        unsigned n_relayed = 0, n_established = 0;
        SocketAddress server = address(TURN_TLS_ADDRESS), found;
        IceServerKind found_kind;
        TlsLeg *leg = NULL;
        pid_t pid;
        int fd = -EBADF;

        sandbox_enter();
        if (tls)
                turnserver_make_certificate();
        pid = turnserver_start_with(&(TurnserverOptions) { .tls = tls });
        event = make_event();
        if (tls)
                cr_assert(tls_leg_new(event, &server, TURN_NAME, "ca.pem", &leg_callbacks, &n_established,
                                      &leg) >= 0);
        relay_side_start(a, event, true, kind, leg);
        relay_side_start(b, event, false, kind, leg);
        cr_assert(ice_agent_selected_server(a->agent, &found_kind, &found) == -ENOTCONN);
        a->filter_type = b->filter_type = ICE_CANDIDATE_RELAY;
        sides_introduce(a, b);
        connect_sides(a, b);
        for (size_t i = 0; i < 2; i++) {
                Side *s = sides + i, *other = sides + !i;
                char text[] = { 'r', (char) ('0' + i), 0 };
                unsigned n = other->n_received;

                if (s->selected_local.type == ICE_CANDIDATE_RELAY) {
                        n_relayed++;
                        cr_assert(ice_agent_open_data_socket(s->agent, &fd) == -EOPNOTSUPP);
                        expect_server(s, kind, tls ? TURN_TLS_ADDRESS : TURN_ADDRESS);
                } else
                        cr_assert(ice_agent_selected_server(s->agent, &found_kind, &found) == -ENOENT);
                cr_assert(ice_agent_send(s->agent, text, 3) >= 0);
                RUN_SIDES(a, b, other->n_received > n && memcmp(other->data, text, 3) == 0);
        }
        cr_assert(n_relayed > 0);
        RUN_SIDES(a, b, a->gathered && b->gathered);
        cr_assert(n_established == (tls ? 2 : 0));
        side_stop(a);
        side_stop(b);
        if (leg) /* libnice has let go of them all, and what it had to say has left */
                RUN_UNTIL(event, tls_leg_n_connections(leg) == 0);
        tls_leg_free(leg);
        turnserver_stop(pid);
}

Test(ice, relays_over_udp)
{
        relay_over(ICE_SERVER_TURN_UDP);
}

Test(ice, relays_over_tcp)
{
        relay_over(ICE_SERVER_TURN_TCP);
}

Test(ice, relays_over_tls)
{
        relay_over(ICE_SERVER_TURN_TLS);
}

/* Whatever their order is in the list. */
static void prefers(const IceServerKind *kinds, size_t n, const char *leg, IceServerKind best)
{
        _cleanup_event_ sd_event *event = make_event();
        IceServer servers[4] = {};
        SocketAddress local = address("127.0.0.1:0");
        Side a = {}, b = {};
        IceAgentParameters p = {
                .controlling = true,
                .relay_only = true,
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = servers,
                .n_servers = n,
        };

        for (size_t i = 0; i < n; i++)
                servers[i] = (IceServer) {
                        .kind = kinds[i],
                        .address = address(kinds[i] == ICE_SERVER_TURN_TLS ? "127.0.0.1:9" : TURN_ADDRESS),
                        .leg = address(leg),
                        .username = "user",
                        .password = "secret",
                };
        side_start_with(&a, event, &p);
        side_start(&b, event, "127.0.0.1", false);
        sides_introduce(&a, &b);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(ice_agent_gather(b.agent) >= 0);
        RUN_SIDES(&a, &b, a.state == ICE_STATE_READY && b.state == ICE_STATE_READY);
        expect_server(&a, best, best == ICE_SERVER_TURN_TLS ? "127.0.0.1:9" : TURN_ADDRESS);
        side_stop(&a);
        side_stop(&b);
}

/* Nothing comes back over UDP, and the server over TCP refuses us: TLS is left. */
Test(ice, falls_back_from_udp_to_tcp_to_tls)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_close_ int silent = -EBADF;
        SocketAddress local = address("127.0.0.1:0");
        IceServer servers[] = {
                { .kind = ICE_SERVER_TURN_TLS,
                  .leg = address(TURN_ADDRESS),
                  .address = address("127.0.0.1:9") },
                { .kind = ICE_SERVER_TURN_TCP, .address = address("127.0.0.1:10") },
                { .kind = ICE_SERVER_TURN_UDP },
        };
        IceAgentParameters p = {
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = servers,
                .n_servers = ELEMENTSOF(servers),
        };
        Side a = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        event = make_event();
        silent = udp_socket("127.0.0.1:0");
        servers[2].address = local_address(silent);
        for (size_t i = 0; i < ELEMENTSOF(servers); i++) {
                servers[i].username = "user";
                servers[i].password = "secret";
        }
        side_start_with(&a, event, &p);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        RUN_UNTIL(event, a.n_local == 2);
        cr_assert(a.local[1].type == ICE_CANDIDATE_RELAY);
        cr_assert(a.local[1].priority >> 24 == 20, "it is over UDP");
        side_stop(&a);
        turnserver_stop(pid);
}

Test(ice, prefers_udp_to_tcp_to_tls)
{
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        prefers((const IceServerKind[]) { ICE_SERVER_TURN_TCP, ICE_SERVER_TURN_UDP }, 2, TURN_ADDRESS,
                ICE_SERVER_TURN_UDP);
        prefers((const IceServerKind[]) { ICE_SERVER_TURN_TLS, ICE_SERVER_TURN_UDP }, 2, TURN_ADDRESS,
                ICE_SERVER_TURN_UDP);
        prefers((const IceServerKind[]) { ICE_SERVER_TURN_TLS, ICE_SERVER_TURN_TCP }, 2, "127.0.0.1:11",
                ICE_SERVER_TURN_TCP);
        /* coturn does not mind that it is no TLS. */
        prefers((const IceServerKind[]) { ICE_SERVER_TURN_TLS }, 1, TURN_ADDRESS, ICE_SERVER_TURN_TLS);
        turnserver_stop(pid);
}

Test(ice, gives_allocations_back_while_the_loop_runs)
{
        _cleanup_event_ sd_event *event = NULL;
        int n_threads = count_threads(); /* Criterion has one of its own */
        Side s = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        event = make_event();
        relay_side_start(&s, event, true, ICE_SERVER_TURN_UDP, /* leg= */ NULL);
        cr_assert(ice_agent_gather(s.agent) >= 0);
        RUN_UNTIL(event, s.gathered);
        cr_assert(s.local[s.n_local - 1].type == ICE_CANDIDATE_RELAY);
        side_stop(&s);
        /* What is left is the engine, whose sockets go last. */
        RUN_UNTIL(event, ({
                          int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                          bool is_free = bind(fd, &s.local[0].address.sa, sizeof(s.local[0].address.in)) >=
                                         0;

                          close(fd);
                          is_free;
                  }));
        cr_assert(count_threads() == n_threads, "GLib or libnice has started a thread");
        turnserver_stop(pid);
}

/* What the peer has is known before there is any relay to pair it with. */
Test(ice, relay_only)
{
        _cleanup_event_ sd_event *event = NULL;
        IceServer server = { .kind = ICE_SERVER_TURN_UDP, .username = "user", .password = "secret" };
        SocketAddress local;
        IceAgentParameters p = {
                .controlling = true,
                .relay_only = true,
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = &server,
                .n_servers = 1,
        };
        Side a = {}, b = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        event = make_event();
        cr_assert(socket_address_from_ip("127.0.0.1", 0, &local) >= 0);
        server.address = address(TURN_ADDRESS);
        side_start_with(&a, event, &p);
        side_start(&b, event, "127.0.0.1", /* controlling= */ false);
        sides_introduce(&a, &b);
        cr_assert(ice_agent_gather(b.agent) >= 0);
        side_give(&b);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(a.n_local == 0, "its host candidate stays unknown");
        RUN_SIDES(&a, &b, a.n_selected && b.n_selected && a.gathered);
        cr_assert(a.n_local > 0);
        for (size_t i = 0; i < a.n_local; i++)
                cr_assert(a.local[i].type == ICE_CANDIDATE_RELAY);
        cr_assert(a.selected_local.type == ICE_CANDIDATE_RELAY);
        cr_assert(b.selected_remote.type == ICE_CANDIDATE_RELAY);
        cr_assert(ice_agent_send(a.agent, "hello", 5) >= 0);
        RUN_SIDES(&a, &b, b.n_received);
        cr_assert(b.n_data == 5 && memcmp(b.data, "hello", 5) == 0);
        side_stop(&a);
        side_stop(&b);
        turnserver_stop(pid);
}

Test(ice, needs_credentials_for_a_relay)
{
        _cleanup_event_ sd_event *event = make_event();
        IceServer server = { .kind = ICE_SERVER_TURN_UDP, .address = address(TURN_ADDRESS) };
        SocketAddress local = address("127.0.0.1:0");
        IceAgentParameters p = {
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = &server,
                .n_servers = 1,
        };
        IceAgent *agent = NULL;

        cr_assert(ice_agent_new(event, &p, &callbacks, NULL, &agent) == -EINVAL);
        /* And for TLS who speaks it: libnice would send everything in plain. */
        server = (IceServer) {
                .kind = ICE_SERVER_TURN_TLS,
                .address = address(TURN_TLS_ADDRESS),
                .username = "user",
                .password = "secret",
        };
        cr_assert(ice_agent_new(event, &p, &callbacks, NULL, &agent) == -EINVAL);
        cr_assert(!agent);
}

/* ---- ICE-TCP ---- */

Test(ice, connects_over_tcp)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress local;
        IceAgentParameters p = { .tcp = true, .local_addresses = &local, .n_local_addresses = 1 };
        Side a = {}, b = {};
        int fd = -EBADF;

        sandbox_enter();
        event = make_event();
        cr_assert(socket_address_from_ip("127.0.0.1", 0, &local) >= 0);
        p.controlling = true;
        side_start_with(&a, event, &p);
        p.controlling = false;
        side_start_with(&b, event, &p);
        a.filter_transport = b.filter_transport = ICE_TRANSPORT_TCP_PASSIVE;
        sides_introduce(&a, &b);
        connect_sides(&a, &b);
        cr_assert(a.selected_local.transport != ICE_TRANSPORT_UDP);
        cr_assert(ice_agent_open_data_socket(a.agent, &fd) == -EOPNOTSUPP);
        cr_assert(ice_agent_send(a.agent, "over tcp", 8) >= 0);
        RUN_SIDES(&a, &b, b.n_data == 8 && memcmp(b.data, "over tcp", 8) == 0);
        side_stop(&a);
        side_stop(&b);
}

/* ---- input ---- */

Test(ice, checks_credentials)
{
        _cleanup_event_ sd_event *event = NULL;
        char ufrag[ICE_CREDENTIAL_MAX + 2], pwd[ICE_CREDENTIAL_MAX + 2];
        IceCandidate c = { .priority = 1, .address = address("127.0.0.1:1000") };
        Side s = {};

        sandbox_enter();
        event = make_event();
        side_start(&s, event, "127.0.0.1", true);
        cr_assert(ice_agent_gather(s.agent) >= 0);
        memset(ufrag, 'u', sizeof(ufrag) - 1);
        memset(pwd, 'p', sizeof(pwd) - 1);
        ufrag[ICE_CREDENTIAL_MAX + 1] = pwd[ICE_CREDENTIAL_MAX + 1] = 0;

        cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == -ENOTCONN);
        cr_assert(ice_agent_set_remote_credentials(s.agent, "abc", pwd + 200) == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, "abcd", "tooshort") == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, "ab:d", pwd + 200) == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, "", "") == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, ufrag, pwd + 1) == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, ufrag + 1, pwd) == -EINVAL);
        cr_assert(ice_agent_set_remote_credentials(s.agent, ufrag + 1, pwd + 1) >= 0);
        cr_assert(ice_agent_set_remote_credentials(s.agent, ufrag + 1, pwd + 1) == -EALREADY);
        side_stop(&s);
}

static IceCandidate candidate(const char *a, IceCandidateType type, uint32_t priority)
{
        return (IceCandidate) {
                .foundation = "1", .type = type, .priority = priority, .address = address(a)
        };
}

Test(ice, refuses_what_libnice_cannot_bear)
{
        _cleanup_event_ sd_event *event = NULL;
        IceCandidate c;
        Side s = {};
        unsigned taken = 0;

        sandbox_enter();
        event = make_event();
        side_start(&s, event, "127.0.0.1", true);
        cr_assert(ice_agent_gather(s.agent) >= 0);
        cr_assert(ice_agent_set_remote_credentials(s.agent, "abcd", "0123456789012345678901") >= 0);

#define REFUSED(...)                                                                                        \
        c = candidate(__VA_ARGS__);                                                                         \
        cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == 0)
        REFUSED("127.0.0.1:1000", ICE_CANDIDATE_HOST, 0);
        REFUSED("127.0.0.1:1000", ICE_CANDIDATE_PRFLX, 1);
        REFUSED("127.0.0.1:0", ICE_CANDIDATE_HOST, 1);
        REFUSED("0.0.0.0:1000", ICE_CANDIDATE_HOST, 1);
        REFUSED("224.0.0.1:1000", ICE_CANDIDATE_HOST, 1);
        REFUSED("255.255.255.255:1000", ICE_CANDIDATE_HOST, 1);
        REFUSED("[2001:db8::1]:1000", ICE_CANDIDATE_HOST, 1); /* we have no IPv6 */
        c = candidate("127.0.0.1:1000", ICE_CANDIDATE_HOST, 1);
        for (int t = -3; t < 9; t++) {
                c.transport = (IceTransport) t;
                cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == (t == ICE_TRANSPORT_UDP));
        }
        c.transport = ICE_TRANSPORT_UDP;
        c.type = (IceCandidateType) 77;
        c.address = address("127.0.0.1:1001");
        cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == 0);

        /* A srflx with the address and a higher priority than a host, in front of it: the abort of libnice's
         * issue 180. And ourselves. */
        c = candidate("127.0.0.1:1002", ICE_CANDIDATE_SRFLX, UINT32_MAX);
        cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == 1);
        REFUSED("127.0.0.1:1002", ICE_CANDIDATE_HOST, 5);
        REFUSED("127.0.0.1:1002", ICE_CANDIDATE_SRFLX, 7);
        c = s.local[0];
        cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == 1);

        for (unsigned i = 0; i < 1000; i++) {
                int r;

                c = candidate("127.0.0.1:2000", ICE_CANDIDATE_HOST,
                              1 + (uint32_t) random_below(UINT32_MAX - 1));
                socket_address_set_port(&c.address, (uint16_t) (2000 + i));
                r = ice_agent_add_remote_candidate(s.agent, &c);
                cr_assert(r >= 0);
                taken += (unsigned) r;
        }
        cr_assert(taken == ICE_REMOTE_CANDIDATES_MAX - 3);
        cr_assert(ice_agent_end_of_candidates(s.agent) >= 0);
        RUN_UNTIL(event, s.state == ICE_STATE_CHECKING);
        side_stop(&s);
}

/* A relay is of the family that its server likes, and comes when the peer's candidates may be there already.
 */
Test(ice, keeps_what_a_relay_may_be_paired_with)
{
        _cleanup_event_ sd_event *event = NULL;
        IceServer server = { .kind = ICE_SERVER_TURN_UDP, .username = "user", .password = "secret" };
        SocketAddress local = address("[::1]:0");
        IceAgentParameters p = { .controlling = true, .local_addresses = &local, .n_local_addresses = 1 };
        IceCandidate c = candidate("198.51.100.1:1000", ICE_CANDIDATE_RELAY, 1);

        sandbox_enter();
        event = make_event();
        server.address = address("[::1]:3478"); /* where nobody is */
        p.servers = &server;
        for (p.n_servers = 0; p.n_servers < 2; p.n_servers++) {
                Side s = {};

                side_start_with(&s, event, &p);
                cr_assert(ice_agent_gather(s.agent) >= 0);
                cr_assert(ice_agent_set_remote_credentials(s.agent, "abcd", "0123456789012345678901") >= 0);
                cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == (int) p.n_servers);
                c.transport = ICE_TRANSPORT_TCP_PASSIVE;
                cr_assert(ice_agent_add_remote_candidate(s.agent, &c) == 0);
                c.transport = ICE_TRANSPORT_UDP;
                side_stop(&s);
        }
}

/* Good ones among the bad: they still connect. */
Test(ice, connects_in_spite_of_dead_candidates)
{
        _cleanup_event_ sd_event *event = NULL;
        Side a = {}, b = {};

        sandbox_enter();
        event = make_event();
        side_start(&a, event, "127.0.0.1", true);
        side_start(&b, event, "127.0.0.1", false);
        sides_introduce(&a, &b);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(ice_agent_gather(b.agent) >= 0);
        for (uint16_t i = 0; i < 10; i++) {
                IceCandidate c = candidate("127.0.0.1:3000", ICE_CANDIDATE_HOST, UINT32_MAX - i);

                socket_address_set_port(&c.address, (uint16_t) (3000 + i));
                cr_assert(ice_agent_add_remote_candidate(a.agent, &c) == 1);
        }
        RUN_SIDES(&a, &b, a.n_selected && b.n_selected);
        side_stop(&a);
        side_stop(&b);
}

/* Garbage of every kind at libnice's own socket. */
Test(ice, survives_garbage_on_its_port)
{
        _cleanup_event_ sd_event *event = NULL;
        uint8_t b[600];
        Side a = {}, z = {};
        int fd;

        sandbox_enter();
        event = make_event();
        fd = udp_socket("127.0.0.1:0");
        side_start(&a, event, "127.0.0.1", true);
        side_start(&z, event, "127.0.0.1", false);
        sides_introduce(&a, &z);
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(ice_agent_gather(z.agent) >= 0);
        for (unsigned i = 0; i < 2000; i++) {
                size_t n = 1 + random_below(sizeof(b) - 1);
                uint16_t length = htons((uint16_t) (n - 20));

                random_bytes(b, n);
                if (n > 20 && i % 4 != 0) {
                        /* something like STUN: requests, responses, errors, indications */
                        b[0] = (uint8_t) (i & 1);
                        b[1] = (uint8_t[]) { 0x01, 0x11, 0x01, 0x03, 0x13, 0x08, 0x09 }[i % 7];
                        memcpy(b + 2, &length, 2);
                        memcpy(b + 4, "\x21\x12\xa4\x42", 4);
                }
                send_from(fd, &a.local[0].address, b, n);
                while (i % 50 == 0 && sd_event_run(event, 0) > 0)
                        ;
        }
        RUN_SIDES(&a, &z, a.n_selected && z.n_selected);
        side_stop(&a);
        side_stop(&z);
        close(fd);
}

Test(ice, needs_a_usable_local_address)
{
        _cleanup_event_ sd_event *event = make_event();
        SocketAddress local[3] = { address("0.0.0.0:0"), address("[ff02::1]:0") };
        IceAgentParameters p = { .local_addresses = local, .n_local_addresses = 3 };
        IceAgent *agent = NULL;

        cr_assert(ice_agent_new(event, &p, &callbacks, NULL, &agent) == -EINVAL);
        p.n_local_addresses = 0;
        cr_assert(ice_agent_new(event, &p, &callbacks, NULL, &agent) == -EINVAL);
        cr_assert(!agent);
}

/* libnice aborts on an address at place 64 or later. */
Test(ice, leaves_out_addresses_far_down_the_list)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress local[120];
        IceAgentParameters p = { .local_addresses = local };
        Side s = {};

        sandbox_enter();
        event = make_event();
        for (unsigned i = 0; i < 100; i++) {
                char command[64];

                snprintf(command, sizeof(command), "ip address add 192.0.2.%u/32 dev lo", i + 1);
                if (system(command) != 0)
                        cr_skip("no ip(8) here");
        }
        /* Not the host's: it would count as behind the last. */
        local[p.n_local_addresses++] = address("198.51.100.1:0");
        for (unsigned i = 100; i-- > 0;) {
                local[p.n_local_addresses] = address("192.0.2.1:0");
                local[p.n_local_addresses++].in.sin_addr.s_addr = htonl(0xc0000201 + i);
        }
        side_start_with(&s, event, &p);
        cr_assert(ice_agent_gather(s.agent) >= 0);
        cr_assert(s.n_local > 0 && s.n_local <= 48);
        side_stop(&s);
}

Test(ice, refuses_to_run_out_of_file_descriptors)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress local = address("127.0.0.1:0");
        IceAgentParameters p = { .local_addresses = &local, .n_local_addresses = 1 };
        struct rlimit limit = { 40, 40 };
        IceAgent *agents[40];
        size_t n = 0;
        int r;

        sandbox_enter();
        event = make_event();
        cr_assert(setrlimit(RLIMIT_NOFILE, &limit) >= 0);
        while (n < ELEMENTSOF(agents)) {
                r = ice_agent_new(event, &p, &(IceAgentCallbacks) {}, NULL, agents + n);
                if (r < 0)
                        break;
                cr_assert(ice_agent_gather(agents[n++]) >= 0);
        }
        cr_assert(n > 0 && n < ELEMENTSOF(agents));
        cr_assert(r == -EMFILE);
        while (n > 0)
                ice_agent_free(agents[--n]);
}

/* ---- freeing ---- */

static void free_inside(Callback which)
{
        _cleanup_event_ sd_event *event = NULL;
        Side a = {}, b = {};

        sandbox_enter();
        event = make_event();
        side_start(&a, event, "127.0.0.1", true);
        side_start(&b, event, "127.0.0.1", false);
        sides_introduce(&a, &b);
        b.free_on = which;
        cr_assert(ice_agent_gather(a.agent) >= 0);
        cr_assert(ice_agent_gather(b.agent) >= 0);
        RUN_SIDES(&a, &b, ({
                if (b.n_selected && a.n_selected && a.agent)
                        (void) ice_agent_send(a.agent, "x", 1);
                b.seen & which;
        }));
        cr_assert(!b.agent);
        side_stop(&a);
}

Test(ice, may_be_freed_inside_candidate)
{
        free_inside(ON_CANDIDATE);
}

Test(ice, may_be_freed_inside_gathering_done)
{
        free_inside(ON_GATHERED);
}

Test(ice, may_be_freed_inside_state)
{
        free_inside(ON_STATE);
}

Test(ice, may_be_freed_inside_selected)
{
        free_inside(ON_SELECTED);
}

Test(ice, may_be_freed_inside_data)
{
        free_inside(ON_DATA);
}

/* From a timer of ours, with checks under way, and the event right after. */
Test(ice, may_be_freed_at_any_time)
{
        for (unsigned turns = 0; turns < 60; turns += 3) {
                _cleanup_event_ sd_event *event = NULL;
                Side a = {}, b = {};

                if (turns == 0)
                        sandbox_enter();
                event = make_event();
                side_start(&a, event, "127.0.0.1", true);
                side_start(&b, event, "127.0.0.1", false);
                sides_introduce(&a, &b);
                cr_assert(ice_agent_gather(a.agent) >= 0);
                cr_assert(ice_agent_gather(b.agent) >= 0);
                for (unsigned i = 0; i < turns; i++) {
                        side_give(&a);
                        side_give(&b);
                        cr_assert(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
                }
                side_stop(&a);
                if (turns % 2)
                        cr_assert(sd_event_run(event, 0) >= 0);
                side_stop(&b);
        }
}

/* ---- many ---- */

#define PAIRS 50

Test(ice, a_hundred_agents)
{
        _cleanup_event_ sd_event *event = NULL;
        static Side sides[PAIRS * 2];
        int n_threads = count_threads();
        size_t connected;

        sandbox_enter();
        event = make_event();
        for (size_t i = 0; i < PAIRS; i++) {
                Side *a = sides + 2 * i, *b = a + 1;

                side_start(a, event, "127.0.0.1", true);
                side_start(b, event, "127.0.0.1", false);
                sides_introduce(a, b);
                cr_assert(ice_agent_gather(a->agent) >= 0);
                cr_assert(ice_agent_gather(b->agent) >= 0);
        }
        RUN_UNTIL(event, ({
                          connected = 0;
                          for (size_t i = 0; i < PAIRS * 2; i++) {
                                  side_give(sides + i);
                                  connected += sides[i].state == ICE_STATE_READY;
                          }
                          connected == PAIRS * 2;
                  }));
        for (size_t i = 0; i < PAIRS * 2; i++)
                side_stop(sides + i);
        while (sd_event_run(event, 0) > 0)
                ;
        cr_assert(count_threads() == n_threads, "GLib or libnice has started a thread");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UDP that looks like WireGuard's data, from a socket of this network namespace to one of another, past two
 * BPF programs: one at our uplink, on the way out, and one at the other's, on the way in.
 *
 *     udp-load compare|clock ADDRESS PORT BYTES SEGMENTS COUNT EGRESS-LINK INGRESS-LINK NETNS PID
 *
 * The programs are named by the IDs of the links (BPF's) that attach them. PORT is one that the process PID,
 * a userspace WireGuard in the namespace NETNS, has on every address there: what goes to ADDRESS is ours,
 * and the rest remains with it. One thread sends and receives, so that what is measured is the way of the
 * packets, all of it, and no other processor has a part in it.
 *
 * compare takes over from the links, and measures with the program on the way out, with the one on the way
 * in, with both, and with empty ones in their place, COUNT times each, and each time beside one without any
 * program, for a few milliseconds: neither a virtual machine's share of the processor nor what else runs
 * there stays the same for long. clock has the kernel measure, for COUNT packets, how long each program
 * runs, beside an empty one: what that seems to take, the measurement takes. And how long each takes on
 * average for the same packet, many times in a row, with nothing in between that would read a clock, or have
 * others' code and data in the processor's caches. Both print JSON. */

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hook.h"

#define BATCH 64
#define PACKET_MAX 65536
#define FDS_MAX 1024
#define RECEIVE_BUFFER (16 * 1024 * 1024)
/* Batches in one measurement, whose median counts; and those before it, until a change of programs has
 * settled. */
#define BATCHES 5
#define WARM_UP_BATCHES 1
#define RUNS_IN_A_ROW (1 << 20)

/* type 4, receiver's index: transport data (the WireGuard paper, section 5.4.6). */
static const uint8_t DATA_MESSAGE[] = { 4, 0, 0, 0, 0x5a, 0xa5, 0x5a, 0xa5 };

static double now(void)
{
        struct timespec t;

        if (clock_gettime(CLOCK_MONOTONIC, &t) < 0)
                err(EXIT_FAILURE, "clock_gettime");
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static struct sockaddr_in to_address(const char *address, const char *port)
{
        struct sockaddr_in out = { .sin_family = AF_INET, .sin_port = htons((uint16_t) number(port)) };

        if (inet_pton(AF_INET, address, &out.sin_addr) != 1)
                errx(EXIT_FAILURE, "no IPv4 address: %s", address);
        return out;
}

/* On the first CPU that we may use: moving would cost more than what is measured. */
static void pin(void)
{
        cpu_set_t may, one;
        int cpu = 0;

        if (sched_getaffinity(0, sizeof(may), &may) < 0)
                err(EXIT_FAILURE, "sched_getaffinity");
        while (!CPU_ISSET(cpu, &may))
                cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof(one), &one) < 0)
                err(EXIT_FAILURE, "sched_setaffinity");
}

/* --- programs --- */

static int load_empty(void)
{
        const struct bpf_insn instructions[] = {
                { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TCX_NEXT },
                { .code = BPF_JMP | BPF_EXIT },
        };
        int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", instructions,
                               sizeof(instructions) / sizeof(*instructions), NULL);

        if (fd < 0)
                err(EXIT_FAILURE, "an empty program");
        return fd;
}

typedef struct RunTime {
        double nsec;
        double runs;
} RunTime;

static RunTime run_time(int program)
{
        struct bpf_prog_info info = {};
        __u32 size = sizeof(info);

        if (bpf_prog_get_info_by_fd(program, &info, &size) < 0)
                err(EXIT_FAILURE, "bpf_prog_get_info_by_fd");
        return (RunTime) { (double) info.run_time_ns, (double) info.run_cnt };
}

static double per_run(RunTime before, RunTime after)
{
        if (after.runs <= before.runs)
                errx(EXIT_FAILURE, "a program has not run");
        return (after.nsec - before.nsec) / (after.runs - before.runs);
}

/* In whole nanoseconds; the call, and the loop, are in it. */
static double in_a_row(int program, uint16_t port)
{
        struct {
                struct ether_header ethernet;
                struct iphdr ip;
                struct udphdr udp;
                uint8_t message[32];
        } __attribute__((packed)) frame = {
                .ethernet.ether_type = htons(ETHERTYPE_IP),
                .ip = {
                        .version = IPVERSION,
                        .ihl = sizeof(frame.ip) / 4,
                        .tot_len = htons(sizeof(frame) - sizeof(frame.ethernet)),
                        .protocol = IPPROTO_UDP,
                },
                .udp = {
                        .source = port,
                        .dest = port,
                        .len = htons(sizeof(frame.udp) + sizeof(frame.message)),
                },
        };
        LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &frame, .data_size_in = sizeof(frame),
                    .repeat = RUNS_IN_A_ROW);

        memcpy(frame.message, DATA_MESSAGE, sizeof(DATA_MESSAGE));
        if (bpf_prog_test_run_opts(program, &options) < 0)
                err(EXIT_FAILURE, "bpf_prog_test_run_opts");
        return options.duration;
}

/* --- the load --- */

static bool is_udp_at(int fd, uint16_t port)
{
        struct sockaddr_storage address;
        socklen_t size = sizeof(address), int_size = sizeof(int);
        int protocol;

        if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &int_size) < 0 || protocol != IPPROTO_UDP ||
            getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return false;
        /* The port is at the same place in both families. */
        return ((const struct sockaddr_in *) &address)->sin_port == port;
}

/* Lets us bind beside the sockets that the process has at this port. */
static void share_port(unsigned pid, uint16_t port)
{
        int pidfd = (int) syscall(SYS_pidfd_open, pid, 0), yes = 1;
        unsigned found = 0;

        if (pidfd < 0)
                err(EXIT_FAILURE, "pidfd_open");
        for (int i = 0; i < FDS_MAX; i++) {
                int fd = (int) syscall(SYS_pidfd_getfd, pidfd, i, 0);

                if (fd < 0)
                        continue;
                if (is_udp_at(fd, port) && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0)
                        found++;
                close(fd);
        }
        close(pidfd);
        if (found == 0)
                errx(EXIT_FAILURE, "process %u has no UDP socket at port %u", pid, ntohs(port));
}

static int udp_socket(int netns)
{
        int fd;

        netns_enter(netns);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                err(EXIT_FAILURE, "socket");
        return fd;
}

typedef struct Load {
        int home, away; /* namespaces */
        int source, sink;
        uint16_t port;
        unsigned bytes, segments;
        uint8_t packet[PACKET_MAX], arrived[PACKET_MAX];
        struct iovec packet_io, arrived_io;
        struct mmsghdr out[BATCH], in[BATCH]; /* the same packet every time */
} Load;

static void load_bind(Load *load, const struct sockaddr_in *at)
{
        int size = RECEIVE_BUFFER, yes = 1, bytes = (int) load->bytes;

        load->sink = udp_socket(load->away);
        if (setsockopt(load->sink, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
            setsockopt(load->sink, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
            bind(load->sink, (const struct sockaddr *) at, sizeof(*at)) < 0)
                err(EXIT_FAILURE, "bind");
        if (load->segments > 1 && setsockopt(load->sink, SOL_UDP, UDP_GRO, &yes, sizeof(yes)) < 0)
                err(EXIT_FAILURE, "UDP_GRO");
        load->source = udp_socket(load->home);
        if (load->segments > 1 && setsockopt(load->source, SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)) < 0)
                err(EXIT_FAILURE, "UDP_SEGMENT");
        if (connect(load->source, (const struct sockaddr *) at, sizeof(*at)) < 0)
                err(EXIT_FAILURE, "connect");
}

/* ADDRESS PORT BYTES SEGMENTS … NETNS PID */
static void load_open(Load *load, char *const argv[])
{
        struct sockaddr_in at = to_address(argv[0], argv[1]);

        *load = (Load) {
                .home = netns_open("/proc/self/ns/net"),
                .away = netns_open(argv[7]),
                .port = at.sin_port,
                .bytes = number(argv[2]),
                .segments = number(argv[3]),
                .arrived_io = { load->arrived, sizeof(load->arrived) },
        };
        if (load->bytes < sizeof(DATA_MESSAGE) || load->segments < 1 ||
            load->segments > UINT16_MAX / load->bytes)
                errx(EXIT_FAILURE, "no such packets: %s bytes, %s at a time", argv[2], argv[3]);
        for (unsigned i = 0; i < load->segments; i++)
                memcpy(load->packet + i * load->bytes, DATA_MESSAGE, sizeof(DATA_MESSAGE));
        load->packet_io = (struct iovec) { load->packet, load->bytes * load->segments };
        for (unsigned i = 0; i < BATCH; i++) {
                load->out[i].msg_hdr = (struct msghdr) { .msg_iov = &load->packet_io, .msg_iovlen = 1 };
                load->in[i].msg_hdr = (struct msghdr) { .msg_iov = &load->arrived_io, .msg_iovlen = 1 };
        }
        pin();
        share_port(number(argv[8]), at.sin_port);
        load_bind(load, &at);
}

/* Sends packets and takes all of them; returns how many seconds that took. */
static double load_run(Load *load)
{
        double start = now();
        int sent = sendmmsg(load->source, load->out, BATCH, 0), n;

        if (sent < 0)
                err(EXIT_FAILURE, "sendmmsg");
        for (int left = sent; left > 0; left -= n) {
                n = recvmmsg(load->sink, load->in, BATCH, MSG_WAITFORONE, NULL);
                if (n < 0)
                        err(EXIT_FAILURE, "recvmmsg");
        }
        return (now() - start) * BATCH / sent;
}

/* --- what is measured --- */

static int compare_doubles(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Which of these are attached, for a measurement. */
typedef enum Choice {
        CHOICE_NONE = 0,
        CHOICE_EGRESS = 1 << 0,
        CHOICE_INGRESS = 1 << 1,
        CHOICE_BOTH = CHOICE_EGRESS | CHOICE_INGRESS,
} Choice;

static const struct {
        const char *name;
        Choice choice;
        bool empty;
} measurements[] = {
        { "egress", CHOICE_EGRESS, false },   { "empty_egress", CHOICE_EGRESS, true },
        { "ingress", CHOICE_INGRESS, false }, { "empty_ingress", CHOICE_INGRESS, true },
        { "two_hosts", CHOICE_BOTH, false },  { "two_hosts_empty", CHOICE_BOTH, true },
};
#define N_MEASUREMENTS (sizeof(measurements) / sizeof(*measurements))

/* Packets per second, for a moment. */
static double measure(Load *load, Choice choice, Hook hooks[2])
{
        double seconds[BATCHES];

        for (unsigned i = 0; i < 2; i++)
                if (choice & 1U << i)
                        hook_attach(&hooks[i]);
        for (unsigned i = 0; i < WARM_UP_BATCHES; i++)
                (void) load_run(load);
        for (unsigned i = 0; i < BATCHES; i++)
                seconds[i] = load_run(load);
        for (unsigned i = 0; i < 2; i++)
                if (choice & 1U << i)
                        hook_detach(&hooks[i]);
        qsort(seconds, BATCHES, sizeof(*seconds), compare_doubles);
        return BATCH * load->segments / seconds[BATCHES / 2];
}

static void compare(Load *load, unsigned count, char *const links[])
{
        Hook ours[] = {
                hook_open(links[0], load->home, /* take_over= */ true),
                hook_open(links[1], load->away, /* take_over= */ true),
        };
        Hook empty[] = { ours[0], ours[1] };

        empty[0].program = empty[1].program = load_empty();
        printf("[");
        for (unsigned i = 0; i < count; i++) {
                for (unsigned m = 0; m < N_MEASUREMENTS; m++) {
                        Hook *hooks = measurements[m].empty ? empty : ours;
                        bool without_first = i % 2 == 0;
                        double with, without;

                        if (without_first)
                                without = measure(load, CHOICE_NONE, hooks);
                        with = measure(load, measurements[m].choice, hooks);
                        if (!without_first)
                                without = measure(load, CHOICE_NONE, hooks);
                        printf("%s\"%s\": [%.1f, %.1f]",
                               m   ? ", "
                               : i ? "}, {"
                                   : "{",
                               measurements[m].name, with, without);
                }
        }
        printf("%s]\n", count ? "}" : "");
}

static void clock_programs(Load *load, unsigned packets, char *const links[])
{
        Hook egress = hook_open(links[0], load->home, /* take_over= */ false), empty = egress;
        Hook ingress = hook_open(links[1], load->away, /* take_over= */ false);
        RunTime before[3];
        int enabled;

        empty.program = load_empty();
        hook_attach(&empty);
        /* Until it is closed. */
        enabled = bpf_enable_stats(BPF_STATS_RUN_TIME);
        if (enabled < 0)
                err(EXIT_FAILURE, "bpf_enable_stats");
        for (unsigned i = 0; i < WARM_UP_BATCHES; i++)
                (void) load_run(load);
        before[0] = run_time(egress.program);
        before[1] = run_time(ingress.program);
        before[2] = run_time(empty.program);
        for (unsigned i = 0; i < packets; i += BATCH * load->segments)
                (void) load_run(load);
        printf("{\"egress_ns\": %.2f, \"ingress_ns\": %.2f, \"empty_ns\": %.2f, ",
               per_run(before[0], run_time(egress.program)), per_run(before[1], run_time(ingress.program)),
               per_run(before[2], run_time(empty.program)));
        close(enabled);
        hook_detach(&empty);
        printf("\"egress_in_a_row_ns\": %.0f, \"ingress_in_a_row_ns\": %.0f, \"empty_in_a_row_ns\": %.0f}\n",
               in_a_row(egress.program, load->port), in_a_row(ingress.program, load->port),
               in_a_row(empty.program, load->port));
}

int main(int argc, char *argv[])
{
        static Load load;
        const char *verb = argc > 1 ? argv[1] : "";
        unsigned count;

        if (argc != 11 || (strcmp(verb, "compare") != 0 && strcmp(verb, "clock") != 0)) {
                fputs("usage: udp-load compare|clock ADDRESS PORT BYTES SEGMENTS COUNT EGRESS-LINK "
                      "INGRESS-LINK "
                      "NETNS PID\n",
                      stderr);
                return 2;
        }
        count = number(argv[6]);
        load_open(&load, argv + 2);
        if (strcmp(verb, "compare") == 0)
                compare(&load, count, argv + 7);
        else
                clock_programs(&load, count, argv + 7);
        return EXIT_SUCCESS;
}

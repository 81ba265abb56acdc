/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ice-data-socket.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "fd-util.h"
#include "macro.h"
#include "socket-address.h"

/* Indexes in the group. The base is the first of it. When one of the others is closed the last one takes its
 * place (net/core/sock_reuseport.c), so that as long as there is another one, one is number 1; an index that
 * nobody has falls back to a hash over those that are there, which then is the base alone. */
#define INDEX_BASE 0
#define INDEX_DATA 1

/* The offsets count from the UDP payload (reuseport_select_sock() pulls the header first). A load beyond the
 * end of the packet ends the program with 0: the base. */
static const struct sock_filter program[] = {
        /* the three reserved bytes of a WireGuard message; loads are in network order */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x00ffffff),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4),
        /* its message type */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 4, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, INDEX_DATA),
        BPF_STMT(BPF_RET | BPF_K, INDEX_BASE),
};

static int set_int(int fd, int level, int option, int value)
{
        return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void copy_int(int from, int to, int level, int option)
{
        int value;
        socklen_t size = sizeof(value);

        if (getsockopt(from, level, option, &value, &size) >= 0)
                (void) setsockopt(to, level, option, &value, size);
}

/* Out of the same interface as the base, and fragmented where need be, as kernel WireGuard's own packets
 * are. */
static void set_ip_options(int fd, int base_fd, int family)
{
        if (family == AF_INET) {
                copy_int(base_fd, fd, IPPROTO_IP, IP_UNICAST_IF);
                (void) set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
        } else {
                copy_int(base_fd, fd, IPPROTO_IPV6, IPV6_UNICAST_IF);
                (void) set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
        }
}

/* The base has SO_REUSEADDR only for the moment (a STUN query's socket may be on the port as well, and both
 * options have to match then): otherwise anybody could bind there. */
static int bind_into_group(int fd, int base_fd, const SocketAddress *a)
{
        int r;

        r = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (r >= 0)
                r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (r >= 0)
                r = set_int(base_fd, SOL_SOCKET, SO_REUSEPORT, 1);
        if (r >= 0)
                r = set_int(base_fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (r >= 0 && bind(fd, &a->sa, socket_address_length(a)) < 0)
                r = -errno;
        (void) set_int(base_fd, SOL_SOCKET, SO_REUSEADDR, 0);
        return r;
}

int ice_data_socket_open(int base_fd, int *ret)
{
        const struct sock_fprog fprog = { .len = ELEMENTSOF(program),
                                          .filter = (struct sock_filter *) program };
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);
        SocketAddress a;
        int r;

        if (getsockname(base_fd, (struct sockaddr *) &storage, &size) < 0)
                return -errno;
        r = socket_address_from_sockaddr(&storage, size, &a);
        if (r < 0)
                return r;
        fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        set_ip_options(fd, base_fd, a.sa.sa_family);
        r = bind_into_group(fd, base_fd, &a);
        if (r < 0)
                return r;
        /* Until here a packet may have gone either way by its hash: nobody has been told of the path yet. */
        if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &fprog, sizeof(fprog)) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

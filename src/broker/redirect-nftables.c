/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-nftables.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <endian.h>
#include <inttypes.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"

typedef struct RedirectNftables {
        RedirectBackend backend;
        struct nft_ctx *nft; /* the table is its netlink socket's: it goes when that does */
        RedirectSocket *sockets;
        size_t n_sockets, allocated;
} RedirectNftables;

/* ---- The table ---- */

/* The rules never change, sockets are elements of sets and maps, those of each family in its own:
 *
 *   sockets       (local address, P) -> W
 *   relaying      (local address, P), those with keeps_relays
 *   relays        (address, port) of TURN servers
 *   transactions  (local address, ID of a request that was sent) -> P
 *   requests      (local address, W, ufrag) -> P
 *   ports         W
 *
 * Source ports change before connection tracking, and destination ports behind the filter: the host's own
 * firewall sees STUN as part of WireGuard's flow. The input hook has no packets that are for others, and no
 * fragments; the output hook has forwarded ones neither.
 *
 * Bits of the STUN header (RFC 8489, section 5), counted from the UDP header as nftables does: 64 and 65 are
 * zero, 71 and 75 are the class (00 a request, 10 and 11 responses), 80 length, 96 cookie, 128 transaction
 * ID, 224 attributes. WireGuard's packets have zeroes where the length is; what is for us has attributes.
 * Bit by bit, since `nft list` shows a mask with holes (0xc110) as something else. */
static const char table_start[] = "create table " REDIRECT_NFTABLES_TABLE " {\n"
                                  "  flags owner\n"
                                  "  comment \"ICE shares the UDP ports of WireGuard\"\n";

/* %1$c: 4, 6; %2$s: ip, ip6; %3$s: ipv4_addr, ipv6_addr.
 *
 * A transaction counts for 30 seconds after the last time that its request was sent.
 *
 * The kernel spoils what it knows about a packet's checksum when nftables changes a port: where connection
 * tracking has checked it, since the network card could not, UDP then drops what is longer than 76 bytes.
 * Hence no checksum at all; redirect_nftables_prepare() has the socket accept that.
 *
 * nftables cannot walk through attributes, so each place where USERNAME (type 6, and a colon behind the
 * ufrag) may begin has its rule: behind PRIORITY (8 bytes) and ICE-CONTROLLED or ICE-CONTROLLING (12 bytes),
 * as libnice writes it; behind these and USE-CANDIDATE (4 bytes), in nominations; at once, as our own STUN
 * client writes it. What nobody waits for matches no element and goes to WireGuard, which drops it. */
static const char table_family[] =
        "  map sockets%1$c { type %3$s . inet_service : inet_service; }\n"
        "  set relaying%1$c { type %3$s . inet_service; }\n"
        "  set relays%1$c { type %3$s . inet_service; }\n"
        "  map transactions%1$c {\n"
        "    typeof %2$s saddr . @th,128,96 : udp sport\n"
        "    flags dynamic,timeout\n"
        "    timeout 30s\n"
        "    size 65536\n"
        "  }\n"
        "  map requests%1$c { typeof %2$s daddr . udp dport . @th,416,64 : udp dport; }\n"
        "  chain out%1$c {\n"
        "    %2$s saddr . udp sport @relaying%1$c %2$s daddr . udp dport @relays%1$c return\n"
        "    %2$s saddr . udp sport @sockets%1$c"
        " @th,64,2 0 @th,71,1 0 @th,75,1 0 @th,96,32 0x2112a442"
        " update @transactions%1$c { %2$s saddr . @th,128,96 : udp sport }\n"
        "    udp sport set %2$s saddr . udp sport map @sockets%1$c\n"
        "  }\n"
        "  chain request%1$c {\n"
        "    @th,384,16 6 @th,480,8 0x3a"
        " udp dport set %2$s daddr . udp dport . @th,416,64 map @requests%1$c udp checksum set 0 return\n"
        "    @th,416,16 6 @th,512,8 0x3a"
        " udp dport set %2$s daddr . udp dport . @th,448,64 map @requests%1$c udp checksum set 0 return\n"
        "    @th,224,16 6 @th,320,8 0x3a"
        " udp dport set %2$s daddr . udp dport . @th,256,64 map @requests%1$c udp checksum set 0 return\n"
        "  }\n"
        "  chain in%1$c {\n"
        "    @th,71,1 0 @th,75,1 0 goto request%1$c\n"
        "    @th,71,1 1 udp dport set %2$s daddr . @th,128,96 map @transactions%1$c udp checksum set 0\n"
        "  }\n";

/* %1$u: user ID. */
static const char table_hooks[] =
        "  set ports { type inet_service; }\n"
        "  chain output {\n"
        "    type filter hook output priority raw\n"
        "    meta l4proto udp meta skuid %1$u meta nfproto vmap { ipv4 : goto out4, ipv6 : goto out6 }\n"
        "  }\n"
        "  chain input {\n"
        "    type filter hook input priority 150\n"
        "    udp dport @ports @th,64,2 0 @th,80,16 != 0 @th,94,2 0 @th,96,32 0x2112a442"
        " meta nfproto vmap { ipv4 : goto in4, ipv6 : goto in6 }\n"
        "  }\n"
        "}\n";

static char *format_table(uid_t user)
{
        _cleanup_free_ char *ipv4 = asprintf_safe(table_family, '4', "ip", "ipv4_addr");
        _cleanup_free_ char *ipv6 = asprintf_safe(table_family, '6', "ip6", "ipv6_addr");
        _cleanup_free_ char *hooks = asprintf_safe(table_hooks, (unsigned) user);

        return ipv4 && ipv6 && hooks ? asprintf_safe("%s%s%s%s", table_start, ipv4, ipv6, hooks) : NULL;
}

/* ---- libnftables ---- */

/* Loaded only where this backend is wanted: with what it brings along it costs each process that is linked
 * to it 0.8 MiB, and a host whose kernel runs our programs need not have it. */
static struct {
        typeof(nft_ctx_new) *ctx_new;
        typeof(nft_ctx_free) *ctx_free;
        typeof(nft_ctx_buffer_output) *buffer_output;
        typeof(nft_ctx_buffer_error) *buffer_error;
        typeof(nft_ctx_get_error_buffer) *get_error_buffer;
        typeof(nft_run_cmd_from_buffer) *run_cmd_from_buffer;
} library;

#define LIBRARY "libnftables.so.1"

static int load_library(void)
{
        void *handle;

        if (library.run_cmd_from_buffer)
                return 0;
        handle = dlopen(LIBRARY, RTLD_NOW | RTLD_NODELETE);
        if (!handle)
                return -EOPNOTSUPP;
        library.ctx_new = dlsym(handle, "nft_ctx_new");
        library.ctx_free = dlsym(handle, "nft_ctx_free");
        library.buffer_output = dlsym(handle, "nft_ctx_buffer_output");
        library.buffer_error = dlsym(handle, "nft_ctx_buffer_error");
        library.get_error_buffer = dlsym(handle, "nft_ctx_get_error_buffer");
        library.run_cmd_from_buffer = dlsym(handle, "nft_run_cmd_from_buffer");
        (void) dlclose(handle);
        return library.ctx_new && library.ctx_free && library.buffer_output && library.buffer_error &&
                               library.get_error_buffer && library.run_cmd_from_buffer
                       ? 0
                       : -EOPNOTSUPP;
}

/* All of the commands or none of them. The first line of a complaint is the caller's to free. */
static int run(RedirectNftables *n, const char *commands, char **ret_complaint)
{
        const char *error;
        int r;

        errno = 0;
        if (library.run_cmd_from_buffer(n->nft, commands) == 0)
                return 0;
        r = errno > 0 ? -errno : -EIO;
        error = library.get_error_buffer(n->nft);
        log_debug_errno(r, "nftables refused: %s", error);
        if (ret_complaint)
                *ret_complaint = strndup(error, strcspn(error, "\n"));
        return r;
}

/* ---- Sockets ---- */

int redirect_nftables_prepare(int fd)
{
        return setsockopt(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, &(int) { 1 }, sizeof(int)) < 0 ? -errno : 0;
}

static char family_digit(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ? '4' : '6';
}

/* Without the zone that socket_address_format_ip() shows. */
static const char *format_ip(const SocketAddress *a, char buf[static INET6_ADDRSTRLEN])
{
        const void *bytes = a->sa.sa_family == AF_INET ? (const void *) &a->in.sin_addr : &a->in6.sin6_addr;

        return inet_ntop(a->sa.sa_family, bytes, buf, INET6_ADDRSTRLEN);
}

static bool endpoint_is_valid(const SocketAddress *a)
{
        return socket_address_is_set(a) && !socket_address_is_unspecified(a) && socket_address_port(a) != 0;
}

static bool conflicts(const RedirectSocket *a, const RedirectSocket *b)
{
        return redirect_socket_ufrags_clash(a, b) ||
               ((a->cookie == b->cookie || socket_address_equal(&a->local, &b->local)) &&
                !redirect_socket_is_same(a, b));
}

static bool has_socket(const RedirectNftables *n, uint64_t cookie)
{
        for (size_t i = 0; i < n->n_sockets; i++)
                if (n->sockets[i].cookie == cookie)
                        return true;
        return false;
}

static bool port_is_used(const RedirectNftables *n, uint16_t port)
{
        for (size_t i = 0; i < n->n_sockets; i++)
                if (n->sockets[i].wireguard_port == port)
                        return true;
        return false;
}

/* verb: "add" or "delete". All that becomes part of a command here is a number or printed from binary. */
static int change_elements(RedirectNftables *n, const char *verb, const RedirectSocket *s)
{
        char ip[INET6_ADDRSTRLEN], own[128] = "", relaying[128] = "", ports[64] = "";
        char family = family_digit(&s->local);
        uint16_t port = socket_address_port(&s->local);
        _cleanup_free_ char *commands = NULL;
        uint64_t ufrag;

        memcpy(&ufrag, s->ufrag, sizeof(ufrag));
        (void) format_ip(&s->local, ip);
        if (!has_socket(n, s->cookie))
                (void) snprintf(own, sizeof(own),
                                "%s element " REDIRECT_NFTABLES_TABLE " sockets%c { %s . %u : %u }\n", verb,
                                family, ip, port, s->wireguard_port);
        if (!has_socket(n, s->cookie) && s->keeps_relays)
                (void) snprintf(relaying, sizeof(relaying),
                                "%s element " REDIRECT_NFTABLES_TABLE " relaying%c { %s . %u }\n", verb,
                                family, ip, port);
        if (!port_is_used(n, s->wireguard_port))
                (void) snprintf(ports, sizeof(ports),
                                "%s element " REDIRECT_NFTABLES_TABLE " ports { %u }\n", verb,
                                s->wireguard_port);
        commands = asprintf_safe("%s element " REDIRECT_NFTABLES_TABLE
                                 " requests%c { %s . %u . 0x%016" PRIx64 " : %u }\n%s%s%s",
                                 verb, family, ip, s->wireguard_port, be64toh(ufrag), port, own, relaying,
                                 ports);
        if (!commands)
                return -ENOMEM;
        return run(n, commands, /* ret_complaint= */ NULL);
}

/* The same address on two links is one here: packets do not tell. */
static RedirectSocket without_zone(const RedirectSocket *s)
{
        RedirectSocket r = *s;

        if (r.local.sa.sa_family == AF_INET6)
                r.local.in6.sin6_scope_id = 0;
        return r;
}

static int nftables_add(RedirectBackend *b, const RedirectSocket *socket)
{
        RedirectNftables *n = CONTAINER_OF(b, RedirectNftables, backend);
        const RedirectSocket copy = without_zone(socket), *s = &copy;
        int r;

        if (!endpoint_is_valid(&s->local) || s->wireguard_port == 0 ||
            strlen(s->ufrag) != REDIRECT_UFRAG_SIZE)
                return -EINVAL;
        for (size_t i = 0; i < n->n_sockets; i++)
                if (conflicts(&n->sockets[i], s))
                        return -EEXIST;
        if (n->n_sockets >= REDIRECT_NFTABLES_SOCKETS_MAX)
                return -ENOSPC;
        r = GROW_ARRAY(n->sockets, n->allocated, n->n_sockets + 1);
        if (r < 0)
                return r;
        r = change_elements(n, "add", s);
        if (r < 0)
                return r;
        n->sockets[n->n_sockets++] = *s;
        return 0;
}

/* Its transactions end by themselves: their responses go to P, where nobody is. */
static void nftables_remove(RedirectBackend *b, const RedirectSocket *s)
{
        RedirectNftables *n = CONTAINER_OF(b, RedirectNftables, backend);
        RedirectSocket removed;
        size_t i = 0;

        while (i < n->n_sockets &&
               (n->sockets[i].cookie != s->cookie || !streq(n->sockets[i].ufrag, s->ufrag)))
                i++;
        if (i == n->n_sockets)
                return;
        removed = n->sockets[i];
        n->sockets[i] = n->sockets[--n->n_sockets];
        (void) change_elements(n, "delete", &removed);
}

/* ---- Relays ---- */

static int nftables_set_relays(RedirectBackend *b, const SocketAddress *relays, size_t n_relays)
{
        RedirectNftables *n = CONTAINER_OF(b, RedirectNftables, backend);
        _cleanup_free_ char *commands = NULL;
        char ip[INET6_ADDRSTRLEN];
        size_t size;
        FILE *f = open_memstream(&commands, &size);

        if (!f)
                return -ENOMEM;
        fputs("flush set " REDIRECT_NFTABLES_TABLE " relays4\n"
              "flush set " REDIRECT_NFTABLES_TABLE " relays6\n",
              f);
        for (size_t i = 0; i < n_relays; i++)
                if (endpoint_is_valid(&relays[i]))
                        fprintf(f, "add element " REDIRECT_NFTABLES_TABLE " relays%c { %s . %u }\n",
                                family_digit(&relays[i]), format_ip(&relays[i], ip),
                                socket_address_port(&relays[i]));
        if (fclose(f) != 0)
                return -ENOMEM;
        return run(n, commands, /* ret_complaint= */ NULL);
}

/* ---- The backend ---- */

/* Rules are not bound to links. */
static int nftables_set_uplinks(RedirectBackend *b, const int *ifindexes, size_t n)
{
        return 0;
}

static RedirectBackend *nftables_free(RedirectBackend *b)
{
        RedirectNftables *n = CONTAINER_OF(b, RedirectNftables, backend);

        if (n->nft)
                library.ctx_free(n->nft);
        free(n->sockets);
        return mfree(n);
}

/* It moves nothing. A changed address needs a checksum that is right or none (table_family says why), and
 * WireGuard's own socket takes none with IPv6; trains of segments need one; and what is changed in the input
 * hook stays on the link that it came by, which for a proxy's packets is lo. */
static const RedirectBackendOps nftables_ops = {
        .kind = REDIRECT_NFTABLES,
        .add = nftables_add,
        .remove = nftables_remove,
        .set_relays = nftables_set_relays,
        .set_uplinks = nftables_set_uplinks,
        .free = nftables_free,
};

/* libnftables ends the process if it gets no socket, and prints that it is not allowed to do something:
 * hence a question of our own first. The kernel loads nf_tables for it, and answers before sendto(2)
 * returns. -EPROTONOSUPPORT or -EINVAL: there is none; -EPERM. */
static int probe_kernel(void)
{
        struct {
                struct nlmsghdr header;
                struct nfgenmsg generic;
        } request = {
                .header.nlmsg_len = sizeof(request),
                .header.nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN,
                .header.nlmsg_flags = NLM_F_REQUEST,
                .generic.version = NFNETLINK_V0,
        };
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                uint8_t more[256];
        } answer;
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
        ssize_t n;

        if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0)
                return -errno;
        n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
        if (n < 0)
                return -errno;
        if ((size_t) n < sizeof(answer.header) + sizeof(answer.error.error))
                return -EBADMSG;
        return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : 0;
}

static int check_requirements(char **ret_message)
{
        int r = probe_kernel();

        if (r == -EPERM)
                *ret_message = strdup("the capability CAP_NET_ADMIN is missing");
        else if (r < 0)
                *ret_message = asprintf_safe("the kernel has no nf_tables (%s)", strerror(-r));
        else {
                r = load_library();
                if (r < 0)
                        *ret_message = strdup("the library " LIBRARY " is missing");
        }
        return r;
}

static int create_table(RedirectNftables *n, uid_t user, char **ret_message)
{
        _cleanup_free_ char *commands = format_table(user), *complaint = NULL;
        int r;

        if (!commands)
                return -ENOMEM;
        r = run(n, commands, &complaint);
        if (r == -EEXIST || r == -EPERM)
                *ret_message = strdup("there is a table " REDIRECT_NFTABLES_TABLE " of somebody else");
        else if (r < 0)
                *ret_message = asprintf_safe("nf_tables refused our table: %s", strempty(complaint));
        return r;
}

int redirect_nftables_new(uid_t user, RedirectBackend **ret, char **ret_message)
{
        _cleanup_(redirect_backend_freep) RedirectBackend *b = NULL;
        RedirectNftables *n;
        int r;

        r = check_requirements(ret_message);
        if (r < 0)
                return r;
        n = new0(RedirectNftables, 1);
        if (!n)
                return -ENOMEM;
        n->backend.ops = &nftables_ops;
        b = &n->backend;
        n->nft = library.ctx_new(NFT_CTX_DEFAULT);
        if (!n->nft || library.buffer_output(n->nft) != 0 || library.buffer_error(n->nft) != 0)
                return -ENOMEM;
        r = create_table(n, user, ret_message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

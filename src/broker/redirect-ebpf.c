/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-ebpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "privileges.h"
#include "redirect-clsact.h"
#include "redirect-ebpf-internal.h"
#include "redirect-keys.h"
#include "string-util.h"

/* What goes wrong in the library, and why the verifier says no, is for people who debug; we say in our own
 * words what it means. What goes right fills pages. */
static int on_libbpf_message(enum libbpf_print_level level, const char *format, va_list ap)
{
        char line[1024];
        int n;

        if (level >= LIBBPF_DEBUG || log_get_max_level() < LOG_DEBUG)
                return 0;
        n = vsnprintf(line, sizeof(line), format, ap);
        if (n > 0)
                log_debug("%.*s", (int) strcspn(line, "\n"), line);
        return n;
}

/* --- keys and values --- */

static struct redirect_ufrag to_ufrag(const RedirectSocket *socket)
{
        struct redirect_ufrag out = {
                .local = redirect_address_from(&socket->local),
                .wireguard_port = htons(socket->wireguard_port),
        };

        static_assert(sizeof(out.ufrag) == REDIRECT_UFRAG_SIZE, "the key has the whole ufrag");
        memcpy(out.ufrag, socket->ufrag, sizeof(out.ufrag));
        return out;
}

/* The kernel says E2BIG where a map is full. */
static int insert(struct bpf_map *map, const void *key, size_t key_size, const void *value,
                  size_t value_size)
{
        int r = bpf_map__update_elem(map, key, key_size, value, value_size, BPF_NOEXIST);

        return r == -E2BIG ? -ENOSPC : r;
}

static void erase_key(struct bpf_map *map, const void *key, size_t key_size)
{
        int r = bpf_map__delete_elem(map, key, key_size, 0);

        if (r < 0)
                log_debug_errno(r, "Failed to delete from %s, ignoring: %m", bpf_map__name(map));
}

/* --- sockets --- */

void ebpf_reference_port(EbpfBackend *e, uint16_t *references, uint16_t port, uint8_t flag)
{
        if (references[port]++ == 0)
                e->skeleton->bss->redirect_ports[htons(port)] |= flag;
}

void ebpf_release_port(EbpfBackend *e, uint16_t *references, uint16_t port, uint8_t flag)
{
        if (--references[port] == 0)
                e->skeleton->bss->redirect_ports[htons(port)] &= (uint8_t) ~flag;
}

/* Counts one ufrag more for it. */
static int add_to_socket(EbpfBackend *e, const RedirectSocket *socket)
{
        struct bpf_map *map = e->skeleton->maps.redirect_sockets;
        struct redirect_socket value, wanted = {
                .port = htons(socket_address_port(&socket->local)),
                .wireguard_port = htons(socket->wireguard_port),
                .flags = socket->keeps_relays ? REDIRECT_SOCKET_KEEPS_RELAYS : 0,
        };
        int r;

        r = bpf_map__lookup_elem(map, &socket->cookie, sizeof(socket->cookie), &value, sizeof(value), 0);
        if (r >= 0)
                wanted.ufrags = value.ufrags;
        if (r >= 0 && (memcmp(&value, &wanted, sizeof(value)) != 0 || value.ufrags == UINT16_MAX))
                return -EEXIST;
        wanted.ufrags++;
        r = bpf_map__update_elem(map, &socket->cookie, sizeof(socket->cookie), &wanted, sizeof(wanted),
                                 BPF_ANY);
        return r == -E2BIG ? -ENOSPC : r;
}

static void remove_from_socket(EbpfBackend *e, const RedirectSocket *socket)
{
        struct bpf_map *map = e->skeleton->maps.redirect_sockets;
        struct redirect_socket value;
        int r;

        r = bpf_map__lookup_elem(map, &socket->cookie, sizeof(socket->cookie), &value, sizeof(value), 0);
        if (r >= 0 && --value.ufrags > 0)
                r = bpf_map__update_elem(map, &socket->cookie, sizeof(socket->cookie), &value, sizeof(value),
                                         BPF_EXIST);
        else if (r >= 0)
                erase_key(map, &socket->cookie, sizeof(socket->cookie));
        if (r < 0)
                log_debug_errno(r, "Failed to forget a ufrag of a socket, ignoring: %m");
}

static int ebpf_add(RedirectBackend *b, const RedirectSocket *socket)
{
        EbpfBackend *e = ebpf_backend(b);
        uint16_t port = socket_address_port(&socket->local), wire_port = htons(port);
        struct redirect_ufrag ufrag = to_ufrag(socket);
        int r;

        r = insert(e->skeleton->maps.redirect_ufrags, &ufrag, sizeof(ufrag), &wire_port, sizeof(wire_port));
        if (r < 0)
                return r;
        r = add_to_socket(e, socket);
        if (r < 0) {
                erase_key(e->skeleton->maps.redirect_ufrags, &ufrag, sizeof(ufrag));
                return r;
        }
        /* Last: what the maps have counts from here on. */
        ebpf_reference_port(e, e->wireguard_references, socket->wireguard_port, REDIRECT_PORT_WIREGUARD);
        ebpf_reference_port(e, e->socket_references, port, REDIRECT_PORT_SOCKET);
        return 0;
}

static void ebpf_remove(RedirectBackend *b, const RedirectSocket *socket)
{
        EbpfBackend *e = ebpf_backend(b);
        struct redirect_ufrag ufrag = to_ufrag(socket);

        ebpf_release_port(e, e->socket_references, socket_address_port(&socket->local),
                          REDIRECT_PORT_SOCKET);
        ebpf_release_port(e, e->wireguard_references, socket->wireguard_port, REDIRECT_PORT_WIREGUARD);
        remove_from_socket(e, socket);
        erase_key(e->skeleton->maps.redirect_ufrags, &ufrag, sizeof(ufrag));
}

/* --- relays --- */

static bool endpoint_is_among(const struct redirect_endpoint *endpoint, const struct redirect_endpoint *all,
                              size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (memcmp(&all[i], endpoint, sizeof(*endpoint)) == 0)
                        return true;
        return false;
}

static int ebpf_set_relays(RedirectBackend *b, const SocketAddress *relays, size_t n)
{
        EbpfBackend *e = ebpf_backend(b);
        struct bpf_map *map = e->skeleton->maps.redirect_relays;
        struct redirect_endpoint wanted[REDIRECT_RELAYS_MAX];
        static const uint8_t present = 1;
        size_t kept = 0;
        int r;

        if (n > ELEMENTSOF(wanted))
                return -E2BIG;
        for (size_t i = 0; i < n; i++)
                wanted[i] = redirect_endpoint_from(&relays[i]);
        for (size_t i = 0; i < e->n_relays; i++)
                if (endpoint_is_among(&e->relays[i], wanted, n))
                        e->relays[kept++] = e->relays[i];
                else
                        erase_key(map, &e->relays[i], sizeof(e->relays[i]));
        e->n_relays = kept;
        for (size_t i = 0; i < n; i++) {
                if (endpoint_is_among(&wanted[i], e->relays, e->n_relays))
                        continue;
                r = insert(map, &wanted[i], sizeof(wanted[i]), &present, sizeof(present));
                if (r < 0)
                        return r;
                e->relays[e->n_relays++] = wanted[i];
        }
        return 0;
}

/* --- uplinks --- */

static int read_link_address(int ifindex, struct sockaddr *ret)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq ifr = {};

        if (fd < 0)
                return -errno;
        if (!if_indextoname((unsigned) ifindex, ifr.ifr_name) || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
                return errno == ENXIO ? -ENODEV : -errno;
        *ret = ifr.ifr_hwaddr;
        return 0;
}

/* Whether packets of the link begin with an Ethernet header (1) or with IP (0). -ENODEV;
 * -EPFNOSUPPORT: something else. */
static int has_ethernet_header(int ifindex)
{
        struct sockaddr address;
        int r;

        r = read_link_address(ifindex, &address);
        if (r < 0)
                return r;
        switch (address.sa_family) {
        case ARPHRD_ETHER:
        case ARPHRD_LOOPBACK:
                return 1;
        case ARPHRD_NONE:
        case ARPHRD_PPP:
        case ARPHRD_RAWIP:
        case ARPHRD_TUNNEL:
        case ARPHRD_TUNNEL6:
        case ARPHRD_SIT:
                return 0;
        default:
                return -EPFNOSUPPORT;
        }
}

void ebpf_find_mac(int ifindex, uint8_t ret[static 6])
{
        struct sockaddr address;

        memset(ret, 0, 6);
        if (read_link_address(ifindex, &address) >= 0 && address.sa_family == ARPHRD_ETHER)
                memcpy(ret, address.sa_data, 6);
}

static int attach_tcx(Uplink *uplink, const struct bpf_program *ingress, const struct bpf_program *egress)
{
        uplink->ingress = bpf_program__attach_tcx(ingress, uplink->ifindex, /* opts= */ NULL);
        if (!uplink->ingress)
                return -errno;
        uplink->egress = bpf_program__attach_tcx(egress, uplink->ifindex, /* opts= */ NULL);
        if (!uplink->egress) {
                int r = -errno;

                (void) bpf_link__destroy(TAKE_PTR(uplink->ingress));
                return r;
        }
        return 0;
}

static void detach(const Uplink *uplink)
{
        int r;

        if (uplink->ingress) {
                (void) bpf_link__destroy(uplink->egress);
                (void) bpf_link__destroy(uplink->ingress);
                return;
        }
        r = redirect_clsact_detach(uplink->ifindex);
        if (r < 0)
                log_warning_errno(r, "Failed to detach the redirect from link %d, ignoring: %m",
                                  uplink->ifindex);
}

static int attach(EbpfBackend *e, int ifindex)
{
        const struct bpf_program *ingress = e->skeleton->progs.icewire_l3_ingress,
                                 *egress = e->skeleton->progs.icewire_l3_egress;
        Uplink uplink = { .ifindex = ifindex };
        int r;

        r = has_ethernet_header(ifindex);
        if (r < 0)
                return r;
        if (r > 0) {
                ingress = e->skeleton->progs.icewire_ingress;
                egress = e->skeleton->progs.icewire_egress;
        }
        if (GROW_ARRAY(e->uplinks, e->allocated_uplinks, e->n_uplinks + 1) < 0)
                return -ENOMEM;
        r = e->clsact ? redirect_clsact_attach(ifindex, bpf_program__fd(ingress), bpf_program__fd(egress))
                      : attach_tcx(&uplink, ingress, egress);
        if (r < 0)
                return r;
        e->uplinks[e->n_uplinks++] = uplink;
        return 0;
}

/* A link of tcx stays behind when its device goes, and tells no device then. */
static bool link_is_attached(const struct bpf_link *link, int ifindex)
{
        struct bpf_link_info info = {};
        uint32_t size = sizeof(info);

        return bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &size) >= 0 &&
               info.tcx.ifindex == (uint32_t) ifindex;
}

/* Another device may have got the index of one that has gone. */
static bool uplink_is_attached(const Uplink *uplink)
{
        if (!uplink->ingress)
                return redirect_clsact_is_attached(uplink->ifindex) > 0;
        return link_is_attached(uplink->ingress, uplink->ifindex) &&
               link_is_attached(uplink->egress, uplink->ifindex);
}

static bool is_among(int ifindex, const int *ifindexes, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (ifindexes[i] == ifindex)
                        return true;
        return false;
}

bool ebpf_is_uplink(const EbpfBackend *e, int ifindex)
{
        for (size_t i = 0; i < e->n_uplinks; i++)
                if (e->uplinks[i].ifindex == ifindex)
                        return true;
        return false;
}

static int ebpf_set_uplinks(RedirectBackend *b, const int *ifindexes, size_t n)
{
        EbpfBackend *e = ebpf_backend(b);
        size_t kept = 0;
        int r;

        for (size_t i = 0; i < e->n_uplinks; i++)
                if (is_among(e->uplinks[i].ifindex, ifindexes, n) && uplink_is_attached(&e->uplinks[i]))
                        e->uplinks[kept++] = e->uplinks[i];
                else
                        detach(&e->uplinks[i]);
        e->n_uplinks = kept;
        for (size_t i = 0; i < n; i++) {
                if (ebpf_is_uplink(e, ifindexes[i]))
                        continue;
                r = attach(e, ifindexes[i]);
                if (r < 0 && r != -ENODEV)
                        return log_debug_errno(r, "Failed to attach to link %d: %m", ifindexes[i]);
        }
        return 0;
}

/* --- lo --- */

static int attach_loopback(EbpfBackend *e)
{
        const struct bpf_program *ingress = e->skeleton->progs.icewire_ingress;
        Uplink uplink = { .ifindex = LOOPBACK_IFINDEX };
        int r;

        if (ebpf_is_uplink(e, LOOPBACK_IFINDEX))
                return 0; /* the program is there, and one link has it once */
        if (e->clsact) {
                r = redirect_clsact_attach(LOOPBACK_IFINDEX, bpf_program__fd(ingress),
                                           bpf_program__fd(e->skeleton->progs.icewire_egress));
                if (r < 0)
                        return r;
        } else {
                uplink.ingress = bpf_program__attach_tcx(ingress, LOOPBACK_IFINDEX, /* opts= */ NULL);
                if (!uplink.ingress)
                        return -errno;
        }
        e->loopback = uplink;
        return 0;
}

int ebpf_use_loopback(EbpfBackend *e, LoopbackUser user, bool used)
{
        unsigned users = used ? e->loopback_users | user : e->loopback_users & ~(unsigned) user;
        int r;

        if (users == 0 && e->loopback.ifindex != 0) {
                detach(&e->loopback);
                e->loopback = (Uplink) {};
        }
        if (users != 0 && e->loopback.ifindex == 0) {
                r = attach_loopback(e);
                if (r < 0)
                        return r;
        }
        e->loopback_users = users;
        return 0;
}

static int ebpf_set_loopback(RedirectBackend *b, bool attached)
{
        return ebpf_use_loopback(ebpf_backend(b), LOOPBACK_USER_TEST, attached);
}

static bool ebpf_set_rewriting(RedirectBackend *b, int family, bool rewriting)
{
        uint8_t *flags = &ebpf_backend(b)->skeleton->bss->redirect_rewrites,
                flag = family == AF_INET ? REDIRECT_REWRITES_IPV4 : REDIRECT_REWRITES_IPV6, before = *flags;

        *flags = (uint8_t) (rewriting ? before | flag : before & ~flag);
        return before & flag;
}

/* --- life --- */

static int ebpf_watch(RedirectBackend *b, sd_event *event, redirect_initiation_t callback, void *userdata)
{
        EbpfBackend *e = ebpf_backend(b);

        return redirect_initiations_new(event, bpf_map__fd(e->skeleton->maps.redirect_initiations), callback,
                                        userdata, &e->initiations);
}

static RedirectBackend *ebpf_free(RedirectBackend *b)
{
        EbpfBackend *e = ebpf_backend(b);

        ebpf_end_moves(e);
        redirect_initiations_free(e->initiations);
        (void) ebpf_set_loopback(b, /* attached= */ false);
        for (size_t i = 0; i < e->n_uplinks; i++)
                detach(&e->uplinks[i]);
        free(e->uplinks);
        redirect_bpf__destroy(e->skeleton);
        free(e);
        return NULL;
}

static const RedirectBackendOps ebpf_ops = {
        .kind = REDIRECT_EBPF,
        .add = ebpf_add,
        .remove = ebpf_remove,
        .set_relays = ebpf_set_relays,
        .set_uplinks = ebpf_set_uplinks,
        .set_loopback = ebpf_set_loopback,
        .set_rewriting = ebpf_set_rewriting,
        .move = ebpf_move,
        .count_moved = ebpf_count_moved,
        .end_move = ebpf_end_move,
        .watch = ebpf_watch,
        .free = ebpf_free,
};

static const char *missing_capability(void)
{
        if (!privileges_have(CAP_BPF))
                return "CAP_BPF";
        if (!privileges_have(CAP_NET_ADMIN))
                return "CAP_NET_ADMIN";
        return NULL;
}

/* Why the programs could not be loaded; NULL: the error says it. */
static char *explain(int error)
{
        const char *missing = missing_capability();

        switch (error) {
        case -EPERM:
                if (missing)
                        return asprintf_safe(
                                "loading eBPF programs takes %s, which icewire-broker was not given",
                                missing);
                return strdup("eBPF is forbidden (by a system call filter, lockdown or a security module)");
        case -ENOSYS:
                return strdup("the kernel has no eBPF");
        case -EINVAL:
        case -EACCES:
                return strdup("the kernel does not take the eBPF programs (at log level debug it says why)");
        default:
                return NULL;
        }
}

/* A kernel without it does not know the question. */
static bool kernel_has_tcx(void)
{
        DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, options);

        return bpf_prog_query_opts(LOOPBACK_IFINDEX, BPF_TCX_INGRESS, &options) >= 0;
}

static int load(EbpfBackend *e)
{
        int r;

        e->skeleton = redirect_bpf__open();
        if (!e->skeleton)
                return -errno;
        r = redirect_bpf__load(e->skeleton);
        if (r < 0)
                return r;
        if (!privileges_have(CAP_PERFMON))
                log_info("Without CAP_PERFMON the redirect's programs take two to three times as long.");
        return 0;
}

static int ebpf_new(bool clsact, RedirectBackend **ret, char **ret_message)
{
        EbpfBackend *e;
        int r;

        libbpf_set_print(on_libbpf_message);
        r = redirect_clsact_sweep();
        if (r < 0)
                log_debug_errno(r, "Failed to look for what an earlier broker has left, ignoring: %m");
        e = new0(EbpfBackend, 1);
        if (!e)
                return -ENOMEM;
        e->backend.ops = &ebpf_ops;
        r = load(e);
        if (r < 0) {
                ebpf_free(&e->backend);
                *ret_message = explain(r);
                return r;
        }
        e->clsact = clsact || !kernel_has_tcx();
        *ret = &e->backend;
        return 0;
}

int redirect_ebpf_new(RedirectBackend **ret, char **ret_message)
{
        return ebpf_new(/* clsact= */ false, ret, ret_message);
}

int redirect_ebpf_new_clsact(RedirectBackend **ret, char **ret_message)
{
        return ebpf_new(/* clsact= */ true, ret, ret_message);
}

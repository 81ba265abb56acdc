/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <limits.h>
#include <sys/socket.h>
#include <utlist.h>

#include "alloc-util.h"
#include "broker-varlink.h"
#include "event-util.h"
#include "ice-candidate.h"
#include "log.h"
#include "redirect-nftables.h"
#include "string-util.h"

/* Rules of NAT tell nobody of themselves. Those who have some mostly have links that come and go as well,
 * and then icewired calls; for rules that come after the link, it is looked again after this time, which is
 * also the shortest between two looks. */
#define CHECK_INTERVAL (10 * USEC_PER_SEC)

/* SetRedirect, AddSockets, RemoveSockets and MoveSource of org.icewire.Broker. icewired brings the sockets
 * themselves, so that whoever speaks for it can share WireGuard's port only with what it really has. */

typedef struct RequestParameters {
        RedirectMode mode;
        int uplinks[BROKER_REDIRECT_UPLINKS_MAX];
        size_t n_uplinks;
        SocketAddress relays[BROKER_REDIRECT_RELAYS_MAX];
        size_t n_relays;
} RequestParameters;

typedef struct SocketParameters {
        const char *link;
        const char *ufrag;
        bool keeps_relays;
} SocketParameters;

static int dispatch_mode(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata)
{
        RedirectMode *out = userdata, mode = redirect_mode_from_string(sd_json_variant_string(v));

        if (mode < 0)
                return -EINVAL;
        *out = mode;
        return 0;
}

static int dispatch_uplinks(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                            void *userdata)
{
        RequestParameters *p = userdata;
        size_t n = sd_json_variant_elements(v);

        if (n > ELEMENTSOF(p->uplinks))
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                sd_json_variant *element = sd_json_variant_by_index(v, i);

                if (!sd_json_variant_is_unsigned(element) || sd_json_variant_unsigned(element) == 0 ||
                    sd_json_variant_unsigned(element) > INT_MAX)
                        return -EINVAL;
                p->uplinks[i] = (int) sd_json_variant_unsigned(element);
        }
        p->n_uplinks = n;
        return 0;
}

static int dispatch_relays(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                           void *userdata)
{
        RequestParameters *p = userdata;
        size_t n = sd_json_variant_elements(v);

        if (n > ELEMENTSOF(p->relays))
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                int r = varlink_dispatch_endpoint(name, sd_json_variant_by_index(v, i), flags,
                                                  &p->relays[i]);

                if (r < 0 || !socket_address_is_set(&p->relays[i]))
                        return -EINVAL;
        }
        p->n_relays = n;
        return 0;
}

static int dispatch_ufrag(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                          void *userdata)
{
        const char **out = userdata, *s = sd_json_variant_string(v);

        if (strlen(s) != REDIRECT_UFRAG_SIZE || !ice_ufrag_is_valid(s, REDIRECT_UFRAG_SIZE))
                return -EINVAL;
        *out = s;
        return 0;
}

/* The ports of a bridge are not ours to touch: what they carry is others' traffic. What goes through a
 * tunnel of WireGuard's is no path to a peer; and nothing on lo comes from outside. */
static bool may_be_uplink(const BrokerManager *m, int ifindex)
{
        const RtnlLink *link = rtnl_monitor_find_link(m->rtnl, ifindex);
        const BrokerLink *wireguard;

        DL_FOREACH (m->links, wireguard)
                if (wireguard->ifindex == ifindex)
                        return false;
        if (!link)
                return true; /* gone, and skipped */
        return !(link->flags & IFF_LOOPBACK) && !streq(link->kind, "wireguard") &&
               !streq(link->slave_kind, "bridge") && !streq(link->slave_kind, "openvswitch");
}

void broker_server_resume_redirecting(BrokerServer *s)
{
        while (s->redirecting.n > 0) {
                sd_varlink *link = sd_varlink_ref(varlink_watchers_first(&s->redirecting));

                varlink_watchers_remove(&s->redirecting, link);
                if (sd_varlink_dispatch_again(link) < 0)
                        sd_varlink_close(link);
                sd_varlink_unref(link);
        }
}

static int reply_redirect(sd_varlink *link, RedirectKind kind, const char *reason)
{
        return sd_varlink_replybo(
                link, SD_JSON_BUILD_PAIR_STRING("kind", redirect_kind_to_string(kind)),
                SD_JSON_BUILD_PAIR_CONDITION(!!reason, "reason", SD_JSON_BUILD_STRING(reason)));
}

static bool check(BrokerServer *s)
{
        s->redirect_checked = now(CLOCK_BOOTTIME);
        return broker_redirect_check(s->redirect);
}

static int on_check(sd_event_source *source, uint64_t usec, void *userdata)
{
        BrokerServer *s = userdata;

        if (check(s))
                broker_server_tell_redirect(s);
        return 0;
}

/* Before a request is obeyed; who made it hears by its answer. */
static void check_for_request(BrokerServer *s, sd_varlink *link, RedirectMode mode)
{
        int r;

        event_disarm_timer(s->redirect_check);
        if (!redirect_mode_allows(mode, REDIRECT_EBPF))
                return;
        if (usec_sub(now(CLOCK_BOOTTIME), s->redirect_checked) >= CHECK_INTERVAL)
                (void) check(s);
        r = event_arm_timer(sd_varlink_get_event(link), &s->redirect_check, CHECK_INTERVAL, on_check, s,
                            "redirect-check");
        if (r < 0)
                log_warning_errno(r, "Failed to schedule a look for NAT rules, ignoring: %m");
}

int broker_method_set_redirect(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "mode", SD_JSON_VARIANT_STRING, dispatch_mode, offsetof(RequestParameters, mode),
                  SD_JSON_MANDATORY },
                { "uplinks", SD_JSON_VARIANT_ARRAY, dispatch_uplinks, 0, SD_JSON_MANDATORY },
                { "relays", SD_JSON_VARIANT_ARRAY, dispatch_relays, 0, SD_JSON_MANDATORY },
                {}
        };
        BrokerServer *s = userdata;
        RequestParameters p = {};
        const char *reason;
        RedirectKind kind;
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        /* What is not known yet cannot be told from what has gone. */
        if (!s->manager->settled)
                return varlink_watchers_add(&s->redirecting, link);
        for (size_t i = 0; i < p.n_uplinks; i++)
                if (!may_be_uplink(s->manager, p.uplinks[i]))
                        return sd_varlink_error_invalid_parameter_name(link, "uplinks");
        check_for_request(s, link, p.mode);
        r = broker_redirect_set(
                s->redirect, link,
                &(BrokerRedirectRequest) { p.mode, p.uplinks, p.n_uplinks, p.relays, p.n_relays }, &kind,
                &reason);
        return r < 0 ? sd_varlink_error_errno(link, r) : reply_redirect(link, kind, reason);
}

/* -EADDRNOTAVAIL: it is bound to no address or port; -EADDRINUSE: to W itself. */
static int describe_socket(int fd, const SocketParameters *p, uint16_t wireguard_port, RedirectSocket *ret)
{
        RedirectSocket s = { .wireguard_port = wireguard_port, .keeps_relays = p->keeps_relays };
        struct sockaddr_storage local;
        socklen_t size = sizeof(local), cookie_size = sizeof(s.cookie);
        int r;

        if (getsockname(fd, (struct sockaddr *) &local, &size) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_COOKIE, &s.cookie, &cookie_size) < 0)
                return -errno;
        r = redirect_nftables_prepare(fd);
        if (r < 0)
                return r;
        r = socket_address_from_sockaddr(&local, size, &s.local);
        if (r < 0)
                return r;
        if (socket_address_port(&s.local) == 0 || socket_address_is_unspecified(&s.local))
                return -EADDRNOTAVAIL;
        if (socket_address_port(&s.local) == wireguard_port)
                return -EADDRINUSE;
        memcpy(s.ufrag, p->ufrag, REDIRECT_UFRAG_SIZE);
        *ret = s;
        return 0;
}

/* 0 and a link with a port, or the answer was given. */
static int find_wireguard(const BrokerServer *s, sd_varlink *link, const char *name, const BrokerLink **ret)
{
        const BrokerLink *wireguard = broker_manager_find(s->manager, name);

        if (!wireguard)
                return sd_varlink_error(link, BROKER_ERROR_NO_SUCH_LINK, NULL);
        if (wireguard->device->listen_port == 0)
                return sd_varlink_error(link, BROKER_ERROR_NO_LISTEN_PORT, NULL);
        *ret = wireguard;
        return 0;
}

int broker_method_add_sockets(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, varlink_dispatch_ifname, offsetof(SocketParameters, link),
                  SD_JSON_MANDATORY },
                { "ufrag", SD_JSON_VARIANT_STRING, dispatch_ufrag, offsetof(SocketParameters, ufrag),
                  SD_JSON_MANDATORY },
                { "keepsRelays", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(SocketParameters, keeps_relays), SD_JSON_MANDATORY },
                {}
        };
        RedirectSocket sockets[BROKER_FDS_MAX];
        BrokerServer *s = userdata;
        SocketParameters p = {};
        const BrokerLink *wireguard = NULL;
        int fds[BROKER_FDS_MAX];
        size_t n;
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        r = broker_peek_udp_sockets(link, fds, &n);
        if (r < 0)
                return r;
        r = find_wireguard(s, link, p.link, &wireguard);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && r >= 0; i++)
                r = describe_socket(fds[i], &p, wireguard->device->listen_port, &sockets[i]);
        if (r >= 0)
                r = broker_redirect_add(s->redirect, link, sockets, n);
        if (r == -ENOTCONN)
                return sd_varlink_error(link, BROKER_ERROR_NO_REDIRECT, NULL);
        return r < 0 ? sd_varlink_error_errno(link, r) : sd_varlink_reply(link, NULL);
}

typedef struct MoveParameters {
        const char *link;
        SocketAddress from;
        SocketAddress to;
        uint32_t seconds;
} MoveParameters;

static int dispatch_seconds(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                            void *userdata)
{
        uint32_t *out = userdata;

        if (!sd_json_variant_is_unsigned(v) || sd_json_variant_unsigned(v) > BROKER_MOVE_SECONDS_MAX)
                return -EINVAL;
        *out = (uint32_t) sd_json_variant_unsigned(v);
        return 0;
}

static int on_move_expired(sd_event_source *source, uint64_t usec, void *userdata);

static void watch_moves(BrokerServer *s, sd_event *event)
{
        usec_t t = now(CLOCK_MONOTONIC), next = broker_redirect_expire(s->redirect, t);
        int r = 0;

        if (next == USEC_INFINITY)
                event_disarm_timer(s->move_expiry);
        else
                r = event_arm_timer(event, &s->move_expiry, usec_sub(next, t), on_move_expired, s,
                                    "move-expiry");
        if (r < 0)
                log_warning_errno(r,
                                  "Failed to schedule the end of a move, which ends in the kernel only: %m");
}

static int on_move_expired(sd_event_source *source, uint64_t usec, void *userdata)
{
        watch_moves(userdata, sd_event_source_get_event(source));
        return 0;
}

int broker_method_move_source(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, varlink_dispatch_ifname, offsetof(MoveParameters, link),
                  SD_JSON_MANDATORY },
                { "from", SD_JSON_VARIANT_STRING, varlink_dispatch_endpoint, offsetof(MoveParameters, from),
                  SD_JSON_MANDATORY },
                { "to", SD_JSON_VARIANT_STRING, varlink_dispatch_endpoint, offsetof(MoveParameters, to),
                  SD_JSON_MANDATORY },
                { "seconds", _SD_JSON_VARIANT_TYPE_INVALID, dispatch_seconds,
                  offsetof(MoveParameters, seconds), SD_JSON_MANDATORY },
                {}
        };
        BrokerServer *s = userdata;
        const BrokerLink *wireguard = NULL;
        MoveParameters p = {};
        RedirectMove move;
        uint64_t packets;
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        if (p.from.sa.sa_family != p.to.sa.sa_family)
                return sd_varlink_error_invalid_parameter_name(link, "to");
        r = find_wireguard(s, link, p.link, &wireguard);
        if (r < 0)
                return r;
        move = (RedirectMove) { wireguard->device->listen_port, wireguard->device->fwmark, p.from, p.to };
        r = broker_redirect_move(s->redirect, link, &move, p.seconds * USEC_PER_SEC, now(CLOCK_MONOTONIC),
                                 &packets);
        if (r == -ENOTCONN || r == -ENOTSUP)
                return sd_varlink_error(link, BROKER_ERROR_NO_REDIRECT, NULL);
        if (r < 0)
                return sd_varlink_error_errno(link, r);
        watch_moves(s, sd_varlink_get_event(link));
        return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_UNSIGNED("packets", packets));
}

int broker_method_remove_sockets(sd_varlink *link, sd_json_variant *parameters,
                                 sd_varlink_method_flags_t flags, void *userdata)
{
        static const sd_json_dispatch_field table[] = { { "ufrag", SD_JSON_VARIANT_STRING, dispatch_ufrag,
                                                          offsetof(SocketParameters, ufrag),
                                                          SD_JSON_MANDATORY },
                                                        {} };
        BrokerServer *s = userdata;
        SocketParameters p = {};
        int r;

        r = broker_server_parse(s, link, parameters, table, &p);
        if (r != 0)
                return r;
        broker_redirect_remove(s->redirect, link, p.ufrag);
        return sd_varlink_reply(link, NULL);
}

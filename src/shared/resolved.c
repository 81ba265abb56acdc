/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolved.h"

#include <systemd/sd-varlink.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "time-util.h"

/* It tries several servers and repeats itself; longer than that nobody waits for a name. */
#define TIMEOUT (20 * USEC_PER_SEC)
#define DNS_RCODE_NXDOMAIN 3 /* RFC 1035 section 4.1.1 */

struct ResolvedQuery {
        sd_varlink *link;
        uint16_t port;
        resolved_callback_t callback;
        void *userdata;
};

ResolvedQuery *resolved_query_free(ResolvedQuery *query)
{
        if (!query)
                return NULL;
        sd_varlink_close_unref(query->link);
        return mfree(query);
}

/* ---- The answer ---- */

static int parse_bytes(sd_json_variant *v, uint8_t *ret, size_t n)
{
        if (!v || !sd_json_variant_is_array(v) || sd_json_variant_elements(v) != n)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                sd_json_variant *byte = sd_json_variant_by_index(v, i);

                if (!sd_json_variant_is_unsigned(byte) || sd_json_variant_unsigned(byte) > UINT8_MAX)
                        return -EINVAL;
                ret[i] = (uint8_t) sd_json_variant_unsigned(byte);
        }
        return 0;
}

/* 1: an address; 0: one of a family that we do not know. */
static int parse_address(sd_json_variant *v, uint16_t port, SocketAddress *ret)
{
        sd_json_variant *family = sd_json_variant_by_key(v, "family");
        uint8_t bytes[16];
        int r, f;

        if (!family || !sd_json_variant_is_integer(family))
                return -EINVAL;
        f = (int) sd_json_variant_integer(family);
        if (f != AF_INET && f != AF_INET6)
                return 0;
        r = parse_bytes(sd_json_variant_by_key(v, "address"), bytes, f == AF_INET ? 4 : 16);
        if (r < 0)
                return r;
        socket_address_from_bytes(f, bytes, port, ret);
        return 1;
}

static bool contains(const SocketAddress *addresses, size_t n, const SocketAddress *a)
{
        for (size_t i = 0; i < n; i++)
                if (socket_address_equal(&addresses[i], a))
                        return true;
        return false;
}

/* How many; -ESRCH: none; -EINVAL. */
static int parse_reply(sd_json_variant *reply, uint16_t port, SocketAddress *ret)
{
        sd_json_variant *array = sd_json_variant_by_key(reply, "addresses");
        size_t n = 0;

        if (!array || !sd_json_variant_is_array(array))
                return -EINVAL;
        for (size_t i = 0; i < sd_json_variant_elements(array) && n < RESOLVED_ADDRESSES_MAX; i++) {
                int r = parse_address(sd_json_variant_by_index(array, i), port, &ret[n]);

                if (r < 0)
                        return r;
                if (r > 0 && !contains(ret, n, &ret[n]))
                        n++;
        }
        return n > 0 ? (int) n : -ESRCH;
}

/* Connecting a UDP socket sends nothing and fails where there is no route. */
static bool has_route(const SocketAddress *a)
{
        _cleanup_close_ int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        SocketAddress any = *a;

        if (socket_address_port(&any) == 0)
                socket_address_set_port(&any, 9);
        return fd >= 0 && connect(fd, &any.sa, socket_address_length(&any)) >= 0;
}

static void put_usable_first(SocketAddress *addresses, size_t n)
{
        SocketAddress others[RESOLVED_ADDRESSES_MAX];
        size_t n_usable = 0, n_others = 0;

        for (size_t i = 0; i < n; i++)
                if (has_route(&addresses[i]))
                        addresses[n_usable++] = addresses[i];
                else
                        others[n_others++] = addresses[i];
        memcpy(addresses + n_usable, others, n_others * sizeof(*others));
}

static int dns_error_to_errno(sd_json_variant *parameters)
{
        sd_json_variant *rcode = sd_json_variant_by_key(parameters, "rcode");

        return rcode && sd_json_variant_is_unsigned(rcode) &&
                               sd_json_variant_unsigned(rcode) == DNS_RCODE_NXDOMAIN
                       ? -ESRCH
                       : -EIO;
}

static int error_to_errno(const char *error, sd_json_variant *parameters)
{
        static const struct {
                const char *id;
                int error;
        } table[] = {
                { "NoNameServers", -ECONNREFUSED }, { "NoSuchResourceRecord", -ESRCH },
                { "QueryTimedOut", -ETIMEDOUT },    { "MaxAttemptsReached", -ETIMEDOUT },
                { "NetworkDown", -ECONNREFUSED },   { "NoSource", -ECONNREFUSED },
                { "StubLoop", -ECONNREFUSED },
        };
        const char *id = startswith(error, "io.systemd.Resolve.");

        if (streq(error, SD_VARLINK_ERROR_TIMEOUT))
                return -ETIMEDOUT;
        if (!id)
                return -ENOTCONN; /* the connection, or one that knows no io.systemd.Resolve */
        if (streq(id, "DNSError"))
                return dns_error_to_errno(parameters);
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(id, table[i].id))
                        return table[i].error;
        return -EIO;
}

static int on_reply(sd_varlink *link, sd_json_variant *parameters, const char *error,
                    sd_varlink_reply_flags_t flags, void *userdata)
{
        ResolvedQuery *query = userdata;
        SocketAddress addresses[RESOLVED_ADDRESSES_MAX];
        int n;

        n = error ? error_to_errno(error, parameters) : parse_reply(parameters, query->port, addresses);
        if (n == -EINVAL)
                n = -ENOTCONN;
        if (n > 0)
                put_usable_first(addresses, (size_t) n);
        query->callback(query, MIN(n, 0), addresses, n < 0 ? 0 : (size_t) n, query->userdata);
        return 0;
}

/* ---- The question ---- */

static int query_send(sd_event *event, ResolvedQuery *query, const char *host)
{
        int r;

        r = sd_varlink_connect_address(&query->link, RESOLVED_SOCKET);
        if (r < 0)
                return r;
        sd_varlink_set_userdata(query->link, query);
        (void) sd_varlink_set_description(query->link, "resolved");
        r = sd_varlink_set_relative_timeout(query->link, TIMEOUT);
        if (r >= 0)
                r = sd_varlink_bind_reply(query->link, on_reply);
        if (r >= 0)
                r = sd_varlink_attach_event(query->link, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        return sd_varlink_invokebo(query->link, "io.systemd.Resolve.ResolveHostname",
                                   SD_JSON_BUILD_PAIR_STRING("name", host));
}

int resolved_query_new(sd_event *event, const char *host, uint16_t port, resolved_callback_t callback,
                       void *userdata, ResolvedQuery **ret)
{
        _cleanup_(resolved_query_freep) ResolvedQuery *query = new0(ResolvedQuery, 1);
        int r;

        if (!query)
                return -ENOMEM;
        query->port = port;
        query->callback = callback;
        query->userdata = userdata;
        r = query_send(event, query, host);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(query);
        return 0;
}

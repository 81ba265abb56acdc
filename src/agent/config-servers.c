/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-servers.h"

#include <ctype.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "parse-util.h"
#include "socket-address.h"
#include "string-util.h"

#define HOST_MAX 253 /* RFC 1035 section 2.3.4 */
#define MQTT_PORT 1883
#define MQTTS_PORT 8883
#define STUN_PORT 3478  /* STUN and TURN over UDP and TCP: RFC 8489 section 8.6.1 */
#define TURNS_PORT 5349 /* TURN over TLS: RFC 8656 section 5 */

/* A name or an address, as far as it can be judged before it is resolved. */
static bool is_host(const char *s)
{
        SocketAddress address;
        size_t n = strlen(s);

        if (socket_address_from_ip(s, 0, &address) >= 0)
                return true;
        if (n == 0 || n > HOST_MAX || s[0] == '-' || s[0] == '.')
                return false;
        for (const char *p = s; *p; p++)
                if (!isalnum((unsigned char) *p) && !strchr("-._", *p))
                        return false;
        return true;
}

/* "host", "host:port", "192.0.2.1:port", "[2001:db8::1]:port", "2001:db8::1". The caller owns *ret_host.
 * -EINVAL. */
static int parse_host_port(const char *s, uint16_t default_port, char **ret_host, uint16_t *ret_port)
{
        _cleanup_free_ char *host = NULL;
        const char *colon = strrchr(s, ':'), *port = NULL;
        uint16_t number = default_port;

        if (*s == '[') {
                const char *end = strchr(s, ']');

                if (!end || (end[1] && end[1] != ':'))
                        return -EINVAL;
                port = end[1] ? end + 2 : NULL;
                host = strndup(s + 1, (size_t) (end - s - 1));
        } else if (colon && strchr(s, ':') == colon) {
                port = colon + 1;
                host = strndup(s, (size_t) (colon - s));
        } else
                host = strdup(s);
        if (!host)
                return -ENOMEM;
        if (!is_host(host) || (port && (parse_u16(port, &number) < 0 || number == 0)))
                return -EINVAL;
        *ret_host = TAKE_PTR(host);
        *ret_port = number;
        return 0;
}

int mqtt_server_parse(const char *word, MqttServerConfig *ret)
{
        const char *rest = startswith(word, "mqtts://");
        MqttServerConfig server = { .tls = rest };
        int r;

        rest = rest ?: startswith(word, "mqtt://");
        if (!rest)
                return -EINVAL;
        r = parse_host_port(rest, server.tls ? MQTTS_PORT : MQTT_PORT, &server.host, &server.port);
        if (r < 0)
                return r;
        *ret = server;
        return 0;
}

static int parse_ice_server(const char *address, IceServerKind kind, IceServerConfig *ret)
{
        IceServerConfig server = { .kind = kind };
        uint16_t port = kind == ICE_SERVER_TURN_TLS ? TURNS_PORT : STUN_PORT;
        int r;

        r = parse_host_port(address, port, &server.host, &server.port);
        if (r < 0)
                return r;
        *ret = server;
        return 0;
}

int stun_server_parse(const char *word, IceServerConfig *ret)
{
        return parse_ice_server(startswith(word, "stun:") ?: word, ICE_SERVER_STUN, ret);
}

/* RFC 7065. TURN over DTLS ("turns:…?transport=udp") is not among what we speak. */
static IceServerKind turn_kind(bool tls, const char *query)
{
        if (tls)
                return !query || streq(query, "transport=tcp") ? ICE_SERVER_TURN_TLS
                                                               : _ICE_SERVER_KIND_INVALID;
        if (!query || streq(query, "transport=udp"))
                return ICE_SERVER_TURN_UDP;
        return streq(query, "transport=tcp") ? ICE_SERVER_TURN_TCP : _ICE_SERVER_KIND_INVALID;
}

int turn_server_parse(const char *word, IceServerConfig *ret)
{
        _cleanup_free_ char *address = NULL;
        const char *rest = startswith(word, "turns:");
        bool tls = rest;
        IceServerKind kind;
        char *query;

        rest = rest ?: startswith(word, "turn:");
        if (!rest)
                return -EINVAL;
        address = strdup(rest);
        if (!address)
                return -ENOMEM;
        query = strchr(address, '?');
        if (query)
                *query++ = '\0';
        kind = turn_kind(tls, query);
        return kind < 0 ? -EINVAL : parse_ice_server(address, kind, ret);
}

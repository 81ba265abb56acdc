/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "parse-util.h"
#include "string-util.h"
#include "wireguard-uapi.h"

/* The text of a UAPI answer: lines "key=value" that describe the device, then each peer after its
 * "public_key", then "errno", then an empty line. Keys that we do not know are allowed: implementations have
 * their own. */

#define KEY_MAX 64
/* A key has 64 characters, an endpoint with a zone 70. */
#define VALUE_MAX 128
#define ERRNO_MAX 4095

typedef struct UapiParser {
        WireguardDevice *device;
        WireguardPeer *peer; /* the last one; NULL before the first */
        uint64_t handshake_sec;
        uint64_t handshake_nsec;
        bool ended; /* errno was there */
        int device_error;
} UapiParser;

/* Values come NUL-terminated. -EINVAL, -ERANGE: it is no such thing; -ENOMEM. */
typedef int (*field_parser_t)(UapiParser *p, const char *value);

static int parse_private_key(UapiParser *p, const char *value)
{
        return wireguard_key_from_hex(value, &p->device->private_key);
}

static int parse_own_public_key(UapiParser *p, const char *value)
{
        return wireguard_key_from_hex(value, &p->device->public_key);
}

static int parse_listen_port(UapiParser *p, const char *value)
{
        return parse_u16(value, &p->device->listen_port);
}

static int parse_fwmark(UapiParser *p, const char *value)
{
        return parse_u32(value, &p->device->fwmark);
}

static int parse_public_key(UapiParser *p, const char *value)
{
        WireguardKey key;
        int r;

        r = wireguard_key_from_hex(value, &key);
        if (r < 0)
                return r;
        /* Twice the same peer would be two halves of which one is lost. */
        if (wireguard_device_find_peer(p->device, &key))
                return -EINVAL;
        p->handshake_sec = p->handshake_nsec = 0;
        return wireguard_device_add_peer(p->device, &key, &p->peer);
}

static int parse_preshared_key(UapiParser *p, const char *value)
{
        return wireguard_key_from_hex(value, &p->peer->preshared_key);
}

static int parse_endpoint(UapiParser *p, const char *value)
{
        int r = socket_address_from_string(value, &p->peer->endpoint);

        /* The zone may name an interface that is gone by now: an endpoint that leads nowhere. */
        return r < 0 && strchr(value, '%') ? 0 : r;
}

static int parse_keepalive(UapiParser *p, const char *value)
{
        return parse_u16(value, &p->peer->persistent_keepalive);
}

static int parse_allowed_ip(UapiParser *p, const char *value)
{
        IpPrefix prefix;
        int r;

        r = ip_prefix_from_string(value, &prefix);
        return r < 0 ? r : wireguard_peer_add_allowed_ip(p->peer, &prefix);
}

static void update_handshake(UapiParser *p)
{
        p->peer->last_handshake = p->handshake_sec == 0
                                          ? 0
                                          : p->handshake_sec * USEC_PER_SEC + p->handshake_nsec / 1000;
}

static int parse_handshake_sec(UapiParser *p, const char *value)
{
        int r = parse_u64(value, 0, USEC_INFINITY / USEC_PER_SEC / 2, &p->handshake_sec);

        update_handshake(p);
        return r;
}

static int parse_handshake_nsec(UapiParser *p, const char *value)
{
        int r = parse_u64(value, 0, 999999999, &p->handshake_nsec);

        update_handshake(p);
        return r;
}

static int parse_rx_bytes(UapiParser *p, const char *value)
{
        return parse_u64(value, 0, UINT64_MAX, &p->peer->rx_bytes);
}

static int parse_tx_bytes(UapiParser *p, const char *value)
{
        return parse_u64(value, 0, UINT64_MAX, &p->peer->tx_bytes);
}

/* wireguard-go writes its errors with a minus sign, others without. */
static int parse_errno(UapiParser *p, const char *value)
{
        uint64_t n;
        int r;

        r = parse_u64(value + (*value == '-'), 0, ERRNO_MAX, &n);
        if (r < 0)
                return r;
        p->device_error = -(int) n;
        p->ended = true;
        return 0;
}

typedef enum FieldScope {
        SCOPE_DEVICE, /* before the first peer */
        SCOPE_PEER,   /* behind a peer's public key */
        SCOPE_ANY,
} FieldScope;

typedef struct Field {
        const char *key;
        FieldScope scope;
        field_parser_t parse;
} Field;

static const Field fields[] = {
        { "private_key", SCOPE_DEVICE, parse_private_key },
        { "own_public_key", SCOPE_DEVICE, parse_own_public_key }, /* boringtun */
        { "listen_port", SCOPE_DEVICE, parse_listen_port },
        { "fwmark", SCOPE_DEVICE, parse_fwmark },
        { "public_key", SCOPE_ANY, parse_public_key },
        { "preshared_key", SCOPE_PEER, parse_preshared_key },
        { "endpoint", SCOPE_PEER, parse_endpoint },
        { "persistent_keepalive_interval", SCOPE_PEER, parse_keepalive },
        { "allowed_ip", SCOPE_PEER, parse_allowed_ip },
        { "last_handshake_time_sec", SCOPE_PEER, parse_handshake_sec },
        { "last_handshake_time_nsec", SCOPE_PEER, parse_handshake_nsec },
        { "rx_bytes", SCOPE_PEER, parse_rx_bytes },
        { "tx_bytes", SCOPE_PEER, parse_tx_bytes },
        { "errno", SCOPE_ANY, parse_errno },
};

static const Field *find_field(const char *key, size_t n)
{
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (strlen(fields[i].key) == n && memcmp(fields[i].key, key, n) == 0)
                        return fields + i;
        return NULL;
}

static bool key_is_valid(const char *key, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!(key[i] >= 'a' && key[i] <= 'z') && !(key[i] >= '0' && key[i] <= '9') && key[i] != '_')
                        return false;
        return n > 0 && n <= KEY_MAX;
}

/* The value leaves its place only into a buffer that is erased. */
static int parse_value(UapiParser *p, const Field *field, const char *value, size_t n)
{
        char buf[VALUE_MAX + 1];
        int r;

        if (n > VALUE_MAX || memchr(value, '\0', n))
                return -EINVAL;
        memcpy(buf, value, n);
        buf[n] = '\0';
        r = field->parse(p, buf);
        erase(buf, n);
        return r;
}

/* 0, -ENOMEM, or -EBADMSG with what is wrong in *ret_problem (a literal) and the key's length in *ret_key
 * (0: there is none). */
static int parse_line(UapiParser *p, const char *line, size_t n, const char **ret_problem, size_t *ret_key)
{
        const char *equals = memchr(line, '=', n);
        size_t key_size = equals ? (size_t) (equals - line) : 0;
        const Field *field;
        int r;

        *ret_key = 0;
        *ret_problem = "not of the form key=value";
        if (!key_is_valid(line, key_size))
                return -EBADMSG;
        *ret_key = key_size;
        field = find_field(line, key_size);
        if (!field)
                return 0;
        *ret_problem = "a peer's property before the first public_key";
        if (field->scope == SCOPE_PEER && !p->peer)
                return -EBADMSG;
        *ret_problem = "the device's property behind a public_key";
        if (field->scope == SCOPE_DEVICE && p->peer)
                return -EBADMSG;
        /* The value is not shown: it may be a secret. */
        *ret_problem = "not a valid value";
        r = parse_value(p, field, equals + 1, n - key_size - 1);
        return r < 0 && r != -ENOMEM ? -EBADMSG : r;
}

static int parse_problem(unsigned number, const char *key, size_t key_size, const char *problem,
                         char **ret_error)
{
        if (ret_error)
                *ret_error = asprintf_safe("line %u: %.*s%s%s", number, (int) key_size, key,
                                           key_size > 0 ? ": " : "", problem);
        return -EBADMSG;
}

int wireguard_uapi_parse(const char *text, size_t size, WireguardDevice *device, char **ret_error)
{
        UapiParser p = { .device = device };
        const char *at = text, *end = text + size;
        unsigned number = 1;

        for (; !p.ended; number++) {
                const char *newline = at < end ? memchr(at, '\n', (size_t) (end - at)) : NULL, *problem;
                size_t key_size;
                int r;

                if (!newline)
                        return parse_problem(number, at, /* key_size= */ 0, "cut short", ret_error);
                r = parse_line(&p, at, (size_t) (newline - at), &problem, &key_size);
                if (r == -EBADMSG)
                        return parse_problem(number, at, key_size, problem, ret_error);
                if (r < 0)
                        return r;
                at = newline + 1;
        }
        if (end - at != 1 || *at != '\n')
                return parse_problem(number, at, /* key_size= */ 0,
                                     "one empty line and nothing else may follow errno", ret_error);
        return p.device_error;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-util.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"
#include "varlink-agent.h"

int ctl_connect(const Ctl *ctl, sd_varlink **ret)
{
        int r = sd_varlink_connect_address(ret, ctl->socket);

        if (r == -ENOENT || r == -ECONNREFUSED)
                return log_error_errno(r, "icewired is not running: systemctl start icewired");
        if (r == -EACCES || r == -EPERM)
                return log_error_errno(r, "You may not talk to icewired at %s: %m", ctl->socket);
        if (r < 0)
                return log_error_errno(r, "Failed to connect to %s: %m", ctl->socket);
        return 0;
}

/* A string member of an error's parameters, escaped. The caller owns it. */
static char *error_member(sd_json_variant *parameters, const char *name)
{
        sd_json_variant *v = sd_json_variant_by_key(parameters, name);

        return terminal_escape(v && sd_json_variant_is_string(v) ? sd_json_variant_string(v) : "?");
}

int ctl_explain_error(const char *error, sd_json_variant *parameters)
{
        _cleanup_free_ char *link = error_member(parameters, "link"),
                            *peer = error_member(parameters, "peer"),
                            *message = error_member(parameters, "message"), *name = terminal_escape(error);

        if (streq(error, SD_VARLINK_ERROR_PERMISSION_DENIED))
                return log_error_errno(EACCES, "Permission denied: only root may do this.");
        if (streq(error, AGENT_ERROR_NO_SUCH_LINK))
                return log_error_errno(ENODEV, "icewired looks after no link \"%s\".", strna(link));
        if (streq(error, AGENT_ERROR_NO_SUCH_PEER))
                return log_error_errno(ENOENT, "There is no peer %s.", strna(peer));
        if (streq(error, AGENT_ERROR_CONFIGURATION_INVALID))
                return log_error_errno(EINVAL, "%s", strna(message));
        if (streq(error, SD_VARLINK_ERROR_DISCONNECTED))
                return log_error_errno(ECONNRESET, "icewired closed the connection.");
        if (streq(error, SD_VARLINK_ERROR_TIMEOUT))
                return log_error_errno(ETIMEDOUT, "icewired does not answer.");
        if (streq(error, SD_VARLINK_ERROR_METHOD_NOT_FOUND) ||
            streq(error, SD_VARLINK_ERROR_INTERFACE_NOT_FOUND))
                return log_error_errno(EOPNOTSUPP, "This icewired is too old for that.");
        return log_error_errno(EIO, "icewired says: %s", strna(name));
}

int ctl_call(sd_varlink *link, const char *method, sd_json_variant *parameters, sd_json_variant **ret)
{
        sd_json_variant *reply = NULL;
        const char *error = NULL;
        int r;

        r = sd_varlink_call(link, method, parameters, &reply, &error);
        if (error)
                return ctl_explain_error(error, reply);
        if (r < 0)
                return log_error_errno(r, "Failed to ask icewired: %m");
        if (ret)
                *ret = sd_json_variant_ref(reply);
        return 0;
}

const char *ctl_member_string(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        return member && sd_json_variant_is_string(member) ? sd_json_variant_string(member) : NULL;
}

char *ctl_enum_for_people(const char *s)
{
        char *copy = strdup(s);

        for (char *p = copy; p && *p; p++)
                if (*p == '_')
                        *p = '-';
        return copy;
}

int ctl_print_json(const Ctl *ctl, sd_json_variant *v)
{
        int r = sd_json_variant_dump(v, ctl->json | SD_JSON_FORMAT_FLUSH, stdout, /* prefix= */ NULL);

        return r < 0 ? log_error_errno(r, "Failed to write: %m") : 0;
}

/* The character at s, if it is valid UTF-8 of more than one byte; 0 otherwise. */
static size_t decode_utf8(const unsigned char *s, uint32_t *ret)
{
        size_t n = (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
        static const uint32_t least[] = { [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
        uint32_t c;

        if (n == 0)
                return 0;
        c = s[0] & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return n;
}

/* C1 controls, marks without width, line separators, and what changes the direction of text. */
static bool is_treacherous(uint32_t c)
{
        return (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
               (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

char *terminal_escape(const char *s)
{
        const unsigned char *p = (const unsigned char *) s;
        char *escaped = malloc(strlen(s) * 4 + 1), *q = escaped;

        if (!escaped)
                return NULL;
        while (*p) {
                uint32_t c = 0;
                size_t n = decode_utf8(p, &c);

                if (n > 0 && !is_treacherous(c)) {
                        q = mempcpy(q, p, n);
                        p += n;
                } else if (n == 0 && *p >= ' ' && *p < 127)
                        *q++ = (char) *p++;
                else
                        for (n = MAX(n, (size_t) 1); n > 0; n--)
                                q += sprintf(q, "\\x%02x", *p++);
        }
        *q = '\0';
        return escaped;
}

char *format_size(uint64_t bytes, char buf[static SIZE_STRLEN])
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double n = (double) bytes;
        size_t i = 0;

        while (n >= 1023.95 && i + 1 < ELEMENTSOF(units)) {
                n /= 1024;
                i++;
        }
        if (i == 0)
                snprintf(buf, SIZE_STRLEN, "%" PRIu64 " B", bytes);
        else
                snprintf(buf, SIZE_STRLEN, "%.1f %s", n, units[i]);
        return buf;
}

char *format_round_trip_time(usec_t t, char buf[static SIZE_STRLEN])
{
        double ms = (double) t / USEC_PER_MSEC;

        snprintf(buf, SIZE_STRLEN, ms < 10 ? "%.1fms" : "%.0fms", ms);
        return buf;
}

char *format_age(usec_t then, usec_t t, char buf[static SIZE_STRLEN])
{
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", 24 * USEC_PER_HOUR },
                { "h", USEC_PER_HOUR },
                { "min", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC },
        };
        usec_t age = usec_sub(t, then);

        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (age >= units[i].usec) {
                        snprintf(buf, SIZE_STRLEN, "%" PRIu64 "%s", age / units[i].usec, units[i].name);
                        return buf;
                }
        return strcpy(buf, "now");
}

static int compare_strings(const void *a, const void *b)
{
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static size_t common_prefix(const char *a, const char *b)
{
        size_t n = 0;

        while (a[n] && a[n] == b[n])
                n++;
        return n;
}

size_t unique_prefix_length(const char *const *keys, size_t n, size_t least)
{
        _cleanup_free_ const char **sorted = n > 0 ? new (const char *, n) : NULL;

        if (!sorted)
                return least;
        memcpy(sorted, keys, n * sizeof(*keys));
        qsort(sorted, n, sizeof(*sorted), compare_strings);
        for (size_t i = 1; i < n; i++)
                if (!streq(sorted[i - 1], sorted[i])) /* one key may be a peer on several links */
                        least = MAX(least, common_prefix(sorted[i - 1], sorted[i]) + 1);
        return least;
}

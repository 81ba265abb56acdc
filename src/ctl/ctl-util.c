/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"
#include "varlink-agent.h"

/* Of ctl_print_state(). */
#define LABEL_WIDTH 14

int ctl_connect(const Ctl *ctl, sd_varlink **ret)
{
        int r = sd_varlink_connect_address(ret, ctl->socket);

        if (r >= 0)
                return 0;
        if ((r == -ENOENT || r == -ECONNREFUSED) && streq(ctl->socket, AGENT_VARLINK_ADDRESS))
                return log_error_errno(ENOTCONN, "icewired is not running: systemctl start icewired");
        if (r == -ENOENT || r == -ECONNREFUSED)
                return log_error_errno(ENOTCONN, "No icewired listens at %s.", ctl->socket);
        if (r == -EACCES || r == -EPERM)
                return log_error_errno(EACCES, "You may not talk to icewired at %s: try it with sudo.",
                                       ctl->socket);
        return log_error_errno(r, "Failed to connect to %s: %m", ctl->socket);
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
                            *message = error_member(parameters, "message"),
                            *parameter = error_member(parameters, "parameter"),
                            *name = terminal_escape(error);

        if (streq(error, SD_VARLINK_ERROR_PERMISSION_DENIED))
                return log_error_errno(EACCES, "Permission denied: try it with sudo, or see polkit(8).");
        if (streq(error, AGENT_ERROR_NO_SUCH_LINK))
                return log_error_errno(ENODEV, "icewired looks after no link \"%s\".", strna(link));
        if (streq(error, AGENT_ERROR_NO_SUCH_PEER))
                return log_error_errno(ENOENT, "There is no peer %s.", strna(peer));
        if (streq(error, AGENT_ERROR_CONFIGURATION_INVALID))
                return log_error_errno(EBADMSG, "%s", strna(message));
        if (streq(error, SD_VARLINK_ERROR_INVALID_PARAMETER))
                return log_error_errno(EPROTO, "icewired does not take \"%s\": is it of another version?",
                                       strna(parameter));
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

typedef struct Stream {
        ctl_reply_t callback;
        void *userdata;
        int result; /* 1: go on */
} Stream;

static int on_reply(sd_varlink *link, sd_json_variant *reply, const char *error,
                    sd_varlink_reply_flags_t flags, void *userdata)
{
        bool last = !(flags & SD_VARLINK_REPLY_CONTINUES);
        Stream *s = userdata;
        int r;

        if (error && streq(error, SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED))
                s->result = -ENOKEY;
        else if (error)
                s->result = ctl_explain_error(error, reply);
        else {
                r = s->callback(reply, last, s->userdata);
                s->result = r < 0 ? r : !last;
        }
        return 0;
}

int ctl_stream(sd_varlink *link, const char *method, sd_json_variant *parameters, usec_t timeout,
               ctl_reply_t callback, void *userdata)
{
        Stream s = { .callback = callback, .userdata = userdata, .result = 1 };
        int r;

        (void) sd_varlink_set_userdata(link, &s);
        (void) sd_varlink_set_relative_timeout(link, timeout);
        r = sd_varlink_bind_reply(link, on_reply);
        if (r >= 0)
                r = sd_varlink_observe(link, method, parameters);
        while (r >= 0 && s.result > 0) {
                r = sd_varlink_process(link);
                if (r == 0)
                        r = sd_varlink_wait(link, USEC_INFINITY);
        }
        (void) sd_varlink_bind_reply(link, NULL);
        return s.result <= 0 ? s.result : log_error_errno(r, "Lost the connection to icewired: %m");
}

const char *ctl_member_string(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        return member && sd_json_variant_is_string(member) ? sd_json_variant_string(member) : NULL;
}

uint64_t ctl_member_unsigned(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        return member && sd_json_variant_is_unsigned(member) ? sd_json_variant_unsigned(member) : 0;
}

bool ctl_member_boolean(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        return member && sd_json_variant_is_boolean(member) && sd_json_variant_boolean(member);
}

sd_json_variant *ctl_member_array(sd_json_variant *v, const char *name, size_t *ret_n)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        if (member && !sd_json_variant_is_array(member))
                member = NULL;
        *ret_n = member ? sd_json_variant_elements(member) : 0;
        return member;
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
        sd_json_format_flags_t flags = ctl->json | SD_JSON_FORMAT_FLUSH;
        int r;

        /* One value a line is for programs. */
        if (ctl->colour && (flags & SD_JSON_FORMAT_PRETTY))
                flags |= SD_JSON_FORMAT_COLOR;
        r = sd_json_variant_dump(v, flags, stdout, /* prefix= */ NULL);
        return r < 0 ? log_error_errno(r, "Failed to write: %m") : 0;
}

void ctl_print_text(const Ctl *ctl, const char *head, const char *format, ...)
{
        _cleanup_free_ char *text = NULL, *escaped = NULL, *wrapped = NULL;
        size_t indent = text_width(head);
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0)
                text = NULL;
        escaped = text ? terminal_escape(text) : NULL;
        wrapped = escaped ? text_wrap(escaped, ctl->width, indent, /* max= */ 0, "") : NULL;
        printf("%s%s\n", head, wrapped && *wrapped ? wrapped + indent : "");
}

void ctl_print_state(const Ctl *ctl, const char *label, const char *state, const char *colour,
                     const char *rest, size_t max)
{
        _cleanup_free_ char *first = terminal_escape(state), *second = terminal_escape(rest ?: ""),
                            *text = NULL, *wrapped = NULL;
        const char *line;
        size_t n;

        text = first && second ? asprintf_safe("%s%s%s", first, *second ? ": " : "", second) : NULL;
        wrapped = text ? text_wrap(text, ctl->width, LABEL_WIDTH, max, glyph_ellipsis()) : NULL;
        line = wrapped && *wrapped ? wrapped + LABEL_WIDTH : "";
        n = ctl->colour && colour && first && startswith(line, first) ? strlen(first) : 0;
        printf("  %-*s%s%.*s%s%s\n", LABEL_WIDTH - 2, label, n > 0 ? colour : "", (int) n, line,
               n > 0 ? ANSI_NORMAL : "", line + n);
}

const char *plural(size_t n)
{
        return n == 1 ? "" : "s";
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

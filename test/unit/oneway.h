/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* That a server refuses every call which wants no reply, whatever its method: nobody is told, so what tells
 * is the log. */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "idl.h"
#include "log.h"
#include "sandbox.h"

typedef struct OnewayLog {
        int fd;    /* what is logged meanwhile, in memory */
        int saved; /* where it went before */
        int level;
} OnewayLog;

static inline OnewayLog oneway_log_begin(void)
{
        OnewayLog log = {
                .fd = memfd_create("log", MFD_CLOEXEC),
                .saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3),
                .level = log_get_max_level(),
        };

        cr_assert_geq(log.fd, 0);
        cr_assert_geq(dup2(log.fd, STDERR_FILENO), 0);
        log_set_max_level(LOG_DEBUG);
        return log;
}

/* How many calls were refused. */
static inline unsigned oneway_log_end(const OnewayLog *log)
{
        static char text[1 << 16];
        ssize_t n = pread(log->fd, text, sizeof(text) - 1, 0);
        unsigned count = 0;

        cr_assert_geq(n, 0);
        text[n] = '\0';
        cr_assert_geq(dup2(log->saved, STDERR_FILENO), 0);
        log_set_max_level(log->level);
        close(log->fd);
        close(log->saved);
        for (const char *p = text; (p = strstr(p, "Refusing a call that wants no reply")); p++)
                count++;
        return count;
}

static inline int on_oneway_ping(sd_varlink *link, sd_json_variant *parameters, const char *error,
                                 sd_varlink_reply_flags_t flags, void *userdata)
{
        unsigned *n = userdata;

        cr_assert_null(error, "what a call before it wanted is in the answer to Ping");
        cr_assert_eq(sd_json_variant_elements(parameters), 0);
        ++*n;
        return 0;
}

/* What was sent before is done with when this one is answered. */
static inline void oneway_ping(sd_varlink *link)
{
        unsigned *n = sd_varlink_get_userdata(link), before = *n;

        cr_assert_geq(sd_varlink_invoke(link, "io.systemd.service.Ping", NULL), 0);
        RUN_UNTIL(sd_varlink_get_event(link), *n > before);
        cr_assert_eq(*n, before + 1);
}

/* Methods that require `more` are no matter of ours: sd-varlink itself refuses a oneway call of them. */
static inline void oneway_expect_refused(sd_varlink *link, const sd_varlink_interface *interface,
                                         const sd_varlink_symbol *method)
{
        _cleanup_free_ char *name = asprintf_safe("%s.%s", interface->name, method->name);
        sd_json_variant *parameters = idl_make_parameters(method);
        bool ours = !(method->symbol_flags & SD_VARLINK_REQUIRES_MORE);
        OnewayLog log = oneway_log_begin();
        unsigned refused;

        cr_assert_geq(sd_varlink_send(link, name, parameters), 0);
        oneway_ping(link);
        refused = oneway_log_end(&log);
        cr_assert_eq(refused, ours, "%s: %u calls were refused", name, refused);
        sd_json_variant_unref(parameters);
}

/* Each method of the interface, at the server that listens at `address` and serves io.systemd.service too.
 */
static inline void oneway_is_refused_by(sd_event *loop, const char *address,
                                        const sd_varlink_interface *interface)
{
        unsigned n_pings = 0, n_methods = 0;
        sd_varlink *link = NULL;

        cr_assert_geq(sd_varlink_connect_address(&link, address), 0);
        (void) sd_varlink_set_userdata(link, &n_pings);
        cr_assert_geq(sd_varlink_bind_reply(link, on_oneway_ping), 0);
        cr_assert_geq(sd_varlink_attach_event(link, loop, SD_EVENT_PRIORITY_NORMAL), 0);
        for (size_t i = 0; interface->symbols[i]; i++)
                if (interface->symbols[i]->symbol_type == SD_VARLINK_METHOD) {
                        oneway_expect_refused(link, interface, interface->symbols[i]);
                        n_methods++;
                }
        cr_assert_gt(n_methods, 0);
        sd_varlink_close_unref(link);
}

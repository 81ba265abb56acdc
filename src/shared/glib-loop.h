/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "time-util.h"

/* GMainContexts on an sd-event loop, in its thread. Many contexts are cheap: all of them share one epoll
 * instance, which is one I/O source of the loop, and each has one timer. Only a context that has something
 * to do is looked at. */

typedef struct GlibContext GlibContext;

/* Called when the sd_event itself is being freed while the context is still there: the context will never
 * run again, and its owner has to let go of it. glib_context_free() is allowed inside. */
typedef void (*glib_context_orphaned_t)(GlibContext *context, void *userdata);

/* Makes a context of its own (G_MAIN_CONTEXT_FLAGS_OWNERLESS_POLLING, acquired by the calling thread for
 * good). It takes two file descriptors of the process: GLib aborts where it gets none, so the caller sees to
 * that. The context keeps no reference to `event`. orphaned may be NULL. sd-event's and epoll's errors,
 * -ENOMEM. */
int glib_context_new(sd_event *event, glib_context_orphaned_t orphaned, void *userdata, GlibContext **ret);

/* Destroys what sources are left and forgets the context. Accepts NULL, returns NULL; may be called from
 * inside the context's own dispatch: then the last of it goes when that returns. */
GlibContext *glib_context_free(GlibContext *context);
DEFINE_TRIVIAL_CLEANUP_FUNC(GlibContext *, glib_context_free);

/* Borrowed. */
GMainContext *glib_context_get(GlibContext *context);

/* How much later than asked for a timer of the context may come, in usec; 0 (at first): not at all. What is
 * to come sooner than that comes that late, so that a poll each 20 ms becomes a slow one. */
void glib_context_set_slack(GlibContext *context, usec_t slack);

/* Runs an orphaned context by itself, waiting, until it is freed or `deadline` (CLOCK_MONOTONIC) has come.
 */
void glib_context_finish(GlibContext *context, usec_t deadline);

/* Sends what GLib and the libraries on it log to our log, with a limit (a peer may be able to provoke it).
 * Once per process is enough, more does no harm. */
void glib_log_redirect(void);

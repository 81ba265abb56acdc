/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "glib-loop.h"

#include <poll.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "ratelimit.h"
#include "string-util.h"

/* Contexts looked at per wake-up; what is left is still readable in the next turn of the loop. */
#define EVENTS_MAX 64
/* ICE paces its checks at 20 ms: a timer may not be much later than GLib's own millisecond. */
#define CONTEXT_TIMER_ACCURACY USEC_PER_MSEC
/* Even a context whose time is up gets these, without waiting. */
#define FINISH_TURNS_MIN 4
#define LOG_BURST 20
#define LOG_INTERVAL (10 * USEC_PER_SEC)

/* What an fd number in the epoll set stands for. The table is the whole process's, because a context that
 * closes an fd learns of it later than the context that is given the same number again. */
typedef struct Watch {
        GlibContext *owner;
        uint32_t events;
        uint32_t serial; /* tells it from earlier watches of the number */
} Watch;

typedef struct GlibLoop GlibLoop;
struct GlibLoop {
        sd_event *event; /* not referenced; NULL once it is gone */
        GlibLoop *next;  /* in `loops` */
        int epoll_fd;
        sd_event_source *io; /* floating: no reference is held */
        Watch *watches;      /* by fd */
        size_t n_watches;
        uint32_t serial; /* of the last watch */
        GlibContext *contexts;
        GlibContext *ready; /* those the current wake-up has still to look at */
        bool busy;          /* in a callback of ours, which frees an unused loop at its end */
};

struct GlibContext {
        GlibLoop *loop;
        GlibContext *next, **previous; /* in loop->contexts */
        GlibContext *next_ready;       /* in loop->ready */
        bool is_ready;
        bool dispatching;
        bool freed; /* inside dispatch: goes when that returns */
        GMainContext *context;
        int wake_fd; /* GLib writes to it whenever sources came, went or changed */
        int priority;
        GPollFD *fds; /* as of the last query */
        size_t n_fds, n_fds_allocated;
        GPollFD *watched; /* what is in the epoll set for us */
        size_t n_watched, n_watched_allocated;
        sd_event_source *timer; /* floating, likewise */
        usec_t slack;
        glib_context_orphaned_t orphaned;
        void *userdata;
};

static GlibLoop *loops;

/* Makes a source the event's alone: it goes with the event, and does not keep it. */
static int source_float(sd_event_source *s)
{
        int r = sd_event_source_set_floating(s, true);

        if (r >= 0)
                sd_event_source_unref(s);
        return r;
}

/* To remove a floating source it must first become ours again, which is only possible while the event
 * lives; later it is gone by itself. */
static sd_event_source *floating_source_free(GlibLoop *loop, sd_event_source *s)
{
        if (!s || !loop->event)
                return NULL;
        sd_event_source_ref(s);
        (void) sd_event_source_set_floating(s, false);
        return sd_event_source_disable_unref(s);
}

static void loop_free(GlibLoop *loop)
{
        for (GlibLoop **p = &loops; *p; p = &(*p)->next)
                if (*p == loop) {
                        *p = loop->next;
                        break;
                }
        if (loop->event && loop->io)
                (void) sd_event_source_set_destroy_callback(loop->io, NULL);
        loop->io = floating_source_free(loop, loop->io);
        safe_close(loop->epoll_fd);
        free(loop->watches);
        free(loop);
}

static void loop_free_if_unused(GlibLoop *loop)
{
        if (!loop->contexts && !loop->busy)
                loop_free(loop);
}

static void watch_remove(GlibContext *c, int fd)
{
        GlibLoop *loop = c->loop;

        /* Closed and given to another context meanwhile: theirs. */
        if ((size_t) fd >= loop->n_watches || loop->watches[fd].owner != c)
                return;
        loop->watches[fd] = (Watch) {};
        (void) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* What epoll hands out. Not the context itself: of a file that is closed here but open elsewhere (a socket
 * on its way to the broker) epoll goes on to tell. */
static uint64_t watch_name(int fd, uint32_t serial)
{
        return (uint64_t) serial << 32 | (uint32_t) fd;
}

/* Always asks the kernel: the number may have been closed and opened again since. */
static int watch_set(GlibContext *c, int fd, uint32_t events)
{
        GlibLoop *loop = c->loop;
        struct epoll_event e = { .events = events, .data.u64 = watch_name(fd, ++loop->serial) };

        if ((size_t) fd >= loop->n_watches) {
                size_t n = loop->n_watches;

                if (GROW_ARRAY(loop->watches, loop->n_watches, (size_t) fd + 1) < 0)
                        return -ENOMEM;
                memset(loop->watches + n, 0, (loop->n_watches - n) * sizeof(*loop->watches));
        }
        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &e) < 0 &&
            (errno != ENOENT || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0))
                return -errno;
        loop->watches[fd] = (Watch) { .owner = c, .events = events, .serial = loop->serial };
        return 0;
}

static GlibContext *watch_find(const GlibLoop *loop, uint64_t name)
{
        uint32_t fd = (uint32_t) name, serial = (uint32_t) (name >> 32);

        return fd < loop->n_watches && loop->watches[fd].serial == serial ? loop->watches[fd].owner : NULL;
}

static bool poll_fds_contain(const GPollFD *fds, size_t n, int fd)
{
        for (size_t i = 0; i < n; i++)
                if (fds[i].fd == fd)
                        return true;
        return false;
}

/* GLib lists an fd once per source; epoll wants the union. POLL* and EPOLL* have the same values. */
static uint32_t poll_fds_events(const GPollFD *fds, size_t n, int fd)
{
        uint32_t events = 0;

        for (size_t i = 0; i < n; i++)
                if (fds[i].fd == fd)
                        events |= fds[i].events;
        return events & (EPOLLIN | EPOLLOUT | EPOLLPRI);
}

static bool poll_fds_equal(const GPollFD *a, size_t n, const GPollFD *b, size_t m)
{
        if (n != m)
                return false;
        for (size_t i = 0; i < n; i++)
                if (a[i].fd != b[i].fd || a[i].events != b[i].events)
                        return false;
        return true;
}

static void context_sync_epoll(GlibContext *c)
{
        for (size_t i = 0; i < c->n_watched; i++)
                if (!poll_fds_contain(c->fds, c->n_fds, c->watched[i].fd))
                        watch_remove(c, c->watched[i].fd);
        for (size_t i = 0; i < c->n_fds; i++) {
                int fd = c->fds[i].fd, r;

                if (poll_fds_contain(c->fds, i, fd))
                        continue;
                r = watch_set(c, fd, poll_fds_events(c->fds, c->n_fds, fd));
                if (r < 0)
                        log_debug_errno(r, "Cannot watch file descriptor %d of a GLib source: %m", fd);
        }
        if (GROW_ARRAY(c->watched, c->n_watched_allocated, c->n_fds) < 0) {
                c->n_watched = 0; /* forgets what to remove: glib_context_free() still looks at the table */
                return;
        }
        memcpy(c->watched, c->fds, c->n_fds * sizeof(*c->fds));
        c->n_watched = c->n_fds;
}

static int on_context_timer(sd_event_source *s, uint64_t usec, void *userdata);

/* timeout: milliseconds, -1 for none, as poll(2) has it. */
static int context_arm_timer(GlibContext *c, int timeout)
{
        _cleanup_event_source_ sd_event_source *source = NULL;
        usec_t accuracy = MAX(c->slack, (usec_t) CONTEXT_TIMER_ACCURACY);
        usec_t delay = timeout > 0 ? MAX((usec_t) timeout * USEC_PER_MSEC, c->slack) : 0;
        int r;

        if (timeout < 0) {
                event_disarm_timer(c->timer);
                return 0;
        }
        if (c->timer) {
                r = sd_event_source_set_time_accuracy(c->timer, accuracy);
                if (r >= 0)
                        r = sd_event_source_set_time_relative(c->timer, delay);
                return r < 0 ? r : sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
        }
        /* GLib's timeouts are on CLOCK_MONOTONIC too. */
        r = sd_event_add_time_relative(c->loop->event, &source, CLOCK_MONOTONIC, delay, accuracy,
                                       on_context_timer, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, "glib-timer");
        r = source_float(source);
        if (r < 0)
                return r;
        c->timer = TAKE_PTR(source);
        return 0;
}

/* Asks GLib what it waits for, and waits for that. resync: fds may have been reopened under their numbers.
 */
static int context_prepare(GlibContext *c, bool resync)
{
        int timeout = -1, n;

        (void) g_main_context_prepare(c->context, &c->priority);
        for (;;) {
                n = g_main_context_query(c->context, c->priority, &timeout, c->fds,
                                         (int) c->n_fds_allocated);
                if ((size_t) n <= c->n_fds_allocated)
                        break;
                if (GROW_ARRAY(c->fds, c->n_fds_allocated, (size_t) n) < 0)
                        return -ENOMEM;
        }
        c->n_fds = (size_t) n;
        if (!c->loop->event)
                return 0;
        if (resync || !poll_fds_equal(c->fds, c->n_fds, c->watched, c->n_watched))
                context_sync_epoll(c);
        return context_arm_timer(c, timeout);
}

static void context_destroy(GlibContext *c)
{
        g_main_context_release(c->context);
        g_main_context_unref(c->context);
        free(c->fds);
        free(c->watched);
        free(c);
}

/* One turn of the GLib main loop, with a poll that does not wait. */
static void context_run(GlibContext *c)
{
        bool woken = false;
        int r;

        if (c->dispatching || c->freed)
                return;
        c->dispatching = true;
        (void) g_poll(c->fds, (unsigned) c->n_fds, 0);
        for (size_t i = 0; i < c->n_fds; i++)
                woken = woken || (c->fds[i].fd == c->wake_fd && c->fds[i].revents != 0);
        if (g_main_context_check(c->context, c->priority, c->fds, (int) c->n_fds))
                g_main_context_dispatch(c->context);
        c->dispatching = false;
        if (c->freed) {
                context_destroy(c);
                return;
        }
        r = context_prepare(c, woken);
        if (r < 0)
                log_debug_errno(r, "Cannot prepare a GLib context: %m");
}

static int on_context_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        context_run(userdata);
        return 0;
}

static void loop_mark_ready(GlibLoop *loop, GlibContext *c)
{
        if (c->is_ready)
                return;
        c->is_ready = true;
        c->next_ready = loop->ready;
        loop->ready = c;
}

static void loop_unmark_ready(GlibLoop *loop, GlibContext *c)
{
        for (GlibContext **p = &loop->ready; *p; p = &(*p)->next_ready)
                if (*p == c) {
                        *p = c->next_ready;
                        break;
                }
        c->is_ready = false;
}

/* What has no number here any more cannot be taken out of an epoll set, and is told again and again: begin
 * with an empty one. */
static void loop_renew_epoll(GlibLoop *loop)
{
        _cleanup_close_ int fd = epoll_create1(EPOLL_CLOEXEC);
        int r = fd < 0 ? -errno : sd_event_source_set_io_fd(loop->io, fd);

        if (r < 0) {
                log_debug_errno(r, "Cannot renew the set of watched file descriptors: %m");
                return;
        }
        safe_close(loop->epoll_fd);
        loop->epoll_fd = TAKE_FD(fd);
        for (size_t i = 0; i < loop->n_watches; i++)
                if (loop->watches[i].owner)
                        (void) watch_set(loop->watches[i].owner, (int) i, loop->watches[i].events);
}

/* Collects first and runs afterwards: running one context may free any other, which then leaves the list. */
static int on_loop_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        struct epoll_event events[EVENTS_MAX];
        GlibLoop *loop = userdata;
        bool stale = false;
        int n;

        n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, 0);
        for (int i = 0; i < n; i++) {
                GlibContext *c = watch_find(loop, events[i].data.u64);

                if (c)
                        loop_mark_ready(loop, c);
                stale = stale || !c;
        }
        if (stale)
                loop_renew_epoll(loop);
        loop->busy = true;
        while (loop->ready) {
                GlibContext *c = loop->ready;

                loop_unmark_ready(loop, c);
                context_run(c);
        }
        loop->busy = false;
        loop_free_if_unused(loop);
        return 0;
}

static GlibContext *loop_find_orphan(GlibLoop *loop)
{
        for (GlibContext *c = loop->contexts; c; c = c->next)
                if (c->orphaned)
                        return c;
        return NULL;
}

/* The event is being freed, and our floating sources with it. Contexts that nobody comes for stay until
 * their owners free them, and the loop with the last one. */
static void on_loop_destroyed(void *userdata)
{
        GlibLoop *loop = userdata;
        GlibContext *c;

        loop->event = NULL;
        loop->io = NULL;
        loop->busy = true;
        while ((c = loop_find_orphan(loop)))
                TAKE_PTR(c->orphaned)(c, c->userdata);
        loop->busy = false;
        loop_free_if_unused(loop);
}

static int loop_get(sd_event *event, GlibLoop **ret)
{
        _cleanup_event_source_ sd_event_source *io = NULL;
        _cleanup_close_ int epoll_fd = -EBADF;
        GlibLoop *loop;
        int r;

        for (loop = loops; loop; loop = loop->next)
                if (loop->event == event) {
                        *ret = loop;
                        return 0;
                }
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0)
                return -errno;
        loop = new0(GlibLoop, 1);
        if (!loop)
                return -ENOMEM;
        r = event_add_io(event, &io, epoll_fd, EPOLLIN, on_loop_io, loop, "glib-loop");
        if (r >= 0)
                r = source_float(io);
        if (r < 0) {
                free(loop);
                return r;
        }
        loop->event = event;
        loop->epoll_fd = TAKE_FD(epoll_fd);
        loop->io = TAKE_PTR(io);
        (void) sd_event_source_set_destroy_callback(loop->io, on_loop_destroyed);
        loop->next = loops;
        loops = loop;
        *ret = loop;
        return 0;
}

int glib_context_new(sd_event *event, glib_context_orphaned_t orphaned, void *userdata, GlibContext **ret)
{
        _cleanup_(glib_context_freep) GlibContext *c = NULL;
        GlibLoop *loop = NULL;
        int r;

        r = loop_get(event, &loop);
        if (r < 0)
                return r;
        c = new0(GlibContext, 1);
        if (!c) {
                loop_free_if_unused(loop);
                return -ENOMEM;
        }
        c->loop = loop;
        c->wake_fd = -EBADF;
        c->next = loop->contexts;
        c->previous = &loop->contexts;
        if (c->next)
                c->next->previous = &c->next;
        loop->contexts = c;

        c->context = g_main_context_new_with_flags(G_MAIN_CONTEXT_FLAGS_OWNERLESS_POLLING);
        if (!g_main_context_acquire(c->context))
                return -EBUSY;
        r = context_prepare(c, /* resync= */ true);
        if (r < 0)
                return r;
        /* Without any source the one fd is that which wakes it. */
        if (c->n_fds > 0)
                c->wake_fd = c->fds[0].fd;
        c->orphaned = orphaned;
        c->userdata = userdata;
        *ret = TAKE_PTR(c);
        return 0;
}

GlibContext *glib_context_free(GlibContext *c)
{
        GlibLoop *loop;

        if (!c || c->freed)
                return NULL;
        loop = c->loop;
        c->timer = floating_source_free(loop, c->timer);
        for (size_t fd = 0; fd < loop->n_watches; fd++)
                if (loop->watches[fd].owner == c)
                        watch_remove(c, (int) fd);
        loop_unmark_ready(loop, c);
        *c->previous = c->next;
        if (c->next)
                c->next->previous = c->previous;
        c->freed = true;
        c->loop = NULL;
        if (!c->dispatching)
                context_destroy(c);
        loop_free_if_unused(loop);
        return NULL;
}

GMainContext *glib_context_get(GlibContext *c)
{
        return c->context;
}

void glib_context_set_slack(GlibContext *c, usec_t slack)
{
        int r;

        if (c->slack == slack)
                return;
        c->slack = slack;
        if (c->dispatching || c->freed)
                return; /* prepared anew at the end of that */
        r = context_prepare(c, /* resync= */ false);
        if (r < 0)
                log_debug_errno(r, "Cannot prepare a GLib context: %m");
}

/* One turn of the GLib main loop that may wait: until `deadline`, CLOCK_MONOTONIC. */
static void context_turn(GlibContext *c, usec_t deadline)
{
        usec_t left = usec_sub(deadline, now(CLOCK_MONOTONIC));
        int priority, timeout, n;

        (void) g_main_context_prepare(c->context, &priority);
        while ((n = g_main_context_query(c->context, priority, &timeout, c->fds, (int) c->n_fds_allocated)) >
               (int) c->n_fds_allocated)
                if (GROW_ARRAY(c->fds, c->n_fds_allocated, (size_t) n) < 0)
                        return;
        c->n_fds = (size_t) n;
        if (timeout < 0 || (usec_t) timeout > left / USEC_PER_MSEC)
                timeout = (int) (left / USEC_PER_MSEC);
        (void) g_poll(c->fds, (unsigned) n, timeout);
        if (g_main_context_check(c->context, priority, c->fds, n))
                g_main_context_dispatch(c->context);
}

void glib_context_finish(GlibContext *c, usec_t deadline)
{
        if (c->dispatching)
                return;
        c->dispatching = true;
        for (unsigned i = 0; !c->freed && (i < FINISH_TURNS_MIN || now(CLOCK_MONOTONIC) < deadline); i++)
                context_turn(c, deadline);
        c->dispatching = false;
        if (c->freed)
                context_destroy(c);
}

static void on_glib_log(const char *domain, GLogLevelFlags flags, const char *message, void *userdata)
{
        static RateLimit limit = { .interval = LOG_INTERVAL, .burst = LOG_BURST };
        int level = flags & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL) ? LOG_ERR
                    : flags & G_LOG_LEVEL_WARNING                      ? LOG_WARNING
                                                                       : LOG_DEBUG;

        if (level < LOG_DEBUG && !ratelimit_ok(&limit, now(CLOCK_MONOTONIC)))
                return;
        (void) log_full_errno(level, 0, "%s: %s", domain ?: "GLib", strna(message));
}

void glib_log_redirect(void)
{
        g_log_set_default_handler(on_glib_log, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What units.py gives a daemon with LD_PRELOAD: for it CLOCK_MONOTONIC and CLOCK_BOOTTIME, and timers on
 * them, run $FAULTS_SPEED times as fast from its start on, so that what takes minutes can be waited for; and
 * while there is a file $FAULTS_FILE, the event source $FAULTS_TIMER is lost whenever it is armed anew. */

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC INT64_C(1000000000)
#define FDS_MAX 1024

static int64_t speed = 1;
static int64_t started[CLOCK_BOOTTIME + 1]; /* of those that run fast; 0: as it is */
static clockid_t clock_of[FDS_MAX];         /* of timerfds; 0 is CLOCK_REALTIME */

static int64_t to_nsec(const struct timespec *t)
{
        return t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
}

static struct timespec from_nsec(int64_t n)
{
        return (struct timespec) { .tv_sec = n / NSEC_PER_SEC, .tv_nsec = n % NSEC_PER_SEC };
}

static int64_t start_of(clockid_t id)
{
        return id >= 0 && id <= CLOCK_BOOTTIME ? started[id] : 0;
}

__attribute__((constructor)) static void begin(void)
{
        static const clockid_t fast[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME };
        const char *s = getenv("FAULTS_SPEED");

        speed = s ? atoll(s) : 1;
        for (size_t i = 0; i < sizeof(fast) / sizeof(*fast); i++) {
                struct timespec t;

                if (syscall(SYS_clock_gettime, fast[i], &t) == 0)
                        started[fast[i]] = to_nsec(&t);
        }
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
        int r = (int) syscall(SYS_clock_gettime, id, ret);
        int64_t start = start_of(id);

        if (r == 0 && start > 0)
                *ret = from_nsec(start + (to_nsec(ret) - start) * speed);
        return r;
}

int timerfd_create(clockid_t id, int flags)
{
        int fd = (int) syscall(SYS_timerfd_create, id, flags);

        if (fd >= 0 && fd < FDS_MAX)
                clock_of[fd] = id;
        return fd;
}

/* sd-event's are absolute. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
        struct itimerspec real = *value;
        int64_t start = fd < FDS_MAX ? start_of(clock_of[fd]) : 0, t = to_nsec(&value->it_value);

        if (flags & TFD_TIMER_ABSTIME && start > 0 && t > start)
                real.it_value = from_nsec(start + (t - start) / speed);
        return (int) syscall(SYS_timerfd_settime, fd, flags, &real, old);
}

static int is_lost(sd_event_source *s)
{
        const char *file = getenv("FAULTS_FILE"), *timer = getenv("FAULTS_TIMER"), *name;

        return file && timer && sd_event_source_get_description(s, &name) >= 0 && strcmp(name, timer) == 0 &&
               access(file, F_OK) == 0;
}

int sd_event_source_set_enabled(sd_event_source *s, int enabled)
{
        static int (*next)(sd_event_source *, int);

        if (!next)
                *(void **) &next = dlsym(RTLD_NEXT, "sd_event_source_set_enabled");
        return next(s, enabled != SD_EVENT_OFF && is_lost(s) ? SD_EVENT_OFF : enabled);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Network namespaces beside the test's own, for hosts that the test is as well. Sockets belong to the one in
 * which they are made. */

#include <fcntl.h>

#include "sandbox.h"

/* A file descriptor; the caller's. */
static inline int netns_open(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        cr_assert_geq(fd, 0, "%s: %m", path);
        return fd;
}

/* The one we are in. */
static inline int netns_here(void)
{
        return netns_open("/proc/self/ns/net");
}

static inline void netns_enter(int fd)
{
        cr_assert_eq(setns(fd, CLONE_NEWNET), 0, "%m");
}

/* A new one, where only lo is up. We stay where we are. */
static inline int netns_new(void)
{
        int here = netns_here(), fd;

        cr_assert_eq(unshare(CLONE_NEWNET), 0, "%m");
        sandbox_loopback_up();
        fd = netns_here();
        netns_enter(here);
        close(here);
        return fd;
}

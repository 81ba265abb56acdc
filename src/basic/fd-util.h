/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <unistd.h>

#include "macro.h"

/* Closes fd if there is one, keeps errno, returns the "absent" fd: fd = safe_close(fd). */
static inline int safe_close(int fd)
{
        int saved = errno;

        if (fd >= 0)
                (void) close(fd);
        errno = saved;
        return -EBADF;
}

static inline void safe_closep(int *fd)
{
        safe_close(*fd);
}
#define _cleanup_close_ _cleanup_(safe_closep)

/* Reads a file or a FIFO of at most `max` bytes up to its end and adds a NUL; the caller owns and, for a
 * secret, erases it. -EFBIG if there is more, otherwise the error of open or read. */
int read_full_file(const char *path, size_t max, char **ret, size_t *ret_size);

/* From here on a write to a socket that the other side has closed is an error (EPIPE) and no signal, unless
 * the process has a handler for that: for libraries that do not ask send(2) for it. */
void ignore_sigpipe(void);

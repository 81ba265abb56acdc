/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fd-util.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "alloc-util.h"

int read_full_file(const char *path, size_t max, char **ret, size_t *ret_size)
{
        _cleanup_close_ int fd = -EBADF;
        char *buffer;
        size_t size = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        buffer = malloc(max + 2);
        if (!buffer)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(fd, buffer + size, max + 1 - size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0 || (size += (size_t) n) > max) {
                        int r = n < 0 ? -errno : n > 0 ? -EFBIG : 0;

                        if (r < 0) {
                                erase(buffer, size);
                                free(buffer);
                                return r;
                        }
                        break;
                }
        }
        buffer[size] = '\0';
        *ret = buffer;
        if (ret_size)
                *ret_size = size;
        return 0;
}

void ignore_sigpipe(void)
{
        struct sigaction action;

        if (sigaction(SIGPIPE, NULL, &action) >= 0 && action.sa_handler == SIG_DFL)
                (void) signal(SIGPIPE, SIG_IGN);
}

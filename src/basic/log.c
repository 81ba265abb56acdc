/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd-util.h"

#define LOG_LINE_MAX 2048
#define LOG_FIELDS_MAX 16

static int max_level = -1;
static int journal_fd = -EBADF;
static bool journal_tried;

static const char *const level_table[] = { "emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug" };

int log_level_from_string(const char *s)
{
        for (size_t i = 0; i < ELEMENTSOF(level_table); i++)
                if (strcmp(level_table[i], s) == 0)
                        return (int) i;
        return -EINVAL;
}

const char *log_level_to_string(int level)
{
        return level >= 0 && (size_t) level < ELEMENTSOF(level_table) ? level_table[level] : NULL;
}

void log_set_max_level(int level)
{
        max_level = CLAMP(level, LOG_EMERG, LOG_DEBUG);
}

/* $JOURNAL_STREAM names the device and inode of the stream that systemd gave us as stderr: if stderr still
 * is that one, its reader is the journal, and we may speak its native protocol instead (systemd.exec(5)). */
bool log_goes_to_journal(void)
{
        const char *e = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;

        return e && sscanf(e, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) >= 0 &&
               st.st_dev == device && st.st_ino == inode;
}

/* Once, before the first message. */
static void open_journal(void)
{
        static const struct sockaddr_un address = {
                .sun_family = AF_UNIX,
                .sun_path = "/run/systemd/journal/socket",
        };
        _cleanup_close_ int fd = -EBADF;

        if (journal_tried)
                return;
        journal_tried = true;
        if (!log_goes_to_journal())
                return;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return;
        journal_fd = TAKE_FD(fd);
}

int log_get_max_level(void)
{
        if (max_level < 0) {
                const char *e = getenv("ICEWIRE_LOG_LEVEL");
                int level = e ? log_level_from_string(e) : -EINVAL;

                max_level = level >= 0 ? level : LOG_INFO;
        }
        return max_level;
}

/* One datagram of "NAME=value" lines; our messages are one line each, so the protocol's binary form is not
 * needed. Nor may a field forge another one: it ends where its first line does. */
static bool send_to_journal(int level, int error, const char *file, int line, const char *function,
                            const char *const *fields, const char *message)
{
        char head[1024];
        struct iovec iov[3 + 2 * LOG_FIELDS_MAX];
        struct msghdr msg = { .msg_iov = iov };
        int n;

        n = snprintf(
                head, sizeof(head),
                "PRIORITY=%d\nCODE_FILE=%s\nCODE_LINE=%d\nCODE_FUNC=%s\nSYSLOG_IDENTIFIER=%s\n%sMESSAGE=",
                level, file, line, function, program_invocation_short_name,
                error != 0 ? LOG_FIELD("ERRNO=%d\n", abs(error)) : "");
        if (n < 0 || (size_t) n >= sizeof(head))
                return false;
        iov[msg.msg_iovlen++] = (struct iovec) { head, (size_t) n };
        iov[msg.msg_iovlen++] = (struct iovec) { (char *) message, strlen(message) };
        iov[msg.msg_iovlen++] = (struct iovec) { (char *) "\n", 1 };
        for (size_t i = 0; fields && fields[i] && i < LOG_FIELDS_MAX; i++) {
                iov[msg.msg_iovlen++] = (struct iovec) { (char *) fields[i], strcspn(fields[i], "\n") };
                iov[msg.msg_iovlen++] = (struct iovec) { (char *) "\n", 1 };
        }
        return sendmsg(journal_fd, &msg, MSG_NOSIGNAL) >= 0;
}

static void write_to_stderr(int level, const char *message)
{
        char prefix[8] = "";
        struct iovec iov[3] = { [1] = { (char *) message, strlen(message) }, [2] = { (char *) "\n", 1 } };

        /* A service's stderr that is not the journal's socket still understands the level in front
         * (sd-daemon(3)). */
        if (getenv("JOURNAL_STREAM"))
                snprintf(prefix, sizeof(prefix), "<%d>", level);
        iov[0] = (struct iovec) { prefix, strlen(prefix) };
        if (writev(STDERR_FILENO, iov, 3) < 0)
                return; /* there is nowhere left to complain */
}

/* What came from outside must not forge a second line or command a terminal: no control character but the
 * tab, neither ASCII's nor, in UTF-8, those from U+0080 to U+009F. */
static void neutralise(char *message)
{
        for (unsigned char *p = (unsigned char *) message; *p; p++)
                if ((*p < ' ' && *p != '\t') || *p == 127)
                        *p = '?';
                else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
                        p[0] = p[1] = '?';
}

const char *log_field(char buf[static LOG_FIELD_MAX], const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        vsnprintf(buf, LOG_FIELD_MAX, format, ap);
        va_end(ap);
        return buf;
}

int log_internal(int level, int error, const char *file, int line, const char *function,
                 const char *const *fields, const char *format, ...)
{
        char message[LOG_LINE_MAX];
        int saved = errno;
        va_list ap;

        errno = abs(error);
        va_start(ap, format);
        vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        neutralise(message);

        open_journal();
        if (journal_fd < 0 || !send_to_journal(level, error, file, line, function, fields, message))
                write_to_stderr(level, message);
        errno = saved;
        return -abs(error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-pager.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "fd-util.h"
#include "log.h"
#include "parse-util.h"
#include "string-util.h"

/* Quit if it fits one screen, colours, long lines are cut, quietly on ^C, no switch to another screen. */
#define LESS_OPTIONS "FRSXMK"

/* The first that is set. */
static const char *first_variable(const char *const *names)
{
        for (; *names; names++)
                if (getenv(*names))
                        return getenv(*names);
        return NULL;
}

static bool is_secure(void)
{
        static const char *const names[] = { "ICEWIRE_PAGERSECURE", "SYSTEMD_PAGERSECURE", NULL };
        const char *value = first_variable(names);
        uid_t owner;
        bool secure;

        if (value)
                return parse_boolean(value, &secure) < 0 || secure;
        return sd_pid_get_owner_uid(0, &owner) < 0 || owner != geteuid();
}

/* NULL: what there is. */
static const char *choose_command(void)
{
        static const char *const names[] = { "ICEWIRE_PAGER", "SYSTEMD_PAGER", "PAGER", NULL };

        return first_variable(names);
}

static bool is_no_pager(const char *command)
{
        return command && (!*command || streq(command, "cat"));
}

static void set_environment(bool secure)
{
        static const char *const options[] = { "ICEWIRE_LESS", "SYSTEMD_LESS", NULL };
        static const char *const charset[] = { "ICEWIRE_LESSCHARSET", "SYSTEMD_LESSCHARSET", NULL };

        (void) setenv("LESS", first_variable(options) ?: LESS_OPTIONS, /* overwrite= */ true);
        if (first_variable(charset))
                (void) setenv("LESSCHARSET", first_variable(charset), /* overwrite= */ true);
        if (secure)
                (void) setenv("LESSSECURE", "1", /* overwrite= */ true);
        else
                (void) unsetenv("LESSSECURE");
}

/* In place of a pager. */
static _Noreturn void copy(void)
{
        char buf[4096];
        ssize_t n;

        while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
                for (ssize_t done = 0, m; done < n; done += m) {
                        m = write(STDOUT_FILENO, buf + done, (size_t) (n - done));
                        if (m < 0)
                                _exit(EXIT_FAILURE);
                }
        _exit(EXIT_SUCCESS);
}

static _Noreturn void become_pager(const char *command, bool secure)
{
        /* Should we die of a signal, the pager is not to stay behind. */
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        set_environment(secure);
        if (command && !secure)
                (void) execl("/bin/sh", "sh", "-c", command, NULL);
        if (!secure)
                (void) execlp("pager", "pager", NULL);
        (void) execlp("less", "less", NULL);
        if (!secure)
                (void) execlp("more", "more", NULL);
        copy();
}

/* A copy that is closed on exec. */
static int copy_fd(int fd)
{
        return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static void redirect_output(Pager *p, int fd)
{
        p->saved_stdout = copy_fd(STDOUT_FILENO);
        if (dup2(fd, STDOUT_FILENO) < 0)
                log_debug_errno(errno, "Failed to print into the pager: %m");
        if (!isatty(STDERR_FILENO))
                return;
        /* Otherwise the pager would paint over what is said there. */
        p->saved_stderr = copy_fd(STDERR_FILENO);
        (void) dup2(fd, STDERR_FILENO);
}

void pager_open(Pager *p)
{
        const char *term = getenv("TERM"), *command = choose_command();
        bool secure = is_secure();
        int fds[2];

        if (!p || p->pid > 0 || !isatty(STDOUT_FILENO) || isempty(term) || streq(term, "dumb") ||
            is_no_pager(command))
                return;
        fflush(stdout);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return;
        p->pid = fork();
        if (p->pid == 0) {
                if (dup2(fds[0], STDIN_FILENO) < 0)
                        _exit(EXIT_FAILURE);
                close(fds[1]);
                become_pager(command, secure);
        }
        if (p->pid > 0)
                redirect_output(p, fds[1]);
        close(fds[0]);
        close(fds[1]);
}

static void restore_output(int *copy_of, int fd)
{
        if (*copy_of >= 0)
                (void) dup2(*copy_of, fd);
        *copy_of = safe_close(*copy_of);
}

void pager_close(Pager *p)
{
        if (p->pid <= 0)
                return;
        fflush(stdout);
        restore_output(&p->saved_stdout, STDOUT_FILENO);
        restore_output(&p->saved_stderr, STDERR_FILENO);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        p->pid = 0;
}

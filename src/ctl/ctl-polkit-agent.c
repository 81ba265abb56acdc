/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-polkit-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd-util.h"

static void use_terminal(int fd)
{
        int tty;

        if (isatty(fd))
                return;
        tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (tty >= 0)
                (void) dup2(tty, fd);
}

/* notify: closed by the agent once it is registered. */
static _Noreturn void become_agent(int notify)
{
        char number[16];

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        use_terminal(STDOUT_FILENO);
        use_terminal(STDERR_FILENO);
        (void) fcntl(notify, F_SETFD, 0);
        snprintf(number, sizeof(number), "%d", notify);
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", number, "--fallback", NULL);
        _exit(127);
}

static void wait_for_end(int fd)
{
        struct pollfd p = { .fd = fd };

        while (poll(&p, 1, /* timeout= */ -1) < 0 && errno == EINTR)
                ;
}

int polkit_agent_start(PolkitAgent *agent)
{
        int fds[2];

        if (agent->pid > 0)
                return 0;
        if (!isatty(STDIN_FILENO))
                return -ENOTTY;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        agent->pid = fork();
        if (agent->pid == 0)
                become_agent(fds[1]);
        close(fds[1]);
        if (agent->pid < 0) {
                int r = -errno;

                close(fds[0]);
                agent->pid = 0;
                return r;
        }
        wait_for_end(fds[0]);
        close(fds[0]);
        if (waitpid(agent->pid, NULL, WNOHANG) == 0)
                return 0;
        agent->pid = 0;
        return -ENOENT;
}

void polkit_agent_stop(PolkitAgent *agent)
{
        if (agent->pid <= 0)
                return;
        (void) kill(agent->pid, SIGTERM);
        (void) kill(agent->pid, SIGCONT);
        while (waitpid(agent->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        agent->pid = 0;
}

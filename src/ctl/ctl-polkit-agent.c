/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-polkit-agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-login.h>
#include <unistd.h>

static void use_terminal(int fd)
{
        int tty;

        if (isatty(fd))
                return;
        tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (tty >= 0)
                (void) dup2(tty, fd);
}

/* As polkit looks for it: the session of this process, or what its user sees. */
static bool has_session(void)
{
        uid_t uid;

        return sd_pid_get_session(0, NULL) >= 0 ||
               (sd_pid_get_owner_uid(0, &uid) >= 0 && sd_uid_get_display(uid, NULL) >= 0);
}

/* An agent of the session, which has a window to ask in, goes first. Without a session there is none, and
 * polkit (as of 126) overlooks an agent that would leave it the first place. */
static const char *choose_rank(void)
{
        return has_session() ? "--fallback" : NULL;
}

/* notify: closed by the agent once it is registered. If there is no agent, why not is written there. */
static _Noreturn void become_agent(int notify)
{
        char number[16];
        int error;

        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        use_terminal(STDOUT_FILENO);
        use_terminal(STDERR_FILENO);
        (void) fcntl(notify, F_SETFD, 0);
        snprintf(number, sizeof(number), "%d", notify);
        (void) execlp("pkttyagent", "pkttyagent", "--notify-fd", number, choose_rank(), NULL);
        error = errno;
        _exit(write(notify, &error, sizeof(error)) == sizeof(error) ? 127 : 126);
}

/* 0: it has registered, or ended; the next answer will tell. */
static int wait_for_agent(int fd)
{
        int error = 0;
        ssize_t n;

        do
                n = read(fd, &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        return n == (ssize_t) sizeof(error) ? -error : 0;
}

int polkit_agent_start(PolkitAgent *agent)
{
        int fds[2], r;

        if (agent->pid > 0)
                return 0;
        if (!isatty(STDIN_FILENO))
                return -ENOTTY;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        agent->pid = fork();
        if (agent->pid == 0)
                become_agent(fds[1]);
        r = agent->pid < 0 ? -errno : 0;
        close(fds[1]);
        if (r >= 0)
                r = wait_for_agent(fds[0]);
        close(fds[0]);
        if (r < 0)
                polkit_agent_stop(agent);
        return r;
}

void polkit_agent_stop(PolkitAgent *agent)
{
        if (agent->pid > 0) {
                (void) kill(agent->pid, SIGTERM);
                (void) kill(agent->pid, SIGCONT);
                while (waitpid(agent->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        agent->pid = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <sys/types.h>

/* What is printed goes through a pager, if stdout is a terminal that can do it. Which one: $ICEWIRE_PAGER,
 * $SYSTEMD_PAGER or $PAGER, a command for the shell ("" or "cat": none), otherwise pager(1), less(1) or
 * more(1); if there is none, it is as if nobody had asked for one.
 *
 * In secure mode, which is for whoever acts with another's rights (sudo), the pager is less(1) and is told
 * not to start anything nor to write files. It is on if $ICEWIRE_PAGERSECURE or $SYSTEMD_PAGERSECURE say so
 * (a boolean), and without these where the user is not the owner of the login session. */

typedef struct Pager {
        pid_t pid; /* 0: not open */
        /* Copies of what these were before; -EBADF: none. stderr is redirected if it is a terminal. */
        int saved_stdout, saved_stderr;
} Pager;

#define PAGER_CLOSED ((Pager) { .saved_stdout = -EBADF, .saved_stderr = -EBADF })

/* NULL: none is wanted. What fails is no error: the output is then not paged. Once is enough. */
void pager_open(Pager *pager);

/* Waits until the user has seen enough. stdout is then what it was. */
void pager_close(Pager *pager);

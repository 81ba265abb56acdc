/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

/* polkit's own agent for terminals, pkttyagent(1): asks for a password there, on behalf of this process, if
 * nothing else (a desktop) does. */

typedef struct PolkitAgent {
        pid_t pid; /* 0: none */
} PolkitAgent;

/* Starts it and waits until polkit knows of it. Needs a terminal as stdin: -ENOTTY. -ENOENT: there is no
 * pkttyagent. Otherwise the errors of pipe(2), fork(2) and exec(3). */
int polkit_agent_start(PolkitAgent *agent);

void polkit_agent_stop(PolkitAgent *agent);

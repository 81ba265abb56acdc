/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Gives up, for ever and for whatever this process might execute, every capability but CAP_NET_ADMIN; new
 * privileges; and memory dumps. The user stays root: UAPI sockets belong to it. -EPERM: there is no
 * CAP_NET_ADMIN to begin with; otherwise the errors of prctl(2) and capset(2). */
int privileges_drop(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect-backend.h"

/* As redirect_ebpf_new(), with clsact in place of tcx whatever the kernel has: for tests. */
int redirect_ebpf_new_clsact(RedirectBackend **ret, char **ret_message);

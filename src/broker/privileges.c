/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Plain system calls: libcap would be one more library in a privileged process for two of them. */

#define KEEP (UINT64_C(1) << CAP_NET_ADMIN)

static int get_permitted(uint64_t *ret)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        *ret = ((uint64_t) data[1].permitted << 32) | data[0].permitted;
        return 0;
}

static int set_capabilities(uint64_t set)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {
                { .effective = (uint32_t) set, .permitted = (uint32_t) set },
                { .effective = (uint32_t) (set >> 32), .permitted = (uint32_t) (set >> 32) },
        };

        return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* What is beyond the bounding set cannot come back by execve(2), root or not. */
static int drop_bounding_set(uint64_t keep)
{
        for (unsigned cap = 0; cap < 64; cap++) {
                int there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

                if (there < 0)
                        break; /* this kernel has no more */
                if (there == 0 || (keep & (UINT64_C(1) << cap)))
                        continue;
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return -errno;
        }
        return 0;
}

int privileges_drop(void)
{
        uint64_t permitted = 0, keep;
        int r;

        r = get_permitted(&permitted);
        if (r < 0)
                return r;
        if (!(permitted & (UINT64_C(1) << CAP_NET_ADMIN)))
                return -EPERM;
        keep = permitted & KEEP;
        /* Without CAP_SETPCAP it cannot shrink; then whoever started us has set it, and no_new_privs does
         * the rest. */
        if (permitted & (UINT64_C(1) << CAP_SETPCAP)) {
                r = drop_bounding_set(keep);
                if (r < 0)
                        return r;
        }
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        r = set_capabilities(keep);
        if (r < 0)
                return r;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

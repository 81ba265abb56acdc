/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Plain system calls: libcap would be one more library in a privileged process for two of them. */

#define BIT(capability) (UINT64_C(1) << (capability))
#define KEEP_FOR_LOADING (BIT(CAP_NET_ADMIN) | BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_SETPCAP))
#define KEEP BIT(CAP_NET_ADMIN)

static int get_capabilities(uint64_t *ret_permitted, uint64_t *ret_effective)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2] = {};

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        *ret_permitted = ((uint64_t) data[1].permitted << 32) | data[0].permitted;
        *ret_effective = ((uint64_t) data[1].effective << 32) | data[0].effective;
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
                if (there == 0 || (keep & BIT(cap)))
                        continue;
                if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return -errno;
        }
        return 0;
}

static int drop_all_but(uint64_t keep)
{
        uint64_t permitted = 0, effective = 0;
        int r;

        r = get_capabilities(&permitted, &effective);
        if (r < 0)
                return r;
        if (!(permitted & BIT(CAP_NET_ADMIN)))
                return -EPERM;
        keep &= permitted;
        /* Without CAP_SETPCAP it cannot shrink; then whoever started us has set it, and no_new_privs does
         * the rest. */
        if (permitted & BIT(CAP_SETPCAP)) {
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

int privileges_drop_for_loading(void)
{
        return drop_all_but(KEEP_FOR_LOADING);
}

int privileges_drop(void)
{
        return drop_all_but(KEEP);
}

bool privileges_have(unsigned capability)
{
        uint64_t permitted = 0, effective = 0;

        return get_capabilities(&permitted, &effective) >= 0 && (effective & BIT(capability));
}

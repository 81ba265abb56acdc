/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-kind.h"

static const char *const redirect_kind_table[_REDIRECT_KIND_MAX] = {
        [REDIRECT_PROXY] = "proxy",
        [REDIRECT_NFTABLES] = "nftables",
        [REDIRECT_EBPF] = "ebpf",
};
DEFINE_STRING_TABLE(redirect_kind, RedirectKind);

static const char *const redirect_mode_table[_REDIRECT_MODE_MAX] = {
        [REDIRECT_MODE_AUTO] = "auto",
        [REDIRECT_MODE_EBPF] = "ebpf",
        [REDIRECT_MODE_NFTABLES] = "nftables",
        [REDIRECT_MODE_PROXY] = "proxy",
};
DEFINE_STRING_TABLE(redirect_mode, RedirectMode);

bool redirect_mode_allows(RedirectMode mode, RedirectKind kind)
{
        switch (mode) {
        case REDIRECT_MODE_AUTO:
                return true;
        case REDIRECT_MODE_EBPF:
                return kind == REDIRECT_EBPF;
        case REDIRECT_MODE_NFTABLES:
                return kind == REDIRECT_NFTABLES;
        default:
                return false;
        }
}

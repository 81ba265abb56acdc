/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"

/* How ICE gets to share WireGuard's port: what is in force, and what was asked for. */

/* From the last resort to the best. */
typedef enum RedirectKind {
        REDIRECT_PROXY,    /* not at all: every path goes through icewired */
        REDIRECT_NFTABLES, /* rules of a table of ours */
        REDIRECT_EBPF,     /* programs at the uplinks */
        _REDIRECT_KIND_MAX,
        _REDIRECT_KIND_INVALID = -EINVAL,
} RedirectKind;

DECLARE_STRING_TABLE(redirect_kind, RedirectKind); /* "proxy", "nftables", "ebpf" */

typedef enum RedirectMode {
        REDIRECT_MODE_AUTO,     /* the best that works here */
        REDIRECT_MODE_EBPF,     /* this, or else the proxy */
        REDIRECT_MODE_NFTABLES, /* likewise */
        REDIRECT_MODE_PROXY,
        _REDIRECT_MODE_MAX,
        _REDIRECT_MODE_INVALID = -EINVAL,
} RedirectMode;

DECLARE_STRING_TABLE(redirect_mode, RedirectMode); /* "auto", "ebpf", "nftables", "proxy" */

/* The proxy needs no leave: it is what remains. */
bool redirect_mode_allows(RedirectMode mode, RedirectKind kind);

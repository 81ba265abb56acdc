/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path.h"

static const char *const path_kind_table[_PATH_KIND_MAX] = {
        [PATH_NONE] = "none",
        [PATH_DIRECT] = "direct",
        [PATH_PROXIED] = "proxied",
        [PATH_RELAYED] = "relayed",
};
DEFINE_STRING_TABLE(path_kind, PathKind);

static const char *const path_transport_table[_PATH_TRANSPORT_MAX] = {
        [PATH_TRANSPORT_UDP] = "udp",
        [PATH_TRANSPORT_TCP] = "tcp",
        [PATH_TRANSPORT_TLS] = "tls",
};
DEFINE_STRING_TABLE(path_transport, PathTransport);

unsigned path_rank(PathKind kind, PathTransport transport)
{
        if (kind == PATH_NONE)
                return 0;
        return (kind == PATH_RELAYED ? 0 : _PATH_TRANSPORT_MAX) + (_PATH_TRANSPORT_MAX - transport);
}

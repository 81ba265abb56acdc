/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path.h"

static const char *const path_kind_table[_PATH_KIND_MAX] = {
        [PATH_NONE] = "none",
        [PATH_DIRECT] = "direct",
        [PATH_PROXIED] = "proxied",
        [PATH_RELAYED] = "relayed",
};
DEFINE_STRING_TABLE(path_kind, PathKind);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "icewired.h"
int icewired_run(int argc, char *argv[])
{
        return 1;
}

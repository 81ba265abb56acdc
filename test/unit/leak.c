/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* A test that leaks and is otherwise fine: is it noticed? */
Test(leak, leaks)
{
        char *volatile lost = strdup("lost");

        cr_assert_not_null(lost);
        lost = NULL;
}

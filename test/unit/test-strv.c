/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "strv.h"

Test(strv, nothing_is_an_empty_list)
{
        char **l = NULL;

        cr_assert_eq(strv_length(l), 0);
        cr_assert(strv_equal(l, NULL));
        cr_assert_eq(strv_copy(&l, NULL), 0);
        cr_assert_null(l);
        strv_clear(&l);
}

Test(strv, appended_and_copied)
{
        char a[] = "a", **l = NULL, **copy = NULL;

        cr_assert_eq(strv_append(&l, a), 0);
        cr_assert_eq(strv_append(&l, "b"), 0);
        *a = 'x';
        cr_assert_eq(strv_length(l), 2);
        cr_assert_str_eq(l[0], "a");
        cr_assert_null(l[2]);

        cr_assert_eq(strv_copy(&copy, l), 0);
        cr_assert(strv_equal(copy, l));
        cr_assert_eq(strv_append(&copy, "c"), 0);
        cr_assert_not(strv_equal(copy, l));
        copy[2][0] = 'b', l[1][0] = 'c';
        cr_assert_eq(strv_append(&l, "b"), 0);
        cr_assert_not(strv_equal(copy, l), "their order counts");

        strv_clear(&copy);
        strv_clear(&l);
        cr_assert_null(l);
}

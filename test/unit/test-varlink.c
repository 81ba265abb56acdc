/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Criterion's assertions are declarations and statements in one. */
#pragma GCC diagnostic ignored "-Wdeclaration-after-statement"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* ICEWIRE_PRINT_IDL=1 prints the interface, for the file. */
Test(varlink, broker_idl_is_the_file)
{
        _cleanup_free_ char *text = NULL, *path = NULL, *file = NULL;
        size_t size;

        cr_assert_geq(sd_varlink_idl_format(&vl_interface_org_icewire_Broker, &text), 0);
        if (getenv("ICEWIRE_PRINT_IDL"))
                fputs(text, stderr);
        path = asprintf_safe("%s/varlink/org.icewire.Broker.varlink", getenv("ICEWIRE_SOURCE") ?: ".");
        cr_assert_eq(read_full_file(path, 1 << 20, &file, &size), 0);
        cr_assert_str_eq(file, text);
}

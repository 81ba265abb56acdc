/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd-util.h"
#include "string-util.h"
#include "varlink-agent.h"

/* With ICEWIRE_UPDATE=1 the printed form is written instead of compared. */
Test(varlink_agent, printed_form_is_up_to_date)
{
        _cleanup_free_ char *printed = NULL, *path = NULL, *text = NULL;

        cr_assert_not_null(getenv("ICEWIRE_SOURCE"));
        path = asprintf_safe("%s/varlink/org.icewire.Agent.varlink", getenv("ICEWIRE_SOURCE"));
        cr_assert_geq(sd_varlink_idl_format(&vl_interface_org_icewire_Agent, &printed), 0);
        if (getenv("ICEWIRE_UPDATE")) {
                FILE *f = fopen(path, "we");

                cr_assert_not_null(f);
                fputs(printed, f);
                fclose(f);
        }
        cr_assert_geq(read_full_file(path, 1024 * 1024, &text, /* ret_size= */ NULL), 0);
        cr_assert_str_eq(text, printed, "run the test with ICEWIRE_UPDATE=1 and commit the file");
}

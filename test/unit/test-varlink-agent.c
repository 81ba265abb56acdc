/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd-util.h"
#include "ice.h"
#include "idl.h"
#include "peer.h"
#include "string-util.h"
#include "varlink-agent.h"
#include "varlink-service.h"

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

/* The values of an enum of the interface, each between blanks. The caller owns them. */
static char *values_of(const char *printed, const char *type)
{
        _cleanup_free_ char *heading = asprintf_safe("type %s(", type);
        const char *start = strstr(printed, heading), *end;
        char *values, *q;
        bool comment = false;

        cr_assert_not_null(start, "no %s", heading);
        start += strlen(heading);
        end = strstr(start, "\n)");
        cr_assert_not_null(end);
        values = q = malloc((size_t) (end - start) + 3);
        *q++ = ' ';
        for (const char *p = start; p < end; p++) {
                comment = *p == '#' || (comment && *p != '\n');
                if (!comment)
                        *q++ = strchr("\t\n, ", *p) ? ' ' : *p;
        }
        *q++ = ' ';
        *q = '\0';
        return values;
}

static size_t count_words(const char *s)
{
        size_t n = 0;

        for (const char *p = s; *p; p++)
                n += *p != ' ' && p[1] == ' ';
        return n;
}

static void expect_value(const char *values, const char *name)
{
        _cleanup_free_ char *word = asprintf_safe(" %s ", name);

        for (char *p = word; *p; p++)
                if (*p == '-')
                        *p = '_';
        cr_assert_not_null(strstr(values, word), "no%sin%s", word, values);
}

/* What the model may say, the interface has a word for, and no other. */
Test(varlink_agent, enums_are_complete)
{
        _cleanup_free_ char *printed = NULL, *reasons = NULL, *causes = NULL, *policies = NULL,
                            *states = NULL, *mappings = NULL;

        cr_assert_geq(sd_varlink_idl_format(&vl_interface_org_icewire_Agent, &printed), 0);
        reasons = values_of(printed, "PeerReason");
        for (PeerReason r = 0; r < _PEER_REASON_MAX; r++)
                expect_value(reasons, peer_reason_to_string(r));
        cr_assert_eq(count_words(reasons), _PEER_REASON_MAX);
        causes = values_of(printed, "PathCause");
        /* "unknown" is never told. */
        for (PathCause c = PATH_CAUSE_UNKNOWN + 1; c < _PATH_CAUSE_MAX; c++)
                expect_value(causes, path_cause_to_string(c));
        cr_assert_eq(count_words(causes), _PATH_CAUSE_MAX - 1);
        states = values_of(printed, "IceState");
        for (IceState i = 0; i < _ICE_STATE_MAX; i++)
                expect_value(states, ice_state_to_string(i));
        cr_assert_eq(count_words(states), _ICE_STATE_MAX);
        mappings = values_of(printed, "NetworkMapping");
        for (NetworkMapping i = 0; i < _NETWORK_MAX; i++)
                expect_value(mappings, network_mapping_to_string(i));
        cr_assert_eq(count_words(mappings), _NETWORK_MAX);
        policies = values_of(printed, "Policy");
        for (Policy p = 0; p < _POLICY_MAX; p++)
                expect_value(policies, policy_to_string(p));
        cr_assert_eq(count_words(policies), _POLICY_MAX);
}

Test(varlink_agent, is_consistent)
{
        idl_is_consistent(&vl_interface_org_icewire_Agent);
}

Test(varlink_agent, everything_has_a_comment)
{
        idl_is_commented(&vl_interface_org_icewire_Agent);
}

Test(varlink_agent, the_service_interface_too)
{
        idl_is_consistent(&vl_interface_io_systemd_service);
        idl_is_commented(&vl_interface_io_systemd_service);
}

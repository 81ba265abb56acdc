/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <criterion/criterion.h>
#include <systemd/sd-json.h>

/* Members of an object that must be there. */

static inline sd_json_variant *at(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        cr_assert_not_null(member, "no %s", name);
        return member;
}

static inline const char *string_at(sd_json_variant *v, const char *name)
{
        return sd_json_variant_string(at(v, name));
}

static inline uint64_t number_at(sd_json_variant *v, const char *name)
{
        return sd_json_variant_unsigned(at(v, name));
}

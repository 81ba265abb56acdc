/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <criterion/criterion.h>
#include <systemd/sd-varlink-idl.h>
#include <systemd/sd-varlink.h>

#include "string-util.h"

/* What holds for each of our Varlink interfaces. */

static inline bool idl_is_comment(const sd_varlink_symbol *s)
{
        return s->symbol_type == _SD_VARLINK_SYMBOL_COMMENT ||
               s->symbol_type == _SD_VARLINK_INTERFACE_COMMENT;
}

static inline bool idl_has_symbol(const sd_varlink_interface *interface, const sd_varlink_symbol *symbol)
{
        for (size_t i = 0; interface->symbols[i]; i++)
                if (interface->symbols[i] == symbol)
                        return true;
        return false;
}

/* Every type that a field names is in the interface, and sd-varlink takes it. */
static inline void idl_is_consistent(const sd_varlink_interface *interface)
{
        sd_varlink_server *server = NULL;

        for (size_t i = 0; interface->symbols[i]; i++) {
                const sd_varlink_symbol *s = interface->symbols[i];

                for (const sd_varlink_field *f = s->fields; !idl_is_comment(s) && f->name; f++)
                        cr_assert(f->field_type != SD_VARLINK_NAMED_TYPE ||
                                          idl_has_symbol(interface, f->symbol),
                                  "%s.%s has a type that is not there", s->name, f->name);
        }
        cr_assert_geq(sd_varlink_server_new(&server, 0), 0);
        cr_assert_geq(sd_varlink_server_add_interface(server, interface), 0);
        sd_varlink_server_unref(server);
}

static inline void idl_fields_are_commented(const sd_varlink_symbol *s)
{
        bool commented = false;

        for (const sd_varlink_field *f = s->fields; f->name; f++) {
                bool comment = f->field_type == _SD_VARLINK_FIELD_COMMENT;

                if (!comment && !commented)
                        cr_assert_fail("%s.%s has no comment", s->name, f->name);
                if (comment)
                        cr_assert_neq(f->name[0], '\0', "%s has an empty comment", s->name);
                commented = comment;
        }
        cr_assert_not(commented, "%s ends with a comment on nothing", s->name);
}

/* The interface, every type, method and error, and each of their fields and values has a comment of its own,
 * just before it. */
static inline void idl_is_commented(const sd_varlink_interface *interface)
{
        bool commented = false;

        cr_assert_eq(interface->symbols[0]->symbol_type, _SD_VARLINK_INTERFACE_COMMENT);
        for (size_t i = 1; interface->symbols[i]; i++) {
                const sd_varlink_symbol *s = interface->symbols[i];

                if (!idl_is_comment(s)) {
                        cr_assert(commented, "%s has no comment", s->name);
                        idl_fields_are_commented(s);
                }
                commented = idl_is_comment(s) && !isempty(s->name);
        }
}

static inline const char *idl_first_value(const sd_varlink_symbol *type)
{
        cr_assert_eq(type->symbol_type, SD_VARLINK_ENUM_TYPE, "%s: make one of it here", type->name);
        for (const sd_varlink_field *f = type->fields;; f++)
                if (f->field_type == SD_VARLINK_ENUM_VALUE)
                        return f->name;
}

/* What a method can be called with: something of its type for every field that must be there. The caller
 * owns it. */
static inline sd_json_variant *idl_make_parameters(const sd_varlink_symbol *method)
{
        sd_json_variant *object = NULL, *value;

        cr_assert_geq(sd_json_variant_new_object(&object, NULL, 0), 0);
        for (const sd_varlink_field *f = method->fields; f->name; f++) {
                int r;

                if (f->field_direction != SD_VARLINK_INPUT || f->field_flags & SD_VARLINK_NULLABLE)
                        continue;
                if (f->field_flags & SD_VARLINK_ARRAY)
                        r = sd_json_variant_new_array(&value, NULL, 0);
                else if (f->field_type == SD_VARLINK_BOOL)
                        r = sd_json_variant_new_boolean(&value, true);
                else if (f->field_type == SD_VARLINK_INT)
                        r = sd_json_variant_new_unsigned(&value, 1);
                else if (f->field_type == SD_VARLINK_STRING)
                        r = sd_json_variant_new_string(&value, "x");
                else
                        r = sd_json_variant_new_string(&value, idl_first_value(f->symbol));
                cr_assert_geq(r, 0);
                cr_assert_geq(sd_json_variant_set_field(&object, f->name, value), 0);
                sd_json_variant_unref(value);
        }
        return object;
}

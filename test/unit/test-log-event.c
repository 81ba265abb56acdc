/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "fd-util.h"
#include "log-event.h"
#include "string-util.h"

Test(log_event, ids_and_names)
{
        for (int i = 0; i < _LOG_EVENT_MAX; i++) {
                const char *id = log_event_id((LogEvent) i), *name = log_event_name((LogEvent) i);

                cr_assert_not_null(id, "event %d has no ID", i);
                cr_assert_eq(strlen(id), 32);
                cr_assert_eq(strspn(id, "0123456789abcdef"), 32, "%s", id);
                cr_assert_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz-"), strlen(name), "%s", name);
                cr_assert_neq(*name, '\0');
                for (int k = 0; k < i; k++) {
                        cr_assert_str_neq(id, log_event_id((LogEvent) k));
                        cr_assert_str_neq(name, log_event_name((LogEvent) k));
                }
        }
        cr_assert_null(log_event_id(_LOG_EVENT_MAX));
        cr_assert_null(log_event_name(_LOG_EVENT_INVALID));
        cr_assert_null(log_event_field_id(_LOG_EVENT_MAX));
        cr_assert_null(log_event_field_name(_LOG_EVENT_INVALID));
}

Test(log_event, fields)
{
        cr_assert_str_eq(log_event_field_name(LOG_EVENT_PATH_CHANGED), "ICEWIRE_EVENT=path-changed");
        cr_assert_eq(strncmp(log_event_field_id(LOG_EVENT_PATH_CHANGED), "MESSAGE_ID=", 11), 0);
        cr_assert_str_eq(log_event_field_id(LOG_EVENT_PATH_CHANGED) + 11,
                         log_event_id(LOG_EVENT_PATH_CHANGED));
}

/* Each event has its entry, in this order, and there is no other. */
Test(log_event, catalog_is_up_to_date)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        int n = 0;

        cr_assert_not_null(getenv("ICEWIRE_SOURCE"));
        path = asprintf_safe("%s/data/icewire.catalog", getenv("ICEWIRE_SOURCE"));
        cr_assert_geq(read_full_file(path, 1024 * 1024, &text, /* ret_size= */ NULL), 0);
        for (char *entry = text; (entry = strstr(entry, "\n-- ")); n++) {
                entry += strlen("\n-- ");
                cr_assert_lt(n, _LOG_EVENT_MAX, "the entry %.32s is of no event", entry);
                cr_assert(startswith(entry, log_event_id((LogEvent) n)),
                          "entry %d should be of %s, %s, and is %.32s", n + 1, log_event_name((LogEvent) n),
                          log_event_id((LogEvent) n), entry);
        }
        cr_assert_eq(n, _LOG_EVENT_MAX, "%s has no entry", log_event_name((LogEvent) n));
}

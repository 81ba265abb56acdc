/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* OpenMetrics 1.0 text as its specification has it, strictly, for counters and gauges: whatever is not as it
 * should be fails the test. */

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "string-util.h"

typedef struct OpenMetrics {
        struct {
                char name[64], type[16], unit[16];
                bool helped, sampled;
        } families[64];
        size_t n_families;
        char *series[4096]; /* "name{labels}"; owned */
        double values[4096];
        size_t n_series;
} OpenMetrics;

/* metricname, label-name: [a-zA-Z_][a-zA-Z0-9_]*, without the colons that are for rules. */
static inline size_t openmetrics_name(const char *p)
{
        size_t n = 0;

        cr_assert(isalpha((unsigned char) *p) || *p == '_', "no name: %s", p);
        while (isalnum((unsigned char) p[n]) || p[n] == '_')
                n++;
        return n;
}

/* What is behind the quotation mark; returns where the closing one is. */
static inline const char *openmetrics_string(const char *p)
{
        for (; *p != '"'; p++) {
                cr_assert(*p != '\0' && *p != '\n' && *p != '\r', "a string that does not end");
                if (*p == '\\')
                        cr_assert(strchr("\\n\"", *++p), "an escape that there is not: \\%c", *p);
        }
        return p;
}

static inline void openmetrics_metadata(OpenMetrics *m, const char *line)
{
        char keyword[8], name[64];
        const char *rest;
        int n = 0;

        cr_assert_eq(sscanf(line, "# %7[A-Z] %63[a-zA-Z0-9_]%n", keyword, name, &n), 2, "%s", line);
        cr_assert_eq(line[n], ' ', "%s", line);
        rest = line + n + 1;
        (void) openmetrics_name(name);
        if (m->n_families == 0 || !streq(m->families[m->n_families - 1].name, name)) {
                for (size_t i = 0; i < m->n_families; i++)
                        cr_assert_str_neq(m->families[i].name, name, "a family in two places");
                cr_assert_lt(m->n_families, 64);
                strcpy(m->families[m->n_families++].name, name);
        }
        cr_assert_not(m->families[m->n_families - 1].sampled, "metadata behind samples: %s", line);
        if (streq(keyword, "TYPE")) {
                cr_assert(streq(rest, "counter") || streq(rest, "gauge"), "%s", line);
                cr_assert_eq(m->families[m->n_families - 1].type[0], '\0', "a second type: %s", line);
                strcpy(m->families[m->n_families - 1].type, rest);
        } else if (streq(keyword, "UNIT")) {
                size_t k = strlen(name), u = strlen(rest);

                cr_assert_eq(m->families[m->n_families - 1].unit[0], '\0', "a second unit: %s", line);
                cr_assert(u > 0 && u < 16 && k > u + 1 && name[k - u - 1] == '_' &&
                                  streq(name + k - u, rest),
                          "the name does not end with the unit: %s", line);
                strcpy(m->families[m->n_families - 1].unit, rest);
        } else {
                cr_assert_str_eq(keyword, "HELP");
                cr_assert_not(m->families[m->n_families - 1].helped, "a second help: %s", line);
                m->families[m->n_families - 1].helped = true;
                for (const char *p = rest; *p; p++)
                        if (*p == '\\')
                                cr_assert(strchr("\\n\"", *++p), "%s", line);
        }
}

static inline const char *openmetrics_labels(const char *p)
{
        const char *names[8];
        size_t sizes[8], n = 0;

        if (*p != '{')
                return p;
        do {
                size_t k = openmetrics_name(++p);

                for (size_t i = 0; i < n; i++)
                        cr_assert_not(sizes[i] == k && memcmp(names[i], p, k) == 0, "a label twice: %s", p);
                cr_assert_lt(n, 8);
                names[n] = p;
                sizes[n++] = k;
                p += k;
                cr_assert_eq(strncmp(p, "=\"", 2), 0, "%s", p);
                p = openmetrics_string(p + 2) + 1;
        } while (*p == ',');
        cr_assert_eq(*p, '}');
        return p + 1;
}

static inline void openmetrics_sample(OpenMetrics *m, const char *line)
{
        size_t k = openmetrics_name(line);
        const char *end = openmetrics_labels(line + k), *suffix;
        char *after, *series;
        size_t f = m->n_families - 1, size;

        cr_assert_gt(m->n_families, 0, "a sample before any family");
        cr_assert_neq(m->families[f].type[0], '\0', "%s has no type", m->families[f].name);
        suffix = streq(m->families[f].type, "counter") ? "_total" : "";
        size = strlen(m->families[f].name);
        cr_assert(k == size + strlen(suffix) && memcmp(line, m->families[f].name, size) == 0 &&
                          memcmp(line + size, suffix, strlen(suffix)) == 0,
                  "a sample of another family, or with a wrong ending: %s", line);
        m->families[f].sampled = true;

        cr_assert_eq(*end, ' ', "%s", line);
        cr_assert(isdigit((unsigned char) end[1]) || end[1] == '-', "%s", line);
        cr_assert_lt(m->n_series, 4096);
        m->values[m->n_series] = strtod(end + 1, &after);
        cr_assert_eq(*after, '\0', "something behind the value: %s", line);
        cr_assert(streq(suffix, "") || m->values[m->n_series] >= 0, "%s", line);
        series = strndup(line, (size_t) (end - line));
        for (size_t i = 0; i < m->n_series; i++)
                cr_assert_str_neq(m->series[i], series, "a series twice");
        m->series[m->n_series++] = series;
}

static inline void openmetrics_parse(OpenMetrics *m, const char *text)
{
        bool ended = false;

        *m = (OpenMetrics) {};
        while (*text) {
                const char *newline = strchr(text, '\n');
                _cleanup_free_ char *line = NULL;

                cr_assert_not_null(newline, "the last line does not end");
                cr_assert_not(ended, "something behind the end");
                line = strndup(text, (size_t) (newline - text));
                ended = streq(line, "# EOF");
                if (!ended && *line == '#')
                        openmetrics_metadata(m, line);
                else if (!ended)
                        openmetrics_sample(m, line);
                text = newline + 1;
        }
        cr_assert(ended, "no # EOF");
        for (size_t i = 0; i < m->n_families; i++)
                cr_assert(m->families[i].type[0] && m->families[i].helped, "%s", m->families[i].name);
}

static inline double openmetrics_value(const OpenMetrics *m, const char *series)
{
        for (size_t i = 0; i < m->n_series; i++)
                if (streq(m->series[i], series))
                        return m->values[i];
        cr_assert_fail("no %s", series);
        return 0;
}

static inline void openmetrics_done(OpenMetrics *m)
{
        while (m->n_series > 0)
                free(m->series[--m->n_series]);
}

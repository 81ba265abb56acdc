/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "openmetrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "ctl-util.h"
#include "string-util.h"
#include "text-util.h"
#include "varlink-metrics.h"

#define NAME_MAX_SIZE 128

typedef struct Family {
        const char *full_name;      /* lent */
        char name[NAME_MAX_SIZE];   /* of the metric family, with the unit */
        char object[NAME_MAX_SIZE]; /* the label of what it is about */
        char text[NAME_MAX_SIZE];   /* the label of a string's value */
        const char *unit;           /* NULL: none */
        MetricType type;
} Family;

/* "PeerPathChanges" becomes "peer_path_changes". Returns its length. */
static size_t make_snake(const char *camel, size_t size, char *ret)
{
        size_t n = 0;

        for (size_t i = 0; i < size && n + 2 < NAME_MAX_SIZE; i++) {
                if (isupper((unsigned char) camel[i]) && i > 0)
                        ret[n++] = '_';
                ret[n++] = (char) tolower((unsigned char) camel[i]);
        }
        ret[n] = '\0';
        return n;
}

static bool is_word(const char *s)
{
        if (!isupper((unsigned char) *s))
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s))
                        return false;
        return true;
}

static size_t first_word(const char *camel)
{
        size_t n = 1;

        while (islower((unsigned char) camel[n]))
                n++;
        return n;
}

static bool ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), m = strlen(end);

        return n > m && streq(s + n - m, end);
}

/* false: not a family that can be printed. */
static bool parse_family(sd_json_variant *v, Family *ret)
{
        const char *full = ctl_member_string(v, "name"), *type = ctl_member_string(v, "type"), *word;
        size_t size, n;

        word = full ? strrchr(full, '.') : NULL;
        if (!word || !is_word(++word) || strlen(word) > NAME_MAX_SIZE / 2 || !type)
                return false;
        *ret = (Family) { .full_name = full, .type = metric_type_from_string(type) };
        if (ret->type < 0)
                return false;
        size = strlen(word);
        if (ends_with(word, "USec")) {
                ret->unit = "seconds";
                size -= strlen("USec");
        } else if (ends_with(word, "Bytes"))
                ret->unit = "bytes";
        n = (size_t) snprintf(ret->name, sizeof(ret->name), "icewire_");
        n += make_snake(word, size, ret->name + n);
        if (ends_with(word, "USec"))
                strcpy(ret->name + n, "_seconds");
        (void) make_snake(word, first_word(word), ret->object);
        n = first_word(word) < size ? first_word(word) : 0; /* "Version" is about itself */
        (void) make_snake(word + n, size - n, ret->text);
        return true;
}

/* OpenMetrics 1.0, ABNF: escaped-string; newlines have gone with terminal_escape(). */
static void print_escaped(FILE *f, const char *s)
{
        for (; *s; s++) {
                if (*s == '"' || *s == '\\')
                        fputc('\\', f);
                fputc(*s, f);
        }
}

static int print_head(FILE *f, const Family *family, const char *description)
{
        _cleanup_free_ char *text = terminal_escape(strempty(description));

        if (!text)
                return -ENOMEM;
        fprintf(f, "# TYPE %s %s\n", family->name, family->type == METRIC_COUNTER ? "counter" : "gauge");
        if (family->unit)
                fprintf(f, "# UNIT %s %s\n", family->name, family->unit);
        fprintf(f, "# HELP %s ", family->name);
        print_escaped(f, text);
        fputc('\n', f);
        return 0;
}

static bool is_label(const char *s)
{
        if (!isalpha((unsigned char) *s) && *s != '_')
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && *s != '_')
                        return false;
        return true;
}

/* first: whether it is the first one; then no more. */
static int print_label(FILE *f, const char *name, const char *value, bool *first)
{
        _cleanup_free_ char *text = value ? terminal_escape(value) : NULL;

        if (!value || !is_label(name))
                return 0;
        if (!text)
                return -ENOMEM;
        fprintf(f, "%s%s=\"", *first ? "{" : ",", name);
        print_escaped(f, text);
        fputc('"', f);
        *first = false;
        return 0;
}

static int print_labels(FILE *f, const Family *family, sd_json_variant *metric)
{
        sd_json_variant *fields = sd_json_variant_by_key(metric, "fields");
        bool first = true;
        int r = 0;

        for (size_t i = 0; i + 1 < sd_json_variant_elements(fields) && r >= 0; i += 2) {
                const char *name = sd_json_variant_string(sd_json_variant_by_index(fields, i));
                sd_json_variant *value = sd_json_variant_by_index(fields, i + 1);

                if (sd_json_variant_is_string(value))
                        r = print_label(f, name, sd_json_variant_string(value), &first);
        }
        if (r >= 0)
                r = print_label(f, family->object, ctl_member_string(metric, "object"), &first);
        if (r >= 0 && family->type == METRIC_STRING)
                r = print_label(f, family->text, ctl_member_string(metric, "value"), &first);
        if (!first)
                fputc('}', f);
        return r;
}

static void print_value(FILE *f, const Family *family, sd_json_variant *value)
{
        uint64_t n = sd_json_variant_is_unsigned(value) ? sd_json_variant_unsigned(value) : 1;

        if (streq_ptr(family->unit, "seconds"))
                fprintf(f, " %" PRIu64 ".%06" PRIu64 "\n", n / USEC_PER_SEC, n % USEC_PER_SEC);
        else
                fprintf(f, " %" PRIu64 "\n", n);
}

static int print_sample(FILE *f, const Family *family, sd_json_variant *metric)
{
        sd_json_variant *value = sd_json_variant_by_key(metric, "value");
        bool fits = family->type == METRIC_STRING ? value && sd_json_variant_is_string(value)
                                                  : value && sd_json_variant_is_unsigned(value);
        int r;

        if (!fits)
                return 0;
        fprintf(f, "%s%s", family->name, family->type == METRIC_COUNTER ? "_total" : "");
        r = print_labels(f, family, metric);
        print_value(f, family, value);
        return r;
}

/* The samples of a family stand together, whatever the order of the metrics. */
static int print_family(FILE *f, sd_json_variant *described, sd_json_variant *metrics)
{
        Family family;
        int r;

        if (!parse_family(described, &family))
                return 0;
        r = print_head(f, &family, ctl_member_string(described, "description"));
        for (size_t i = 0; i < sd_json_variant_elements(metrics) && r >= 0; i++) {
                sd_json_variant *metric = sd_json_variant_by_index(metrics, i);

                if (streq_ptr(ctl_member_string(metric, "name"), family.full_name))
                        r = print_sample(f, &family, metric);
        }
        return r;
}

int openmetrics_print(FILE *f, sd_json_variant *families, sd_json_variant *metrics)
{
        int r = 0;

        for (size_t i = 0; i < sd_json_variant_elements(families) && r >= 0; i++)
                r = print_family(f, sd_json_variant_by_index(families, i), metrics);
        if (r < 0)
                return r;
        fputs("# EOF\n", f);
        return ferror(f) ? -EIO : 0;
}

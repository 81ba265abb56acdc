/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-diagnose.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl-authenticate.h"
#include "ctl-mapping.h"
#include "ctl-pager.h"
#include "ctl-status.h"
#include "format-table.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"

/* "192.0.2.1:51820" */
#define ADDRESS_LENGTH 15

#define METHOD "org.icewire.Agent.Diagnose"
#define ACTION "org.icewire1.diagnose"

/* icewired itself gives up long before. */
#define TIMEOUT (45 * USEC_PER_SEC)

typedef struct Diagnosis {
        const char *version;
        bool ipv6_address, ipv6_answered;
        sd_json_variant *servers; /* lent */
        CtlMapping *mappings;     /* owned */
        size_t n_mappings;
} Diagnosis;

/* ---- From JSON ---- */

#define STRING(name, type, member, flags)                                                                   \
        { name, SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(type, member), flags }

static int dispatch_mappings(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                             void *userdata)
{
        Diagnosis *d = userdata;
        size_t n = sd_json_variant_elements(v);

        if (d->mappings)
                return -EINVAL;
        d->mappings = new0(CtlMapping, n + 1);
        if (!d->mappings)
                return -ENOMEM;
        for (; d->n_mappings < n; d->n_mappings++) {
                int r = ctl_mapping_parse(sd_json_variant_by_index(v, d->n_mappings),
                                          &d->mappings[d->n_mappings]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void diagnosis_done(Diagnosis *d)
{
        for (size_t i = 0; i < d->n_mappings; i++)
                ctl_mapping_done(&d->mappings[i]);
        free(d->mappings);
}

static int diagnosis_parse(sd_json_variant *reply, Diagnosis *d)
{
        static const sd_json_dispatch_field table[] = {
                STRING("version", Diagnosis, version, SD_JSON_MANDATORY),
                { "ipv6Address", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Diagnosis, ipv6_address), SD_JSON_MANDATORY },
                { "ipv6Answered", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Diagnosis, ipv6_answered), SD_JSON_MANDATORY },
                { "servers", SD_JSON_VARIANT_ARRAY, sd_json_dispatch_variant_noref,
                  offsetof(Diagnosis, servers), SD_JSON_MANDATORY },
                { "mappings", SD_JSON_VARIANT_ARRAY, dispatch_mappings, 0, SD_JSON_MANDATORY },
                {},
        };
        int r = sd_json_dispatch(reply, table, SD_JSON_ALLOW_EXTENSIONS, d);

        return r < 0 ? log_error_errno(r, "icewired's answer makes no sense: %m") : 0;
}

/* ---- To people ---- */

static const char *describe_ipv6(const Diagnosis *d)
{
        if (d->ipv6_answered)
                return d->ipv6_address ? "works" : "no global address, but a server answered";
        return d->ipv6_address ? "a global address, but no server answered over it" : "no global address";
}

/* Owned by the caller: "192.0.2.1, 2001:db8::1". */
static char *join_addresses(sd_json_variant *array)
{
        _cleanup_free_ char *joined = strdup("");
        size_t n = array && sd_json_variant_is_array(array) ? sd_json_variant_elements(array) : 0;

        for (size_t i = 0; i < n && joined; i++) {
                sd_json_variant *v = sd_json_variant_by_index(array, i);
                char *longer;

                if (!sd_json_variant_is_string(v))
                        continue;
                longer = asprintf_safe("%s%s%s", joined, *joined ? ", " : "", sd_json_variant_string(v));
                free(joined);
                joined = longer;
        }
        return TAKE_PTR(joined);
}

static const char *describe_relay(sd_json_variant *v)
{
        const char *state = ctl_member_string(v, "relay");

        if (!state)
                return "";
        return streq(state, "ok") ? ", works" : ", does not relay: ";
}

static const char *relay_error(sd_json_variant *v)
{
        const char *state = ctl_member_string(v, "relay"), *error = ctl_member_string(v, "relayError");

        if (!state || streq(state, "ok"))
                return "";
        return isempty(error) ? "it could not be asked" : error;
}

static void print_server(const Ctl *ctl, sd_json_variant *v)
{
        _cleanup_free_ char *addresses = join_addresses(sd_json_variant_by_key(v, "addresses"));
        const char *name = strna(ctl_member_string(v, "name")),
                   *kind = strempty(ctl_member_string(v, "kind"));
        bool shown = !streq_ptr(name, addresses); /* an address stands for itself */

        ctl_print_text(
                ctl, startswith(kind, "turn") ? "  TURN        " : "  STUN        ", "%s%s%s%s%s%s%s", name,
                streq(kind, "turn_tcp")   ? " (tcp)"
                : streq(kind, "turn_tls") ? " (tls)"
                                          : "",
                shown ? ": " : "", shown ? strempty(addresses) : "",
                shown ? strempty(ctl_member_string(v, "error")) : "", describe_relay(v), relay_error(v));
}

static void print_environment(const Ctl *ctl, sd_json_variant *reply, const Diagnosis *d)
{
        _cleanup_free_ char *version = terminal_escape(d->version);
        size_t n = sd_json_variant_elements(d->servers);

        printf("icewired %s\n", strna(version));
        (void) ctl_status_print_services(ctl, reply, /* brief= */ false);
        ctl_print_text(ctl, "  IPv6        ", "%s", describe_ipv6(d));
        for (size_t i = 0; i < n; i++)
                print_server(ctl, sd_json_variant_by_index(d->servers, i));
        if (n == 0)
                ctl_print_text(ctl, "  STUN        ",
                               "no server configured: see STUNServers= in icewire.conf");
}

static const char *kind_colour(const char *kind)
{
        if (streq(kind, "none") || streq(kind, "endpoint_independent"))
                return ANSI_GREEN;
        return streq(kind, "single") ? ANSI_YELLOW : ANSI_RED;
}

/* As RFC 4787 writes it. */
static char *kind_for_people(const char *kind)
{
        return ctl_enum_for_people(streq(kind, "none") ? "no NAT" : kind);
}

static int add_mapping(Table *table, const CtlMapping *m)
{
        _cleanup_free_ char *kind = kind_for_people(m->kind);
        const char *cells[] = {
                m->link,
                m->local,
                m->mapped ?: m->error,
                kind,
                m->port_kept < 0 ? NULL
                : m->port_kept   ? "kept"
                                 : "changed",
                streq(m->hairpin, "unknown") ? NULL : m->hairpin,
        };
        int r = kind ? table_add_row(table) : -ENOMEM;

        for (unsigned i = 0; i < ELEMENTSOF(cells) && r >= 0; i++)
                r = table_set_cell(table, i, cells[i], i == 3 ? kind_colour(m->kind) : NULL);
        return r;
}

static int add_answer(Table *table, const CtlMapping *m, const CtlStunServer *server)
{
        char rtt[SIZE_STRLEN];
        const char *cells[] = {
                m->link,
                m->local,
                server->address,
                server->mapped ?: server->error,
                server->round_trip_time == USEC_INFINITY
                        ? NULL
                        : format_round_trip_time(server->round_trip_time, rtt),
        };
        int r = table_add_row(table);

        for (unsigned i = 0; i < ELEMENTSOF(cells) && r >= 0; i++)
                r = table_set_cell(table, i, cells[i], i == 3 && !server->mapped ? ANSI_RED : NULL);
        return r;
}

typedef struct Column {
        const char *name;
        TableColumnFlags flags;
} Column;

static int make_table(const Ctl *ctl, const Column *columns, size_t n, Table **ret)
{
        int r = table_new(ctl->width, ctl->legend, ctl->colour, ret);

        for (size_t i = 0; i < n && r >= 0; i++) {
                r = table_add_column(*ret, columns[i].name, columns[i].flags);
                if (r >= 0)
                        table_set_least(*ret, ADDRESS_LENGTH, /* head= */ 0);
        }
        return r;
}

static int print_mappings(const Ctl *ctl, const Diagnosis *d)
{
        static const Column columns[] = {
                { "LINK", 0 }, { "LOCAL", TABLE_TRUNCATE }, { "MAPPED", TABLE_TRUNCATE },
                { "NAT", 0 },  { "PORT", TABLE_OPTIONAL },  { "HAIRPIN", TABLE_OPTIONAL },
        };
        _cleanup_(table_freep) Table *table = NULL;
        int r = make_table(ctl, columns, ELEMENTSOF(columns), &table);

        for (size_t i = 0; i < d->n_mappings && r >= 0; i++)
                r = add_mapping(table, &d->mappings[i]);
        if (r < 0 || table_is_empty(table))
                return r;
        putchar('\n');
        return table_print(table);
}

static int print_answers(const Ctl *ctl, const Diagnosis *d)
{
        static const Column columns[] = { { "LINK", 0 },
                                          { "LOCAL", TABLE_TRUNCATE },
                                          { "SERVER", TABLE_TRUNCATE },
                                          { "ANSWER", TABLE_TRUNCATE },
                                          { "RTT", TABLE_RIGHT } };
        _cleanup_(table_freep) Table *table = NULL;
        int r = make_table(ctl, columns, ELEMENTSOF(columns), &table);

        for (size_t i = 0; i < d->n_mappings; i++)
                for (size_t j = 0; j < d->mappings[i].n_servers && r >= 0; j++)
                        r = add_answer(table, &d->mappings[i], &d->mappings[i].servers[j]);
        if (r < 0 || table_is_empty(table))
                return r;
        putchar('\n');
        return table_print(table);
}

static void print_advice(const Ctl *ctl, const Diagnosis *d)
{
        bool first = true;

        for (size_t i = 0; i < d->n_mappings; i++) {
                _cleanup_free_ char *advice = ctl_mapping_advice(&d->mappings[i]);

                if (!advice)
                        continue;
                if (first)
                        putchar('\n');
                ctl_print_text(ctl, "", "%s", advice);
                first = false;
        }
}

static int print(const Ctl *ctl, sd_json_variant *reply)
{
        _cleanup_(diagnosis_done) Diagnosis d = {};
        int r;

        r = diagnosis_parse(reply, &d);
        if (r < 0)
                return r;
        print_environment(ctl, reply, &d);
        r = print_mappings(ctl, &d);
        if (r >= 0)
                r = print_answers(ctl, &d);
        if (r < 0)
                return log_error_errno(r, "Failed to print the mappings: %m");
        if (ctl->legend)
                print_advice(ctl, &d);
        return 0;
}

/* ---- The verb ---- */

typedef struct Run {
        bool talks; /* a person sees what is said meanwhile */
        bool said;
        sd_json_variant *reply;
} Run;

static void run_done(Run *run)
{
        sd_json_variant_unref(run->reply);
}

/* On the line that the cursor is in, which is empty again in the end. */
static void say_progress(Run *run, uint64_t pending)
{
        if (run->said)
                fprintf(stderr, "\r\033[K");
        run->said = pending > 0;
        if (pending > 0)
                fprintf(stderr, "Waiting for %" PRIu64 " answer%s%s", pending, plural(pending),
                        glyph_ellipsis());
        fflush(stderr);
}

static int on_reply(sd_json_variant *reply, bool last, void *userdata)
{
        Run *run = userdata;

        if (run->talks)
                say_progress(run, last ? 0 : ctl_member_unsigned(reply, "pending"));
        if (last)
                run->reply = sd_json_variant_ref(reply);
        return 0;
}

static int ask(const Ctl *ctl, sd_varlink *link, Run *run)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = ctl_stream(link, METHOD, parameters, TIMEOUT, on_reply, run);
        if (r != -ENOKEY)
                return r;
        r = ctl_authenticate(ctl, link, ACTION, &parameters);
        if (r >= 0)
                r = ctl_stream(link, METHOD, parameters, USEC_INFINITY, on_reply, run);
        return r == -ENOKEY ? ctl_not_authenticated(ACTION) : r;
}

int verb_diagnose(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(run_done) Run run = { .talks = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO) };
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ask(ctl, link, &run);
        if (r < 0)
                return r;
        pager_open(ctl->pager);
        return sd_json_format_enabled(ctl->json) ? ctl_print_json(ctl, run.reply) : print(ctl, run.reply);
}

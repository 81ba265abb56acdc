/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config-meson.h"
#include "ctl-pager.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "varlink-agent.h"

/* Where the texts of --help begin. */
#define HELP_COLUMN 30

static int set_json(Ctl *ctl, const char *value)
{
        if (streq(value, "pretty"))
                ctl->json = SD_JSON_FORMAT_PRETTY | SD_JSON_FORMAT_NEWLINE;
        else if (streq(value, "short"))
                ctl->json = SD_JSON_FORMAT_NEWLINE;
        else if (streq(value, "off"))
                ctl->json = SD_JSON_FORMAT_OFF;
        else
                return log_error_errno(EINVAL, "--json= takes pretty, short or off, and not \"%s\".", value);
        return 0;
}

static int set_json_by_output(Ctl *ctl, const char *value)
{
        return set_json(ctl, isatty(STDOUT_FILENO) ? "pretty" : "short");
}

static int set_full(Ctl *ctl, const char *value)
{
        ctl->width = ctl->height = SIZE_MAX;
        return 0;
}

static int set_no_legend(Ctl *ctl, const char *value)
{
        ctl->legend = false;
        return 0;
}

static int set_no_pager(Ctl *ctl, const char *value)
{
        ctl->pager = NULL;
        return 0;
}

static int set_no_colors(Ctl *ctl, const char *value)
{
        ctl->colour = false;
        return 0;
}

static int set_no_ask_password(Ctl *ctl, const char *value)
{
        ctl->agent = NULL;
        return 0;
}

static int set_socket(Ctl *ctl, const char *value)
{
        ctl->socket = value;
        return 0;
}

static const struct {
        char letter; /* 0: none */
        const char *name;
        const char *argument; /* NULL: none */
        const char *help;
        int (*set)(Ctl *ctl, const char *value); /* NULL: --help and --version */
} options[] = {
        { 'h', "help", NULL, "Show this help", NULL },
        { 0, "version", NULL, "Show the version", NULL },
        { 0, "no-pager", NULL, "Do not pipe output into a pager", set_no_pager },
        { 0, "no-legend", NULL, "Do not print headings, hints and sums", set_no_legend },
        { 0, "no-colors", NULL, "Do not use colors", set_no_colors },
        { 0, "no-ask-password", NULL, "Do not ask for system passwords", set_no_ask_password },
        { 'l', "full", NULL, "Do not cut or leave out anything", set_full },
        { 0, "json", "MODE", "Print JSON: pretty, short (a line each), or off", set_json },
        { 'j', NULL, NULL, "Same as --json=pretty on a terminal, and as\n--json=short otherwise",
          set_json_by_output },
        { 0, "socket", "PATH", "Connect to icewired at this socket", set_socket },
};

#define OPTION_BASE 256
#define LETTERS_MAX (2 * ELEMENTSOF(options) + 1)

/* For getopt_long(3). */
static void build_getopt(struct option *ret_options, char *ret_letters)
{
        char *letter = ret_letters;
        struct option *o = ret_options;

        for (size_t i = 0; i < ELEMENTSOF(options); i++) {
                if (options[i].letter)
                        *letter++ = options[i].letter;
                if (options[i].name)
                        *o++ = (struct option) {
                                .name = options[i].name,
                                .has_arg = options[i].argument ? required_argument : no_argument,
                                .val = OPTION_BASE + (int) i,
                        };
        }
        *letter = '\0';
        *o = (struct option) {};
}

/* What getopt_long() has found; SIZE_MAX: nothing that there is, of which it has told. */
static size_t find_option(int c)
{
        if (c >= OPTION_BASE)
                return (size_t) (c - OPTION_BASE);
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                if (c == options[i].letter)
                        return i;
        return SIZE_MAX;
}

int ctl_options_parse(Ctl *ctl, int argc, char *argv[], const CtlVerb *verbs, size_t n_verbs)
{
        struct option long_options[ELEMENTSOF(options) + 1];
        char letters[LETTERS_MAX];
        bool help = false;
        int r;

        build_getopt(long_options, letters);
        for (int c; (c = getopt_long(argc, argv, letters, long_options, NULL)) >= 0;) {
                size_t i = find_option(c);

                if (i == SIZE_MAX)
                        return -EINVAL;
                if (options[i].set) {
                        r = options[i].set(ctl, optarg);
                        if (r < 0)
                                return r;
                } else if (streq(options[i].name, "version")) {
                        puts("icewire " PROJECT_VERSION);
                        return 0;
                } else
                        help = true;
        }
        if (help)
                ctl_options_help(ctl, verbs, n_verbs);
        return !help;
}

/* ---- Help ---- */

static void print_heading(const Ctl *ctl, const char *text)
{
        printf("\n%s%s%s\n", ctl->colour ? ANSI_UNDERLINE : "", text, ctl->colour ? ANSI_NORMAL : "");
}

/* What begins in the column of the texts, behind a name that took `used` columns. */
static void print_text(size_t used, const char *text)
{
        for (const char *line = text; line;) {
                size_t n = strcspn(line, "\n");

                printf("%*s%.*s\n", used < HELP_COLUMN ? (int) (HELP_COLUMN - used) : 1, "", (int) n, line);
                line = line[n] ? line + n + 1 : NULL;
                used = 0;
        }
}

static void print_option(size_t i)
{
        int n = 0;

        if (options[i].letter)
                n = printf("  -%c", options[i].letter);
        if (options[i].name)
                n += printf("%*s--%s%s%s", 5 - n, "", options[i].name, options[i].argument ? "=" : "",
                            strempty(options[i].argument));
        print_text((size_t) n, options[i].help);
}

void ctl_options_help(const Ctl *ctl, const CtlVerb *verbs, size_t n_verbs)
{
        pager_open(ctl->pager);
        printf("icewirectl [OPTIONS...] COMMAND ...\n\n%sShow how WireGuard peers are connected, and "
               "why.%s\n",
               ctl->colour ? ANSI_BOLD : "", ctl->colour ? ANSI_NORMAL : "");
        print_heading(ctl, "Commands:");
        for (size_t i = 0; i < n_verbs; i++) {
                int n = printf("  %s%s%s", verbs[i].name, verbs[i].arguments ? " " : "",
                               strempty(verbs[i].arguments));

                print_text((size_t) n, verbs[i].help);
        }
        print_heading(ctl, "Options:");
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                print_option(i);
        puts("\nPEER is a public key, a beginning of one that no other peer has, or an address\n"
             "of the tunnel that leads to the peer. LINK is a WireGuard interface.\n\n"
             "See the icewirectl(1) man page for details.");
}

char *ctl_options_usage(const CtlVerb *verb)
{
        return asprintf_safe("icewirectl %s%s%s", verb->name, verb->arguments ? " " : "",
                             strempty(verb->arguments));
}

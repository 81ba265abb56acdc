/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "icewirectl.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config-meson.h"
#include "ctl-diagnose.h"
#include "ctl-history.h"
#include "ctl-monitor.h"
#include "ctl-peers.h"
#include "ctl-status.h"
#include "log.h"
#include "string-util.h"
#include "varlink-agent.h"

static int verb_help(const Ctl *ctl, int argc, char *argv[])
{
        printf("icewirectl [OPTION…] [VERB]\n\n"
               "How WireGuard peers are connected, and why.\n\n"
               "  status                     The daemon, its rendezvous, links and peers (if no verb is "
               "given)\n"
               "  peers [LINK] [PEER]        Peers as a table\n"
               "  peer [LINK] PEER           All about one peer\n"
               "  history [LINK] [PEER]      How paths have changed, when and why\n"
               "  monitor                    Follow what changes\n"
               "  diagnose                   What the network is like: NAT, STUN and TURN servers, IPv6\n"
               "  reconnect [LINK] [PEER]    Look for a path anew\n"
               "  policy [LINK] PEER POLICY  Which paths the peer may have, until the next reload or "
               "start:\n"
               "                             auto, direct (no relay), relay (no direct path), off\n"
               "  reload                     Read the configuration again\n"
               "  help                       This help\n\n"
               "PEER is a public key or its beginning.\n\n"
               "  -h --help                  Show this help\n"
               "     --version               Show the version\n"
               "     --json=pretty|short|off Print JSON\n"
               "  -j                         The same as --json=pretty on a terminal, --json=short "
               "otherwise\n"
               "     --no-legend             No headings and hints\n"
               "     --socket=PATH           Where icewired listens (" AGENT_VARLINK_ADDRESS ")\n");
        return 0;
}

static const struct {
        const char *name;
        int min, max; /* arguments */
        int (*run)(const Ctl *ctl, int argc, char *argv[]);
} verbs[] = {
        { "status", 0, 0, verb_status },       { "peers", 0, 2, verb_peers },
        { "peer", 1, 2, verb_peer },           { "monitor", 0, 0, verb_monitor },
        { "reconnect", 0, 2, verb_reconnect }, { "reload", 0, 0, verb_reload },
        { "diagnose", 0, 0, verb_diagnose },   { "history", 0, 2, verb_history },
        { "policy", 2, 3, verb_policy },       { "help", 0, 0, verb_help },
};

static int run_verb(const Ctl *ctl, int argc, char *argv[])
{
        static char status[] = "status";
        char *preset[] = { status, NULL };

        if (argc == 0) {
                argc = 1;
                argv = preset;
        }
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                if (!streq(verbs[i].name, argv[0]))
                        continue;
                if (argc - 1 < verbs[i].min || argc - 1 > verbs[i].max)
                        return log_error_errno(
                                EINVAL, "\"%s\" takes another number of arguments, see icewirectl help.",
                                argv[0]);
                return verbs[i].run(ctl, argc, argv);
        }
        return log_error_errno(EINVAL, "Unknown verb \"%s\", see icewirectl help.", argv[0]);
}

static int parse_json_mode(const char *s, sd_json_format_flags_t *ret)
{
        if (streq(s, "pretty"))
                *ret = SD_JSON_FORMAT_PRETTY | SD_JSON_FORMAT_NEWLINE;
        else if (streq(s, "short"))
                *ret = SD_JSON_FORMAT_NEWLINE;
        else if (streq(s, "off"))
                *ret = SD_JSON_FORMAT_OFF;
        else
                return log_error_errno(EINVAL, "--json= takes pretty, short or off.");
        return 0;
}

/* 1: go on, 0: done. */
static int parse_arguments(Ctl *ctl, int argc, char *argv[])
{
        enum { OPTION_VERSION = 256, OPTION_JSON, OPTION_NO_LEGEND, OPTION_SOCKET };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "json", required_argument, NULL, OPTION_JSON },
                { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
                { "socket", required_argument, NULL, OPTION_SOCKET },
                {},
        };
        int r;

        for (int c; (c = getopt_long(argc, argv, "hj", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return verb_help(ctl, argc, argv);
                case OPTION_VERSION:
                        puts("icewire " PROJECT_VERSION);
                        return 0;
                case 'j':
                        ctl->json = SD_JSON_FORMAT_NEWLINE |
                                    (isatty(STDOUT_FILENO) ? SD_JSON_FORMAT_PRETTY : 0);
                        break;
                case OPTION_JSON:
                        r = parse_json_mode(optarg, &ctl->json);
                        if (r < 0)
                                return r;
                        break;
                case OPTION_NO_LEGEND:
                        ctl->legend = false;
                        break;
                case OPTION_SOCKET:
                        ctl->socket = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        return 1;
}

/* https://no-color.org: set and not empty. */
static bool wants_colour(void)
{
        const char *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && isempty(getenv("NO_COLOR")) && !isempty(term) &&
               !streq(term, "dumb");
}

int icewirectl_run(int argc, char *argv[])
{
        Ctl ctl = {
                .json = SD_JSON_FORMAT_OFF,
                .legend = true,
                .colour = wants_colour(),
                .socket = AGENT_VARLINK_ADDRESS,
        };
        int r;

        /* So that tables know how wide a character is. */
        (void) setlocale(LC_CTYPE, "");
        r = parse_arguments(&ctl, argc, argv);
        if (r > 0)
                r = run_verb(&ctl, argc - optind, argv + optind);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = log_error_errno(errno, "Failed to write: %m");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "icewirectl.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl-change.h"
#include "ctl-diagnose.h"
#include "ctl-history.h"
#include "ctl-metrics.h"
#include "ctl-monitor.h"
#include "ctl-names.h"
#include "ctl-options.h"
#include "ctl-pager.h"
#include "ctl-peer-details.h"
#include "ctl-peers.h"
#include "ctl-polkit-agent.h"
#include "ctl-status.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "varlink-agent.h"

static int verb_help(const Ctl *ctl, int argc, char *argv[]);

/* The first one is what happens if none is given. */
static const CtlVerb verbs[] = {
        { "status", NULL,
          "Show whether peers can reach this host, and\n"
          "how they are connected, on one screen (default)",
          0, 0, verb_status },
        { "peers", "[LINK] [PEER]", "List peers, and why some have no direct path", 0, 2, verb_peers },
        { "peer", "[LINK] PEER", "Show all about one peer", 1, 2, verb_peer },
        { "history", "[LINK] [PEER]", "Show how paths have changed, when and why", 0, 2, verb_history },
        { "monitor", NULL, "Follow what changes", 0, 0, verb_monitor },
        { "metrics", NULL, "Print what can be measured, as OpenMetrics text", 0, 0, verb_metrics },
        { "diagnose", NULL, "Find out what the network is like: NAT, IPv6,\nSTUN and TURN servers", 0, 0,
          verb_diagnose },
        { "reconnect", "[LINK] [PEER]", "Look for a path anew", 0, 2, verb_reconnect },
        { "policy", "[LINK] PEER POLICY",
          "Set which paths a peer may have, until icewired\n"
          "is reloaded or restarted: auto, direct (no\n"
          "relay), relay (no direct path), off",
          2, 3, verb_policy },
        { "reload", NULL, "Read the configuration again", 0, 0, verb_reload },
        { "help", NULL, "Show this help", 0, 0, verb_help },
};

static int verb_help(const Ctl *ctl, int argc, char *argv[])
{
        ctl_options_help(ctl, verbs, ELEMENTSOF(verbs));
        return 0;
}

static int say_unknown(const char *name)
{
        const char *names[ELEMENTSOF(verbs)], *near;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                names[i] = verbs[i].name;
        near = ctl_names_nearest(name, names, ELEMENTSOF(names), /* beginning= */ false)
                       ?: ctl_names_nearest(name, names, ELEMENTSOF(names), /* beginning= */ true);
        if (near)
                return log_error_errno(EINVAL, "Unknown command \"%s\", did you mean \"%s\"?", name, near);
        return log_error_errno(EINVAL, "Unknown command \"%s\", see icewirectl --help.", name);
}

static int run_verb(const Ctl *ctl, int argc, char *argv[])
{
        char *preset[] = { (char *) verbs[0].name, NULL };

        if (argc == 0) {
                argc = 1;
                argv = preset;
        }
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++) {
                _cleanup_free_ char *usage = NULL;

                if (!streq(verbs[i].name, argv[0]))
                        continue;
                if (argc - 1 >= verbs[i].min && argc - 1 <= verbs[i].max)
                        return verbs[i].run(ctl, argc, argv);
                usage = ctl_options_usage(&verbs[i]);
                return log_error_errno(EINVAL, "Too %s arguments: %s",
                                       argc - 1 < verbs[i].min ? "few" : "many", strna(usage));
        }
        return say_unknown(argv[0]);
}

/* As systemd.exec(5) has them, after the LSB. */
static int exit_status(int r)
{
        switch (r) {
        case -EINVAL:
                return 2; /* the command line makes no sense */
        case -EACCES:
                return 4; /* not permitted */
        case -ENOTCONN:
                return 7; /* icewired is not running */
        default:
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }
}

int icewirectl_run(int argc, char *argv[])
{
        Pager pager = PAGER_CLOSED;
        PolkitAgent agent = {};
        Ctl ctl = {
                .json = SD_JSON_FORMAT_OFF,
                .legend = true,
                .pager = &pager,
                .agent = &agent,
                .socket = AGENT_VARLINK_ADDRESS,
        };
        int r;

        /* So that tables know how wide a character is. */
        (void) setlocale(LC_CTYPE, "");
        ctl.colour = terminal_wants_colours();
        ctl.width = terminal_columns();
        ctl.height = terminal_lines();
        r = ctl_options_parse(&ctl, argc, argv, verbs, ELEMENTSOF(verbs));
        if (r > 0)
                r = run_verb(&ctl, argc - optind, argv + optind);
        if (r >= 0 && (fflush(stdout) != 0 || ferror(stdout)))
                r = log_error_errno(errno, "Failed to write: %m");
        pager_close(&pager);
        polkit_agent_stop(&agent);
        return exit_status(r);
}

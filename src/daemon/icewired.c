/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "icewired.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "broker-client.h"
#include "config-meson.h"
#include "daemon.h"
#include "event-util.h"
#include "host-network.h"
#include "log-event.h"
#include "status-text.h"
#include "string-util.h"
#include "varlink-agent.h"
#include "varlink-broker.h"

static int help(void)
{
        printf("icewired [OPTION…]\n\n"
               "Connects WireGuard peers directly, through NATs and firewalls.\n\n"
               "  -h --help          Show this help\n"
               "     --version       Show the version\n"
               "     --broker=PATH   The socket of icewire-broker (" BROKER_SOCKET ")\n"
               "     --socket=PATH   Serve the API at this socket (" AGENT_VARLINK_ADDRESS ")\n"
               "     --check         Only read the configuration, and say what makes no sense\n"
               "  -q --quiet         With --check: by the exit status only\n\n"
               "Configuration: icewire.conf(5). State: icewirectl(1).\n");
        return 0;
}

/* 1: go on, 0: done, negative: wrong usage. */
static int parse_arguments(Daemon *d, int argc, char *argv[])
{
        enum { OPTION_VERSION = 256, OPTION_BROKER, OPTION_SOCKET, OPTION_CHECK };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, OPTION_VERSION },
                { "broker", required_argument, NULL, OPTION_BROKER },
                { "socket", required_argument, NULL, OPTION_SOCKET },
                { "check", no_argument, NULL, OPTION_CHECK },
                { "quiet", no_argument, NULL, 'q' },
                {},
        };

        for (int c; (c = getopt_long(argc, argv, "hq", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return help();
                case OPTION_VERSION:
                        puts("icewire " PROJECT_VERSION);
                        return 0;
                case OPTION_BROKER:
                        d->broker_path = optarg;
                        break;
                case OPTION_SOCKET:
                        d->varlink_path = optarg;
                        break;
                case OPTION_CHECK:
                        d->only_check = true;
                        break;
                case 'q':
                        d->quiet = true;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc)
                return log_error_errno(EINVAL, "Unexpected argument \"%s\", see icewired --help.",
                                       argv[optind]);
        return 1;
}

/* For people before they say "systemctl reload", and for the unit, so that they are told after. Secrets do
 * not count: credentials are the daemon's alone, ExecReload= has none. */
static int check_configuration(bool quiet)
{
        _cleanup_(config_freep) Config *config = NULL;
        unsigned n_problems;
        int r;

        if (quiet)
                log_set_max_level(LOG_CRIT);
        r = config_load(/* root= */ NULL, &config, &n_problems);
        if (r < 0)
                return log_error_errno(r, "Failed to read the configuration: %m");
        if (n_problems > config->n_secret_problems)
                return -EBADMSG;
        if (!quiet)
                puts("The configuration makes sense.");
        return 0;
}

/* It talks to the network, and keeps the keys out of reach only if it cannot take them. */
static int refuse_root(void)
{
        if (geteuid() != 0)
                return 0;
        return log_event(LOG_ERR, EPERM, LOG_EVENT_START_FAILED, (),
                         "icewired must not run as root: start it as the user " ICEWIRE_USER
                         " (systemctl start icewired), the privileged part is icewire-broker.");
}

/* Each negotiation takes some sockets. We never select(2), so there is no reason for the low limit. */
static void raise_open_files(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning_errno(errno, "Failed to raise the limit of open files, ignoring: %m");
}

static int on_status(sd_event_source *s, void *userdata)
{
        Daemon *d = userdata;
        _cleanup_free_ char *text = status_text(d->manager);

        if (text)
                (void) sd_notifyf(/* unset_environment= */ false, "STATUS=%s", text);
        return 0;
}

static void schedule_status(Daemon *d)
{
        int r = event_defer_once(d->event, &d->status, on_status, d, "daemon-status");

        if (r < 0)
                log_warning_errno(r, "Failed to schedule the status, ignoring: %m");
}

static void on_link_changed(Link *link, bool removed, void *userdata)
{
        schedule_status(userdata);
}

static void on_peer_changed(Peer *peer, bool removed, void *userdata)
{
        schedule_status(userdata);
}

static void on_rendezvous_changed(Rendezvous *r, bool removed, void *userdata)
{
        schedule_status(userdata);
}

static void on_manager_changed(void *userdata)
{
        schedule_status(userdata);
}

static void on_stopped(Manager *m, void *userdata)
{
        Daemon *d = userdata;

        (void) sd_event_exit(d->event, 0);
}

/* The first one lets us say goodbye, the second one means it. */
static int on_terminate(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata)
{
        Daemon *d = userdata;

        if (d->manager->on_stopped)
                return sd_event_exit(d->event, 0);
        log_event(LOG_INFO, 0, LOG_EVENT_STOPPING, (), "Stopping; paths stay as they are.");
        (void) sd_notify(/* unset_environment= */ false, "STOPPING=1");
        manager_stop(d->manager, on_stopped, d);
        return 0;
}

static int on_hangup(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata)
{
        _cleanup_free_ char *message = NULL;
        unsigned n_problems;

        (void) daemon_reload(userdata, &n_problems, &message);
        return 0;
}

static int add_signal(Daemon *d, int number, sd_event_signal_handler_t callback)
{
        return sd_event_add_signal(d->event, /* ret= */ NULL, number | SD_EVENT_SIGNAL_PROCMASK, callback,
                                   d);
}

static int set_up_event(Daemon *d)
{
        int r;

        r = sd_event_default(&d->event);
        if (r < 0)
                return log_error_errno(r, "Failed to make an event loop: %m");
        r = add_signal(d, SIGTERM, on_terminate);
        if (r >= 0)
                r = add_signal(d, SIGINT, on_terminate);
        if (r >= 0)
                r = add_signal(d, SIGHUP, on_hangup);
        if (r < 0)
                return log_error_errno(r, "Failed to handle signals: %m");
        return 0;
}

static int set_up_manager(Daemon *d)
{
        _cleanup_(config_freep) Config *config = NULL;
        int r;

        r = config_load(/* root= */ NULL, &config, /* ret_n_problems= */ NULL);
        if (r < 0)
                return log_error_errno(r, "Failed to read the configuration: %m");
        if (!getenv("ICEWIRE_LOG_LEVEL"))
                log_set_max_level(config->log_level);
        r = manager_new(d->event, config, &d->manager);
        if (r < 0)
                return log_error_errno(r, "Failed to make the model: %m");
        TAKE_PTR(config);
        return 0;
}

static int set_up_verbs(Daemon *d)
{
        int r;

        r = verbs_new(d->event, d->manager, daemon_reload, d, &d->verbs);
        if (r < 0)
                return log_error_errno(r, "Failed to make ready for the APIs: %m");
        d->listener = (VerbsListener) {
                .link_changed = on_link_changed,
                .peer_changed = on_peer_changed,
                .rendezvous_changed = on_rendezvous_changed,
                .manager_changed = on_manager_changed,
                .userdata = d,
        };
        verbs_add_listener(d->verbs, &d->listener);
        return 0;
}

static int set_up_broker(Daemon *d)
{
        Broker *broker = NULL;
        int r;

        r = broker_client_new(d->event, d->broker_path, &manager_broker_callbacks, d->manager, &broker);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the connection to icewire-broker: %m");
        manager_set_broker(d->manager, broker);
        return 0;
}

static int set_up_bus(Daemon *d)
{
        int r;

        r = system_bus_new(d->event, "icewired", &d->bus);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the connection to the system bus: %m");
        r = authority_new(d->bus, &d->authority);
        if (r >= 0)
                r = agent_bus_new(d->event, d->bus, d->verbs, d->authority, &d->agent_bus);
        return r < 0 ? log_oom() : 0;
}

static int set_up_varlink(Daemon *d)
{
        int r;

        r = agent_varlink_new(d->event, d->verbs, d->authority, d->varlink_path, &d->varlink);
        if (r < 0)
                return log_error_errno(r, "Failed to listen at %s: %m", d->varlink_path);
        return 0;
}

static void on_resumed(Logind *logind, void *userdata)
{
        Daemon *d = userdata;

        manager_resumed(d->manager);
}

/* Hosts without logind do not sleep, or nobody tells. */
static void set_up_logind(Daemon *d)
{
        int r;

        r = logind_new(d->bus, on_resumed, d, &d->logind);
        if (r < 0)
                log_warning_errno(r, "Failed to listen to logind, ignoring: %m");
}

static int start(Daemon *d)
{
        int r;

        r = manager_start(d->manager);
        if (r < 0)
                return log_error_errno(r, "Failed to follow the network: %m");
        /* They need what the manager has only now: a resolver, and who knows the interfaces. */
        r = daemon_set_up_rendezvous(d);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the rendezvous: %m");
        set_up_logind(d);
        r = watchdog_new(d->event, d->manager, &d->watchdog);
        if (r < 0)
                return log_error_errno(r, "Failed to serve the watchdog: %m");
        (void) sd_notify(/* unset_environment= */ false, "READY=1\nSTATUS=Started");
        schedule_status(d);
        log_event(LOG_INFO, 0, LOG_EVENT_STARTED, (LOG_FIELD("ICEWIRE_VERSION=" PROJECT_VERSION)),
                  "icewired " PROJECT_VERSION " is ready.");
        return 0;
}

static void daemon_done(Daemon *d)
{
        d->watchdog = watchdog_free(d->watchdog);
        d->logind = logind_free(d->logind);
        d->varlink = agent_varlink_free(d->varlink);
        d->agent_bus = agent_bus_free(d->agent_bus);
        d->authority = authority_free(d->authority);
        if (d->verbs)
                verbs_remove_listener(d->verbs, &d->listener);
        d->verbs = verbs_free(d->verbs);
        d->manager = manager_free(d->manager);
        d->rendezvous_config = config_free(d->rendezvous_config);
        d->status = sd_event_source_disable_unref(d->status);
        d->bus = system_bus_free(d->bus);
        d->event = sd_event_unref(d->event);
}

static int run(Daemon *d)
{
        int r;

        r = refuse_root();
        if (r < 0)
                return r;
        raise_open_files();
        r = set_up_event(d);
        if (r < 0)
                return r;
        r = set_up_manager(d);
        if (r < 0)
                return r;
        r = set_up_verbs(d);
        if (r < 0)
                return r;
        r = set_up_broker(d);
        if (r < 0)
                return r;
        r = set_up_bus(d);
        if (r < 0)
                return r;
        r = set_up_varlink(d);
        if (r < 0)
                return r;
        r = start(d);
        if (r < 0)
                return r;
        r = sd_event_loop(d->event);
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");
        return r;
}

int icewired_run(int argc, char *argv[])
{
        _cleanup_(daemon_done) Daemon d = {
                .broker_path = BROKER_SOCKET,
                .varlink_path = AGENT_VARLINK_ADDRESS,
        };
        int r;

        r = parse_arguments(&d, argc, argv);
        if (r > 0)
                r = d.only_check ? check_configuration(d.quiet) : run(&d);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "icewire-broker.h"

#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "broker-varlink.h"
#include "config-meson.h"
#include "event-util.h"
#include "log-event.h"
#include "parse-util.h"
#include "privileges.h"
#include "varlink-broker.h"
#include "wireguard-uapi.h"

typedef struct Arguments {
        const char *socket;
        const char *user;
} Arguments;

static int help(void)
{
        printf("icewire-broker [OPTION…]\n\n"
               "Reads and writes WireGuard links for icewired, and keeps their keys to itself.\n\n"
               "  -h --help         Show this help\n"
               "     --version      Show the version\n"
               "     --socket=PATH  Where to listen, unless systemd passes a socket (%s)\n"
               "     --user=NAME    Whom to serve, beside root (%s)\n",
               BROKER_SOCKET, ICEWIRE_USER);
        return 0;
}

/* 1: go on; 0: all is said; negative: wrong arguments. */
static int parse_arguments(int argc, char *argv[], Arguments *ret)
{
        enum { ARG_VERSION = 0x100, ARG_SOCKET, ARG_USER };
        static const struct option options[] = { { "help", no_argument, NULL, 'h' },
                                                 { "version", no_argument, NULL, ARG_VERSION },
                                                 { "socket", required_argument, NULL, ARG_SOCKET },
                                                 { "user", required_argument, NULL, ARG_USER },
                                                 {} };
        Arguments arguments = { .socket = BROKER_SOCKET, .user = ICEWIRE_USER };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        return printf("icewire-broker %s\n", PROJECT_VERSION) < 0 ? -EIO : 0;
                case ARG_SOCKET:
                        arguments.socket = optarg;
                        break;
                case ARG_USER:
                        arguments.user = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc)
                return log_error_errno(EINVAL, "Unexpected argument '%s'.", argv[optind]);
        *ret = arguments;
        return 1;
}

/* Asked once, at the start: the name service may block. */
static uid_t find_user(const char *name)
{
        const struct passwd *pw;
        uint32_t uid;

        if (parse_u32(name, &uid) >= 0)
                return uid;
        pw = getpwnam(name);
        if (pw)
                return pw->pw_uid;
        log_event(LOG_WARNING, 0, LOG_EVENT_CONFIGURATION_PROBLEM, (LOG_FIELD("ICEWIRE_USER=%s", name)),
                  "There is no user '%s': only root is served.", name);
        return UID_INVALID;
}

static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now(CLOCK_MONOTONIC));
        broker_manager_refresh(userdata);
        log_event(LOG_INFO, 0, LOG_EVENT_RELOADED, (), "Reading all links again.");
        (void) sd_notify(0, "READY=1");
        return 0;
}

static int watch_signals(sd_event *event, BrokerManager *manager)
{
        int r;

        r = sd_event_add_signal(event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, NULL, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGHUP | SD_EVENT_SIGNAL_PROCMASK, on_reload, manager);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(event, true);
}

/* Without it links are read now and then. */
static DeviceWatch *new_watch(void)
{
        DeviceWatch *watch = NULL;
        int r;

        r = device_watch_new(&watch);
        if (r < 0)
                log_info_errno(r, "The kernel does not tell when WireGuard links are written: they are read "
                                  "now and then (%m).");
        return watch;
}

/* Loads what needs rights that go right after it. */
static int start_redirect(uid_t user, BrokerRedirect **ret, DeviceWatch **ret_watch)
{
        _cleanup_(device_watch_freep) DeviceWatch *watch = NULL;
        int r;

        r = privileges_drop_for_loading();
        if (r == -EPERM)
                return log_event(LOG_ERR, r, LOG_EVENT_START_FAILED, (),
                                 "icewire-broker needs CAP_NET_ADMIN: start it by systemd or as root.");
        if (r < 0)
                return log_error_errno(r, "Failed to drop privileges: %m");
        /* Without the user only root is served. */
        r = broker_redirect_new(user == UID_INVALID ? 0 : user, /* factory= */ NULL, ret);
        if (r < 0)
                return log_oom();
        watch = new_watch();
        r = privileges_drop();
        if (r < 0)
                return log_error_errno(r, "Failed to drop privileges: %m");
        *ret_watch = TAKE_PTR(watch);
        return 0;
}

static int start(sd_event *event, const Arguments *arguments, BrokerServer **ret_server,
                 BrokerManager **ret_manager, BrokerRedirect **ret_redirect)
{
        _cleanup_(device_watch_freep) DeviceWatch *watch = NULL;
        uid_t user = find_user(arguments->user);
        int r;

        r = broker_server_new(event, user, ret_server);
        if (r < 0)
                return log_error_errno(r, "Failed to make the Varlink server: %m");
        /* While all rights are there: the folder may belong to somebody else. */
        r = broker_server_listen(*ret_server, arguments->socket);
        if (r < 0)
                return log_error_errno(r, "Failed to listen at '%s': %m", arguments->socket);
        r = start_redirect(user, ret_redirect, &watch);
        if (r < 0)
                return r;
        r = broker_manager_new(event, WIREGUARD_UAPI_FOLDER, &broker_server_manager_callbacks, *ret_server,
                               ret_manager);
        if (r < 0)
                return log_error_errno(r, "Failed to watch for links: %m");
        if (watch) {
                r = broker_manager_set_watch(*ret_manager, TAKE_PTR(watch));
                if (r < 0)
                        log_warning_errno(r, "Failed to watch for written devices, ignoring: %m");
        }
        (*ret_server)->manager = *ret_manager;
        (*ret_server)->redirect = *ret_redirect;
        r = broker_server_watch_initiations(*ret_server, event);
        if (r < 0)
                return log_error_errno(r, "Failed to watch for handshakes: %m");
        r = watch_signals(event, *ret_manager);
        if (r < 0)
                return log_error_errno(r, "Failed to watch for signals: %m");
        return 0;
}

int icewire_broker_run(int argc, char *argv[])
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(broker_redirect_freep) BrokerRedirect *redirect = NULL;
        _cleanup_(broker_manager_freep) BrokerManager *manager = NULL;
        _cleanup_(broker_server_freep) BrokerServer *server = NULL;
        Arguments arguments = {};
        int r;

        r = parse_arguments(argc, argv, &arguments);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        r = sd_event_default(&event);
        if (r < 0) {
                log_error_errno(r, "Failed to make the event loop: %m");
                return EXIT_FAILURE;
        }
        r = start(event, &arguments, &server, &manager, &redirect);
        if (r < 0)
                return EXIT_FAILURE;
        (void) sd_notify(0, "READY=1\nSTATUS=Following WireGuard links.");
        /* With the rights that are left. Before anybody is served, but while icewired starts. */
        broker_redirect_test(redirect);
        server->redirect_checked = now(CLOCK_BOOTTIME);
        log_event(LOG_INFO, 0, LOG_EVENT_STARTED, (LOG_FIELD("ICEWIRE_VERSION=" PROJECT_VERSION)),
                  "icewire-broker " PROJECT_VERSION " is ready.");
        r = sd_event_loop(event);
        if (r < 0)
                log_error_errno(r, "The event loop failed: %m");
        else
                log_event(LOG_INFO, 0, LOG_EVENT_STOPPING, (), "Stopping; links and their endpoints stay.");
        (void) sd_notify(0, "STOPPING=1");
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

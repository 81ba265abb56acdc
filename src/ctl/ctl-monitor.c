/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl-peer.h"
#include "log.h"
#include "string-util.h"
#include "terminal-util.h"
#include "text-util.h"

#define KEY_LENGTH 12

static const char *member(sd_json_variant *v, const char *name)
{
        sd_json_variant *m = sd_json_variant_by_key(v, name);

        return m && sd_json_variant_is_string(m) ? sd_json_variant_string(m) : "";
}

static void print_time(void)
{
        time_t t = time(NULL);
        char buf[32];
        struct tm tm;

        if (localtime_r(&t, &tm) && strftime(buf, sizeof(buf), "%T", &tm) > 0)
                printf("%s ", buf);
}

/* One line, escaped as a whole. */
static void print_line(const char *line)
{
        _cleanup_free_ char *escaped = terminal_escape(strna(line));

        print_time();
        puts(strna(escaped));
        fflush(stdout);
}

static void print_peer_event(sd_json_variant *v, bool removed)
{
        _cleanup_free_ char *line = NULL, *via = NULL, *key = NULL, *path = NULL;
        CtlPeer peer;

        if (ctl_peer_parse(v, &peer) < 0)
                return;
        key = ctl_short_key(peer.public_key, KEY_LENGTH);
        via = ctl_peer_via(&peer);
        path = ctl_peer_path(&peer);
        if (removed)
                line = asprintf_safe("%s peer %s: removed", peer.link, strna(key));
        else if (streq(peer.path, "none"))
                line = asprintf_safe("%s peer %s: %s%s%s", peer.link, strna(key), peer.state,
                                     peer.reason_text ? ": " : "", strempty(peer.reason_text));
        else
                line = asprintf_safe("%s peer %s: %s, %s by %s", peer.link, strna(key), peer.state,
                                     strna(path), strna(via));
        print_line(line);
}

static void print_link_event(sd_json_variant *v, bool removed)
{
        sd_json_variant *peers = sd_json_variant_by_key(v, "peers"),
                        *connected = sd_json_variant_by_key(v, "connected");
        _cleanup_free_ char *line = NULL;

        if (removed)
                line = asprintf_safe("%s: removed", member(v, "name"));
        else
                line = asprintf_safe("%s: %s, %" PRIu64 " of %" PRIu64 " peers connected", member(v, "name"),
                                     member(v, "kind"), connected ? sd_json_variant_unsigned(connected) : 0,
                                     peers ? sd_json_variant_unsigned(peers) : 0);
        print_line(line);
}

static void print_rendezvous_event(sd_json_variant *v, bool removed)
{
        const char *error = member(v, "error");
        _cleanup_free_ char *line = asprintf_safe("rendezvous %s: %s%s%s", member(v, "name"),
                                                  removed ? "removed" : member(v, "state"),
                                                  isempty(error) ? "" : ": ", error);

        print_line(line);
}

static void print_event(sd_json_variant *v)
{
        const char *event = member(v, "event");
        sd_json_variant *object;

        if ((object = sd_json_variant_by_key(v, "peer")))
                print_peer_event(object, streq(event, "peer_removed"));
        else if ((object = sd_json_variant_by_key(v, "link")))
                print_link_event(object, streq(event, "link_removed"));
        else if ((object = sd_json_variant_by_key(v, "rendezvous")))
                print_rendezvous_event(object, streq(event, "rendezvous_removed"));
        else if (streq(event, "ready"))
                print_line("That is how it stands; changes follow.");
}

/* JSON: one object for each, without anything between, as jq(1) and every other reader take it. */
static int on_event(sd_json_variant *event, bool last, void *userdata)
{
        const Ctl *ctl = userdata;

        if (sd_json_format_enabled(ctl->json))
                return ctl_print_json(ctl, event);
        print_event(event);
        return 0;
}

int verb_monitor(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        return ctl_stream(link, "org.icewire.Agent.Watch", /* parameters= */ NULL,
                          /* timeout= */ USEC_INFINITY, on_event, (void *) ctl);
}

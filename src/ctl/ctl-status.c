/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl-peers.h"
#include "format-table.h"
#include "log.h"
#include "string-util.h"

/* More do not fit the screen; `peers` has them all. */
#define STATUS_PEERS_MAX 16

#define COLOUR_GOOD "\033[32m"
#define COLOUR_WAIT "\033[33m"
#define COLOUR_BAD "\033[31m"
#define COLOUR_END "\033[0m"

static uint64_t member_unsigned(sd_json_variant *v, const char *name)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        return member && sd_json_variant_is_unsigned(member) ? sd_json_variant_unsigned(member) : 0;
}

static sd_json_variant *member_array(sd_json_variant *v, const char *name, size_t *ret_n)
{
        sd_json_variant *member = sd_json_variant_by_key(v, name);

        *ret_n = member && sd_json_variant_is_array(member) ? sd_json_variant_elements(member) : 0;
        return member;
}

/* A state of the broker or of a rendezvous. */
static void print_state(const Ctl *ctl, const char *state)
{
        _cleanup_free_ char *escaped = terminal_escape(state);
        const char *colour = COLOUR_BAD;

        if (streq(state, "up") || streq(state, "ready"))
                colour = COLOUR_GOOD;
        else if (streq(state, "connecting"))
                colour = COLOUR_WAIT;
        printf("%s%s%s", ctl->colour ? colour : "", strna(escaped), ctl->colour ? COLOUR_END : "");
}

static void print_rendezvous(const Ctl *ctl, sd_json_variant *v)
{
        _cleanup_free_ char *name = terminal_escape(strna(ctl_member_string(v, "name")));
        const char *state = strna(ctl_member_string(v, "state")), *error = ctl_member_string(v, "error");
        _cleanup_free_ char *reason = error ? terminal_escape(error) : NULL;

        printf("  Rendezvous  %s: ", strna(name));
        print_state(ctl, state);
        if (reason)
                printf(" (%s)", reason);
        putchar('\n');
}

static void print_redirect(sd_json_variant *description)
{
        const char *kind = ctl_member_string(description, "redirect"),
                   *reason = ctl_member_string(description, "redirectReason");
        _cleanup_free_ char *escaped = kind ? terminal_escape(kind) : NULL,
                            *escaped_reason = reason ? terminal_escape(reason) : NULL;

        if (escaped)
                printf("  Redirect    %s%s%s%s\n", escaped, escaped_reason ? " (" : "",
                       strempty(escaped_reason), escaped_reason ? ")" : "");
}

void ctl_status_print_services(const Ctl *ctl, sd_json_variant *description)
{
        const char *broker = strna(ctl_member_string(description, "broker"));
        size_t n;
        sd_json_variant *rendezvous = member_array(description, "rendezvous", &n);

        printf("  Broker      ");
        print_state(ctl, broker);
        puts(streq(broker, "lost") ? " (it reads and writes the links: systemctl start icewire-broker)"
                                   : "");
        print_redirect(description);
        for (size_t i = 0; i < n; i++)
                print_rendezvous(ctl, sd_json_variant_by_index(rendezvous, i));
        if (n == 0)
                puts("  Rendezvous  none configured");
}

static void print_daemon(const Ctl *ctl, sd_json_variant *description, const CtlPeers *peers)
{
        _cleanup_free_ char *version = terminal_escape(strna(ctl_member_string(description, "version")));
        size_t connected = 0;

        for (size_t i = 0; i < peers->n; i++)
                connected += streq(peers->items[i].state, "connected");
        printf("icewired %s: %zu of %zu peers connected\n", strna(version), connected, peers->n);
        ctl_status_print_services(ctl, description);
}

static void print_link(sd_json_variant *v)
{
        _cleanup_free_ char *name = terminal_escape(strna(ctl_member_string(v, "name"))),
                            *kind = terminal_escape(strna(ctl_member_string(v, "kind"))),
                            *key = terminal_escape(ctl_member_string(v, "publicKey") ?: "no key");
        uint64_t port = member_unsigned(v, "listenPort");

        printf("  Link        %s: %s, %s, ", strna(name), strna(kind), strna(key));
        if (port > 0)
                printf("port %" PRIu64 "\n", port);
        else
                puts("not bound to a port");
}

static void print_links(sd_json_variant *reply, sd_json_variant *description)
{
        const char *broker = strna(ctl_member_string(description, "broker"));
        size_t n;
        sd_json_variant *links = member_array(reply, "links", &n);

        for (size_t i = 0; i < n; i++)
                print_link(sd_json_variant_by_index(links, i));
        if (n == 0)
                puts(streq(broker, "ready") ? "  Link        no WireGuard link"
                                            : "  Link        not known yet");
}

static int print_json(const Ctl *ctl, sd_json_variant *description, sd_json_variant *links,
                      const CtlPeers *peers)
{
        sd_json_variant *v = sd_json_variant_ref(description);
        int r;

        r = sd_json_variant_merge_object(&v, links);
        if (r >= 0)
                r = sd_json_variant_merge_object(&v, peers->json);
        r = r < 0 ? log_error_errno(r, "Failed to put the answers together: %m") : ctl_print_json(ctl, v);
        sd_json_variant_unref(v);
        return r;
}

static int print(const Ctl *ctl, sd_json_variant *description, sd_json_variant *links, const CtlPeers *peers)
{
        int r;

        if (sd_json_format_enabled(ctl->json))
                return print_json(ctl, description, links, peers);
        print_daemon(ctl, description, peers);
        print_links(links, description);
        if (peers->n == 0)
                return 0;
        putchar('\n');
        r = ctl_peers_print(ctl, peers, STATUS_PEERS_MAX);
        if (peers->n > STATUS_PEERS_MAX)
                printf("\n%zu more: icewirectl peers\n", peers->n - STATUS_PEERS_MAX);
        return r;
}

int verb_status(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *description = NULL, *links = NULL;
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_call(link, "org.icewire.Agent.Describe", /* parameters= */ NULL, &description);
        if (r < 0)
                return r;
        r = ctl_call(link, "org.icewire.Agent.ListLinks", /* parameters= */ NULL, &links);
        if (r < 0)
                return r;
        r = ctl_peers_get(link, /* link_name= */ NULL, /* peer= */ NULL, &peers);
        return r < 0 ? r : print(ctl, description, links, &peers);
}

int verb_reload(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        uint64_t n;
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_call(link, "org.icewire.Agent.Reload", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        n = member_unsigned(reply, "problems");
        if (n > 0)
                log_warning("The new configuration is in force, but for %" PRIu64
                            " of its settings, which make no sense: journalctl -u icewired",
                            n);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-change.h"

#include <inttypes.h>
#include <string.h>

#include "ctl-peers.h"
#include "ctl-polkit-agent.h"
#include "log.h"
#include "string-util.h"

typedef struct Change {
        const Ctl *ctl;
        sd_varlink *link; /* owned */
        PolkitAgent agent;
} Change;

static int change_begin(Change *c, const Ctl *ctl)
{
        c->ctl = ctl;
        return ctl_connect(ctl, &c->link);
}

static void change_done(Change *c)
{
        sd_varlink_close_unref(c->link);
        polkit_agent_stop(&c->agent);
}

/* 0, with *ret lent; 1: a person has to authenticate first. */
static int try_call(Change *c, const char *method, sd_json_variant *parameters, bool interactive,
                    sd_json_variant **ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *all = sd_json_variant_ref(parameters);
        const char *error = NULL;
        int r;

        r = sd_json_variant_set_field_boolean(&all, "allowInteractiveAuthentication", interactive);
        if (r < 0)
                return log_oom();
        r = sd_varlink_call(c->link, method, all, ret, &error);
        if (!interactive && streq_ptr(error, SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED))
                return 1;
        if (error)
                return ctl_explain_error(error, *ret);
        return r < 0 ? log_error_errno(r, "Failed to ask icewired: %m") : 0;
}

/* *ret (may be NULL) is lent until the next call. */
static int call(Change *c, const char *method, sd_json_variant *parameters, sd_json_variant **ret)
{
        sd_json_variant *reply = NULL;
        int r;

        r = try_call(c, method, parameters, /* interactive= */ c->agent.pid > 0, &reply);
        if (r > 0) {
                if (!c->ctl->ask_password || polkit_agent_start(&c->agent) < 0)
                        return ctl_explain_error(SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED,
                                                 /* parameters= */ NULL);
                /* People take their time. */
                (void) sd_varlink_set_relative_timeout(c->link, USEC_INFINITY);
                r = try_call(c, method, parameters, /* interactive= */ true, &reply);
        }
        if (r >= 0 && ret)
                *ret = reply;
        return r;
}

static int reconnect(Change *c, const CtlPeer *peer)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key));
        return r < 0 ? log_oom() : call(c, "org.icewire.Agent.Reconnect", parameters, /* ret= */ NULL);
}

int verb_reconnect(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        _cleanup_(change_done) Change c = {};
        int r;

        r = change_begin(&c, ctl);
        if (r < 0)
                return r;
        if (argc == 1)
                return call(&c, "org.icewire.Agent.Reconnect", /* parameters= */ NULL, /* ret= */ NULL);
        r = ctl_peers_get(c.link, argv[1], argc > 2 ? argv[2] : NULL, &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = reconnect(&c, &peers.items[i]);
        return r;
}

static int set_policy(Change *c, const CtlPeer *peer, const char *policy)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key),
                           SD_JSON_BUILD_PAIR_STRING("policy", policy));
        return r < 0 ? log_oom() : call(c, "org.icewire.Agent.SetPolicy", parameters, /* ret= */ NULL);
}

static bool is_policy(const char *s)
{
        return streq(s, "auto") || streq(s, "direct") || streq(s, "relay") || streq(s, "off");
}

int verb_policy(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        _cleanup_(change_done) Change c = {};
        const char *policy = argv[argc - 1];
        int r;

        if (!is_policy(policy))
                return log_error_errno(EINVAL, "A policy is auto, direct, relay or off, and not \"%s\".",
                                       policy);
        r = change_begin(&c, ctl);
        if (r < 0)
                return r;
        r = ctl_peers_get(c.link, argc > 3 ? argv[1] : NULL, argv[argc - 2], &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = set_policy(&c, &peers.items[i], policy);
        return r;
}

int verb_reload(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(change_done) Change c = {};
        sd_json_variant *reply = NULL;
        uint64_t n;
        int r;

        r = change_begin(&c, ctl);
        if (r < 0)
                return r;
        r = call(&c, "org.icewire.Agent.Reload", /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        if (sd_json_format_enabled(ctl->json))
                return ctl_print_json(ctl, reply);
        n = ctl_member_unsigned(reply, "problems");
        if (n > 0)
                log_warning("The new configuration is in force, but for %" PRIu64
                            " of its settings, which make no sense: journalctl -u icewired",
                            n);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-change.h"

#include <inttypes.h>
#include <string.h>

#include "ctl-authenticate.h"
#include "ctl-peers.h"
#include "log.h"
#include "string-util.h"

#define RECONNECT "org.icewire.Agent.Reconnect", "org.icewire1.reconnect"
#define SET_POLICY "org.icewire.Agent.SetPolicy", "org.icewire1.set-policy"
#define RELOAD "org.icewire.Agent.Reload", "org.icewire1.reload"

static int reconnect(const Ctl *ctl, sd_varlink *link, const CtlPeer *peer)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key));
        return r < 0 ? log_oom() : ctl_call_authorised(ctl, link, RECONNECT, parameters, /* ret= */ NULL);
}

int verb_reconnect(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        if (argc == 1)
                return ctl_call_authorised(ctl, link, RECONNECT, /* parameters= */ NULL, /* ret= */ NULL);
        r = ctl_peers_get(link, argv[1], argc > 2 ? argv[2] : NULL, &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = reconnect(ctl, link, &peers.items[i]);
        return r;
}

static int set_policy(const Ctl *ctl, sd_varlink *link, const CtlPeer *peer, const char *policy)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        int r;

        r = sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("link", peer->link),
                           SD_JSON_BUILD_PAIR_STRING("peer", peer->public_key),
                           SD_JSON_BUILD_PAIR_STRING("policy", policy));
        return r < 0 ? log_oom() : ctl_call_authorised(ctl, link, SET_POLICY, parameters, /* ret= */ NULL);
}

static bool is_policy(const char *s)
{
        return streq(s, "auto") || streq(s, "direct") || streq(s, "relay") || streq(s, "off");
}

int verb_policy(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(ctl_peers_done) CtlPeers peers = {};
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        const char *policy = argv[argc - 1];
        int r;

        if (!is_policy(policy))
                return log_error_errno(EINVAL, "A policy is auto, direct, relay or off, and not \"%s\".",
                                       policy);
        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_peers_get(link, argc > 3 ? argv[1] : NULL, argv[argc - 2], &peers);
        for (size_t i = 0; i < peers.n && r >= 0; i++)
                r = set_policy(ctl, link, &peers.items[i], policy);
        return r;
}

int verb_reload(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
        uint64_t n;
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = ctl_call_authorised(ctl, link, RELOAD, /* parameters= */ NULL, &reply);
        if (r < 0)
                return r;
        if (sd_json_format_enabled(ctl->json))
                return ctl_print_json(ctl, reply);
        n = ctl_member_unsigned(reply, "problems");
        if (n > 0)
                log_warning("The new configuration is in force, but for %" PRIu64
                            " of its secrets, which are missing or not kept well: journalctl -u icewired",
                            n);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-authenticate.h"

#include "ctl-polkit-agent.h"
#include "log.h"
#include "string-util.h"

static int say_authenticate(const char *action)
{
        return log_error_errno(
                EACCES,
                "This needs authentication (polkit's action %s): run it on a terminal, without "
                "--no-ask-password, or with sudo.",
                action);
}

int ctl_not_authenticated(const char *action)
{
        return log_error_errno(EACCES, "Nobody has authenticated (for polkit's action %s).", action);
}

int ctl_authenticate(const Ctl *ctl, sd_varlink *link, const char *action, sd_json_variant **parameters)
{
        if (!ctl->agent || polkit_agent_start(ctl->agent) < 0)
                return say_authenticate(action);
        (void) sd_varlink_set_relative_timeout(link, USEC_INFINITY);
        return sd_json_variant_set_field_boolean(parameters, "allowInteractiveAuthentication", true) < 0
                       ? log_oom()
                       : 0;
}

static bool is_needed(const char *error)
{
        return streq_ptr(error, SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED);
}

/* asked: a person was, or could have been. */
static int explain(const char *error, const char *action, sd_json_variant *reply, bool asked)
{
        if (is_needed(error))
                return asked ? ctl_not_authenticated(action) : say_authenticate(action);
        if (streq(error, SD_VARLINK_ERROR_PERMISSION_DENIED))
                return log_error_errno(EACCES, "Permission denied (by polkit, action %s): try it with sudo.",
                                       action);
        return ctl_explain_error(error, reply);
}

/* Once somebody has been asked, the next calls need not find out first. */
int ctl_call_authorised(const Ctl *ctl, sd_varlink *link, const char *method, const char *action,
                        sd_json_variant *parameters, sd_json_variant **ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *all = sd_json_variant_ref(parameters);
        sd_json_variant *reply = NULL;
        const char *error = NULL;
        bool asked = ctl->agent && ctl->agent->pid > 0;
        int r = asked ? ctl_authenticate(ctl, link, action, &all) : 0;

        if (r >= 0)
                r = sd_varlink_call(link, method, all, &reply, &error);
        if (is_needed(error) && !asked) {
                r = ctl_authenticate(ctl, link, action, &all);
                if (r < 0)
                        return r;
                asked = true;
                error = NULL; /* of the reply before, which is gone; and there may be none */
                r = sd_varlink_call(link, method, all, &reply, &error);
        }
        if (error)
                return explain(error, action, reply, asked);
        if (r < 0)
                return log_error_errno(r, "Failed to ask icewired: %m");
        if (ret)
                *ret = sd_json_variant_ref(reply);
        return 0;
}

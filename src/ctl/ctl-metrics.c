/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-metrics.h"

#include <stdio.h>

#include "ctl-pager.h"
#include "log.h"
#include "openmetrics.h"
#include "varlink-metrics.h"
#include "varlink-util.h"

/* All replies as an array. */
static int collect(sd_varlink *link, const char *method, sd_json_variant **ret)
{
        const char *error = NULL;
        sd_json_variant *replies = NULL;
        int r;

        r = sd_varlink_collect(link, method, /* parameters= */ NULL, &replies, &error);
        if (error)
                return ctl_explain_error(error, replies);
        if (r < 0)
                return log_error_errno(r, "Failed to ask icewired: %m");
        *ret = sd_json_variant_ref(replies);
        return 0;
}

static int print_json(const Ctl *ctl, sd_json_variant *families, sd_json_variant *metrics)
{
        _cleanup_json_ sd_json_variant *all = NULL;

        if (sd_json_buildo(&all, SD_JSON_BUILD_PAIR_VARIANT("families", families),
                           SD_JSON_BUILD_PAIR_VARIANT("metrics", metrics)) < 0)
                return log_oom();
        return ctl_print_json(ctl, all);
}

int verb_metrics(const Ctl *ctl, int argc, char *argv[])
{
        _cleanup_(sd_varlink_close_unrefp) sd_varlink *link = NULL;
        _cleanup_json_ sd_json_variant *families = NULL, *metrics = NULL;
        int r;

        r = ctl_connect(ctl, &link);
        if (r < 0)
                return r;
        r = collect(link, METRICS_INTERFACE ".Describe", &families);
        if (r < 0)
                return r;
        r = collect(link, METRICS_INTERFACE ".List", &metrics);
        if (r < 0)
                return r;
        pager_open(ctl->pager);
        if (sd_json_format_enabled(ctl->json))
                return print_json(ctl, families, metrics);
        r = openmetrics_print(stdout, families, metrics);
        return r < 0 ? log_error_errno(r, "Failed to write: %m") : 0;
}

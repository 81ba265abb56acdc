/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink-idl.h>
#include <systemd/sd-varlink.h>

#include "string-util.h"
#include "varlink-util.h"

/* io.systemd.Metrics, as systemd 260 and later collect it from the sockets in /run/systemd/report: one
 * metric a reply. A value is of any type, which sd-varlink can say since 260 only: built with an older one
 * we serve the methods without a description of the interface. Tried with systemd-report 262.1, which takes
 * all we have, and with the description of its own sources, which is ours but for the comments. */

#define METRICS_INTERFACE "io.systemd.Metrics"
#define METRICS_ERROR_NO_SUCH_METRIC METRICS_INTERFACE ".NoSuchMetric"

typedef enum MetricType {
        METRIC_COUNTER, /* only grows, unless what it counts begins anew */
        METRIC_GAUGE,
        METRIC_STRING,
        _METRIC_TYPE_MAX,
        _METRIC_TYPE_INVALID = -EINVAL,
} MetricType;

DECLARE_STRING_TABLE(metric_type, MetricType); /* "counter", "gauge", "string" */

/* Binds both methods, and adds the interface where it can be described. sd-varlink's errors. */
int varlink_metrics_add(sd_varlink_server *server, VarlinkMethod list, VarlinkMethod describe);

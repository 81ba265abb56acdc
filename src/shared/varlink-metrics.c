/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-metrics.h"

#include "config-meson.h"

static const char *const metric_type_table[_METRIC_TYPE_MAX] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_STRING] = "string",
};
DEFINE_STRING_TABLE(metric_type, MetricType);

#if HAVE_VARLINK_ANY
#define COMMENT SD_VARLINK_FIELD_COMMENT

/* As systemd 262 describes it. */
/* clang-format off */

static SD_VARLINK_DEFINE_ENUM_TYPE(MetricFamilyType,
        COMMENT("It only grows, unless what it counts begins anew"),
        SD_VARLINK_DEFINE_ENUM_VALUE(counter),
        COMMENT("It goes up and down"),
        SD_VARLINK_DEFINE_ENUM_VALUE(gauge),
        COMMENT("It is text"),
        SD_VARLINK_DEFINE_ENUM_VALUE(string),
        COMMENT("It is any JSON object; none of ours is"),
        SD_VARLINK_DEFINE_ENUM_VALUE(object));

static SD_VARLINK_DEFINE_METHOD_FULL(List, SD_VARLINK_REQUIRES_MORE,
        COMMENT("Of the family"),
        SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_STRING, 0),
        COMMENT("What it is about, of several"),
        SD_VARLINK_DEFINE_OUTPUT(object, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        COMMENT("What else tells it from others of the family: strings by name"),
        SD_VARLINK_DEFINE_OUTPUT(fields, SD_VARLINK_OBJECT, SD_VARLINK_NULLABLE),
        COMMENT("Of the family's type: a number or a string"),
        SD_VARLINK_DEFINE_OUTPUT(value, SD_VARLINK_ANY, 0));

static SD_VARLINK_DEFINE_METHOD_FULL(Describe, SD_VARLINK_REQUIRES_MORE,
        COMMENT("Of the family"),
        SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_STRING, 0),
        COMMENT("For people"),
        SD_VARLINK_DEFINE_OUTPUT(description, SD_VARLINK_STRING, 0),
        COMMENT("What its values are"),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(type, MetricFamilyType, 0));

static SD_VARLINK_DEFINE_ERROR(NoSuchMetric);

static SD_VARLINK_DEFINE_INTERFACE(io_systemd_Metrics, METRICS_INTERFACE,
        SD_VARLINK_INTERFACE_COMMENT("What can be measured"),
        SD_VARLINK_SYMBOL_COMMENT("What the values of a family are"),
        &vl_type_MetricFamilyType,
        SD_VARLINK_SYMBOL_COMMENT("Every metric there is now, family by family"),
        &vl_method_List,
        SD_VARLINK_SYMBOL_COMMENT("Every family, also those without a metric now"),
        &vl_method_Describe,
        SD_VARLINK_SYMBOL_COMMENT("There is none"),
        &vl_error_NoSuchMetric);

/* clang-format on */

static int add_interface(sd_varlink_server *server)
{
        return sd_varlink_server_add_interface(server, &vl_interface_io_systemd_Metrics);
}
#else
static int add_interface(sd_varlink_server *server)
{
        return 0;
}
#endif

int varlink_metrics_add(sd_varlink_server *server, VarlinkMethod list, VarlinkMethod describe)
{
        int r = add_interface(server);

        return r < 0 ? r
                     : sd_varlink_server_bind_method_many(server, METRICS_INTERFACE ".List", list.call,
                                                          METRICS_INTERFACE ".Describe", describe.call);
}

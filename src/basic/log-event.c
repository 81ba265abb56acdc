/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-event.h"

#define ID_FIELD "MESSAGE_ID="
#define NAME_FIELD "ICEWIRE_EVENT="
#define EVENT(name, id) { ID_FIELD id, NAME_FIELD name }

/* The IDs are random, and never change: filters and catalogs of others know them. */
static const struct {
        const char *id, *name;
} events[_LOG_EVENT_MAX] = {
        [LOG_EVENT_STARTED] = EVENT("started", "c14d637fdfce3d3a8dff9ae177ab9ee5"),
        [LOG_EVENT_STOPPING] = EVENT("stopping", "868ff0727fe03acf8a9599924df9ac75"),
        [LOG_EVENT_START_FAILED] = EVENT("start-failed", "0968d40c0666fccab81ebe6c0e22a219"),
        [LOG_EVENT_UNFIT] = EVENT("unfit", "f8413be8c54884727b0e81374969858c"),
        [LOG_EVENT_RELOADED] = EVENT("reloaded", "5f61800d06bbc5fc3d00e299e6287aaf"),
        [LOG_EVENT_RELOAD_FAILED] = EVENT("reload-failed", "303d0257e377de880af5e63ef3e72a14"),
        [LOG_EVENT_CONFIGURATION_PROBLEM] = EVENT("configuration-problem",
                                                  "fc73f483bb87688810bf6f3dee2abea2"),
        [LOG_EVENT_SECRET_PROBLEM] = EVENT("secret-problem", "785db62fbe03f5f5574e402bbb14b2e9"),
        [LOG_EVENT_BROKER_READY] = EVENT("broker-ready", "dccab3f9acb4791fde41048de9622264"),
        [LOG_EVENT_BROKER_LOST] = EVENT("broker-lost", "618dc64882c2cc43dd801b32e1187956"),
        [LOG_EVENT_LINK_APPEARED] = EVENT("link-appeared", "51bbb47712d4093cf452f85dee9a0117"),
        [LOG_EVENT_LINK_GONE] = EVENT("link-gone", "3d579b5fcf6c8224b5187da4ab387a83"),
        [LOG_EVENT_LINK_KEY_CHANGED] = EVENT("link-key-changed", "df488ade671a0bd575e0d9b8523ed98f"),
        [LOG_EVENT_LINK_CONFLICT] = EVENT("link-conflict", "5edd6c49326827d37ffc45848b0afdaa"),
        [LOG_EVENT_REDIRECT_SETTLED] = EVENT("redirect-settled", "126fe4fafd5ce7c11e0cc7e9872d86c1"),
        [LOG_EVENT_REDIRECT_LOST] = EVENT("redirect-lost", "f38547c06ce87bb276dc85e77b1d6436"),
        [LOG_EVENT_RENDEZVOUS_UP] = EVENT("rendezvous-up", "a721cd5b3d67aeb170c2be029dda2506"),
        [LOG_EVENT_RENDEZVOUS_DOWN] = EVENT("rendezvous-down", "5a7b21e7af5998a0dc7c803bd46479bd"),
        [LOG_EVENT_RENDEZVOUS_LIMITED] = EVENT("rendezvous-limited", "d34f9702ce7bd94c27837d1e0ed4a48b"),
        [LOG_EVENT_CERTIFICATE_REFUSED] = EVENT("certificate-refused", "984abbd7e53640a2737a57589e27c8df"),
        [LOG_EVENT_RELAY_WORKS] = EVENT("relay-works", "cebc79498eda0d4ba4ae8e34da4156c5"),
        [LOG_EVENT_RELAY_UNREACHABLE] = EVENT("relay-unreachable", "692d57e72ff9bc6d108002bf3d3148a7"),
        [LOG_EVENT_RELAY_REFUSED] = EVENT("relay-refused", "e2fda2d0d79977cabe5f62e102bc23a2"),
        [LOG_EVENT_SERVER_UNKNOWN] = EVENT("server-unknown", "c5c7c0951a8e5e06a2123f897b8a6236"),
        [LOG_EVENT_PATH_CHANGED] = EVENT("path-changed", "85c421952e52596143827baa37181189"),
        [LOG_EVENT_PATH_DEAD] = EVENT("path-dead", "a9826cf72d56f5f14937ad1a3cead55e"),
        [LOG_EVENT_PATH_ALIVE] = EVENT("path-alive", "4a8bf845f0d624cea72d541490670613"),
        [LOG_EVENT_PATH_REFUTED] = EVENT("path-refuted", "753ff7d2db0560b3abcb45e0df32fff1"),
        [LOG_EVENT_PEER_CONNECTED] = EVENT("peer-connected", "e865a5e822d2e910ba86598729e73878"),
        [LOG_EVENT_PEER_NOT_DIRECT] = EVENT("peer-not-direct", "e5df3303ee4ebf4d2c4c42521274e7d9"),
        [LOG_EVENT_PEER_LEFT] = EVENT("peer-left", "bfcac1913294261363a82911113ae545"),
        [LOG_EVENT_ENDPOINT_RESTORED] = EVENT("endpoint-restored", "8a379fae32320837eb821bfba28d5f8a"),
        [LOG_EVENT_POLICY_CHANGED] = EVENT("policy-changed", "bf45fd90e352a491a20c4c406f5e0481"),
        [LOG_EVENT_HOST_RESUMED] = EVENT("host-resumed", "f102d5f16ac1a51e1b494bdc85462a37"),
};

const char *log_event_field_id(LogEvent event)
{
        return event >= 0 && event < _LOG_EVENT_MAX ? events[event].id : NULL;
}

const char *log_event_field_name(LogEvent event)
{
        return event >= 0 && event < _LOG_EVENT_MAX ? events[event].name : NULL;
}

const char *log_event_id(LogEvent event)
{
        const char *field = log_event_field_id(event);

        return field ? field + strlen(ID_FIELD) : NULL;
}

const char *log_event_name(LogEvent event)
{
        const char *field = log_event_field_name(event);

        return field ? field + strlen(NAME_FIELD) : NULL;
}

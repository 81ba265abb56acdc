/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-client-internal.h"
#include "log.h"
#include "string-util.h"
#include "varlink-broker.h"

/* What icewire-broker tells by itself, in answer to WatchLinks. */

static void on_event_changed(BrokerClient *c, sd_json_variant *v)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        int r;

        r = broker_link_parse_json(sd_json_variant_by_key(v, "link"), &device);
        if (r < 0) {
                log_warning_errno(r, "icewire-broker told of a link that makes no sense, ignoring: %m");
                return;
        }
        c->broker.callbacks->link_changed(&c->broker, device, c->broker.userdata);
}

static void on_event_initiation(BrokerClient *c, const char *name, sd_json_variant *v)
{
        SocketAddress endpoint;

        if (!name || socket_address_from_string(strempty(broker_string_field(v, "endpoint")), &endpoint) < 0)
                log_warning("icewire-broker told of an initiation that makes no sense, ignoring.");
        else if (c->broker.callbacks->handshake_initiated)
                c->broker.callbacks->handshake_initiated(&c->broker, name, &endpoint, c->broker.userdata);
}

int broker_client_on_watch(sd_varlink *link, sd_json_variant *v, const char *error_id,
                           sd_varlink_reply_flags_t flags, void *userdata)
{
        BrokerChannel *channel = userdata;
        BrokerClient *c = channel->client;
        const char *event, *name;

        if (error_id) {
                broker_client_lose(c, broker_client_error(error_id, v, flags));
                return 0;
        }
        event = broker_string_field(v, "event");
        name = broker_string_field(v, "name");
        switch (broker_event_from_string(event)) {
        case BROKER_EVENT_CHANGED:
                on_event_changed(c, v);
                break;
        case BROKER_EVENT_REMOVED:
                if (name)
                        c->broker.callbacks->link_removed(&c->broker, name, c->broker.userdata);
                break;
        case BROKER_EVENT_READY:
                broker_client_ready(c);
                break;
        case BROKER_EVENT_REDIRECT:
                c->broker.callbacks->redirect_changed(&c->broker, c->broker.userdata);
                break;
        case BROKER_EVENT_INITIATION:
                on_event_initiation(c, name, v);
                break;
        default:
                log_debug("icewire-broker tells of '%s', ignoring.", strna(event));
        }
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink.h>

#include "wireguard-device.h"

/* org.icewire.Broker: what icewire-broker serves and icewired asks. varlink/org.icewire.Broker.varlink is
 * this interface's printed form. Both directions of its JSON stand here, beside each other. */

#define BROKER_SOCKET "/run/icewire-broker/org.icewire.Broker"

#define BROKER_INTERFACE "org.icewire.Broker"
#define BROKER_METHOD(name) BROKER_INTERFACE "." name
#define BROKER_ERROR_NO_SUCH_LINK BROKER_INTERFACE ".NoSuchLink"
#define BROKER_ERROR_NO_SUCH_PEER BROKER_INTERFACE ".NoSuchPeer"
#define BROKER_ERROR_NO_PRIVATE_KEY BROKER_INTERFACE ".NoPrivateKey"
#define BROKER_ERROR_ENVELOPE_REFUSED BROKER_INTERFACE ".EnvelopeRefused"
#define BROKER_ERROR_NOT_ALLOWED BROKER_INTERFACE ".NotAllowed"
#define BROKER_ERROR_NO_REDIRECT BROKER_INTERFACE ".NoRedirect"
#define BROKER_ERROR_NO_LISTEN_PORT BROKER_INTERFACE ".NoListenPort"

#define BROKER_MOVE_SECONDS_MAX 120U

/* File descriptors that one GrowBuffers or AddSockets call may bring. */
#define BROKER_FDS_MAX 16U

extern const sd_varlink_interface vl_interface_org_icewire_Broker;

typedef enum BrokerEvent {
        BROKER_EVENT_CHANGED, /* a link is new or different */
        BROKER_EVENT_REMOVED,
        BROKER_EVENT_READY,      /* every link that there is was told */
        BROKER_EVENT_REDIRECT,   /* SetRedirect may give another answer than the last time */
        BROKER_EVENT_INITIATION, /* WireGuard sent a handshake initiation */
        _BROKER_EVENT_MAX,
        _BROKER_EVENT_INVALID = -EINVAL,
} BrokerEvent;

DECLARE_STRING_TABLE(broker_event, BrokerEvent); /* "changed", "removed", … */

/* The `Link` of the interface. Only public data enters: of the private key nothing, of a preshared key
 * whether there is one. The caller owns *ret. -ENOMEM. */
int broker_link_build_json(const WireguardDevice *device, sd_json_variant **ret);

/* And back; the caller owns *ret, which holds no secret. -EINVAL: not a `Link`; -ENOMEM. Unknown fields are
 * skipped, so that a newer broker can add some. */
int broker_link_parse_json(sd_json_variant *v, WireguardDevice **ret);

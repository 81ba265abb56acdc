/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config.h"
#include "rendezvous.h"
#include "resolve.h"

/* Envelopes over one MQTT 3.1.1 server, topics "icewire/v1/TOPIC", QoS 1, clean sessions, nothing retained.
 * With TLS the certificate must be valid for the configured name. User, password and CA file come from the
 * configuration, which must outlive the rendezvous, as must the resolver. */
int rendezvous_mqtt_new(sd_event *event, Resolver *resolver, const Config *config,
                        const MqttServerConfig *server, const RendezvousCallbacks *callbacks, void *userdata,
                        Rendezvous **ret);

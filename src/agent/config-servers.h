/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ice.h"

/* The servers that icewire.conf names, each by one word. */

typedef struct MqttServerConfig {
        char *host; /* name or literal */
        uint16_t port;
        bool tls; /* mqtts: */
} MqttServerConfig;

typedef struct IceServerConfig {
        IceServerKind kind;
        char *host; /* name or literal */
        uint16_t port;
} IceServerConfig;

/* What each looks like, for messages. */
#define MQTT_SERVER_FORM "of the form mqtts://HOST[:PORT] or mqtt://HOST[:PORT]"
#define STUN_SERVER_FORM "of the form HOST[:PORT]"
#define TURN_SERVER_FORM "of the form turn:HOST[:PORT][?transport=udp|tcp] or turns:HOST[:PORT]"

/* The caller owns ret->host. -EINVAL: it does not look like one; -ENOMEM. */
int mqtt_server_parse(const char *word, MqttServerConfig *ret);
int stun_server_parse(const char *word, IceServerConfig *ret);
int turn_server_parse(const char *word, IceServerConfig *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* One connection to an MQTT 3.1.1 server (libmosquitto) on sd-event: it lives from mqtt_connect() to
 * `closed` and is then made anew by its owner. Clean session, QoS 1 both ways, nothing retained. Never
 * blocks: the address is a literal. SUBSCRIBE may follow CONNECT at once (MQTT 3.1.1 section 3.1.4), which
 * saves a round trip. The first connection makes the process ignore SIGPIPE, unless it has a handler:
 * OpenSSL writes without MSG_NOSIGNAL. */

typedef struct Mqtt Mqtt;

/* In one SUBSCRIBE packet: far below every server's limit on packets. */
#define MQTT_SUBSCRIBE_MAX 32

/* Published and not yet acknowledged; more is refused. */
#define MQTT_UNACKNOWLEDGED_MAX 1024

/* What the server sends as one packet may not be longer (bytes). MQTT 3.1.1 has no way to ask for a limit,
 * and libmosquitto believes any length: beyond it the connection is given up. */
#define MQTT_PACKET_MAX (256 * 1024)

typedef struct MqttParameters {
        SocketAddress address;
        const char *tls_name;   /* the certificate must be valid for it; NULL: no TLS */
        const char *ca_file;    /* PEM; NULL: the system's */
        const char *identity;   /* secret: of tls_context_set_identity(); NULL: none */
        const char *user;       /* NULL: none */
        const char *password;   /* secret; NULL: none; only with a user */
        size_t payload_max;     /* bytes; longer ones are told without their content */
        usec_t connect_timeout; /* for TCP; TLS and MQTT have ten seconds more */
} MqttParameters;

/* Each of them may free the connection, and publish and subscribe. */
typedef struct MqttCallbacks {
        /* The server has accepted us. */
        void (*connected)(Mqtt *m, void *userdata);
        /* The end. reason: for people ("connection refused"). error: -EACCES the server does not want us
         * (user, password, client), -EKEYREJECTED its certificate was refused, otherwise what the kernel or
         * the protocol said. Nothing comes after it. */
        void (*closed)(Mqtt *m, int error, const char *reason, void *userdata);
        /* payload is NULL if it is longer than payload_max. */
        void (*message)(Mqtt *m, const char *topic, const void *payload, size_t size, void *userdata);
        /* The answer to mqtt_subscribe(): whether each of its topics, in order, is subscribed. */
        void (*subscribed)(Mqtt *m, int mid, const bool *granted, size_t n, void *userdata);
} MqttCallbacks;

/* Starts connecting; a failure to connect comes by `closed`, never from inside. The strings are copied.
 * -ENOMEM, -EINVAL (strings that MQTT cannot carry), sd-event's errors; tls_context_new()'s, e.g. -ENOENT.
 */
int mqtt_connect(sd_event *event, const MqttParameters *parameters, const MqttCallbacks *callbacks,
                 void *userdata, Mqtt **ret);
/* Says goodbye if it is connected; no callback comes any more. Accepts NULL, returns NULL. */
Mqtt *mqtt_free(Mqtt *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(Mqtt *, mqtt_free);

/* Addresses of this host have changed: has it lost the one that the connection goes out from? Then `closed`
 * follows, with -EADDRNOTAVAIL; TCP itself would not notice before its time-outs. */
void mqtt_check_address(Mqtt *m);

/* Inside a callback: false once the owner has freed it, which somebody further up may not know yet. */
bool mqtt_is_owned(const Mqtt *m);

/* Allowed from mqtt_connect() on. *ret_mid: what `subscribed` will say. -ENOTCONN, -EINVAL, -ENOMEM, -EIO.
 */
int mqtt_subscribe(Mqtt *m, const char *const *topics, size_t n, int *ret_mid);
int mqtt_unsubscribe(Mqtt *m, const char *topic);

/* Written to the socket before it returns, if that has room. -ENOTCONN before `connected`, -ENOBUFS if the
 * server does not acknowledge. */
int mqtt_publish(Mqtt *m, const char *topic, const void *payload, size_t size);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "config-peers.h"
#include "ice.h"
#include "redirect-kind.h"

/* What icewire.conf(5) and the credentials say, as plain data. Defaults need no file. */

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

typedef struct Config {
        /* [Agent] */
        int log_level;       /* LOG_* */
        char **links;        /* globs of the links to look after; NULL: all */
        char **ignore_links; /* globs */

        /* [Rendezvous] */
        MqttServerConfig *mqtt_servers;
        size_t n_mqtt_servers;
        char *mqtt_user;
        char *mqtt_password; /* secret: from the credential mqtt.password or MQTTPasswordFile= */
        char *mqtt_ca_file;  /* PEM; NULL: the system's */
        bool multicast;

        /* [ICE] */
        RedirectMode redirect;
        IceServerConfig *ice_servers;
        size_t n_ice_servers;
        char *turn_user;
        char *turn_password; /* secret: from the credential turn.password or TURNPasswordFile= */
        AddressPolicy addresses;

        /* [Peer] */
        PeerConfigs peers;
} Config;

/* Reads /usr/lib, /run and /etc (icewire/icewire.conf and icewire.conf.d/) and the credentials. What is
 * wrong is logged with file and line and skipped; the rest is used. TURN servers for which there is no user
 * or password count as wrong. `root` is put before the three trees
 * (tests), NULL: none. ret_n_problems: how many things were wrong, NULL: never mind. -ENOMEM; other
 * errors only if nothing could be read at all. */
int config_load(const char *root, Config **ret, unsigned *ret_n_problems);

/* Like config_load(), for one text: what the fuzzer and the unit tests call. name: for messages. */
int config_parse(const char *name, const char *text, size_t size, Config **ret, unsigned *ret_n_problems);

/* Erases the secrets; accepts NULL, returns NULL. */
Config *config_free(Config *config);
DEFINE_TRIVIAL_CLEANUP_FUNC(Config *, config_free);

/* A copy of everything, secrets included. */
int config_copy(const Config *config, Config **ret);

/* Do both have the same rendezvous in the same way? */
bool config_rendezvous_equal(const Config *a, const Config *b);

/* Is this link ours to look after? */
bool config_manages_link(const Config *config, const char *name);

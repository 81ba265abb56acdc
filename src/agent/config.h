/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "addresses.h"
#include "config-peers.h"
#include "config-servers.h"
#include "redirect-kind.h"

/* What icewire.conf(5) and the credentials say, as plain data. Defaults need no file. */

/* Whether sessions have TCP candidates (RFC 6544). */
typedef enum TcpMode {
        TCP_MODE_AUTO, /* where UDP has not led to a direct path */
        TCP_MODE_YES,
        TCP_MODE_NO,
        _TCP_MODE_MAX,
        _TCP_MODE_INVALID = -EINVAL,
} TcpMode;

DECLARE_STRING_TABLE(tcp_mode, TcpMode); /* "auto", "yes", "no" */

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
        char *mqtt_identity; /* secret: PEM, who we are to the servers: a certificate, what vouches for it,
                                and its key; from the credential mqtt.identity or MQTTIdentityFile=; NULL:
                                none */
        char *mqtt_ca_file;  /* PEM; NULL: the system's */
        bool multicast;

        /* [ICE] */
        RedirectMode redirect;
        TcpMode tcp;
        IceServerConfig *ice_servers;
        size_t n_ice_servers;
        char *turn_user;     /* with turn_secret NULL is allowed */
        char *turn_password; /* secret: from the credential turn.password or TURNPasswordFile= */
        char *turn_secret;  /* secret: from the credential turn.secret or TURNSecretFile=; makes passwords */
        char *turn_ca_file; /* PEM; NULL: the system's */
        AddressPolicy addresses;

        /* [Peer] */
        PeerConfigs peers;

        unsigned n_secret_problems; /* how many of the problems are secrets that are missing or not kept
                                       well: not the files' fault, and unknown to who has no credentials */
} Config;

/* Reads /usr/lib, /run and /etc (icewire/icewire.conf and icewire.conf.d/) and the credentials. What is
 * wrong is logged with file and line and skipped; the rest is used. TURN servers for which there is neither
 * a user with a password nor a secret count as wrong. `root` is put before the three trees (tests), NULL:
 * none. ret_n_problems: how many things were wrong, NULL: never mind. -ENOMEM; other errors only if nothing
 * could be read at all. */
int config_load(const char *root, Config **ret, unsigned *ret_n_problems);

/* Like config_load(), for one text: what the fuzzer and the unit tests call. name: for messages. */
int config_parse(const char *name, const char *text, size_t size, Config **ret, unsigned *ret_n_problems);

/* Erases the secrets; accepts NULL, returns NULL. */
Config *config_free(Config *config);
DEFINE_TRIVIAL_CLEANUP_FUNC(Config *, config_free);

/* A copy of everything, secrets included. */
int config_copy(const Config *config, Config **ret);

/* Lists of servers, for whoever reads them. Adding takes ownership of server->host; one that is there
 * already is not added twice (MQTT). -ENOMEM. */
int config_add_mqtt_server(Config *config, MqttServerConfig *server);
int config_add_ice_server(Config *config, const IceServerConfig *server);
void config_clear_mqtt_servers(Config *config);
void config_clear_ice_servers(Config *config, bool stun);

/* Do both have the same rendezvous in the same way? */
bool config_rendezvous_equal(const Config *a, const Config *b);

/* Do both have the same credentials for TURN servers? */
bool config_relay_credentials_equal(const Config *a, const Config *b);

/* Is this link ours to look after? */
bool config_manages_link(const Config *config, const char *name);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "agent-bus.h"

/* What the connection (agent-bus.c), the objects on it (agent-bus-objects.c), their interfaces
 * (agent-bus-manager.c, agent-bus-link.c, agent-bus-peer.c, agent-bus-log.c) and calls that take time
 * (agent-bus-call.c) share. */

#define AGENT_BUS_PATH "/org/icewire1"
#define AGENT_BUS_PATH_LINKS AGENT_BUS_PATH "/link"
#define AGENT_BUS_PATH_PEERS AGENT_BUS_PATH "/peer"
#define AGENT_BUS_PATH_LOG "/org/freedesktop/LogControl1"

#define AGENT_BUS_INTERFACE_MANAGER "org.icewire1.Manager"
#define AGENT_BUS_INTERFACE_LINK "org.icewire1.Link"
#define AGENT_BUS_INTERFACE_PEER "org.icewire1.Peer"

#define AGENT_BUS_ERROR_NO_SUCH_LINK "org.icewire1.Error.NoSuchLink"
#define AGENT_BUS_ERROR_NO_SUCH_PEER "org.icewire1.Error.NoSuchPeer"
#define AGENT_BUS_ERROR_CONFIGURATION_INVALID "org.icewire1.Error.ConfigurationInvalid"

#define AGENT_BUS_SLOTS_MAX 10

typedef struct BusObject BusObject;
typedef struct BusCall BusCall;

struct AgentBus {
        sd_event *event; /* a reference */
        SystemBus *bus;  /* borrowed, like the two below */
        Verbs *verbs;
        Authority *authority;
        SystemBusUser *user;
        VerbsListener listener;
        sd_bus *connection;          /* borrowed; NULL: there is none, and so is nothing of what follows */
        sd_bus_slot *name;           /* it is being asked for */
        sd_event_source *name_retry; /* after a refusal */
        usec_t name_retry_delay;     /* 0: it was not refused */
        sd_bus_slot *slots[AGENT_BUS_SLOTS_MAX]; /* what was put on it */
        size_t n_slots;

        /* agent-bus-objects.c */
        BusObject *objects; /* hash by the model's object (field hh); the manager, links and peers */
        BusObject *dirty;   /* those with news, in the order in which they became so */
        sd_event_source *flush, *flush_later;

        BusCall *calls; /* agent-bus-call.c */

        /* agent-bus-filter.c */
        uint64_t backlog; /* bytes, roughly: what was answered since the bus last had taken everything */
};

/* ---- Objects ---- */

/* The objects that there are become known; nothing is told of them, whoever comes asks. */
void agent_bus_objects_start(AgentBus *b);
void agent_bus_objects_stop(AgentBus *b);
size_t agent_bus_objects_count(const AgentBus *b);

/* A VerbsListener whose userdata is to be the AgentBus. */
extern const VerbsListener agent_bus_objects_listener;

/* Puts interfaces, object manager and enumerators on the connection. sd-bus's errors. */
int agent_bus_objects_serve(AgentBus *b);

/* Where to keep one thing more that was put on the connection. */
sd_bus_slot **agent_bus_slot(AgentBus *b);

/* The path of a link or a peer: made of their names alone, so that it is the same for as long as they are
 * called so, on each host and after each start. The caller owns it; NULL without memory. */
char *agent_bus_link_path(const Link *link);
char *agent_bus_peer_path(const Peer *peer);

/* What a path stands for; NULL: nothing. */
Link *agent_bus_find_link(const AgentBus *b, const char *path);
Peer *agent_bus_find_peer(const AgentBus *b, const char *path);

/* ---- Interfaces ---- */

/* get_NAME(): appends one property of the object, which the expression has as `variable`, to `reply`. */
#define DEFINE_BUS_GETTER(name, type, variable, ...)                                                        \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property,   \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)                   \
        {                                                                                                   \
                const type *variable = userdata;                                                            \
                                                                                                            \
                return __VA_ARGS__;                                                                         \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

extern const sd_bus_vtable agent_bus_manager_vtable[]; /* userdata: the AgentBus */
extern const sd_bus_vtable agent_bus_link_vtable[];    /* the Link */
extern const sd_bus_vtable agent_bus_peer_vtable[];    /* the Peer */
extern const sd_bus_vtable agent_bus_log_vtable[];     /* the AgentBus */

/* Methods of links and peers get the object as userdata; inside of them, this is who serves it. */
AgentBus *agent_bus_of(sd_bus_message *m);

/* Whom a call is about: the object that it was sent to, or (the manager's methods) its first two arguments,
 * a link's name and a peer's key, "" being any; what comes behind them is to be read next. link is lent. 0,
 * or an error as a method's handler returns it. */
int agent_bus_read_selection(const AgentBus *b, sd_bus_message *m, PeerSelection *ret, sd_bus_error *error);

/* The next argument is a link's name, lent. Refused at once if no link can be called so: a message that has
 * it may be kept for minutes. 0, or an error as a method's handler returns it. */
int agent_bus_read_link(sd_bus_message *m, const char **ret, sd_bus_error *error);

/* What a caller sent, as an error may say it again: one that is longer than the bus takes costs us our
 * connection. */
const char *agent_bus_shown(const char *text);

/* What the verbs say of a selection, in the bus's words; other errors as they are. */
int agent_bus_selection_error(const PeerSelection *selection, int r, sd_bus_error *error);

/* Takes over nothing; 1, or an error. */
int agent_bus_reply_json(sd_bus_message *m, sd_json_variant *v);

/* ---- Verbs that Manager, Link and Peer share; handlers of methods ---- */

int agent_bus_method_reconnect(sd_bus_message *m, void *userdata, sd_bus_error *error);
int agent_bus_method_set_policy(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* ---- Calls that take time ---- */

/* What is to be done with a call when it may, or when what it needs is there. It replies, and returns what a
 * method's handler returns. The object that it was sent to may have gone meanwhile: it is looked for anew.
 */
typedef int (*agent_bus_then_t)(AgentBus *b, sd_bus_message *m, sd_bus_error *error);

/* The methods return what these return. `then` is not called from inside agent_bus_authorise(). */
int agent_bus_authorise(AgentBus *b, sd_bus_message *m, const char *action, agent_bus_then_t then,
                        sd_bus_error *error);
int agent_bus_refresh(AgentBus *b, sd_bus_message *m, agent_bus_then_t then, sd_bus_error *error);
int agent_bus_diagnose(AgentBus *b, sd_bus_message *m, sd_bus_error *error);

/* Has the counters read before sd-bus itself answers. 1: the call comes by again (agent_bus_comes_again()),
 * 0: it may be answered now. */
int agent_bus_read_counters(AgentBus *b, sd_bus_message *m, sd_bus_error *error);
/* Did it come by before? Once true. */
bool agent_bus_comes_again(AgentBus *b, sd_bus_message *m);

void agent_bus_calls_stop(AgentBus *b);

/* ---- Before anybody else ---- */

/* Sees every message first: refuses what would pile up, has counters read for whoever asks for them, and
 * asks who may set the log level, which sd-bus's own way of setting properties cannot wait for. */
int agent_bus_filter(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* LogLevel of LogControl1 is to be set: as a method's handler. 0: it is another property. */
int agent_bus_set_log_level(AgentBus *b, sd_bus_message *m, sd_bus_error *error);

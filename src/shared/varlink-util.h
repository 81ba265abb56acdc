/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink.h>

#include "macro.h"
#include "time-util.h"

/* What both daemons need around sd-varlink: a server, parameters of our own types, subscribers.
 *
 * sd_varlink_error*() returns a negative value when it worked, so that "return sd_varlink_error(…)" ends a
 * method; sd_varlink_dispatch() likewise answers by itself: "if (r != 0) return r". */

static inline sd_json_variant *json_variant_unref(sd_json_variant *v)
{
        return sd_json_variant_unref(v);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(sd_json_variant *, json_variant_unref);
#define _cleanup_json_ _cleanup_(json_variant_unrefp)

/* A server of one interface, attached to the loop. `userdata` becomes that of each connection. Connections
 * are counted by user: at most `per_user` each, `connections` in all. The caller owns *ret;
 * sd_varlink_server_shutdown() and sd_varlink_server_unref() end it. */
int varlink_server_start(sd_event *event, const sd_varlink_interface *interface, unsigned connections,
                         unsigned per_user, void *userdata, sd_varlink_server **ret);

/* Listens on the sockets that systemd passed (FileDescriptorName=varlink), or else at `path`, whose folder
 * is made if need be. 1: systemd's, 0: path. The errors of mkdir(2) and bind(2). */
int varlink_server_listen(sd_varlink_server *server, const char *path, mode_t mode);

/* May a method do what it is called for? 0; -EOPNOTSUPP: the call is "oneway". sd-varlink forgets such a
 * call when its method returns, and whatever is sent for it later would be taken for the answer to the next
 * one; and whoever may not, or asks for nonsense, could not be told. */
int varlink_check_reply(sd_varlink_method_flags_t flags);

/* Defines method##_with_reply(), which is method() behind that check. An interface has one list of its
 * methods, #define METHODS(X) X(Name, method) …, from which it defines these, and binds them and nothing
 * else: so no method is without the check. Who binds methods of others takes VarlinkMethod, which a method
 * without it is not. */
#define VARLINK_DEFINE_WITH_REPLY(name, method)                                                             \
        static int method##_with_reply(sd_varlink *link, sd_json_variant *parameters,                       \
                                       sd_varlink_method_flags_t flags, void *userdata)                     \
        {                                                                                                   \
                int r = varlink_check_reply(flags);                                                         \
                                                                                                            \
                return r < 0 ? r : method(link, parameters, flags, userdata);                               \
        }

typedef struct VarlinkMethod {
        sd_varlink_method_t call; /* NULL: none */
} VarlinkMethod;

#define VARLINK_METHOD(method) ((VarlinkMethod) { .call = method##_with_reply })

/* A name that the kernel would take for an interface (dev_valid_name(), Linux 6.12), in printable ASCII. */
bool varlink_ifname_is_valid(const char *name);

/* For sd_json_dispatch_field tables. A null (with SD_JSON_NULLABLE) leaves the output untouched. -EINVAL. */
int varlink_dispatch_ifname(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                            void *userdata); /* const char *, lent by the variant */
int varlink_dispatch_key(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata); /* WireguardKey, not zero */
int varlink_dispatch_socket_address(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                                    void *userdata); /* SocketAddress, any */
int varlink_dispatch_endpoint(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                              void *userdata); /* SocketAddress: a unicast address and a port */

/* Bytes as a base64 string, strictly decoded. The caller owns *ret (a NUL is added). -EINVAL, -EMSGSIZE
 * (more than max), -ENOMEM. */
int varlink_decode_base64(const char *s, size_t max, uint8_t **ret, size_t *ret_size);

/* The connections that subscribed with `more`. All zero is the empty set. */
typedef struct VarlinkWatchers {
        struct VarlinkWatcher *items;
        size_t n;
        size_t allocated;
        usec_t patience; /* how long a watcher may leave something unread; 0: VARLINK_WATCHER_PATIENCE */
} VarlinkWatchers;

#define VARLINK_WATCHER_PATIENCE (5 * USEC_PER_SEC)

/* Takes a reference of the connection. -ENOMEM; -EBUSY: it is there already. */
int varlink_watchers_add(VarlinkWatchers *w, sd_varlink *link);

/* For the server's disconnect callback. Unknown connections are fine. */
void varlink_watchers_remove(VarlinkWatchers *w, sd_varlink *link);

/* Lent; NULL if there is none. */
sd_varlink *varlink_watchers_first(const VarlinkWatchers *w);

/* One message to one watcher. One that does not read is disconnected: after `patience` in which it left
 * something, or when sd-varlink's own buffer (16 MiB) is full. */
void varlink_watchers_send(VarlinkWatchers *w, sd_varlink *link, sd_json_variant *parameters);
/* … and to all. */
void varlink_watchers_send_all(VarlinkWatchers *w, sd_json_variant *parameters);

/* Drops the references; the connections live on. */
void varlink_watchers_done(VarlinkWatchers *w);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "varlink-util.h"

#include <libgen.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "config-meson.h"
#include "log.h"
#include "socket-address.h"
#include "string-util.h"
#include "wireguard-key.h"

typedef struct VarlinkWatcher {
        sd_varlink *link; /* a reference */
        usec_t behind;    /* since when something is unread, CLOCK_BOOTTIME; 0: it has read everything */
} VarlinkWatcher;

/* The flags: parameters are erased after use, since messages that icewired seals carry the passwords of ICE.
 */
#define SERVER_FLAGS                                                                                        \
        (SD_VARLINK_SERVER_ACCOUNT_UID | SD_VARLINK_SERVER_INHERIT_USERDATA |                               \
         SD_VARLINK_SERVER_INPUT_SENSITIVE)

int varlink_server_start(sd_event *event, const sd_varlink_interface *interface, unsigned connections,
                         unsigned per_user, void *userdata, sd_varlink_server **ret)
{
        _cleanup_(sd_varlink_server_unrefp) sd_varlink_server *server = NULL;
        int r;

        r = sd_varlink_server_new(&server, SERVER_FLAGS);
        if (r < 0)
                return r;
        (void) sd_varlink_server_set_userdata(server, userdata);
        r = sd_varlink_server_set_description(server, interface->name);
        if (r < 0)
                return r;
        r = sd_varlink_server_set_info(server, "icewire", program_invocation_short_name, PROJECT_VERSION,
                                       /* url= */ NULL);
        if (r < 0)
                return r;
        r = sd_varlink_server_set_connections_max(server, connections);
        if (r < 0)
                return r;
        r = sd_varlink_server_set_connections_per_uid_max(server, per_user);
        if (r < 0)
                return r;
        r = sd_varlink_server_add_interface(server, interface);
        if (r < 0)
                return r;
        r = sd_varlink_server_attach_event(server, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

static int make_folder_of(const char *path)
{
        _cleanup_free_ char *copy = NULL;

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        if (mkdir(dirname(copy), 0755) < 0 && errno != EEXIST)
                return -errno;
        return 0;
}

int varlink_server_listen(sd_varlink_server *server, const char *path, mode_t mode)
{
        int r;

        r = sd_varlink_server_listen_auto(server);
        if (r != 0)
                return r < 0 ? r : 1;
        r = make_folder_of(path);
        if (r < 0)
                return r;
        return sd_varlink_server_listen_address(server, path, mode);
}

int varlink_check_reply(sd_varlink_method_flags_t flags)
{
        if (flags & SD_VARLINK_METHOD_ONEWAY)
                return log_debug_errno(-EOPNOTSUPP, "Refusing a call that wants no reply: %m");
        return 0;
}

bool varlink_ifname_is_valid(const char *name)
{
        size_t n = strlen(name);

        if (n == 0 || n >= IF_NAMESIZE || streq(name, ".") || streq(name, ".."))
                return false;
        for (const char *p = name; *p; p++)
                if (*p <= ' ' || *p > '~' || *p == '/' || *p == ':')
                        return false;
        return true;
}

int varlink_dispatch_ifname(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                            void *userdata)
{
        const char **s = userdata;

        if (sd_json_variant_is_null(v))
                return 0;
        if (!sd_json_variant_is_string(v) || !varlink_ifname_is_valid(sd_json_variant_string(v)))
                return -EINVAL;
        *s = sd_json_variant_string(v);
        return 0;
}

int varlink_dispatch_key(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata)
{
        WireguardKey *out = userdata, key;

        if (sd_json_variant_is_null(v))
                return 0;
        if (!sd_json_variant_is_string(v) ||
            wireguard_key_from_base64(sd_json_variant_string(v), &key) < 0 || wireguard_key_is_zero(&key))
                return -EINVAL;
        *out = key;
        return 0;
}

int varlink_dispatch_socket_address(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                                    void *userdata)
{
        SocketAddress *out = userdata;

        if (sd_json_variant_is_null(v))
                return 0;
        if (!sd_json_variant_is_string(v))
                return -EINVAL;
        return socket_address_from_string(sd_json_variant_string(v), out);
}

int varlink_dispatch_endpoint(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                              void *userdata)
{
        SocketAddress *out = userdata, a = {};
        int r;

        r = varlink_dispatch_socket_address(name, v, flags, &a);
        if (r < 0 || !socket_address_is_set(&a))
                return r;
        if (socket_address_port(&a) == 0 || socket_address_is_unspecified(&a) ||
            socket_address_is_multicast(&a))
                return -EINVAL;
        *out = a;
        return 0;
}

int varlink_decode_base64(const char *s, size_t max, uint8_t **ret, size_t *ret_size)
{
        _cleanup_free_ uint8_t *p = NULL;
        size_t n = strlen(s), size;
        int r;

        if (n > BASE64_SIZE(max) - 1)
                return -EMSGSIZE;
        p = new (uint8_t, n / 4 * 3 + 1);
        if (!p)
                return -ENOMEM;
        r = base64_decode(s, n, p, MIN(max, n / 4 * 3), &size);
        if (r < 0)
                return r == -ENOBUFS ? -EMSGSIZE : r;
        p[size] = 0;
        *ret = TAKE_PTR(p);
        *ret_size = size;
        return 0;
}

static VarlinkWatcher *watchers_find(VarlinkWatchers *w, sd_varlink *link)
{
        for (size_t i = 0; i < w->n; i++)
                if (w->items[i].link == link)
                        return &w->items[i];
        return NULL;
}

int varlink_watchers_add(VarlinkWatchers *w, sd_varlink *link)
{
        int r;

        if (watchers_find(w, link))
                return -EBUSY;
        r = GROW_ARRAY(w->items, w->allocated, w->n + 1);
        if (r < 0)
                return r;
        w->items[w->n++] = (VarlinkWatcher) { .link = sd_varlink_ref(link) };
        return 0;
}

void varlink_watchers_remove(VarlinkWatchers *w, sd_varlink *link)
{
        VarlinkWatcher *watcher = watchers_find(w, link);

        if (!watcher)
                return;
        *watcher = w->items[--w->n];
        sd_varlink_unref(link);
}

sd_varlink *varlink_watchers_first(const VarlinkWatchers *w)
{
        return w->n > 0 ? w->items[0].link : NULL;
}

/* sd-varlink writes when the loop turns, so something unwritten is normal within a turn and for a moment
 * after it. What counts is for how long nothing got the buffer empty. */
static bool watcher_is_too_slow(VarlinkWatcher *watcher, usec_t patience)
{
        usec_t t = now(CLOCK_BOOTTIME);
        int events = sd_varlink_get_events(watcher->link);

        if (events < 0)
                return true;
        if (!(events & EPOLLOUT))
                watcher->behind = 0;
        else if (watcher->behind == 0)
                watcher->behind = t;
        return watcher->behind > 0 && usec_sub(t, watcher->behind) > patience;
}

void varlink_watchers_send(VarlinkWatchers *w, sd_varlink *link, sd_json_variant *parameters)
{
        VarlinkWatcher *watcher = watchers_find(w, link);
        int r = -ENOBUFS;

        if (!watcher)
                return;
        if (!watcher_is_too_slow(watcher, w->patience ?: VARLINK_WATCHER_PATIENCE))
                r = sd_varlink_notify(link, parameters);
        if (r >= 0)
                return;
        log_debug_errno(r, "Dropping a watcher that does not keep up: %m");
        sd_varlink_ref(link);
        varlink_watchers_remove(w, link);
        sd_varlink_close_unref(link);
}

void varlink_watchers_send_all(VarlinkWatchers *w, sd_json_variant *parameters)
{
        /* From the end: sending may remove the watcher, and then the last one takes its place. */
        for (size_t i = w->n; i-- > 0;)
                if (i < w->n)
                        varlink_watchers_send(w, w->items[i].link, parameters);
}

void varlink_watchers_done(VarlinkWatchers *w)
{
        while (w->n > 0)
                varlink_watchers_remove(w, w->items[0].link);
        w->items = mfree(w->items);
        w->allocated = 0;
}

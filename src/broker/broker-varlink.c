/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-varlink.h"

#include <utlist.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "varlink-broker.h"

/* A connection's kind is asked of the kernel each time: the peer's user is fixed when it connects. */
static bool is_stranger(const BrokerServer *s, sd_varlink *link)
{
        uid_t uid;

        return sd_varlink_get_peer_uid(link, &uid) < 0 ||
               (uid != 0 && (s->user == UID_INVALID || uid != s->user));
}

int broker_server_check_caller(BrokerServer *s, sd_varlink *link)
{
        if (is_stranger(s, link))
                return sd_varlink_error(link, BROKER_ERROR_NOT_ALLOWED, NULL);
        return 0;
}

int broker_server_parse(BrokerServer *s, sd_varlink *link, sd_json_variant *parameters,
                        const sd_json_dispatch_field *table, void *userdata)
{
        int r;

        r = broker_server_check_caller(s, link);
        return r < 0 ? r : sd_varlink_dispatch(link, parameters, table, userdata);
}

static int on_connect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
        BrokerServer *s = userdata;

        if (!is_stranger(s, link))
                return sd_varlink_set_allow_fd_passing_input(link, true);
        /* Counted first: the disconnect callback comes for a refused one too. */
        if (++s->strangers > BROKER_CONNECTIONS_STRANGERS_MAX)
                return -EBUSY;
        return 0;
}

static void on_disconnect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
        BrokerServer *s = userdata;

        if (is_stranger(s, link) && s->strangers > 0)
                s->strangers--;
        varlink_watchers_remove(&s->watchers, link);
        varlink_watchers_remove(&s->early, link);
        varlink_watchers_remove(&s->redirecting, link);
        broker_requests_cancel(s, link);
        if (s->redirect)
                broker_redirect_forget(s->redirect, link);
}

static int build_event(BrokerEvent event, const char *name, const WireguardDevice *device,
                       const SocketAddress *endpoint, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *link = NULL;
        int r;

        if (device) {
                r = broker_link_build_json(device, &link);
                if (r < 0)
                        return r;
        }
        return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("event", broker_event_to_string(event)),
                              SD_JSON_BUILD_PAIR_CONDITION(!!name, "name", SD_JSON_BUILD_STRING(name)),
                              SD_JSON_BUILD_PAIR_CONDITION(!!link, "link", SD_JSON_BUILD_VARIANT(link)),
                              SD_JSON_BUILD_PAIR_CONDITION(
                                      !!endpoint, "endpoint",
                                      SD_JSON_BUILD_STRING(endpoint ? SOCKET_ADDRESS_STR(endpoint) : NULL)));
}

/* To one watcher, or (NULL) to all. */
static void tell(BrokerServer *s, sd_varlink *watcher, BrokerEvent event, const char *name,
                 const WireguardDevice *device, const SocketAddress *endpoint)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        if (!watcher && s->watchers.n == 0)
                return;
        r = build_event(event, name, device, endpoint, &v);
        if (r < 0)
                log_warning_errno(r, "Failed to tell of link %s, ignoring: %m", name ?: "n/a");
        else if (watcher)
                varlink_watchers_send(&s->watchers, watcher, v);
        else
                varlink_watchers_send_all(&s->watchers, v);
}

static void on_link_changed(BrokerManager *m, BrokerLink *link, void *userdata)
{
        tell(userdata, NULL, BROKER_EVENT_CHANGED, link->name, link->device, NULL);
}

static void on_link_removed(BrokerManager *m, const char *name, void *userdata)
{
        tell(userdata, NULL, BROKER_EVENT_REMOVED, name, NULL, NULL);
}

void broker_server_tell_redirect(BrokerServer *s)
{
        tell(s, NULL, BROKER_EVENT_REDIRECT, NULL, NULL, NULL);
}

static void on_initiation(uint16_t wireguard_port, const SocketAddress *remote, void *userdata)
{
        BrokerServer *s = userdata;
        BrokerLink *link;

        if (!ratelimit_ok(&s->initiations, now(CLOCK_MONOTONIC)))
                return;
        DL_FOREACH (s->manager->links, link)
                if (link->device && link->device->listen_port == wireguard_port)
                        tell(s, NULL, BROKER_EVENT_INITIATION, link->name, NULL, remote);
}

int broker_server_watch_initiations(BrokerServer *s, sd_event *event)
{
        return broker_redirect_watch(s->redirect, event, on_initiation, s);
}

static int add_watcher(BrokerServer *s, sd_varlink *watcher)
{
        BrokerLink *link;
        int r;

        r = varlink_watchers_add(&s->watchers, watcher);
        if (r < 0)
                return r;
        DL_FOREACH (s->manager->links, link)
                if (link->device)
                        tell(s, watcher, BROKER_EVENT_CHANGED, link->name, link->device, NULL);
        tell(s, watcher, BROKER_EVENT_READY, NULL, NULL, NULL);
        return 0;
}

static void on_settled(BrokerManager *m, void *userdata)
{
        BrokerServer *s = userdata;

        while (s->early.n > 0) {
                sd_varlink *watcher = sd_varlink_ref(varlink_watchers_first(&s->early));

                varlink_watchers_remove(&s->early, watcher);
                if (add_watcher(s, watcher) < 0)
                        sd_varlink_close(watcher);
                sd_varlink_unref(watcher);
        }
        broker_server_resume_redirecting(s);
}

const BrokerManagerCallbacks broker_server_manager_callbacks = {
        .link_changed = on_link_changed,
        .link_removed = on_link_removed,
        .settled = on_settled,
};

int broker_method_watch_links(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata)
{
        static const sd_json_dispatch_field table[] = { {} };
        BrokerServer *s = userdata;
        int r;

        r = broker_server_check_caller(s, link);
        if (r < 0)
                return r;
        r = sd_varlink_dispatch(link, parameters, table, NULL);
        if (r != 0)
                return r;
        /* "Ready" must mean that every link was told, so it waits for the first readings. */
        if (!s->manager->settled)
                return varlink_watchers_add(&s->early, link);
        return add_watcher(s, link);
}

int broker_server_new(sd_event *event, uid_t user, BrokerServer **ret)
{
        _cleanup_(broker_server_freep) BrokerServer *s = NULL;
        int r;

        s = new0(BrokerServer, 1);
        if (!s)
                return -ENOMEM;
        s->user = user;
        s->initiations = (RateLimit) { BROKER_INITIATIONS_INTERVAL, BROKER_INITIATIONS_BURST, 0, 0, false };
        r = varlink_server_start(event, &vl_interface_org_icewire_Broker, BROKER_CONNECTIONS_MAX,
                                 BROKER_CONNECTIONS_PER_USER_MAX, s, &s->server);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_connect(s->server, on_connect);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_disconnect(s->server, on_disconnect);
        if (r < 0)
                return r;
        r = broker_methods_bind(s->server);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

/* Everybody may connect, to be told that it may not: a missing right then has a name. */
int broker_server_listen(BrokerServer *s, const char *path)
{
        return varlink_server_listen(s->server, path, 0666);
}

BrokerServer *broker_server_free(BrokerServer *s)
{
        if (!s)
                return NULL;
        broker_requests_cancel(s, NULL);
        event_source_disable_unref(s->redirect_check);
        event_source_disable_unref(s->move_expiry);
        if (s->server)
                (void) sd_varlink_server_shutdown(s->server);
        sd_varlink_server_unref(s->server);
        varlink_watchers_done(&s->watchers);
        varlink_watchers_done(&s->early);
        varlink_watchers_done(&s->redirecting);
        return mfree(s);
}

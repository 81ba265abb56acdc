/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rendezvous-mqtt.h"

#include "alloc-util.h"
#include "event-util.h"
#include "log-event.h"
#include "mqtt.h"
#include "random-util.h"
#include "ratelimit.h"
#include "string-util.h"
#include "subscription.h"

#define TOPIC_PREFIX "icewire/v1/"
#define FULL_TOPIC_SIZE (sizeof(TOPIC_PREFIX) + RENDEZVOUS_TOPIC_LENGTH)

/* How long one address may take to accept: short while there is another one to try (in the spirit of RFC
 * 8305), otherwise long enough for two lost SYNs. */
#define CONNECT_TIMEOUT_NEXT (2 * USEC_PER_SEC)
#define CONNECT_TIMEOUT_LAST (10 * USEC_PER_SEC)

#define RETRY_DELAY_MIN USEC_PER_SEC
#define RETRY_DELAY_MAX (60 * USEC_PER_SEC)

/* So often in a row, and then once in so long, does a change of the network end the back-off: on a host
 * whose containers come and go the network changes all the time. */
#define HURRY_BURST 3
#define HURRY_INTERVAL (10 * USEC_PER_SEC)

/* The first packets into a network that was just joined often get lost, and TCP repeats its first one after
 * a second: so connections are given up after a quarter of one at first, then a half, then one. */
#define HURRY_TIMEOUT (250 * USEC_PER_MSEC)
#define HURRY_ROUNDS 3

/* A connection that lived so long was a good one: the next back-off starts anew. */
#define STABLE_AFTER (30 * USEC_PER_SEC)

typedef struct RendezvousMqtt {
        Rendezvous rendezvous;
        sd_event *event;
        Resolver *resolver;
        const Config *config;
        const MqttServerConfig *server;
        ResolverQuery *query;
        SocketAddress addresses[RESOLVER_ADDRESSES_MAX];
        size_t n_addresses, next_address;
        Mqtt *mqtt;
        usec_t up_since;
        usec_t retry_delay;
        RateLimit hurry;
        bool in_a_hurry;      /* the timer is armed for now */
        unsigned hurry_round; /* all addresses are tried in each; 0: none is left */
        sd_event_source *retry_timer;
        sd_event_source *subscribe_source;
        Subscription *subscriptions;
} RendezvousMqtt;

static RendezvousMqtt *from_rendezvous(Rendezvous *r)
{
        return CONTAINER_OF(r, RendezvousMqtt, rendezvous);
}

/* ---- State ---- */

static int mqtt_begin(RendezvousMqtt *rm);
static void mqtt_try_next_address(RendezvousMqtt *rm);

static int on_retry(sd_event_source *s, uint64_t t, void *userdata)
{
        RendezvousMqtt *rm = userdata;

        if (TAKE_GENERIC(rm->in_a_hurry, false) && rm->n_addresses > 0) {
                rm->next_address = 0;
                rm->hurry_round = HURRY_ROUNDS;
                mqtt_try_next_address(rm);
        } else
                (void) mqtt_begin(rm);
        return 0;
}

/* At once, and without asking for the name: whether name servers answer where we are now is not known yet.
 * If the addresses are no good it begins from the start. False: not so often. */
static bool mqtt_hurry(RendezvousMqtt *rm)
{
        if (rm->in_a_hurry)
                return true;
        if (rm->query || !ratelimit_ok(&rm->hurry, now(CLOCK_BOOTTIME)) ||
            event_arm_timer(rm->event, &rm->retry_timer, 0, on_retry, rm, "rendezvous-mqtt-retry") < 0)
                return false;
        rm->retry_delay = RETRY_DELAY_MIN;
        return rm->in_a_hurry = true;
}

/* Half of the delay is left to chance: everybody's connection breaks at the same moment. */
static void mqtt_schedule_retry(RendezvousMqtt *rm)
{
        usec_t delay = CLAMP(rm->retry_delay, RETRY_DELAY_MIN, RETRY_DELAY_MAX);
        int r;

        rm->retry_delay = MIN(delay * 2, RETRY_DELAY_MAX);
        r = event_arm_timer(rm->event, &rm->retry_timer, delay / 2 + random_below(delay / 2), on_retry, rm,
                            "rendezvous-mqtt-retry");
        if (r < 0)
                log_error_errno(r, "Rendezvous %s: failed to schedule a new attempt: %m",
                                rm->rendezvous.name);
}

static void mqtt_change_state(RendezvousMqtt *rm, RendezvousState state, const char *error)
{
        /* May free us. */
        rendezvous_set_state(&rm->rendezvous, state, error);
}

/* The end of an attempt. */
static void mqtt_give_up(RendezvousMqtt *rm, const char *reason)
{
        mqtt_schedule_retry(rm);
        mqtt_change_state(rm, RENDEZVOUS_STATE_DOWN, reason);
}

/* ---- Subscriptions ---- */

static const char *full_topic(const char *topic, char buf[static FULL_TOPIC_SIZE])
{
        (void) snprintf(buf, FULL_TOPIC_SIZE, TOPIC_PREFIX "%s", topic);
        return buf;
}

static int mqtt_send_subscriptions(RendezvousMqtt *rm, Subscription *const *batch, size_t n)
{
        char topics[MQTT_SUBSCRIBE_MAX][FULL_TOPIC_SIZE];
        const char *p[MQTT_SUBSCRIBE_MAX] = {};
        int mid, r;

        for (size_t i = 0; i < n; i++)
                p[i] = full_topic(batch[i]->topic, topics[i]);
        r = mqtt_subscribe(rm->mqtt, p, n, &mid);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                batch[i]->told = true;
                batch[i]->mid = mid;
                batch[i]->index = i;
        }
        return 0;
}

/* As few packets as possible, for what was not sent yet. */
static void mqtt_flush_subscriptions(RendezvousMqtt *rm)
{
        Subscription *batch[MQTT_SUBSCRIBE_MAX];
        size_t n = 0;
        int r = 0;

        if (!rm->mqtt)
                return;
        for (Subscription *s = rm->subscriptions; s && r >= 0; s = s->hh.next) {
                if (s->told)
                        continue;
                batch[n++] = s;
                if (n < ELEMENTSOF(batch))
                        continue;
                r = mqtt_send_subscriptions(rm, batch, n);
                n = 0;
        }
        if (r >= 0 && n > 0)
                r = mqtt_send_subscriptions(rm, batch, n);
        /* A broken connection tells so by itself, and everything is sent again on the next. */
        if (r < 0 && r != -ENOTCONN)
                log_debug_errno(r, "Rendezvous %s: failed to subscribe, ignoring: %m", rm->rendezvous.name);
}

static int on_flush(sd_event_source *s, void *userdata)
{
        mqtt_flush_subscriptions(userdata);
        return 0;
}

static int rendezvous_mqtt_subscribe(Rendezvous *r, const char *topic)
{
        RendezvousMqtt *rm = from_rendezvous(r);
        int k = subscription_add(&rm->subscriptions, topic);

        if (k <= 0 || !rm->mqtt)
                return MIN(k, 0);
        /* With all the others of this turn. */
        return event_defer_once(rm->event, &rm->subscribe_source, on_flush, rm, "rendezvous-mqtt-subscribe");
}

static int rendezvous_mqtt_unsubscribe(Rendezvous *r, const char *topic)
{
        RendezvousMqtt *rm = from_rendezvous(r);
        Subscription *s = subscription_find(rm->subscriptions, topic);
        char full[FULL_TOPIC_SIZE];

        if (!s)
                return 0;
        if (rm->mqtt && s->told)
                (void) mqtt_unsubscribe(rm->mqtt, full_topic(topic, full));
        subscription_remove(&rm->subscriptions, s);
        return 0;
}

static int rendezvous_mqtt_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        RendezvousMqtt *rm = from_rendezvous(r);
        char full[FULL_TOPIC_SIZE];
        int k;

        if (!rendezvous_topic_is_valid(topic))
                return -EINVAL;
        if (size > RENDEZVOUS_ENVELOPE_MAX)
                return -EMSGSIZE;
        if (!rm->mqtt)
                return -ENOTCONN;
        k = mqtt_publish(rm->mqtt, full_topic(topic, full), envelope, size);
        if (k == -ENOTCONN)
                return k;
        if (k < 0)
                r->counters.send_errors++;
        else
                r->counters.sent++;
        return k;
}

/* ---- The connection ---- */

static void on_connected(Mqtt *m, void *userdata)
{
        RendezvousMqtt *rm = userdata;

        rm->up_since = now(CLOCK_BOOTTIME);
        mqtt_change_state(rm, RENDEZVOUS_STATE_UP, /* error= */ NULL);
}

static void on_message(Mqtt *m, const char *topic, const void *payload, size_t size, void *userdata)
{
        RendezvousMqtt *rm = userdata;
        Rendezvous *r = &rm->rendezvous;
        const char *ours = startswith(topic, TOPIC_PREFIX);
        Subscription *s = ours ? subscription_find(rm->subscriptions, ours) : NULL;
        char copy[RENDEZVOUS_TOPIC_LENGTH + 1];

        if (!s) {
                r->counters.malformed++;
                return;
        }
        if (size > RENDEZVOUS_ENVELOPE_MAX) {
                r->counters.oversized++;
                return;
        }
        r->counters.received++;
        /* The subscription may go while its envelope is looked at. */
        memcpy(copy, s->topic, sizeof(copy));
        (void) r->callbacks->envelope(r, copy, payload, size, r->userdata);
}

/* A copy of the topics that a packet was about: the callback may do anything to the subscriptions, or end
 * the connection and us with it. */
static void mqtt_tell_subscribed(RendezvousMqtt *rm, int mid, const bool *granted, size_t n)
{
        char topics[MQTT_SUBSCRIBE_MAX][RENDEZVOUS_TOPIC_LENGTH + 1];
        Rendezvous *r = &rm->rendezvous;
        Mqtt *m = rm->mqtt;
        size_t k = 0;

        for (Subscription *s = rm->subscriptions; s && k < ELEMENTSOF(topics); s = s->hh.next)
                if (s->told && s->mid == mid && s->index < n && granted[s->index])
                        memcpy(topics[k++], s->topic, sizeof(topics[0]));
        for (size_t i = 0; i < k && mqtt_is_owned(m); i++)
                r->callbacks->subscribed(r, topics[i], r->userdata);
}

static void on_subscribed(Mqtt *m, int mid, const bool *granted, size_t n, void *userdata)
{
        RendezvousMqtt *rm = userdata;
        size_t n_refused = 0;

        for (size_t i = 0; i < n; i++)
                n_refused += !granted[i];
        mqtt_tell_subscribed(rm, mid, granted, n);
        if (n_refused > 0 && mqtt_is_owned(m))
                mqtt_change_state(rm, RENDEZVOUS_STATE_UP,
                                  "the server refuses subscriptions: " TOPIC_PREFIX
                                  "+ must be allowed to read and write");
}

static bool has_another_address(RendezvousMqtt *rm, int error)
{
        if (rm->next_address < rm->n_addresses)
                return true;
        if (rm->hurry_round == 0 || error != -ETIMEDOUT)
                return false;
        rm->hurry_round--;
        rm->next_address = 0;
        return true;
}

static usec_t connect_timeout(const RendezvousMqtt *rm, bool last)
{
        if (rm->hurry_round > 0)
                return HURRY_TIMEOUT << (HURRY_ROUNDS - rm->hurry_round);
        return last ? CONNECT_TIMEOUT_LAST : CONNECT_TIMEOUT_NEXT;
}

static void log_refusal(const Rendezvous *r, const char *reason)
{
        if (streq_ptr(r->error, reason))
                return; /* once, not at each attempt */
        log_event(LOG_WARNING, 0, LOG_EVENT_CERTIFICATE_REFUSED,
                  (LOG_FIELD("ICEWIRE_SERVER=%s", r->name), LOG_FIELD("ICEWIRE_ERROR=%s", strempty(reason))),
                  "Rendezvous %s: the server's certificate is refused.", r->name);
}

static void on_closed(Mqtt *m, int error, const char *reason, void *userdata)
{
        RendezvousMqtt *rm = userdata;
        bool was_up = rm->up_since > 0;

        if (was_up && usec_sub(now(CLOCK_BOOTTIME), rm->up_since) >= STABLE_AFTER)
                rm->retry_delay = RETRY_DELAY_MIN;
        rm->up_since = 0;
        rm->mqtt = NULL;
        if (error == -EKEYREJECTED)
                log_refusal(&rm->rendezvous, reason);
        /* Our address has gone, not the server: there may be another one of ours. */
        if (was_up && error == -EADDRNOTAVAIL && mqtt_hurry(rm))
                mqtt_change_state(rm, RENDEZVOUS_STATE_DOWN, reason);
        /* A server that was reached and does not want us will not at its other address either. */
        else if (!was_up && error != -EACCES && has_another_address(rm, error))
                mqtt_try_next_address(rm);
        else
                mqtt_give_up(rm, reason);
        mqtt_free(m);
}

static const MqttCallbacks mqtt_callbacks = {
        .connected = on_connected,
        .closed = on_closed,
        .message = on_message,
        .subscribed = on_subscribed,
};

/* The connection could not even be begun. */
static void mqtt_give_up_start(RendezvousMqtt *rm, int error)
{
        _cleanup_free_ char *reason = NULL;

        if (error == -EINVAL)
                mqtt_give_up(rm, "the host name, user or password has a form that TLS or MQTT cannot carry");
        else if (error == -ENOKEY)
                mqtt_give_up(
                        rm,
                        "the credential mqtt.identity, or MQTTIdentityFile=, is not a certificate with its "
                        "key, as PEM without a passphrase");
        else if (rm->server->tls && rm->config->mqtt_ca_file && error != -ENOMEM) {
                reason = asprintf_safe("cannot use the CA file %s: %s", rm->config->mqtt_ca_file,
                                       error == -EBADMSG ? "it holds no certificate" : strerror(-error));
                mqtt_give_up(rm, reason ?: strerror(-error));
        } else
                mqtt_give_up(rm, strerror(-error));
}

static void mqtt_try_next_address(RendezvousMqtt *rm)
{
        bool last = rm->next_address + 1 >= rm->n_addresses;
        MqttParameters parameters = {
                .address = rm->addresses[rm->next_address++],
                .tls_name = rm->server->tls ? rm->server->host : NULL,
                .ca_file = rm->config->mqtt_ca_file,
                .identity = rm->config->mqtt_identity,
                .user = rm->config->mqtt_user,
                .password = rm->config->mqtt_password,
                .payload_max = RENDEZVOUS_ENVELOPE_MAX,
                .connect_timeout = connect_timeout(rm, last),
        };
        int r;

        rendezvous_is_active(&rm->rendezvous);
        r = mqtt_connect(rm->event, &parameters, &mqtt_callbacks, rm, &rm->mqtt);
        if (r < 0) {
                mqtt_give_up_start(rm, r);
                return;
        }
        subscription_forget_told(rm->subscriptions);
        /* Behind CONNECT, in the same flight. */
        mqtt_flush_subscriptions(rm);
}

/* ---- The name ---- */

static const char *resolver_error_to_reason(int error)
{
        switch (error) {
        case -ESRCH:
                return "no such name";
        case -ETIMEDOUT:
        case -ECONNREFUSED:
                return "no name server answers";
        default:
                return "the name cannot be resolved";
        }
}

static void on_resolved(int error, const SocketAddress *addresses, size_t n, void *userdata)
{
        RendezvousMqtt *rm = userdata;

        rm->query = NULL;
        if (error < 0) {
                mqtt_give_up(rm, resolver_error_to_reason(error));
                return;
        }
        memcpy(rm->addresses, addresses, n * sizeof(*addresses));
        rm->n_addresses = n;
        rm->next_address = 0;
        rm->hurry_round = 0;
        mqtt_try_next_address(rm);
}

static int mqtt_begin(RendezvousMqtt *rm)
{
        int r;

        rendezvous_is_active(&rm->rendezvous);
        r = resolver_query(rm->resolver, rm->server->host, rm->server->port, on_resolved, rm, &rm->query);
        if (r < 0)
                mqtt_schedule_retry(rm);
        return r;
}

/* ---- The object ---- */

static Rendezvous *rendezvous_mqtt_free(Rendezvous *r)
{
        RendezvousMqtt *rm = from_rendezvous(r);

        mqtt_free(rm->mqtt);
        resolver_query_free(rm->query);
        event_source_disable_unref(rm->retry_timer);
        event_source_disable_unref(rm->subscribe_source);
        subscription_clear(&rm->subscriptions);
        sd_event_unref(rm->event);
        rendezvous_done(r);
        return mfree(rm);
}

/* What kept us from the server may be gone: no use in waiting for the end of the pause; or what we had of
 * it is. */
static void rendezvous_mqtt_network_changed(Rendezvous *r)
{
        RendezvousMqtt *rm = from_rendezvous(r);

        if (rm->mqtt) {
                mqtt_check_address(rm->mqtt);
                return;
        }
        if (r->state == RENDEZVOUS_STATE_DOWN)
                (void) mqtt_hurry(rm);
}

static void rendezvous_mqtt_renew(Rendezvous *r, const char *why)
{
        RendezvousMqtt *rm = from_rendezvous(r);

        if (!mqtt_hurry(rm)) {
                rendezvous_mqtt_network_changed(r);
                return;
        }
        rm->mqtt = mqtt_free(rm->mqtt);
        rm->up_since = 0;
        /* May free us. */
        mqtt_change_state(rm, RENDEZVOUS_STATE_DOWN, why);
}

static const RendezvousOps rendezvous_mqtt_ops = {
        .subscribe = rendezvous_mqtt_subscribe,
        .unsubscribe = rendezvous_mqtt_unsubscribe,
        .publish = rendezvous_mqtt_publish,
        .network_changed = rendezvous_mqtt_network_changed,
        .renew = rendezvous_mqtt_renew,
        .free = rendezvous_mqtt_free,
        .uses_tcp = true,
        .connects = true,
};

static char *server_name(const MqttServerConfig *server)
{
        bool colons = strchr(server->host, ':');

        return asprintf_safe("%s://%s%s%s:%u", server->tls ? "mqtts" : "mqtt", colons ? "[" : "",
                             server->host, colons ? "]" : "", server->port);
}

int rendezvous_mqtt_new(sd_event *event, Resolver *resolver, const Config *config,
                        const MqttServerConfig *server, const RendezvousCallbacks *callbacks, void *userdata,
                        Rendezvous **ret)
{
        _cleanup_(rendezvous_freep) Rendezvous *owned = NULL;
        RendezvousMqtt *rm = new0(RendezvousMqtt, 1);
        int r;

        if (!rm)
                return -ENOMEM;
        owned = &rm->rendezvous;
        rendezvous_init(owned, &rendezvous_mqtt_ops, callbacks, userdata);
        owned->name = server_name(server);
        if (!owned->name)
                return -ENOMEM;
        rm->event = sd_event_ref(event);
        rm->resolver = resolver;
        rm->config = config;
        rm->server = server;
        rm->hurry = (RateLimit) { .interval = HURRY_INTERVAL, .burst = HURRY_BURST };
        if (config->mqtt_password && !server->tls)
                log_event(LOG_WARNING, 0, LOG_EVENT_SECRET_PROBLEM,
                          (LOG_FIELD("ICEWIRE_RENDEZVOUS=%s", owned->name)),
                          "Rendezvous %s: the password is sent unencrypted; mqtts:// protects it",
                          owned->name);
        r = mqtt_begin(rm);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(owned);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mqtt.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/tcp.h>
#include <mosquitto.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "encode.h"
#include "event-util.h"
#include "fd-util.h"
#include "random-util.h"
#include "string-util.h"
#include "tls.h"

#define KEEPALIVE_SEC 60

/* For TLS and MQTT together, after TCP is connected. */
#define HANDSHAKE_TIMEOUT (10 * USEC_PER_SEC)

/* The kernel gives up on a connection whose peer acknowledges nothing for so long: much earlier than two
 * missed pings would tell. It costs no wake-up of ours. */
#define TCP_USER_TIMEOUT_MSEC 20000

typedef enum MqttPhase {
        MQTT_PHASE_CONNECTING, /* TCP */
        MQTT_PHASE_HANDSHAKE,  /* TLS, then MQTT until CONNACK */
        MQTT_PHASE_UP,
        MQTT_PHASE_CLOSED, /* `closed` is due or was called */
} MqttPhase;

typedef enum MqttNewsType {
        MQTT_NEWS_CONNECTED,
        MQTT_NEWS_MESSAGE,
        MQTT_NEWS_SUBSCRIBED,
} MqttNewsType;

/* What libmosquitto told, kept until it has returned: its callbacks hold it in a state where a publish is
 * not written and its own end is not survived. */
typedef struct MqttNews MqttNews;
struct MqttNews {
        MqttNews *next;
        MqttNewsType type;
        int mid;
        char *topic;
        void *payload; /* the message; bool[] for MQTT_NEWS_SUBSCRIBED */
        size_t size;
};

struct Mqtt {
        unsigned n_ref; /* the owner's, and one for each function that calls back */
        sd_event *event;
        const MqttCallbacks *callbacks; /* NULL: the owner has freed it */
        void *userdata;
        struct mosquitto *mosq;
        TlsContext *tls; /* NULL: plain */
        size_t payload_max;
        MqttPhase phase;
        sd_event_source *io;
        sd_event_source *timer; /* connect and handshake time-outs, then the keepalive */
        sd_event_source *close_source;
        usec_t last_in, last_out;  /* CLOCK_BOOTTIME, as libmosquitto's */
        uint64_t complete;         /* bytes that TCP had received when the latest packet was complete */
        unsigned n_unacknowledged; /* publishes */
        int refused;               /* CONNACK's code; 0: none */
        bool out_of_memory;
        bool too_long; /* a packet was */
        int error;     /* for `closed` */
        char *reason;
        char *library_error; /* the latest that libmosquitto logged: OpenSSL's errors go nowhere else */
        char *pingresp;      /* what it logs for a packet that no callback tells of */
        MqttNews *news, **news_end;
};

static MqttNews *mqtt_news_free(MqttNews *news)
{
        if (!news)
                return NULL;
        free(news->topic);
        free(news->payload);
        return mfree(news);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(MqttNews *, mqtt_news_free);

static MqttNews *mqtt_pop_news(Mqtt *m)
{
        MqttNews *news = m->news;

        if (!news)
                return NULL;
        m->news = news->next;
        if (!m->news)
                m->news_end = &m->news;
        return news;
}

static void mqtt_push_news(Mqtt *m, MqttNews *news)
{
        *m->news_end = news;
        m->news_end = &news->next;
}

static void mqtt_drop_connection(Mqtt *m)
{
        /* Before libmosquitto closes the socket, so that the loop never holds a number that is somebody
         * else's. */
        m->io = event_source_disable_unref(m->io);
        m->timer = event_source_disable_unref(m->timer);
        if (m->phase == MQTT_PHASE_UP)
                (void) mosquitto_disconnect(m->mosq);
        m->phase = MQTT_PHASE_CLOSED;
        if (m->mosq)
                mosquitto_destroy(m->mosq);
        m->mosq = NULL;
        m->tls = tls_context_free(m->tls);
}

static void mqtt_unref(Mqtt *m)
{
        if (--m->n_ref > 0)
                return;
        mqtt_drop_connection(m);
        event_source_disable_unref(m->close_source);
        for (MqttNews *news; (news = mqtt_pop_news(m));)
                mqtt_news_free(news);
        sd_event_unref(m->event);
        free(m->reason);
        free(m->library_error);
        free(m->pingresp);
        free(m);
}

Mqtt *mqtt_free(Mqtt *m)
{
        if (!m)
                return NULL;
        m->callbacks = NULL;
        m->close_source = event_source_disable_unref(m->close_source);
        mqtt_unref(m);
        return NULL;
}

bool mqtt_is_owned(const Mqtt *m)
{
        return m->callbacks;
}

/* ---- Why it ended ---- */

static const char *connack_to_string(int code)
{
        switch (code) {
        case 1:
                return "the server does not speak MQTT 3.1.1";
        case 2:
                return "the server refuses the client identifier";
        case 3:
                return "the server is unavailable";
        case 4:
                return "not authorised: wrong user or password";
        case 5:
                return "not authorised";
        default:
                return "the server refuses the connection";
        }
}

static const char *errno_to_reason(int error)
{
        switch (error) {
        case ECONNREFUSED:
                return "connection refused";
        case ETIMEDOUT:
                return "timed out";
        case ENETUNREACH:
                return "network is unreachable";
        case EHOSTUNREACH:
                return "no route to host";
        case ECONNRESET:
        case EPIPE:
                return "the server closed the connection";
        default:
                return strerror(error);
        }
}

/* "OpenSSL Error[0]: error:0A00010B:SSL routines::wrong version number" → "wrong version number" */
static const char *library_error_to_reason(const char *s)
{
        const char *colon = s ? strrchr(s, ':') : NULL;

        return colon && colon[1] ? colon + 1 : NULL;
}

static int on_close(sd_event_source *s, void *userdata)
{
        Mqtt *m = userdata;

        m->n_ref++;
        mqtt_drop_connection(m);
        if (m->callbacks)
                m->callbacks->closed(m, m->error, m->reason ?: "out of memory", m->userdata);
        mqtt_unref(m);
        return 0;
}

/* From here on nothing is read or sent; `closed` follows from the loop. */
static void mqtt_schedule_close(Mqtt *m, int error, const char *what, const char *why)
{
        if (m->phase == MQTT_PHASE_CLOSED)
                return;
        m->error = error;
        m->reason = why ? asprintf_safe("%s: %s", what, why) : strdup(what);
        m->io = event_source_disable_unref(m->io);
        event_disarm_timer(m->timer);
        m->phase = MQTT_PHASE_CLOSED;
        (void) sd_event_source_set_enabled(m->close_source, SD_EVENT_ONESHOT);
}

static void mqtt_close_tls(Mqtt *m)
{
        const char *refusal = tls_context_refusal(m->tls);

        if (refusal)
                mqtt_schedule_close(m, -EKEYREJECTED, "certificate verification failed", refusal);
        else
                mqtt_schedule_close(m, -EPROTO, "TLS handshake failed",
                                    library_error_to_reason(m->library_error)
                                            ?: "the server closed the connection");
}

static void mqtt_close_library(Mqtt *m, int rc, int error, bool handshake)
{
        if (m->refused)
                mqtt_schedule_close(m, m->refused == 3 ? -ECONNREFUSED : -EACCES,
                                    connack_to_string(m->refused), /* why= */ NULL);
        else if (m->out_of_memory || rc == MOSQ_ERR_NOMEM)
                mqtt_schedule_close(m, -ENOMEM, "out of memory", /* why= */ NULL);
        else if (m->phase == MQTT_PHASE_CONNECTING && rc == MOSQ_ERR_ERRNO)
                mqtt_schedule_close(m, -error, errno_to_reason(error), /* why= */ NULL);
        else if (handshake)
                mqtt_close_tls(m);
        else if (rc == MOSQ_ERR_KEEPALIVE)
                mqtt_schedule_close(m, -ETIMEDOUT, "connection lost", "the server does not answer");
        else if (rc == MOSQ_ERR_PROTOCOL || rc == MOSQ_ERR_MALFORMED_PACKET)
                mqtt_schedule_close(m, -EPROTO, "the server does not keep to MQTT", /* why= */ NULL);
        else if (rc == MOSQ_ERR_ERRNO && error == ETIMEDOUT)
                mqtt_schedule_close(m, -ETIMEDOUT, "connection lost", errno_to_reason(error));
        else
                mqtt_schedule_close(m, -ECONNRESET, "connection lost", "the server closed the connection");
}

/* ---- What libmosquitto calls; nobody else's code may run in these ---- */

static MqttNews *mqtt_add_news(Mqtt *m, MqttNewsType type, const char *topic, const void *payload,
                               size_t size, size_t element)
{
        _cleanup_(mqtt_news_freep) MqttNews *news = new0(MqttNews, 1);

        if (news && topic)
                news->topic = strdup(topic);
        if (news && payload)
                news->payload = memdup_suffix0(payload, size * element);
        if (!news || (topic && !news->topic) || (payload && !news->payload)) {
                m->out_of_memory = true;
                return NULL;
        }
        news->type = type;
        news->size = size;
        mqtt_push_news(m, news);
        return TAKE_PTR(news);
}

static uint64_t mqtt_bytes_received(const Mqtt *m)
{
        struct tcp_info info = {};
        socklen_t size = sizeof(info);

        if (getsockopt(mosquitto_socket(m->mosq), IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
                return m->complete;
        return info.tcpi_bytes_received;
}

static void mqtt_packet_complete(Mqtt *m)
{
        m->last_in = now(CLOCK_BOOTTIME);
        m->complete = mqtt_bytes_received(m);
}

static void on_connect(struct mosquitto *mosq, void *userdata, int code)
{
        Mqtt *m = userdata;

        mqtt_packet_complete(m);
        m->refused = code;
        if (code == 0)
                (void) mqtt_add_news(m, MQTT_NEWS_CONNECTED, NULL, NULL, 0, 1);
}

static void on_message(struct mosquitto *mosq, void *userdata, const struct mosquitto_message *message)
{
        Mqtt *m = userdata;
        size_t size = message->payloadlen;
        const void *payload = size > 0 ? message->payload : "";

        mqtt_packet_complete(m);
        m->last_out = m->last_in; /* it was acknowledged */
        if (size > MQTT_PACKET_MAX) {
                m->too_long = true;
                return;
        }
        (void) mqtt_add_news(m, MQTT_NEWS_MESSAGE, message->topic, size > m->payload_max ? NULL : payload,
                             size, 1);
}

static void on_subscribe(struct mosquitto *mosq, void *userdata, int mid, int n, const int *qos)
{
        Mqtt *m = userdata;
        bool granted[MQTT_SUBSCRIBE_MAX];
        MqttNews *news;

        mqtt_packet_complete(m);
        n = MIN(n, MQTT_SUBSCRIBE_MAX);
        for (int i = 0; i < n; i++)
                granted[i] = qos[i] <= 2;
        news = mqtt_add_news(m, MQTT_NEWS_SUBSCRIBED, NULL, granted, n, sizeof(bool));
        if (news)
                news->mid = mid;
}

static void on_publish(struct mosquitto *mosq, void *userdata, int mid)
{
        Mqtt *m = userdata;

        mqtt_packet_complete(m);
        if (m->n_unacknowledged > 0)
                m->n_unacknowledged--;
}

static void on_unsubscribe(struct mosquitto *mosq, void *userdata, int mid)
{
        mqtt_packet_complete(userdata);
}

static void on_log(struct mosquitto *mosq, void *userdata, int level, const char *text)
{
        Mqtt *m = userdata;

        if (level == MOSQ_LOG_ERR)
                (void) free_and_strdup(&m->library_error, text);
        else if (streq(text, m->pingresp))
                mqtt_packet_complete(m);
}

/* ---- What happens on the socket ---- */

/* How long until libmosquitto has something to do: it pings when for the keepalive nothing came or nothing
 * went. It counts whole seconds, so never ask it early. */
static usec_t mqtt_keepalive_delay(const Mqtt *m)
{
        usec_t due = usec_add(MIN(m->last_in, m->last_out), KEEPALIVE_SEC * USEC_PER_SEC);

        return usec_sub(due, now(CLOCK_BOOTTIME)) + 10 * USEC_PER_MSEC;
}

static int on_timer(sd_event_source *s, uint64_t t, void *userdata);

static void mqtt_arm_timer(Mqtt *m, usec_t delay)
{
        int r = event_arm_timer(m->event, &m->timer, delay, on_timer, m, "mqtt-timer");

        if (r < 0)
                mqtt_schedule_close(m, r, strerror(-r), /* why= */ NULL);
}

static void mqtt_set_up(Mqtt *m)
{
        if (m->phase != MQTT_PHASE_HANDSHAKE)
                return;
        m->phase = MQTT_PHASE_UP;
        mqtt_arm_timer(m, mqtt_keepalive_delay(m));
}

static void mqtt_deliver(Mqtt *m)
{
        while (m->callbacks && m->news) {
                _cleanup_(mqtt_news_freep) MqttNews *news = mqtt_pop_news(m);

                switch (news->type) {
                case MQTT_NEWS_CONNECTED:
                        mqtt_set_up(m);
                        m->callbacks->connected(m, m->userdata);
                        break;
                case MQTT_NEWS_MESSAGE:
                        m->callbacks->message(m, news->topic, news->payload, news->size, m->userdata);
                        break;
                case MQTT_NEWS_SUBSCRIBED:
                        m->callbacks->subscribed(m, news->mid, news->payload, news->size, m->userdata);
                        break;
                }
        }
}

/* libmosquitto's own idea of when to wait for EPOLLOUT spins through a TLS handshake: it waits for it
 * whenever a packet is queued. With TLS only OpenSSL knows; what is queued is offered after every read. */
static void mqtt_update_events(Mqtt *m)
{
        uint32_t events = EPOLLIN;
        struct ssl_st *ssl;

        if (!m->io)
                return;
        ssl = mosquitto_ssl_get(m->mosq);
        if (m->phase == MQTT_PHASE_CONNECTING)
                events = EPOLLOUT;
        else if (ssl ? tls_wants_write(ssl) : mosquitto_want_write(m->mosq))
                events |= EPOLLOUT;
        (void) sd_event_source_set_io_events(m->io, events);
}

static int mqtt_check_connected(Mqtt *m)
{
        int error = 0;
        socklen_t size = sizeof(error);

        if (getsockopt(mosquitto_socket(m->mosq), SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        if (error != 0) {
                mqtt_schedule_close(m, -error, errno_to_reason(error), /* why= */ NULL);
                return -error;
        }
        m->phase = MQTT_PHASE_HANDSHAKE;
        mqtt_arm_timer(m, HANDSHAKE_TIMEOUT);
        return 0;
}

/* Reads what there is, also what OpenSSL holds already; then offers what waited for a key or for room. */
static int mqtt_read_and_write(Mqtt *m)
{
        struct ssl_st *ssl;
        int rc;

        do
                rc = mosquitto_loop_read(m->mosq, 1);
        while (rc == MOSQ_ERR_SUCCESS && (ssl = mosquitto_ssl_get(m->mosq)) && tls_pending(ssl) > 0);
        if (rc == MOSQ_ERR_SUCCESS && mosquitto_want_write(m->mosq)) {
                m->last_out = now(CLOCK_BOOTTIME);
                rc = mosquitto_loop_write(m->mosq, 1);
        }
        return rc;
}

static void mqtt_drive(Mqtt *m)
{
        struct ssl_st *ssl = mosquitto_ssl_get(m->mosq);
        bool handshake = ssl && !tls_is_established(ssl);
        int rc, error, quick = 1;

        /* Not to stay on for long (tcp(7)), hence every time: a server with Nagle's algorithm, such as
         * mosquitto, keeps its next packet back until the latest is acknowledged, by default 40 ms later. */
        (void) setsockopt(mosquitto_socket(m->mosq), IPPROTO_TCP, TCP_QUICKACK, &quick, sizeof(quick));
        errno = 0;
        rc = mqtt_read_and_write(m);
        error = errno;
        if (rc != MOSQ_ERR_SUCCESS || mosquitto_socket(m->mosq) < 0 || m->out_of_memory)
                mqtt_close_library(m, rc, error, handshake);
        else if (m->too_long || mqtt_bytes_received(m) - m->complete > MQTT_PACKET_MAX)
                mqtt_schedule_close(m, -EMSGSIZE, "the server sends more than we take in one packet",
                                    /* why= */ NULL);
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Mqtt *m = userdata;

        m->n_ref++;
        if (m->phase != MQTT_PHASE_CONNECTING || mqtt_check_connected(m) >= 0) {
                mqtt_drive(m);
                mqtt_deliver(m);
                mqtt_update_events(m);
        }
        mqtt_unref(m);
        return 0;
}

static void mqtt_keep_alive(Mqtt *m)
{
        usec_t t = now(CLOCK_BOOTTIME);
        int rc;

        if (MIN(m->last_in, m->last_out) + KEEPALIVE_SEC * USEC_PER_SEC <= t) {
                m->last_in = m->last_out = t;
                rc = mosquitto_loop_misc(m->mosq);
                if (rc != MOSQ_ERR_SUCCESS) {
                        mqtt_close_library(m, rc, 0, /* handshake= */ false);
                        return;
                }
        }
        mqtt_arm_timer(m, mqtt_keepalive_delay(m));
        mqtt_update_events(m);
}

static int on_timer(sd_event_source *s, uint64_t t, void *userdata)
{
        Mqtt *m = userdata;
        struct ssl_st *ssl;

        switch (m->phase) {
        case MQTT_PHASE_CONNECTING:
                mqtt_schedule_close(m, -ETIMEDOUT, errno_to_reason(ETIMEDOUT), /* why= */ NULL);
                break;
        case MQTT_PHASE_HANDSHAKE:
                ssl = mosquitto_ssl_get(m->mosq);
                mqtt_schedule_close(m, -ETIMEDOUT,
                                    ssl && !tls_is_established(ssl) ? "TLS handshake timed out"
                                                                    : "the server does not answer",
                                    /* why= */ NULL);
                break;
        case MQTT_PHASE_UP:
                mqtt_keep_alive(m);
                break;
        case MQTT_PHASE_CLOSED:
                break;
        }
        return 0;
}

/* ---- Making a connection ---- */

static int mosquitto_error_to_errno(int rc)
{
        switch (rc) {
        case MOSQ_ERR_SUCCESS:
                return 0;
        case MOSQ_ERR_NOMEM:
                return -ENOMEM;
        case MOSQ_ERR_NO_CONN:
                return -ENOTCONN;
        case MOSQ_ERR_INVAL:
        case MOSQ_ERR_MALFORMED_UTF8:
        case MOSQ_ERR_PAYLOAD_SIZE:
                return -EINVAL;
        default:
                return -EIO;
        }
}

static int mqtt_initialise_library(void)
{
        static bool done = false;

        if (done)
                return 0;
        if (mosquitto_lib_init() != MOSQ_ERR_SUCCESS)
                return -ENOMEM;
        ignore_sigpipe();
        done = true;
        return 0;
}

/* A new identifier for each connection: it tells the server nothing about us. 23 letters and digits are what
 * every server takes (MQTT 3.1.1, section 3.1.3.1). */
static int mqtt_new_client(Mqtt *m)
{
        uint8_t random[11];
        char hex[HEX_SIZE(sizeof(random))], id[24];

        random_bytes(random, sizeof(random));
        (void) snprintf(id, sizeof(id), "i%s", hex_encode(random, sizeof(random), hex));
        m->pingresp = asprintf_safe("Client %s received PINGRESP", id);
        if (!m->pingresp)
                return -ENOMEM;
        m->mosq = mosquitto_new(id, /* clean_session= */ true, m);
        if (!m->mosq)
                return -errno;
        mosquitto_connect_callback_set(m->mosq, on_connect);
        mosquitto_message_callback_set(m->mosq, on_message);
        mosquitto_publish_callback_set(m->mosq, on_publish);
        mosquitto_subscribe_callback_set(m->mosq, on_subscribe);
        mosquitto_unsubscribe_callback_set(m->mosq, on_unsubscribe);
        mosquitto_log_callback_set(m->mosq, on_log);
        return 0;
}

static int mqtt_set_options(Mqtt *m, const MqttParameters *p)
{
        int rc;

        /* The first twenty would otherwise be all that is under way, and the next wait for a round trip. */
        rc = mosquitto_int_option(m->mosq, MOSQ_OPT_SEND_MAXIMUM, MQTT_UNACKNOWLEDGED_MAX);
        if (rc == MOSQ_ERR_SUCCESS)
                rc = mosquitto_int_option(m->mosq, MOSQ_OPT_TCP_NODELAY, 1);
        if (rc == MOSQ_ERR_SUCCESS && p->user)
                rc = mosquitto_username_pw_set(m->mosq, p->user, p->password);
        if (rc == MOSQ_ERR_SUCCESS && m->tls)
                rc = mosquitto_int_option(m->mosq, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0);
        if (rc == MOSQ_ERR_SUCCESS && m->tls)
                rc = mosquitto_void_option(m->mosq, MOSQ_OPT_SSL_CTX, tls_context_get(m->tls));
        return mosquitto_error_to_errno(rc);
}

static int mqtt_watch_socket(Mqtt *m, usec_t timeout)
{
        int fd = mosquitto_socket(m->mosq), flags, r;
        unsigned msec = TCP_USER_TIMEOUT_MSEC;

        /* libmosquitto opens it without O_CLOEXEC. */
        flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
                return -errno;
        (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &msec, sizeof(msec));
        r = event_add_io(m->event, &m->io, fd, EPOLLOUT, on_io, m, "mqtt-io");
        if (r < 0)
                return r;
        return event_arm_timer(m->event, &m->timer, timeout, on_timer, m, "mqtt-timer");
}

static int mqtt_start(Mqtt *m, const MqttParameters *p)
{
        int rc, error;

        errno = 0;
        rc = mosquitto_connect_async(m->mosq, SOCKET_ADDRESS_IP_STR(&p->address),
                                     socket_address_port(&p->address), KEEPALIVE_SEC);
        m->last_in = m->last_out = now(CLOCK_BOOTTIME);
        error = errno;
        if (rc == MOSQ_ERR_SUCCESS)
                return mqtt_watch_socket(m, p->connect_timeout);
        if (rc == MOSQ_ERR_NOMEM)
                return -ENOMEM;
        /* To a server on this host all of it may have happened by now. */
        mqtt_close_library(m, rc, error, /* handshake= */ m->tls);
        return 0;
}

int mqtt_connect(sd_event *event, const MqttParameters *p, const MqttCallbacks *callbacks, void *userdata,
                 Mqtt **ret)
{
        _cleanup_(mqtt_freep) Mqtt *m = NULL;
        int r;

        r = mqtt_initialise_library();
        if (r < 0)
                return r;
        m = new0(Mqtt, 1);
        if (!m)
                return -ENOMEM;
        m->n_ref = 1;
        m->event = sd_event_ref(event);
        m->callbacks = callbacks;
        m->userdata = userdata;
        m->payload_max = p->payload_max;
        m->news_end = &m->news;
        /* Made now, so that the end can be told even without memory. */
        r = event_defer_once(event, &m->close_source, on_close, m, "mqtt-close");
        if (r < 0)
                return r;
        event_disarm_timer(m->close_source);
        if (p->tls_name)
                r = tls_context_new(p->tls_name, p->ca_file, &m->tls);
        if (r >= 0 && m->tls && p->identity)
                r = tls_context_set_identity(m->tls, p->identity) < 0 ? -ENOKEY : 0;
        if (r >= 0)
                r = mqtt_new_client(m);
        if (r >= 0)
                r = mqtt_set_options(m, p);
        if (r >= 0)
                r = mqtt_start(m, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* ---- Its address ---- */

/* What can be bound is ours. */
static bool address_is_lost(const SocketAddress *a)
{
        _cleanup_close_ int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        SocketAddress any_port = *a;

        if (fd < 0)
                return false;
        socket_address_set_port(&any_port, 0);
        return bind(fd, &any_port.sa, socket_address_length(&any_port)) < 0 && errno == EADDRNOTAVAIL;
}

void mqtt_check_address(Mqtt *m)
{
        SocketAddress address = {};
        socklen_t size = sizeof(address);

        if (m->phase == MQTT_PHASE_CLOSED ||
            getsockname(mosquitto_socket(m->mosq), &address.sa, &size) < 0 || !address_is_lost(&address))
                return;
        mqtt_schedule_close(m, -EADDRNOTAVAIL, "connection lost",
                            "this host has lost the address that it went out from");
}

/* ---- Talking ---- */

/* After a request: what libmosquitto could not write goes when the socket has room; what it could not write
 * for good is the end. A request may be what drives the handshake on. */
static int mqtt_sent(Mqtt *m, int rc)
{
        int r = mosquitto_error_to_errno(rc), error = errno;

        m->last_out = now(CLOCK_BOOTTIME);
        if (r == -EIO)
                mqtt_close_library(m, rc, error, /* handshake= */ m->tls && tls_context_refusal(m->tls));
        mqtt_update_events(m);
        return r;
}

int mqtt_subscribe(Mqtt *m, const char *const *topics, size_t n, int *ret_mid)
{
        int mid, r;

        assert(n > 0 && n <= MQTT_SUBSCRIBE_MAX);
        if (m->phase == MQTT_PHASE_CLOSED)
                return -ENOTCONN;
        r = mqtt_sent(m, mosquitto_subscribe_multiple(m->mosq, &mid, (int) n, (char *const *) topics, 1, 0,
                                                      /* properties= */ NULL));
        if (r < 0)
                return r;
        *ret_mid = mid;
        return 0;
}

int mqtt_unsubscribe(Mqtt *m, const char *topic)
{
        if (m->phase == MQTT_PHASE_CLOSED)
                return -ENOTCONN;
        return mqtt_sent(m, mosquitto_unsubscribe(m->mosq, /* mid= */ NULL, topic));
}

int mqtt_publish(Mqtt *m, const char *topic, const void *payload, size_t size)
{
        int r;

        if (m->phase != MQTT_PHASE_UP)
                return -ENOTCONN;
        if (m->n_unacknowledged >= MQTT_UNACKNOWLEDGED_MAX)
                return -ENOBUFS;
        if (size > INT_MAX)
                return -EINVAL;
        r = mqtt_sent(m, mosquitto_publish(m->mosq, /* mid= */ NULL, topic, (int) size, payload, 1,
                                           /* retain= */ false));
        if (r >= 0)
                m->n_unacknowledged++;
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-uapi.h"

#include <sys/un.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"
#include "wireguard-call.h"

/* A listener whose queue is full refuses a non-blocking connect(2) with EAGAIN and announces nothing. */
#define CONNECT_RETRY (20 * USEC_PER_MSEC)
#define ANSWER_START 8192U

typedef struct UapiCall {
        WireguardCall call; /* first */
        sd_event *event;    /* a reference */
        struct sockaddr_un address;
        int fd;
        sd_event_source *io;
        sd_event_source *retry;
        sd_event_source *timeout;
        sd_event_source *failure; /* tells `error` from the loop */
        int error;
        WireguardDevice *device; /* what the answer goes into, owned */
        char *request;           /* owned */
        size_t request_size;
        size_t request_sent;
        char *answer; /* owned; holds secrets */
        size_t answer_size;
        size_t answer_allocated;
} UapiCall;

static void drop_answer(UapiCall *c)
{
        erase(c->answer, c->answer_size);
        c->answer = mfree(c->answer);
        c->answer_size = c->answer_allocated = 0;
}

static void uapi_call_destroy(WireguardCall *call)
{
        UapiCall *c = CONTAINER_OF(call, UapiCall, call);

        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->retry);
        sd_event_source_disable_unref(c->timeout);
        sd_event_source_disable_unref(c->failure);
        safe_close(c->fd);
        wireguard_device_free(c->device);
        drop_answer(c);
        free(c->request);
        sd_event_unref(c->event);
        free(c);
}

static void finish(UapiCall *c, int error)
{
        WireguardDevice *device = NULL;

        /* Done with the socket before the callback, which may well start the next call. */
        c->io = sd_event_source_disable_unref(c->io);
        c->fd = safe_close(c->fd);
        drop_answer(c);
        if (error >= 0 && c->call.on_device)
                device = TAKE_PTR(c->device);
        wireguard_call_finish(&c->call, MIN(error, 0), device);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        finish(userdata, -ETIMEDOUT);
        return 0;
}

static int on_failure(sd_event_source *source, void *userdata)
{
        UapiCall *c = userdata;

        finish(c, c->error);
        return 0;
}

/* --- the answer --- */

static int parse_answer(UapiCall *c)
{
        _cleanup_free_ char *problem = NULL;
        int r;

        r = wireguard_uapi_parse(c->answer, c->answer_size, c->device, &problem);
        if (problem)
                log_debug_errno(r, "Answer of %s: %s", c->address.sun_path, problem);
        return r;
}

/* Not with realloc(3): that would leave secrets behind in the memory it gives back. */
static int grow_answer(UapiCall *c)
{
        size_t n = MAX(c->answer_allocated * 2, (size_t) ANSWER_START);
        char *answer;

        if (c->answer_size < c->answer_allocated)
                return 0;
        if (c->answer_size >= WIREGUARD_UAPI_SIZE_MAX)
                return -EMSGSIZE;
        answer = malloc(n);
        if (!answer)
                return -ENOMEM;
        if (c->answer_size > 0)
                memcpy(answer, c->answer, c->answer_size);
        erase(c->answer, c->answer_size);
        free(c->answer);
        c->answer = answer;
        c->answer_allocated = n;
        return 0;
}

/* An empty line ends the answer; the connection stays open for further requests. `from`: what is new. */
static bool answer_is_complete(const UapiCall *c, size_t from)
{
        size_t start = from > 0 ? from - 1 : 0;

        return memmem(c->answer + start, c->answer_size - start, "\n\n", 2);
}

/* 1: all is there; 0: more is to come. */
static int receive_answer(UapiCall *c)
{
        for (;;) {
                size_t old = c->answer_size;
                ssize_t n;
                int r;

                r = grow_answer(c);
                if (r < 0)
                        return r;
                n = recv(c->fd, c->answer + old, c->answer_allocated - old, MSG_DONTWAIT);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                if (n == 0)
                        return old > 0 ? 1 : -ECONNRESET;
                c->answer_size += (size_t) n;
                if (answer_is_complete(c, old))
                        return 1;
        }
}

/* --- the request --- */

/* 1: all is sent. */
static int send_request(UapiCall *c)
{
        while (c->request_sent < c->request_size) {
                ssize_t n = send(c->fd, c->request + c->request_sent, c->request_size - c->request_sent,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                c->request_sent += (size_t) n;
        }
        return 1;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        UapiCall *c = userdata;
        int r;

        if (c->request_sent < c->request_size) {
                r = send_request(c);
                if (r > 0)
                        r = sd_event_source_set_io_events(c->io, EPOLLIN);
                if (r < 0)
                        finish(c, r);
                return 0;
        }
        r = receive_answer(c);
        if (r > 0)
                r = parse_answer(c);
        else if (r == 0)
                return 0;
        finish(c, r);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

static int connect_once(UapiCall *c)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &c->address, sizeof(c->address)) < 0) {
                if (errno == EAGAIN)
                        return event_arm_timer(c->event, &c->retry, CONNECT_RETRY, on_retry, c,
                                               "wireguard-uapi-retry");
                return errno == ENOENT ? -ENODEV : -errno;
        }
        r = event_add_io(c->event, &c->io, fd, EPOLLOUT, on_io, c, "wireguard-uapi");
        if (r < 0)
                return r;
        c->fd = TAKE_FD(fd);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
        UapiCall *c = userdata;
        int r;

        r = connect_once(c);
        if (r < 0)
                finish(c, r);
        return 0;
}

/* --- calls --- */

static int set_address(UapiCall *c, const char *folder, const char *name)
{
        int n;

        if (!wireguard_device_name_is_valid(name))
                return -EINVAL;
        c->address.sun_family = AF_UNIX;
        n = snprintf(c->address.sun_path, sizeof(c->address.sun_path), "%s/%s.sock", folder, name);
        return n < 0 || (size_t) n >= sizeof(c->address.sun_path) ? -ENAMETOOLONG : 0;
}

/* Takes the request, also when it fails. */
static int call_new(sd_event *event, const char *folder, const char *name, char *request, UapiCall **ret)
{
        UapiCall *c;
        int r;

        c = request ? new (UapiCall, 1) : NULL;
        if (!c) {
                free(request);
                return -ENOMEM;
        }
        *c = (UapiCall) {
                .call.destroy = uapi_call_destroy,
                .event = sd_event_ref(event),
                .fd = -EBADF,
                .request = request,
                .request_size = strlen(request),
        };
        r = set_address(c, folder, name);
        /* An answer without a device in it is parsed by the same rules. */
        if (r >= 0)
                r = wireguard_device_new(name, WIREGUARD_KIND_USERSPACE, &c->device);
        if (r < 0) {
                uapi_call_destroy(&c->call);
                return r;
        }
        *ret = c;
        return 0;
}

/* What goes wrong with the connection is told by the callback, like everything that comes later. */
static int call_start(UapiCall *c, WireguardCall **ret)
{
        int r;

        r = event_arm_timer(c->event, &c->timeout, WIREGUARD_UAPI_TIMEOUT, on_timeout, c,
                            "wireguard-uapi-timeout");
        if (r >= 0) {
                c->error = connect_once(c);
                if (c->error < 0)
                        r = event_defer_once(c->event, &c->failure, on_failure, c, "wireguard-uapi-failure");
        }
        if (r < 0) {
                uapi_call_destroy(&c->call);
                return r;
        }
        if (ret)
                *ret = &c->call;
        return 0;
}

int wireguard_uapi_get(sd_event *event, const char *folder, const char *name,
                       wireguard_device_callback_t callback, void *userdata, WireguardCall **ret)
{
        UapiCall *c;
        int r;

        r = call_new(event, folder, name, strdup("get=1\n\n"), &c);
        if (r < 0)
                return r;
        c->device->ifindex = (int) if_nametoindex(name);
        c->call.on_device = callback;
        c->call.userdata = userdata;
        return call_start(c, ret);
}

static char *format_set_request(const WireguardKey *peer, const SocketAddress *endpoint, int keepalive)
{
        char key[HEX_SIZE(WIREGUARD_KEY_SIZE)], address[SOCKET_ADDRESS_STRLEN + 16] = "", interval[64] = "";

        if (endpoint && socket_address_is_set(endpoint))
                snprintf(address, sizeof(address), "endpoint=%s\n", SOCKET_ADDRESS_STR(endpoint));
        if (keepalive >= 0)
                snprintf(interval, sizeof(interval), "persistent_keepalive_interval=%d\n", keepalive);
        return asprintf_safe("set=1\npublic_key=%s\nupdate_only=true\n%s%s\n",
                             hex_encode(peer->bytes, sizeof(peer->bytes), key), address, interval);
}

int wireguard_uapi_set_endpoint(sd_event *event, const char *folder, const char *name,
                                const WireguardKey *peer, const SocketAddress *endpoint, int keepalive,
                                wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        UapiCall *c;
        int r;

        if (keepalive < -1 || keepalive > UINT16_MAX)
                return -EINVAL;
        r = call_new(event, folder, name, format_set_request(peer, endpoint, keepalive), &c);
        if (r < 0)
                return r;
        c->call.on_done = callback;
        c->call.userdata = userdata;
        return call_start(c, ret);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-client-internal.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* What icewire-broker answers to a call, for whoever waits for it. */

/* What an answer may carry: the largest envelope. */
#define DATA_MAX (64 * 1024)

BrokerCall *broker_call_free(BrokerCall *call)
{
        if (call)
                call->abandoned = true;
        return NULL;
}

static int error_from_local(const char *id)
{
        if (streq(id, SD_VARLINK_ERROR_TIMEOUT))
                return -ETIMEDOUT;
        return streq(id, SD_VARLINK_ERROR_PROTOCOL) ? -EPROTO : -ECONNRESET;
}

static int error_from_reply(const char *id, sd_json_variant *parameters)
{
        static const struct {
                const char *id;
                int error;
        } table[] = {
                { BROKER_ERROR_NO_SUCH_LINK, -ENODEV },          { BROKER_ERROR_NO_SUCH_PEER, -ENOENT },
                { BROKER_ERROR_NO_PRIVATE_KEY, -ENOKEY },        { BROKER_ERROR_ENVELOPE_REFUSED, -EBADMSG },
                { BROKER_ERROR_NOT_ALLOWED, -EACCES },           { BROKER_ERROR_NO_REDIRECT, -ENOTSUP },
                { BROKER_ERROR_NO_LISTEN_PORT, -EADDRNOTAVAIL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (streq(table[i].id, id))
                        return table[i].error;
        log_debug_errno(sd_varlink_error_to_errno(id, parameters), "icewire-broker answers %s: %m", id);
        return -EIO;
}

int broker_client_error(const char *id, sd_json_variant *parameters, sd_varlink_reply_flags_t flags)
{
        return flags & SD_VARLINK_REPLY_LOCAL ? error_from_local(id) : error_from_reply(id, parameters);
}

const char *broker_string_field(sd_json_variant *v, const char *name)
{
        sd_json_variant *field = sd_json_variant_by_key(v, name);

        return field && sd_json_variant_is_string(field) ? sd_json_variant_string(field) : NULL;
}

static void finish_data(BrokerCall *call, int error, sd_json_variant *v)
{
        _cleanup_free_ uint8_t *data = NULL;
        size_t size = 0;
        int r = error;

        if (r >= 0) {
                const char *s = broker_string_field(v, call->field);

                r = s ? varlink_decode_base64(s, DATA_MAX, &data, &size) : -EIO;
                if (r < 0)
                        r = -EIO;
        }
        call->callback.data(call->broker, r, data, size,
                            r == -EBADMSG ? broker_string_field(v, "reason") : NULL, call->userdata);
        erase(data, size);
}

static void finish_topics(BrokerCall *call, int error, sd_json_variant *v)
{
        const char *send = error < 0 ? NULL : broker_string_field(v, "send"),
                   *receive = error < 0 ? NULL : broker_string_field(v, "receive");

        if (error >= 0 && (!send || !receive))
                error = -EIO;
        call->callback.topics(call->broker, error, send, receive, call->userdata);
}

static void finish_device(BrokerCall *call, int error, sd_json_variant *v)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;

        if (error >= 0 && broker_link_parse_json(sd_json_variant_by_key(v, "link"), &device) < 0)
                error = -EIO;
        call->callback.device(call->broker, error, device, call->userdata);
}

static void finish_redirect(BrokerCall *call, int error, sd_json_variant *v)
{
        RedirectKind kind = REDIRECT_PROXY;

        if (error >= 0) {
                kind = redirect_kind_from_string(strempty(broker_string_field(v, "kind")));
                if (kind < 0)
                        error = -EIO;
        }
        call->callback.redirect(call->broker, error, error < 0 ? REDIRECT_PROXY : kind,
                                error < 0 ? NULL : broker_string_field(v, "reason"), call->userdata);
}

static void finish_move(BrokerCall *call, int error, sd_json_variant *v)
{
        sd_json_variant *packets = error < 0 ? NULL : sd_json_variant_by_key(v, "packets");

        if (error >= 0 && (!packets || !sd_json_variant_is_unsigned(packets)))
                error = -EIO;
        call->callback.move(call->broker, error, error < 0 ? 0 : sd_json_variant_unsigned(packets),
                            call->userdata);
}

void broker_call_destroy(BrokerCall *call)
{
        sd_json_variant_unref(call->parameters);
        while (call->n_fds > 0)
                safe_close(call->fds[--call->n_fds]);
        free(call);
}

/* The call is out of its list; this is its end. */
void broker_call_finish(BrokerCall *call, int error, sd_json_variant *v)
{
        if (!call->abandoned)
                switch (call->kind) {
                case CALL_DATA:
                        finish_data(call, error, v);
                        break;
                case CALL_DONE:
                        call->callback.done(call->broker, error, call->userdata);
                        break;
                case CALL_TOPICS:
                        finish_topics(call, error, v);
                        break;
                case CALL_DEVICE:
                        finish_device(call, error, v);
                        break;
                case CALL_REDIRECT:
                        finish_redirect(call, error, v);
                        break;
                case CALL_MOVE:
                        finish_move(call, error, v);
                        break;
                }
        else if (error < 0 && error != -ECONNRESET)
                log_debug_errno(error, "icewire-broker failed in %s, which nobody waits for: %m",
                                call->method);
        broker_call_destroy(call);
}

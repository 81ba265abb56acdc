/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-redirect.h"

#include <unistd.h>
#include <utlist.h>

#include "alloc-util.h"
#include "log-event.h"
#include "string-util.h"

typedef struct Entry Entry;

struct Entry {
        const void *owner;
        RedirectSocket socket;
        bool applied; /* the backend in force has it */
        Entry *prev, *next;
};

/* What is wrong with eBPF where what comes unasked has to be rewritten. */
#define LIMIT                                                                                               \
        "This host has NAT rules: with eBPF, a firewall that opens WireGuard's port alone stops checks "    \
        "that "                                                                                             \
        "come unasked."

/* A way to share ports, and what is known of it. */
typedef struct Way {
        RedirectBackend *backend; /* NULL: not made, or it does not work */
        bool works;               /* passed the self-test */
        bool limited;             /* with that limit */
        char *message;            /* why it does not work; NULL: it may */
} Way;

struct BrokerRedirect {
        BrokerRedirectFactory factory;
        uid_t user;
        Way ways[_REDIRECT_KIND_MAX]; /* the proxy's is not used */
        RedirectKind kind;            /* in force */
        const void *owner;            /* of the last request; NULL: there is none */
        char *reason;
        Entry *entries; /* an utlist */
        size_t n_entries;
        RedirectMoves moves;
};

static int new_ebpf(void *userdata, RedirectBackend **ret, char **ret_message)
{
        return redirect_ebpf_new(ret, ret_message);
}

static int new_nftables(void *userdata, uid_t user, RedirectBackend **ret, char **ret_message)
{
        return redirect_nftables_new(user, ret, ret_message);
}

static int self_test(void *userdata, RedirectBackend *b, char **ret_message)
{
        return redirect_self_test(b, ret_message);
}

static int test_unasked(void *userdata, RedirectBackend *b)
{
        return redirect_self_test_unasked(b);
}

/* --- ways --- */

/* It does not work, now and later. message: the clause that says why, freed here; NULL: the error does. */
static void way_fail(Way *way, RedirectKind kind, int error, char *message)
{
        way->backend = redirect_backend_free(way->backend);
        way->works = way->limited = false;
        free(way->message);
        way->message = asprintf_safe("The redirect by %s does not work here: %s.",
                                     redirect_kind_to_string(kind), message ?: strerror(-error));
        free(message);
}

/* user: whose sockets it is for, where that matters. */
static int way_make(BrokerRedirect *redirect, RedirectKind kind, uid_t user)
{
        const BrokerRedirectFactory *f = &redirect->factory;
        Way *way = &redirect->ways[kind];
        char *message = NULL;
        int r;

        if (way->backend)
                return 0;
        if (way->message)
                return -EOPNOTSUPP;
        r = kind == REDIRECT_EBPF ? f->new_ebpf(f->userdata, &way->backend, &message)
                                  : f->new_nftables(f->userdata, user, &way->backend, &message);
        if (r < 0)
                way_fail(way, kind, r, message);
        return r;
}

/* The programs stay loaded while they do nothing, since the right to load them is gone; the table does not
 * stay. */
static void way_rest(BrokerRedirect *redirect, RedirectKind kind)
{
        Way *way = &redirect->ways[kind];

        if (!way->backend)
                return;
        if (kind == REDIRECT_EBPF)
                (void) way->backend->ops->set_uplinks(way->backend, NULL, 0);
        else
                way->backend = redirect_backend_free(way->backend);
}

/* With sockets of our own, so it has to be for our user. */
static int way_test(BrokerRedirect *redirect, RedirectKind kind)
{
        const BrokerRedirectFactory *f = &redirect->factory;
        Way *way = &redirect->ways[kind];
        char *message = NULL;
        int r;

        r = way_make(redirect, kind, geteuid());
        if (r < 0)
                return r;
        r = f->self_test(f->userdata, way->backend, &message);
        if (r < 0) {
                way_fail(way, kind, r, message);
                return r;
        }
        way->works = true;
        way->limited = r > 0;
        way_rest(redirect, kind);
        return 0;
}

/* A backend that has proved itself. */
static int way_prepare(BrokerRedirect *redirect, RedirectKind kind)
{
        int r;

        if (!redirect->ways[kind].works) {
                r = way_test(redirect, kind);
                if (r < 0)
                        return r;
        }
        return way_make(redirect, kind, redirect->user);
}

/* --- sockets --- */

static RedirectBackend *backend_in_force(const BrokerRedirect *redirect)
{
        return redirect->ways[redirect->kind].backend;
}

static Entry *entry_free(BrokerRedirect *redirect, Entry *entry)
{
        if (entry->applied) {
                RedirectBackend *b = backend_in_force(redirect);

                b->ops->remove(b, &entry->socket);
        }
        DL_DELETE(redirect->entries, entry);
        redirect->n_entries--;
        return mfree(entry);
}

static void withdraw_all(BrokerRedirect *redirect)
{
        RedirectBackend *b = backend_in_force(redirect);
        Entry *entry;

        DL_FOREACH (redirect->entries, entry) {
                if (entry->applied)
                        b->ops->remove(b, &entry->socket);
                entry->applied = false;
        }
}

/* A socket that the new backend does not take is without a share of the port, as it is with the proxy. */
static void apply_all(BrokerRedirect *redirect)
{
        RedirectBackend *b = backend_in_force(redirect);
        Entry *entry;

        DL_FOREACH (redirect->entries, entry) {
                int r = b->ops->add(b, &entry->socket);

                if (r < 0)
                        log_warning_errno(r, "Failed to share port %u with the socket at %s, ignoring: %m",
                                          (unsigned) entry->socket.wireguard_port,
                                          SOCKET_ADDRESS_STR(&entry->socket.local));
                entry->applied = r >= 0;
        }
}

static bool sockets_clash(const RedirectSocket *a, const RedirectSocket *b)
{
        return redirect_socket_ufrags_clash(a, b) ||
               (a->cookie == b->cookie && !redirect_socket_is_same(a, b));
}

static int add_one(BrokerRedirect *redirect, const void *owner, const RedirectSocket *socket)
{
        RedirectBackend *b = backend_in_force(redirect);
        Entry *entry;
        int r;

        if (redirect->n_entries >= BROKER_REDIRECT_SOCKETS_MAX)
                return -ENOSPC;
        DL_FOREACH (redirect->entries, entry)
                if (sockets_clash(&entry->socket, socket))
                        return -EEXIST;
        entry = new (Entry, 1);
        if (!entry)
                return -ENOMEM;
        *entry = (Entry) { .owner = owner, .socket = *socket, .applied = true };
        r = b->ops->add(b, socket);
        if (r < 0) {
                free(entry);
                return r;
        }
        DL_APPEND(redirect->entries, entry);
        redirect->n_entries++;
        return 0;
}

int broker_redirect_add(BrokerRedirect *redirect, const void *owner, const RedirectSocket *sockets, size_t n)
{
        int r;

        if (redirect->kind == REDIRECT_PROXY)
                return -ENOTCONN;
        for (size_t i = 0; i < n; i++) {
                r = add_one(redirect, owner, &sockets[i]);
                if (r < 0) {
                        while (i-- > 0)
                                entry_free(redirect, redirect->entries->prev); /* the last one */
                        return r;
                }
        }
        return 0;
}

void broker_redirect_remove(BrokerRedirect *redirect, const void *owner, const char *ufrag)
{
        Entry *entry, *tmp;

        DL_FOREACH_SAFE (redirect->entries, entry, tmp)
                if (entry->owner == owner && (!ufrag || streq(entry->socket.ufrag, ufrag)))
                        entry_free(redirect, entry);
}

/* --- moves --- */

int broker_redirect_move(BrokerRedirect *redirect, const void *owner, const RedirectMove *move,
                         usec_t duration, usec_t now, uint64_t *ret_packets)
{
        RedirectBackend *b = backend_in_force(redirect);

        if (redirect->kind == REDIRECT_PROXY)
                return -ENOTCONN;
        if (duration > 0)
                return redirect_moves_set(&redirect->moves, b, owner, move, usec_add(now, duration),
                                          ret_packets);
        *ret_packets = redirect_moves_end(&redirect->moves, b, move);
        return 0;
}

usec_t broker_redirect_expire(BrokerRedirect *redirect, usec_t now)
{
        return redirect_moves_expire(&redirect->moves, backend_in_force(redirect), now);
}

/* Only eBPF sees them, and its backend, if it works, is there as long as the registry. */
int broker_redirect_watch(BrokerRedirect *redirect, sd_event *event, redirect_initiation_t callback,
                          void *userdata)
{
        RedirectBackend *b = redirect->ways[REDIRECT_EBPF].backend;

        return b && b->ops->watch ? b->ops->watch(b, event, callback, userdata) : 0;
}

/* --- what is in force --- */

static void leave(BrokerRedirect *redirect)
{
        if (redirect->kind == REDIRECT_PROXY)
                return;
        redirect_moves_forget(&redirect->moves, backend_in_force(redirect), /* owner= */ NULL);
        withdraw_all(redirect);
        way_rest(redirect, redirect->kind);
        redirect->kind = REDIRECT_PROXY;
}

/* Puts one kind into force for this request. On failure *ret_message (owned by the caller; NULL without
 * memory) says why, and what was in force still is, or nothing. */
static int enter(BrokerRedirect *redirect, RedirectKind kind, const BrokerRedirectRequest *request,
                 char **ret_message)
{
        RedirectBackend *b;
        int r;

        r = way_prepare(redirect, kind);
        if (r < 0) {
                *ret_message = strdup(strempty(redirect->ways[kind].message));
                return r;
        }
        b = redirect->ways[kind].backend;
        r = b->ops->set_relays(b, request->relays, request->n_relays);
        if (r >= 0)
                r = b->ops->set_uplinks(b, request->uplinks, request->n_uplinks);
        if (r < 0) {
                *ret_message = asprintf_safe("The redirect by %s could not be put into force: %s.",
                                             redirect_kind_to_string(kind), strerror(-r));
                if (redirect->kind == kind)
                        leave(redirect);
                else
                        way_rest(redirect, kind);
                return r;
        }
        if (redirect->kind == kind)
                return 0;
        leave(redirect);
        redirect->kind = kind;
        apply_all(redirect);
        return 0;
}

static void add_sentence(char **text, const char *sentence)
{
        char *joined = *text ? asprintf_safe("%s %s", *text, sentence) : strdup(sentence);

        if (joined) {
                free(*text);
                *text = joined;
        }
}

/* Best first. */
static const struct {
        RedirectKind kind;
        bool limited;
} choices[] = {
        { REDIRECT_EBPF, false },
        { REDIRECT_NFTABLES, false },
        { REDIRECT_EBPF, true },
};

/* The best that the mode allows and that can be had; what was better and cannot be had is in *reason. */
static void enter_best(BrokerRedirect *redirect, const BrokerRedirectRequest *request, char **reason)
{
        for (size_t i = 0; i < ELEMENTSOF(choices); i++) {
                RedirectKind kind = choices[i].kind;
                const Way *way = &redirect->ways[kind];
                _cleanup_free_ char *message = NULL;

                if (!redirect_mode_allows(request->mode, kind) || (choices[i].limited && !way->limited))
                        continue;
                if (way_prepare(redirect, kind) >= 0 && way->limited && !choices[i].limited) {
                        add_sentence(reason, LIMIT);
                        continue;
                }
                if (enter(redirect, kind, request, &message) >= 0)
                        return;
                if (message)
                        add_sentence(reason, message);
        }
        leave(redirect);
}

int broker_redirect_set(BrokerRedirect *redirect, const void *owner, const BrokerRedirectRequest *request,
                        RedirectKind *ret_kind, const char **ret_reason)
{
        RedirectKind before = redirect->kind;
        char *reason = NULL;
        bool news;

        if (request->n_uplinks > BROKER_REDIRECT_UPLINKS_MAX ||
            request->n_relays > BROKER_REDIRECT_RELAYS_MAX)
                return -E2BIG;
        if (request->mode == REDIRECT_MODE_NFTABLES || request->mode == REDIRECT_MODE_PROXY)
                reason = asprintf_safe("Redirect=%s is set.", redirect_mode_to_string(request->mode));
        enter_best(redirect, request, &reason);
        news = redirect->kind != before || !streq_ptr(redirect->reason, reason);
        redirect->owner = owner;
        free(redirect->reason);
        redirect->reason = reason;
        if (news)
                log_event(LOG_INFO, 0,
                          redirect->kind == REDIRECT_PROXY ? LOG_EVENT_REDIRECT_LOST
                                                           : LOG_EVENT_REDIRECT_SETTLED,
                          (LOG_FIELD("ICEWIRE_REDIRECT=%s", redirect_kind_to_string(redirect->kind)),
                           LOG_FIELD("ICEWIRE_ERROR=%s", strempty(reason))),
                          "WireGuard's ports are shared by: %s.%s%s",
                          redirect_kind_to_string(redirect->kind), reason ? " " : "", strempty(reason));
        *ret_kind = redirect->kind;
        *ret_reason = reason;
        return 0;
}

bool broker_redirect_check(BrokerRedirect *redirect)
{
        const BrokerRedirectFactory *f = &redirect->factory;
        Way *way = &redirect->ways[REDIRECT_EBPF];
        bool before = way->limited;
        int r;

        if (!way->works)
                return false;
        r = f->test_unasked(f->userdata, way->backend);
        if (r < 0) {
                log_debug_errno(r, "Failed to find out what comes unasked, ignoring: %m");
                return false;
        }
        way->limited = r > 0;
        return way->limited != before;
}

RedirectKind broker_redirect_kind(const BrokerRedirect *redirect)
{
        return redirect->kind;
}

void broker_redirect_forget(BrokerRedirect *redirect, const void *owner)
{
        broker_redirect_remove(redirect, owner, /* ufrag= */ NULL);
        redirect_moves_forget(&redirect->moves, backend_in_force(redirect), owner);
        if (redirect->owner != owner)
                return;
        redirect->owner = NULL;
        leave(redirect);
}

/* --- life --- */

void broker_redirect_test(BrokerRedirect *redirect)
{
        const Way *ebpf = &redirect->ways[REDIRECT_EBPF], *nftables = &redirect->ways[REDIRECT_NFTABLES];
        const char *why, *then = "Every path goes through the proxy.";

        if (way_test(redirect, REDIRECT_EBPF) >= 0 && !ebpf->limited)
                return;
        why = ebpf->limited ? LIMIT : strempty(ebpf->message);
        if (ebpf->limited)
                then = "eBPF is used all the same.";
        if (way_test(redirect, REDIRECT_NFTABLES) >= 0)
                log_notice("%s nftables takes its place.", why);
        else
                log_notice("%s %s %s", why, strempty(nftables->message), then);
}

int broker_redirect_new(uid_t user, const BrokerRedirectFactory *factory, BrokerRedirect **ret)
{
        BrokerRedirect *redirect = new (BrokerRedirect, 1);

        if (!redirect)
                return -ENOMEM;
        *redirect = (BrokerRedirect) {
                .factory = { new_ebpf, new_nftables, self_test, test_unasked, redirect },
                .user = user,
        };
        if (factory)
                redirect->factory = *factory;
        (void) way_make(redirect, REDIRECT_EBPF, user);
        *ret = redirect;
        return 0;
}

BrokerRedirect *broker_redirect_free(BrokerRedirect *redirect)
{
        if (!redirect)
                return NULL;
        redirect_moves_forget(&redirect->moves, backend_in_force(redirect), /* owner= */ NULL);
        while (redirect->entries)
                entry_free(redirect, redirect->entries);
        for (RedirectKind kind = 0; kind < _REDIRECT_KIND_MAX; kind++) {
                redirect_backend_free(redirect->ways[kind].backend);
                free(redirect->ways[kind].message);
        }
        free(redirect->reason);
        return mfree(redirect);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "uapi-folder.h"

#include <dirent.h>
#include <libgen.h>
#include <net/if.h>
#include <sys/inotify.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"
#include "varlink-util.h"

struct UapiFolder {
        sd_event *event;
        char *path;
        char *parent;
        char *base; /* the last part of path */
        sd_event_source *watch;
        sd_event_source *parent_watch; /* only while there is no folder */
        const UapiFolderCallbacks *callbacks;
        void *userdata;
};

#define FOLDER_EVENTS                                                                                       \
        (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define PARENT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)

static int folder_attach(UapiFolder *folder);

/* "wg0.sock" → "wg0". */
static bool parse_socket_name(const char *file, char ret[static IF_NAMESIZE])
{
        const char *dot = strrchr(file, '.');
        char name[IF_NAMESIZE];
        size_t n = dot ? (size_t) (dot - file) : 0;

        if (!dot || !streq(dot, ".sock") || n >= sizeof(name))
                return false;
        memcpy(name, file, n);
        name[n] = '\0';
        if (!varlink_ifname_is_valid(name))
                return false;
        strcpy(ret, name);
        return true;
}

void uapi_folder_scan(UapiFolder *folder)
{
        char name[IF_NAMESIZE];
        struct dirent *entry;
        DIR *d;

        d = opendir(folder->path);
        if (!d) {
                if (errno != ENOENT)
                        log_warning_errno(errno, "Failed to list '%s', ignoring: %m", folder->path);
                return;
        }
        while ((entry = readdir(d)))
                if (parse_socket_name(entry->d_name, name))
                        folder->callbacks->appeared(folder, name, folder->userdata);
        (void) closedir(d);
}

/* Watches the folder, or its parent until there is one, and looks what is there already. */
static void folder_reattach(UapiFolder *folder)
{
        int r;

        r = folder_attach(folder);
        if (r < 0)
                log_warning_errno(r, "Failed to watch '%s': %m. New userspace links will not be noticed.",
                                  folder->path);
        uapi_folder_scan(folder);
}

static int on_folder(sd_event_source *s, const struct inotify_event *e, void *userdata)
{
        UapiFolder *folder = userdata;
        char name[IF_NAMESIZE];

        if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
                folder_reattach(folder);
        else if (e->mask & IN_Q_OVERFLOW)
                uapi_folder_scan(folder);
        else if (e->len > 0 && parse_socket_name(e->name, name)) {
                if (e->mask & (IN_CREATE | IN_MOVED_TO))
                        folder->callbacks->appeared(folder, name, folder->userdata);
                else
                        folder->callbacks->gone(folder, name, folder->userdata);
        }
        return 0;
}

static int on_parent(sd_event_source *s, const struct inotify_event *e, void *userdata)
{
        UapiFolder *folder = userdata;

        if ((e->mask & IN_Q_OVERFLOW) || (e->len > 0 && streq(e->name, folder->base)))
                folder_reattach(folder);
        return 0;
}

static int folder_attach(UapiFolder *folder)
{
        int r;

        folder->watch = event_source_disable_unref(folder->watch);
        r = sd_event_add_inotify(folder->event, &folder->watch, folder->path, FOLDER_EVENTS, on_folder,
                                 folder);
        if (r == -ENOENT && !folder->parent_watch) {
                r = sd_event_add_inotify(folder->event, &folder->parent_watch, folder->parent, PARENT_EVENTS,
                                         on_parent, folder);
                if (r < 0)
                        return r;
                /* It may have been made just before the watch was. */
                return folder_attach(folder);
        }
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        folder->parent_watch = event_source_disable_unref(folder->parent_watch);
        return 0;
}

int uapi_folder_new(sd_event *event, const char *path, const UapiFolderCallbacks *callbacks, void *userdata,
                    UapiFolder **ret)
{
        _cleanup_(uapi_folder_freep) UapiFolder *folder = NULL;
        _cleanup_free_ char *a = NULL, *b = NULL;
        int r;

        folder = new0(UapiFolder, 1);
        a = strdup(path);
        b = strdup(path);
        if (!folder || !a || !b)
                return -ENOMEM;
        *folder = (UapiFolder) {
                .event = sd_event_ref(event),
                .path = strdup(path),
                .parent = strdup(dirname(a)),
                .base = strdup(basename(b)),
                .callbacks = callbacks,
                .userdata = userdata,
        };
        if (!folder->path || !folder->parent || !folder->base)
                return -ENOMEM;
        r = folder_attach(folder);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(folder);
        return 0;
}

UapiFolder *uapi_folder_free(UapiFolder *folder)
{
        if (!folder)
                return NULL;
        event_source_disable_unref(folder->watch);
        event_source_disable_unref(folder->parent_watch);
        sd_event_unref(folder->event);
        free(folder->path);
        free(folder->parent);
        free(folder->base);
        return mfree(folder);
}

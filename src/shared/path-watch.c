/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path-watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

struct PathWatch {
        sd_event *event;
        char *path;
        char *folder;
        char *parent;
        const char *name;        /* of path in folder */
        const char *folder_name; /* of folder in parent */
        sd_event_source *folder_source;
        sd_event_source *parent_source; /* only while there is no folder */
        path_watch_callback_t callback;
        void *userdata;
};

#define APPEARS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define VANISHES (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)

static int watch_attach(PathWatch *watch);

static void watch_reattach(PathWatch *watch)
{
        int r;

        r = watch_attach(watch);
        if (r < 0)
                log_debug_errno(r, "Failed to watch '%s', ignoring: %m", watch->folder);
        else if (access(watch->path, F_OK) >= 0)
                watch->callback(watch, watch->userdata);
}

static bool is_about(const struct inotify_event *e, const char *name)
{
        return (e->mask & IN_Q_OVERFLOW) || (e->len > 0 && streq(e->name, name));
}

static int on_folder(sd_event_source *s, const struct inotify_event *e, void *userdata)
{
        PathWatch *watch = userdata;

        if (e->mask & VANISHES)
                watch_reattach(watch);
        else if (is_about(e, watch->name))
                watch->callback(watch, watch->userdata);
        return 0;
}

static int on_parent(sd_event_source *s, const struct inotify_event *e, void *userdata)
{
        PathWatch *watch = userdata;

        if (is_about(e, watch->folder_name))
                watch_reattach(watch);
        return 0;
}

static int watch_attach(PathWatch *watch)
{
        int r;

        watch->folder_source = event_source_disable_unref(watch->folder_source);
        r = sd_event_add_inotify(watch->event, &watch->folder_source, watch->folder,
                                 APPEARS | IN_DELETE_SELF | IN_MOVE_SELF, on_folder, watch);
        if (r == -ENOENT && !watch->parent_source) {
                r = sd_event_add_inotify(watch->event, &watch->parent_source, watch->parent, APPEARS,
                                         on_parent, watch);
                if (r < 0)
                        return r;
                /* It may have been made just before the watch was. */
                return watch_attach(watch);
        }
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        watch->parent_source = event_source_disable_unref(watch->parent_source);
        return 0;
}

/* "/run/a/b" → "/run/a" and "b", which points into path. */
static char *split_path(const char *path, const char **ret_name)
{
        const char *slash = strrchr(path, '/');

        *ret_name = slash + 1;
        return slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
}

int path_watch_new(sd_event *event, const char *path, path_watch_callback_t callback, void *userdata,
                   PathWatch **ret)
{
        _cleanup_(path_watch_freep) PathWatch *watch = NULL;
        int r;

        if (path[0] != '/')
                return -EINVAL;
        watch = new0(PathWatch, 1);
        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->callback = callback;
        watch->userdata = userdata;
        watch->path = strdup(path);
        if (!watch->path)
                return -ENOMEM;
        watch->folder = split_path(watch->path, &watch->name);
        if (!watch->folder)
                return -ENOMEM;
        watch->parent = split_path(watch->folder, &watch->folder_name);
        if (!watch->parent)
                return -ENOMEM;
        r = watch_attach(watch);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(watch);
        return 0;
}

PathWatch *path_watch_free(PathWatch *watch)
{
        if (!watch)
                return NULL;
        event_source_disable_unref(watch->folder_source);
        event_source_disable_unref(watch->parent_source);
        sd_event_unref(watch->event);
        free(watch->path);
        free(watch->folder);
        free(watch->parent);
        return mfree(watch);
}

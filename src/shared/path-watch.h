/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"

/* Tells when a path appears (a socket to connect to, a file to read), by inotify on its folder, or on the
 * parent of that while the folder itself does not exist. Best effort: who waits also has a timer. */

typedef struct PathWatch PathWatch;
typedef void (*path_watch_callback_t)(PathWatch *watch, void *userdata);

/* `path` is absolute. The callback never comes from inside. -ENOENT: the folder's parent does not exist
 * either; otherwise the errors of inotify_add_watch(2). */
int path_watch_new(sd_event *event, const char *path, path_watch_callback_t callback, void *userdata,
                   PathWatch **ret);
PathWatch *path_watch_free(PathWatch *watch);
DEFINE_TRIVIAL_CLEANUP_FUNC(PathWatch *, path_watch_free);

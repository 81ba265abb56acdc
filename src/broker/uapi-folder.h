/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"

/* Follows the sockets NAME.sock in a folder (WIREGUARD_UAPI_FOLDER) by inotify. While the folder does not
 * exist its parent is watched, which must exist. That a socket is there does not say that anybody listens.
 */

typedef struct UapiFolder UapiFolder;

typedef struct UapiFolderCallbacks {
        void (*appeared)(UapiFolder *folder, const char *name, void *userdata);
        void (*gone)(UapiFolder *folder, const char *name, void *userdata);
} UapiFolderCallbacks;

/* The errors of inotify_add_watch(2). No callback comes from inside. */
int uapi_folder_new(sd_event *event, const char *path, const UapiFolderCallbacks *callbacks, void *userdata,
                    UapiFolder **ret);
UapiFolder *uapi_folder_free(UapiFolder *folder);
DEFINE_TRIVIAL_CLEANUP_FUNC(UapiFolder *, uapi_folder_free);

/* Calls `appeared` for every socket that there is now, known or not. */
void uapi_folder_scan(UapiFolder *folder);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "macro.h"

/* Configuration files as systemd has them: one main file and drop-ins, in the trees /usr/lib, /run and /etc.
 * libeconf reads each file; which files there are, in which order, and what a repeated key means is decided
 * here, because its own merge gives up on all files for one bad line, forgets which file and line a value
 * came from, and keeps only the first of several assignments (read in 0.7.7).
 *
 * The main file is the first of /etc, /run and /usr/lib that exists. Drop-ins are whatever ends in .conf in
 * NAME.conf.d of all three, sorted by name; of two with one name only that of the first tree counts; an
 * empty one or a link to /dev/null thus masks. Later assignments come later: whoever gets them lets the last
 * one win, and an empty one reset.
 *
 * As in systemd's files, "#" and ";" start a comment at the beginning of a line only. Double quotes around a
 * value are taken off. */

#define CONF_FILE_SIZE_MAX (64 * 1024)

typedef struct ConfCallbacks {
        /* An assignment; everything is lent. A value of several lines has them joined by "\n".
         * section_line: where the section begins, 0 if there is none: it tells sections of one name apart.
         * Negative: stop. */
        int (*assign)(const char *file, unsigned line, const char *section, unsigned section_line,
                      const char *key, char *value, void *userdata);
        /* Something is wrong here (line 0: with the file as a whole) and was skipped. */
        void (*problem)(const char *file, unsigned line, const char *message, void *userdata);
} ConfCallbacks;

/* One text; `name` is what the callbacks get as the file. Lines that cannot be read are told and skipped.
 * What `assign` returned if negative, -ENOMEM, or the errors of memfd_create(2). */
int conf_parse(const char *name, const char *text, size_t size, const ConfCallbacks *callbacks,
               void *userdata);

/* All files of a project: NAME/NAME.conf and its drop-ins; `root` is put before the trees (NULL: none). A
 * file that cannot be read is told and skipped. Returns how many were read. */
int conf_load(const char *root, const char *name, const ConfCallbacks *callbacks, void *userdata);

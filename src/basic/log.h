/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <syslog.h>

#include "macro.h"

/* Logging: to the journal in its native protocol where stderr is the journal's (so that fields survive),
 * otherwise to stderr. Levels are syslog's. `error` is an errno value of either sign, 0 for none, and what
 * "%m" prints. Every call returns -abs(error), so that "return log_error_errno(r, …)" ends a function.
 * Nothing secret may be passed in. */

/* Up to here messages are written; LOG_INFO at first, or what $ICEWIRE_LOG_LEVEL says. */
void log_set_max_level(int level);
int log_get_max_level(void);

/* "emerg" … "debug" and back; -EINVAL for another name. */
int log_level_from_string(const char *s);
const char *log_level_to_string(int level);

/* Is the journal stderr's reader? */
bool log_goes_to_journal(void);

/* fields: "NAME=value" strings that the journal keeps beside the message, ended by NULL; NULL itself is
 * none. A message is one line of at most 2047 bytes: what is longer is cut, control characters become '?'; a
 * field ends at its first newline. With an error there is a field ERRNO=. */
int log_internal(int level, int error, const char *file, int line, const char *function,
                 const char *const *fields, const char *format, ...) _printf_(7, 8);

/* One such string, made in place, and good until the end of the enclosing block; what is longer is cut. The
 * name comes first: LOG_FIELD("ICEWIRE_LINK=%s", name). */
#define LOG_FIELD_MAX 256
#define LOG_FIELD(...) log_field((char[LOG_FIELD_MAX]) {}, __VA_ARGS__)
const char *log_field(char buf[static LOG_FIELD_MAX], const char *format, ...) _printf_(2, 3);

#define log_full_fields(level, error, fields, ...)                                                          \
        ({                                                                                                  \
                int _level = (level), _error = (error);                                                     \
                _level <= log_get_max_level()                                                               \
                        ? log_internal(_level, _error, __FILE__, __LINE__, __func__, (fields), __VA_ARGS__) \
                        : (_error > 0 ? -_error : _error);                                                  \
        })

#define log_full_errno(level, error, ...) log_full_fields((level), (error), NULL, __VA_ARGS__)
#define log_debug_errno(error, ...) log_full_errno(LOG_DEBUG, error, __VA_ARGS__)
#define log_info_errno(error, ...) log_full_errno(LOG_INFO, error, __VA_ARGS__)
#define log_notice_errno(error, ...) log_full_errno(LOG_NOTICE, error, __VA_ARGS__)
#define log_warning_errno(error, ...) log_full_errno(LOG_WARNING, error, __VA_ARGS__)
#define log_error_errno(error, ...) log_full_errno(LOG_ERR, error, __VA_ARGS__)

#define log_debug(...) ((void) log_debug_errno(0, __VA_ARGS__))
#define log_info(...) ((void) log_info_errno(0, __VA_ARGS__))
#define log_notice(...) ((void) log_notice_errno(0, __VA_ARGS__))
#define log_warning(...) ((void) log_warning_errno(0, __VA_ARGS__))
#define log_error(...) ((void) log_error_errno(0, __VA_ARGS__))

#define log_oom() log_error_errno(ENOMEM, "Out of memory.")

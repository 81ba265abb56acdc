/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whole-string parsers: -EINVAL if s is anything but the thing, -ERANGE if out of [min, max]; *ret untouched
 * on failure. */

int parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
int parse_u16(const char *s, uint16_t *ret);
int parse_u32(const char *s, uint32_t *ret);

/* yes/no, true/false, on/off, 1/0, y/n, t/f in any case, as systemd reads them. */
int parse_boolean(const char *s, bool *ret);

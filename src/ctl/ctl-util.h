/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-varlink.h>

#include "macro.h"
#include "time-util.h"

/* What the verbs of icewirectl share. Functions that return an error have told the user. Everything that the
 * daemon says is untrusted where it meets the terminal: print it through terminal_escape(). */

typedef struct Ctl {
        sd_json_format_flags_t json; /* SD_JSON_FORMAT_OFF: for people */
        bool legend;
        bool colour;
        const char *socket;
} Ctl;

/* Connects to icewired. */
int ctl_connect(const Ctl *ctl, sd_varlink **ret);

/* Calls a method of org.icewire.Agent. parameters: NULL for none. The caller owns *ret (may be NULL). */
int ctl_call(sd_varlink *link, const char *method, sd_json_variant *parameters, sd_json_variant **ret);
int ctl_explain_error(const char *error, sd_json_variant *parameters);

/* A string member, lent; NULL if there is none. */
const char *ctl_member_string(sd_json_variant *v, const char *name);

/* A value of one of Varlink's enums as everything else writes it: "first_path" becomes "first-path". The
 * caller owns it; NULL without memory. */
char *ctl_enum_for_people(const char *s);

int ctl_print_json(const Ctl *ctl, sd_json_variant *v);

/* A copy with control characters, and characters that reorder or hide text, written as escapes; NULL without
 * memory. For valid UTF-8 and anything else. */
char *terminal_escape(const char *s);

/* "999 B", "1.2 KiB", … */
#define SIZE_STRLEN 32
char *format_size(uint64_t bytes, char buf[static SIZE_STRLEN]);

/* "12ms", "0.4ms": as ping(8) does. */
char *format_round_trip_time(usec_t t, char buf[static SIZE_STRLEN]);

/* How long ago, by its biggest unit: "5s", "3min", "2h", "4d"; "now" for less than a second or a time to
 * come. */
char *format_age(usec_t then, usec_t now, char buf[static SIZE_STRLEN]);

/* How many characters tell n keys apart, at least `least`. */
size_t unique_prefix_length(const char *const *keys, size_t n, size_t least);

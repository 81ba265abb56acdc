/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-varlink.h>

#include "macro.h"
#include "time-util.h"

/* What the verbs of icewirectl share. Functions that return an error have told the user. Everything that the
 * daemon says is untrusted where it meets the terminal: print it through terminal_escape() (text-util.h). */

typedef struct Ctl {
        sd_json_format_flags_t json; /* SD_JSON_FORMAT_OFF: for people */
        bool legend;                 /* headings, hints, sums */
        bool colour;
        bool ask_password;         /* a person may be asked to authenticate */
        size_t width;              /* of a line; SIZE_MAX: any, since nobody's terminal sets a limit */
        size_t height;             /* of a screen, likewise */
        struct PolkitAgent *agent; /* for a person who may have to authenticate; NULL: nobody is asked */
        struct Pager *pager;       /* for what may be long (ctl-pager.h); NULL: none is wanted */
        const char *socket;
} Ctl;

/* Connects to icewired. -ENOTCONN: it is not running. */
int ctl_connect(const Ctl *ctl, sd_varlink **ret);

/* Calls a method of org.icewire.Agent. parameters: NULL for none. The caller owns *ret (may be NULL).
 * -EACCES: not permitted. */
int ctl_call(sd_varlink *link, const char *method, sd_json_variant *parameters, sd_json_variant **ret);
int ctl_explain_error(const char *error, sd_json_variant *parameters);

/* Calls a method with "more" and hands over each reply, lent; last: there will be none after it. The
 * callback returns 0, or an error, of which it has told the user and which ends it all. timeout: for which
 * time nothing may come. Returns when the last one is there. -ENOKEY: a person has to authenticate first, of
 * which the user was not told. */
typedef int (*ctl_reply_t)(sd_json_variant *reply, bool last, void *userdata);
int ctl_stream(sd_varlink *link, const char *method, sd_json_variant *parameters, usec_t timeout,
               ctl_reply_t callback, void *userdata);

/* A string member, lent; NULL if there is none. */
const char *ctl_member_string(sd_json_variant *v, const char *name);
/* 0 if there is none. */
uint64_t ctl_member_unsigned(sd_json_variant *v, const char *name);
/* false if there is none. */
bool ctl_member_boolean(sd_json_variant *v, const char *name);
/* An array, lent, and how many elements; NULL and 0 if there is none. */
sd_json_variant *ctl_member_array(sd_json_variant *v, const char *name, size_t *ret_n);

/* A value of one of Varlink's enums as everything else writes it: "first_path" becomes "first-path". The
 * caller owns it; NULL without memory. */
char *ctl_enum_for_people(const char *s);

int ctl_print_json(const Ctl *ctl, sd_json_variant *v);

/* Text that others have a say in: escaped, in lines that fit. `head`, which is not, stands before the first
 * one, and as many spaces before the others. */
void ctl_print_text(const Ctl *ctl, const char *head, const char *format, ...) _printf_(3, 4);

/* "  Label       state: rest" in at most `max` lines (0: as many as it takes), with the state in that colour
 * (NULL: none). rest: may be NULL. Both are escaped. */
void ctl_print_state(const Ctl *ctl, const char *label, const char *state, const char *colour,
                     const char *rest, size_t max);

/* "s" unless there is one. */
const char *plural(size_t n);

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

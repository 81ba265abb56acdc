/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "time-util.h"

/* Time-limited TURN credentials from a secret that is shared with the server ("TURN REST API",
 * draft-uberti-behave-turn-rest section 2.2; coturn's use-auth-secret): the user name is "EXPIRY" or
 * "EXPIRY:USER", with the expiry in seconds since 1970, and the password base64(HMAC-SHA1(secret, user
 * name)). */

/* user: NULL: none. expires: CLOCK_REALTIME. The caller owns both results, and erases the password.
 * -ENOMEM, -EIO (OpenSSL). */
int turn_credentials_make(const char *secret, const char *user, usec_t expires, char **ret_username,
                          char **ret_password);

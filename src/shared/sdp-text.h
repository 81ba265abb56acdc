/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"

/* What the SDP parsers are made of: pieces of the input, borrowed and without a NUL behind them. */
typedef struct SdpText {
        const char *s; /* NULL: nothing is left, which is not the same as something empty */
        size_t n;
} SdpText;

/* The piece before the next `separator`, which is dropped; the last piece leaves nothing behind. False:
 * nothing was left. */
bool sdp_text_cut(SdpText *rest, char separator, SdpText *ret);

bool sdp_text_equal(SdpText t, const char *s);
/* As ABNF compares its literals: without regard to case. */
bool sdp_text_equal_nocase(SdpText t, const char *s);

/* RFC 8866 section 9: 1*token-char. */
bool sdp_text_is_token(SdpText t);
/* *VCHAR: printable ASCII without the space; may be empty. */
bool sdp_text_is_visible(SdpText t);

/* 1*DIGIT from min to max; -EINVAL. */
int sdp_text_parse_number(SdpText t, uint64_t min, uint64_t max, uint64_t *ret);

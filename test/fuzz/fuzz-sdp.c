/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The SDP parsers on anything; what they take must be written, and read back, as it was. */

#include <stdint.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "sdp.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
        if (!ok)
                abort();
}

static bool candidate_equal(const IceCandidate *a, const IceCandidate *b)
{
        return streq(a->foundation, b->foundation) && a->priority == b->priority && a->type == b->type &&
               ice_candidate_equal(a, b) &&
               socket_address_is_set(&a->related) == socket_address_is_set(&b->related) &&
               (!socket_address_is_set(&a->related) || socket_address_equal(&a->related, &b->related));
}

static bool description_equal(const SdpDescription *a, const SdpDescription *b)
{
        if (!streq(a->ufrag, b->ufrag) || !streq(a->pwd, b->pwd) || a->trickle != b->trickle ||
            a->ice2 != b->ice2 || a->end_of_candidates != b->end_of_candidates || a->pacing != b->pacing ||
            a->session_id != b->session_id || a->session_version != b->session_version ||
            a->n_candidates != b->n_candidates)
                return false;
        for (size_t i = 0; i < a->n_candidates; i++)
                if (!candidate_equal(a->candidates + i, b->candidates + i))
                        return false;
        return true;
}

static void fuzz_text(const char *s, size_t size, bool fragment)
{
        int (*parse)(const char *s, size_t size, SdpDescription *ret,
                     char **ret_error) = fragment ? sdp_parse_fragment : sdp_parse_description;
        _cleanup_free_ char *error = NULL, *text = NULL;
        SdpDescription d, e;

        if (parse(s, size, &d, &error) < 0) {
                check(error && startswith(error, "line "));
                for (const char *p = error; *p; p++)
                        check(*p >= ' ' && *p < 127);
                return;
        }
        check((fragment ? sdp_format_fragment : sdp_format_description)(&d, &text) == 0);
        check(parse(text, strlen(text), &e, NULL) == 0);
        check(description_equal(&d, &e));
}

static void fuzz_candidate(const char *s, size_t size)
{
        char buf[SDP_CANDIDATE_STRLEN];
        IceCandidate c, d;

        if (sdp_parse_candidate(s, size, &c) <= 0)
                return;
        check(sdp_format_candidate(&c, buf) == 0);
        check(sdp_parse_candidate(buf, strlen(buf), &d) == 1);
        check(candidate_equal(&c, &d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        fuzz_text((const char *) data, size, /* fragment= */ false);
        fuzz_text((const char *) data, size, /* fragment= */ true);
        fuzz_candidate((const char *) data, size);
        return 0;
}

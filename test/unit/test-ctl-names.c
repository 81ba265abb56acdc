/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <locale.h>

#include "ctl-names.h"
#include "string-util.h"

#define PEER(link, key, ips)                                                                                \
        "{\"link\":\"" link "\",\"publicKey\":\"" key "\",\"state\":\"waiting\",\"path\":\"none\","         \
        "\"reason\":\"peer_silent\",\"allowedIPs\":[" ips "],\"rxBytes\":0,\"txBytes\":0}"

/* One key on two links, two that begin alike, one that is the beginning of another. */
static const char reply[] = "{\"peers\":[" PEER("wg0", "abcdef1=", "\"10.0.0.0/8\",\"fd00::1/128\"") "," PEER(
        "wg0", "abcxyz2=",
        "\"10.1.2.3/32\",\"7\",\"10.1.0.0/16\"") "," PEER("wg1", "abcdef1=",
                                                          "\"10.1.2.3/32\"") "," PEER("wg1", "Qrstuv3=",
                                                                                      "") "," PEER("wg1",
                                                                                                   "Qrstuv3",
                                                                                                   "\"192.0."
                                                                                                   "2.1/"
                                                                                                   "32\"") "]}";

static CtlPeers all(void)
{
        sd_json_variant *v = NULL;
        CtlPeers peers;

        cr_assert_geq(sd_json_parse(reply, 0, &v, NULL, NULL), 0);
        cr_assert_eq(ctl_peers_parse(v, &peers), 0);
        cr_assert_eq(peers.n, 5);
        sd_json_variant_unref(v);
        return peers;
}

/* expected: link/key of each that is left, in order. */
static void expect(const char *link, const char *name, CtlMatch match, const char *expected)
{
        CtlPeers peers = all();
        char *text = strdup("");

        cr_assert_eq(ctl_names_match(&peers, link, name), match, "%s %s", strna(link), strna(name));
        for (size_t i = 0; i < peers.n; i++) {
                char *longer = asprintf_safe("%s%s%s/%s", text, i > 0 ? " " : "", peers.items[i].link,
                                             peers.items[i].public_key);

                free(text);
                text = longer;
        }
        cr_assert_str_eq(text, expected, "%s %s: %s", strna(link), strna(name), text);
        free(text);
        ctl_peers_done(&peers);
}

Test(ctl_names, by_key)
{
        expect(NULL, "abcdef1=", CTL_MATCH_ONE, "wg0/abcdef1= wg1/abcdef1=");
        expect(NULL, "abcx", CTL_MATCH_ONE, "wg0/abcxyz2=");
        expect("wg1", "abcdef1=", CTL_MATCH_ONE, "wg1/abcdef1=");
        expect(NULL, "ABCX", CTL_MATCH_NONE, "");
        expect("wg1", "abcx", CTL_MATCH_NONE, "");
}

Test(ctl_names, a_beginning_has_to_be_unique)
{
        expect(NULL, "abc", CTL_MATCH_AMBIGUOUS, "wg0/abcdef1= wg0/abcxyz2= wg1/abcdef1=");
        expect("wg1", "abc", CTL_MATCH_ONE, "wg1/abcdef1=");
        expect(NULL, "Qrstuv", CTL_MATCH_AMBIGUOUS, "wg1/Qrstuv3 wg1/Qrstuv3=");
        expect(NULL, "Qrstuv3", CTL_MATCH_ONE, "wg1/Qrstuv3"); /* a whole key */
}

Test(ctl_names, by_address)
{
        expect(NULL, "fd00::1", CTL_MATCH_ONE, "wg0/abcdef1=");
        expect("wg0", "10.9.9.9", CTL_MATCH_ONE, "wg0/abcdef1=");
        expect("wg0", "10.1.9.9", CTL_MATCH_ONE, "wg0/abcxyz2="); /* the longest prefix */
        expect(NULL, "10.1.2.3", CTL_MATCH_AMBIGUOUS, "wg0/abcxyz2= wg1/abcdef1=");
        expect("wg1", "10.1.2.3", CTL_MATCH_ONE, "wg1/abcdef1=");
        expect(NULL, "192.0.2.2", CTL_MATCH_NONE, "");
        expect("wg0", "192.0.2.1", CTL_MATCH_NONE, "");
}

Test(ctl_names, by_link_alone)
{
        expect("wg0", NULL, CTL_MATCH_ONE, "wg0/abcdef1= wg0/abcxyz2=");
        expect("wg9", NULL, CTL_MATCH_NONE, "");
        expect(NULL, NULL, CTL_MATCH_ONE, "wg0/abcdef1= wg0/abcxyz2= wg1/Qrstuv3 wg1/Qrstuv3= wg1/abcdef1=");
}

static void expect_nearest(const char *s, bool beginning, const char *expected)
{
        static const char *const words[] = { "status", "peers", "peer", "history", "monitor" };
        const char *nearest = ctl_names_nearest(s, words, ELEMENTSOF(words), beginning);

        cr_assert(streq_ptr(nearest, expected), "%s: %s", s, strna(nearest));
}

Test(ctl_names, nearest)
{
        expect_nearest("stauts", false, "status");
        expect_nearest("PEER", false, "peer");
        expect_nearest("pears", false, "peers");
        expect_nearest("hist", false, NULL);
        expect_nearest("hist", true, "history");
        expect_nearest("mno", true, "monitor");
        expect_nearest("xyz", true, NULL);
        expect_nearest("x", true, NULL);
        expect_nearest("", true, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a host tells of its network, from what STUN servers have said. */

#include <criterion/criterion.h>

#include "link-mappings.h"
#include "manager.h"

static sd_event *event;
static Manager *manager;
static Link *link_;
static Mapping mappings[2];
static RendezvousOps ops;
static Rendezvous rendezvous = { .ops = &ops, .state = RENDEZVOUS_STATE_UP };

static void start(void)
{
        Config *config;

        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", "", 0, &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        cr_assert_eq(link_new(manager, "wg0", &link_), 0);
        manager->rendezvous[0] = &rendezvous;
        manager->n_rendezvous = 1;
        manager->addresses_known = true;
}

static void stop(void)
{
        link_->n_mappings = 0;
        manager->n_rendezvous = 0;
        manager = manager_free(manager);
        event = sd_event_unref(event);
}

TestSuite(link_mappings, .init = start, .fini = stop);

static void add(const char *ip, MappingKind kind)
{
        size_t i = manager->n_addresses++;

        cr_assert_eq(socket_address_from_ip(ip, 0, &manager->addresses[i]), 0);
        mappings[i] = (Mapping) {
                .local = manager->addresses[i], .kind = kind, .state = MAPPING_STATE_SETTLED, .n_servers = 1
        };
        link_->mappings[link_->n_mappings++] = &mappings[i];
}

static void expect(NetworkMapping ipv4, NetworkMapping ipv6)
{
        Network n = { .policy = POLICY_RELAY };

        link_mappings_describe(link_, &n);
        cr_assert_str_eq(network_mapping_to_string(n.ipv4), network_mapping_to_string(ipv4));
        cr_assert_str_eq(network_mapping_to_string(n.ipv6), network_mapping_to_string(ipv6));
        cr_assert_eq(n.policy, POLICY_RELAY);
}

Test(link_mappings, no_addresses)
{
        expect(NETWORK_ABSENT, NETWORK_ABSENT);
        manager->addresses_known = false;
        expect(NETWORK_UNKNOWN, NETWORK_UNKNOWN);
}

Test(link_mappings, families)
{
        add("10.0.0.1", MAPPING_VARIES);
        expect(NETWORK_VARIES, NETWORK_ABSENT);
        add("2001:db8::1", MAPPING_NONE);
        expect(NETWORK_VARIES, NETWORK_ENDPOINT_INDEPENDENT);
}

Test(link_mappings, kinds)
{
        add("10.0.0.1", MAPPING_ENDPOINT_INDEPENDENT);
        expect(NETWORK_ENDPOINT_INDEPENDENT, NETWORK_ABSENT);
        /* One server alone cannot tell. */
        mappings[0].kind = MAPPING_SINGLE;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
        mappings[0].kind = MAPPING_UNKNOWN;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
        /* An address that nobody was asked about. */
        link_->n_mappings = 0;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
}

/* That nothing answers is telling only if somebody was asked, and TCP gets through. */
Test(link_mappings, blocked)
{
        add("10.0.0.1", MAPPING_UNKNOWN);
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
        ops.uses_tcp = true;
        expect(NETWORK_BLOCKED, NETWORK_ABSENT);
        rendezvous.state = RENDEZVOUS_STATE_DOWN;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
        rendezvous.state = RENDEZVOUS_STATE_UP;
        mappings[0].state = MAPPING_STATE_ASKING;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
        mappings[0].state = MAPPING_STATE_SETTLED;
        mappings[0].n_servers = 0;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
}

/* Whichever address of a family is best decides. */
Test(link_mappings, best_of_several)
{
        ops.uses_tcp = true;
        add("10.0.0.1", MAPPING_UNKNOWN);
        add("10.1.0.1", MAPPING_VARIES);
        expect(NETWORK_VARIES, NETWORK_ABSENT);
        mappings[0].kind = MAPPING_NONE;
        expect(NETWORK_ENDPOINT_INDEPENDENT, NETWORK_ABSENT);
        mappings[0].kind = MAPPING_SINGLE;
        expect(NETWORK_UNKNOWN, NETWORK_ABSENT);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the broker's server does before it looks at anything: there are no links here, and no redirect. */

#include <stdlib.h>

#include "broker-varlink.h"
#include "oneway.h"
#include "varlink-service.h"

static char folder[] = "/tmp/test-broker-varlink.XXXXXX";
static char *address;
static sd_event *event;
static BrokerServer *server;

static void set_up(void)
{
        cr_assert_not_null(mkdtemp(folder));
        address = asprintf_safe("%s/socket", folder);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(broker_server_new(event, geteuid(), &server), 0);
        cr_assert_eq(broker_server_listen(server, address), 0);
}

/* Clients have closed their connections; the server has to see it, or they stay. */
static void tear_down(void)
{
        run_pending(event);
        server = broker_server_free(server);
        event = sd_event_unref(event);
        (void) unlink(address);
        (void) rmdir(folder);
        free(address);
}

TestSuite(broker_varlink, .init = set_up, .fini = tear_down, .timeout = 110);

Test(broker_varlink, refuses_who_wants_no_reply)
{
        oneway_is_refused_by(event, address, &vl_interface_org_icewire_Broker);
        oneway_is_refused_by(event, address, &vl_interface_io_systemd_service);
}

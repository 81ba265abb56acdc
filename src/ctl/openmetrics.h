/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>
#include <systemd/sd-json.h>

/* Metrics of icewired as OpenMetrics 1.0 text, which Prometheus and others read.
 *
 * "org.icewire.Agent.PeerReceivedBytes" becomes icewire_peer_received_bytes; a counter's samples end in
 * _total; USec becomes seconds; text becomes a label of a gauge that is 1. The object has the name of the
 * family's first word: {link="wg0",peer="…"}. */

/* families: replies of io.systemd.Metrics.Describe; metrics: of List. What makes no sense is left out.
 * -ENOMEM, -EIO. */
int openmetrics_print(FILE *f, sd_json_variant *families, sd_json_variant *metrics);

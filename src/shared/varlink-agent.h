/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-varlink-idl.h>

/* The interface org.icewire.Agent of icewired, in C: the source of truth. varlink/org.icewire.Agent.varlink
 * is its printed form, and a test compares the two. */

#define AGENT_VARLINK_ADDRESS "/run/icewire/org.icewire.Agent"

#define AGENT_ERROR_NO_SUCH_LINK "org.icewire.Agent.NoSuchLink"
#define AGENT_ERROR_NO_SUCH_PEER "org.icewire.Agent.NoSuchPeer"
#define AGENT_ERROR_CONFIGURATION_INVALID "org.icewire.Agent.ConfigurationInvalid"

extern const sd_varlink_interface vl_interface_org_icewire_Agent;

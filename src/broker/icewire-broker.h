/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* main() of icewire-broker; returns an exit status. */
int icewire_broker_run(int argc, char *argv[]);

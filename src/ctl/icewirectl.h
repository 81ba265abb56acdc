/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* main() of icewirectl; returns an exit status. */
int icewirectl_run(int argc, char *argv[]);

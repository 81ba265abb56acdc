/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* main() of icewired; returns an exit status. */
int icewired_run(int argc, char *argv[]);

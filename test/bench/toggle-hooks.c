/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Attaches and detaches BPF programs, by turns:
 *
 *     toggle-hooks NETNS LINK…
 *
 * NETNS LINK, as often as there are programs: the network namespace, and the ID of the link (BPF's) that
 * attaches one there, from which it is taken over, attached. Each line on stdin then says "attach" or
 * "detach"; one on stdout answers "done", the first to none. Ends with stdin, and leaves nothing attached.
 */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hook.h"

#define HOOKS_MAX 8

static void answer(void)
{
        puts("done");
        fflush(stdout);
}

int main(int argc, char *argv[])
{
        Hook hooks[HOOKS_MAX];
        char line[16];
        int n = (argc - 1) / 2;
        bool attached = true;

        if (argc % 2 == 0 || n < 1 || n > HOOKS_MAX)
                errx(EXIT_FAILURE, "usage: toggle-hooks NETNS LINK…");
        for (int i = 0; i < n; i++) {
                hooks[i] = hook_open(argv[2 * i + 2], netns_open(argv[2 * i + 1]), /* take_over= */ true);
                hook_attach(&hooks[i]);
        }
        for (answer(); fgets(line, sizeof(line), stdin); answer()) {
                bool attach = strcmp(line, "attach\n") == 0;

                for (int i = 0; i < n && attach != attached; i++)
                        (attach ? hook_attach : hook_detach)(&hooks[i]);
                attached = attach;
        }
        return EXIT_SUCCESS;
}

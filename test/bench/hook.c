/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hook.h"

#include <bpf/bpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

unsigned number(const char *text)
{
        char *end;
        unsigned long n;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno || end == text || *end || n > INT32_MAX)
                errx(EXIT_FAILURE, "no number: %s", text);
        return (unsigned) n;
}

int netns_open(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                err(EXIT_FAILURE, "%s", path);
        return fd;
}

void netns_enter(int netns)
{
        if (setns(netns, CLONE_NEWNET) < 0)
                err(EXIT_FAILURE, "setns");
}

Hook hook_open(const char *id, int netns, bool take_over)
{
        int link = bpf_link_get_fd_by_id(number(id));
        struct bpf_link_info info = {};
        __u32 size = sizeof(info);
        Hook hook;

        if (link < 0 || bpf_link_get_info_by_fd(link, &info, &size) < 0 || info.type != BPF_LINK_TYPE_TCX)
                err(EXIT_FAILURE, "no link of tcx: %s", id);
        hook = (Hook) {
                .program = bpf_prog_get_fd_by_id(info.prog_id),
                .ifindex = (int) info.tcx.ifindex,
                .type = info.tcx.attach_type,
                .netns = netns,
                .link = -1,
        };
        if (hook.program < 0 || (take_over && bpf_link_detach(link) < 0))
                err(EXIT_FAILURE, "the program of link %s", id);
        close(link);
        return hook;
}

void hook_attach(Hook *hook)
{
        netns_enter(hook->netns);
        hook->link = bpf_link_create(hook->program, hook->ifindex, hook->type, NULL);
        if (hook->link < 0)
                err(EXIT_FAILURE, "bpf_link_create");
}

void hook_detach(Hook *hook)
{
        close(hook->link);
        hook->link = -1;
}

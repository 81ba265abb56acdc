/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-peers.h"

#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"

void peer_configs_done(PeerConfigs *configs)
{
        configs->items = mfree(configs->items);
        configs->n = 0;
}

int peer_configs_copy(const PeerConfigs *configs, PeerConfigs *ret)
{
        PeerConfigs copy = { .n = configs->n };

        if (configs->n > 0) {
                copy.items = new (PeerConfig, configs->n);
                if (!copy.items)
                        return -ENOMEM;
                memcpy(copy.items, configs->items, sizeof(PeerConfig) * configs->n);
        }
        *ret = copy;
        return 0;
}

static PeerConfig *find(const PeerConfigs *configs, const WireguardKey *public_key)
{
        for (size_t i = 0; i < configs->n; i++)
                if (wireguard_key_equal(&configs->items[i].public_key, public_key))
                        return &configs->items[i];
        return NULL;
}

Policy peer_configs_policy(const PeerConfigs *configs, const WireguardKey *public_key)
{
        const PeerConfig *peer = find(configs, public_key) ?: find(configs, &(WireguardKey) {});

        return peer ? peer->policy : POLICY_AUTO;
}

void peer_sections_done(PeerSections *sections)
{
        sections->file = mfree(sections->file);
        sections->items = mfree(sections->items);
        sections->n = 0;
}

static int apply(const PeerSection *section, PeerConfigs *configs)
{
        PeerConfig *peer = find(configs, &section->public_key), *more;

        if (section->bad || (section->doubtful && !section->has_key) || !section->has_policy)
                return 0;
        if (peer) {
                peer->policy = section->policy;
                return 0;
        }
        more = reallocarray(configs->items, configs->n + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        configs->items = more;
        configs->items[configs->n++] = (PeerConfig) { section->public_key, section->policy };
        return 0;
}

static int compare_lines(const void *a, const void *b)
{
        const PeerSection *x = a, *y = b;

        return x->line < y->line ? -1 : x->line > y->line;
}

int peer_sections_end(PeerSections *sections, PeerConfigs *configs)
{
        int r = 0;

        if (sections->n > 1)
                qsort(sections->items, sections->n, sizeof(PeerSection), compare_lines);
        for (size_t i = 0; i < sections->n && r >= 0; i++)
                r = apply(&sections->items[i], configs);
        peer_sections_done(sections);
        return r;
}

static int begin_file(PeerSections *sections, PeerConfigs *configs, const char *file)
{
        int r;

        if (streq_ptr(sections->file, file))
                return 0;
        r = peer_sections_end(sections, configs);
        return r < 0 ? r : free_and_strdup(&sections->file, file);
}

int peer_sections_get(PeerSections *sections, PeerConfigs *configs, const char *file, unsigned line,
                      PeerSection **ret)
{
        PeerSection *more;
        int r;

        r = begin_file(sections, configs, file);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sections->n; i++)
                if (sections->items[i].line == line) {
                        *ret = &sections->items[i];
                        return 0;
                }
        more = reallocarray(sections->items, sections->n + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        sections->items = more;
        sections->items[sections->n] = (PeerSection) { .line = line };
        *ret = &sections->items[sections->n++];
        return 0;
}

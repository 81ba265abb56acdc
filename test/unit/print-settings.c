/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The settings of icewire.conf as lines of section, key, "word" or "list", form, default; "-" for no
 * default. For check-manual.py. */

#include <stdio.h>

#include "config-settings.h"

int main(void)
{
        for (size_t i = 0; config_setting(i); i++) {
                const ConfigSetting *s = config_setting(i);

                printf("%s\t%s\t%s\t%s\t%s\n", s->section, s->key, s->list ? "list" : "word", s->form,
                       s->preset ?: "-");
        }
        return 0;
}

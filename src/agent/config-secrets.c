/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-secrets.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log-event.h"
#include "string-util.h"

#define SECRET_MAX 4096

static void secret_source_done(SecretSource *source)
{
        source->path = mfree(source->path);
        source->file = mfree(source->file);
}

void secret_sources_done(SecretSources *sources)
{
        secret_source_done(&sources->mqtt_password);
        secret_source_done(&sources->turn_password);
        secret_source_done(&sources->turn_secret);
}

int secret_source_set(SecretSource *source, const char *path, const char *file, unsigned line)
{
        int r;

        r = free_and_strdup(&source->file, file);
        if (r < 0)
                return r;
        source->line = line;
        r = free_and_strdup(&source->path, isempty(path) ? NULL : path);
        return r < 0 ? r : 0;
}

/* A secret is its file's first line: editors and echo(1) end it with a newline. */
static int read_secret(const char *path, char **ret)
{
        char *text;
        int r;

        r = read_full_file(path, SECRET_MAX, &text, /* ret_size= */ NULL);
        if (r < 0)
                return r;
        erase(text + strcspn(text, "\r\n"), strlen(text + strcspn(text, "\r\n")));
        (void) erase_and_free_string(*ret);
        *ret = text;
        return 0;
}

/* systemd's LoadCredential= and its relatives. 1: there was one. */
static int load_credential(const char *name, char **ret, unsigned *n_problems)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL;
        int r;

        if (isempty(folder))
                return 0;
        path = asprintf_safe("%s/%s", folder, name);
        if (!path)
                return -ENOMEM;
        r = read_secret(path, ret);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                (*n_problems)++;
                log_event(LOG_WARNING, r, LOG_EVENT_SECRET_PROBLEM,
                          (LOG_FIELD("ICEWIRE_CREDENTIAL=%s", name)),
                          "Failed to read the credential %s, ignoring: %m", name);
                return 0;
        }
        return 1;
}

static int load_secret_file(const SecretSource *source, char **ret, unsigned *n_problems)
{
        struct stat st;
        int r;

        if (!source->path)
                return 0;
        if (stat(source->path, &st) >= 0 && (st.st_mode & S_IRWXO)) {
                (*n_problems)++;
                log_event(LOG_WARNING, 0, LOG_EVENT_SECRET_PROBLEM,
                          (LOG_FIELD("CONFIG_FILE=%s", source->file),
                           LOG_FIELD("CONFIG_LINE=%u", source->line)),
                          "%s:%u: Everybody on this host may read or write the secret in %s: chmod o= it.",
                          source->file, source->line, source->path);
        }
        r = read_secret(source->path, ret);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                (*n_problems)++;
                log_event(LOG_WARNING, r, LOG_EVENT_SECRET_PROBLEM,
                          (LOG_FIELD("CONFIG_FILE=%s", source->file),
                           LOG_FIELD("CONFIG_LINE=%u", source->line)),
                          "%s:%u: Failed to read the secret in %s, going without: %m", source->file,
                          source->line, source->path);
        }
        return 0;
}

static int load_secret(const char *credential, const SecretSource *source, char **ret, unsigned *n_problems)
{
        int r = load_credential(credential, ret, n_problems);

        return r != 0 ? r : load_secret_file(source, ret, n_problems);
}

int secrets_load(const SecretSources *sources, Config *config, unsigned *n_problems)
{
        int r;

        r = load_secret("mqtt.password", &sources->mqtt_password, &config->mqtt_password, n_problems);
        if (r < 0)
                return r;
        r = load_secret("turn.password", &sources->turn_password, &config->turn_password, n_problems);
        if (r < 0)
                return r;
        return load_secret("turn.secret", &sources->turn_secret, &config->turn_secret, n_problems);
}

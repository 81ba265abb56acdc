/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-secrets.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log-event.h"
#include "string-util.h"

#define SECRET_MAX 4096
/* A chain of certificates and a key, as PEM. */
#define IDENTITY_MAX (64 * 1024)

static void secret_source_done(SecretSource *source)
{
        source->path = mfree(source->path);
        source->file = mfree(source->file);
}

void secret_sources_done(SecretSources *sources)
{
        secret_source_done(&sources->mqtt_password);
        secret_source_done(&sources->mqtt_identity);
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

typedef enum SecretForm {
        SECRET_LINE, /* the file's first line: editors and echo(1) end it with a newline */
        SECRET_PEM,  /* the file */
} SecretForm;

static int read_secret(const char *path, SecretForm form, char **ret)
{
        char *text;
        int r;

        r = read_full_file(path, form == SECRET_PEM ? IDENTITY_MAX : SECRET_MAX, &text,
                           /* ret_size= */ NULL);
        if (r < 0)
                return r;
        if (form == SECRET_LINE)
                erase(text + strcspn(text, "\r\n"), strlen(text + strcspn(text, "\r\n")));
        (void) erase_and_free_string(*ret);
        *ret = text;
        return 0;
}

/* 1: there was one. */
static int load_credential_file(const char *folder, const char *prefix, const char *name, SecretForm form,
                                char **ret, unsigned *n_problems)
{
        _cleanup_free_ char *path = asprintf_safe("%s/%s%s", folder, prefix, name);
        int r;

        if (!path)
                return -ENOMEM;
        r = read_secret(path, form, ret);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                (*n_problems)++;
                log_event(LOG_WARNING, r, LOG_EVENT_SECRET_PROBLEM,
                          (LOG_FIELD("ICEWIRE_CREDENTIAL=%s%s", prefix, name)),
                          "Failed to read the credential %s%s, ignoring: %m", prefix, name);
                return 0;
        }
        return 1;
}

/* The unit's own, by LoadCredential= and its relatives, before the system's, which have our name in front
 * (systemd.system-credentials(7)). */
static int load_credential(const char *name, SecretForm form, char **ret, unsigned *n_problems)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        int r;

        if (isempty(folder))
                return 0;
        r = load_credential_file(folder, "", name, form, ret, n_problems);
        return r != 0 ? r : load_credential_file(folder, "icewire.", name, form, ret, n_problems);
}

static int load_secret_file(const SecretSource *source, SecretForm form, char **ret, unsigned *n_problems)
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
        r = read_secret(source->path, form, ret);
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

static int load_secret(const char *credential, const SecretSource *source, SecretForm form, char **ret,
                       unsigned *n_problems)
{
        int r = load_credential(credential, form, ret, n_problems);

        return r != 0 ? r : load_secret_file(source, form, ret, n_problems);
}

int secrets_load(const SecretSources *sources, Config *config, unsigned *n_problems)
{
        const struct {
                const char *credential;
                const SecretSource *source;
                SecretForm form;
                char **ret;
        } secrets[] = {
                { "mqtt.password", &sources->mqtt_password, SECRET_LINE, &config->mqtt_password },
                { "mqtt.identity", &sources->mqtt_identity, SECRET_PEM, &config->mqtt_identity },
                { "turn.password", &sources->turn_password, SECRET_LINE, &config->turn_password },
                { "turn.secret", &sources->turn_secret, SECRET_LINE, &config->turn_secret },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(secrets) && r >= 0; i++)
                r = load_secret(secrets[i].credential, secrets[i].source, secrets[i].form, secrets[i].ret,
                                n_problems);
        return MIN(r, 0);
}

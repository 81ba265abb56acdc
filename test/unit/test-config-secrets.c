/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-files.h"

/* Stands before the C library's, so that a test sees what is erased. */
static char erased[256];

static void note_erased(void *p, size_t n)
{
        if (n > 0 && n < sizeof(erased))
                memcpy(erased, p, n);
        erased[MIN(n, sizeof(erased) - 1)] = '\0';
        memset(p, 0, n);
        __asm__ volatile("" : : "r"(p) : "memory");
}

void explicit_bzero(void *p, size_t n)
{
        note_erased(p, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t size);
void __explicit_bzero_chk(void *p, size_t n, size_t size)
{
        note_erased(p, n);
}

static void use_secret_files(mode_t mode)
{
        char text[2048], path[512];

        put("/secret", "from file\nand more\n");
        snprintf(path, sizeof(path), "%s/secret", config_root);
        cr_assert_geq(chmod(path, mode), 0);
        snprintf(text, sizeof(text), "[Rendezvous]\nMQTTPasswordFile=%s\n[ICE]\nTURNPasswordFile=%s\n", path,
                 path);
        put("/etc/icewire/icewire.conf", text);
}

Test(config_secrets, secrets_from_files, .init = make_root, .fini = remove_root)
{
        Config *config;
        const char *log;
        Capture c;

        use_secret_files(0600);
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert_str_eq(log, "");
        cr_assert_str_eq(config->mqtt_password, "from file");
        cr_assert_str_eq(config->turn_password, "from file");
        config_free(config);
}

/* All of it, while a password is its file's first line. */
Test(config_secrets, an_identity_is_a_whole_file, .init = make_root, .fini = remove_root)
{
        char path[512], text[1024];
        Config *config, *copy = NULL;

        put("/identity", "one\ntwo\n");
        snprintf(path, sizeof(path), "%s/identity", config_root);
        cr_assert_geq(chmod(path, 0600), 0);
        snprintf(text, sizeof(text), "[Rendezvous]\nMQTTIdentityFile=%s\n", path);
        put("/etc/icewire/icewire.conf", text);
        config = load();
        cr_assert_str_eq(config->mqtt_identity, "one\ntwo\n");
        cr_assert_geq(config_copy(config, &copy), 0);
        cr_assert_str_eq(copy->mqtt_identity, "one\ntwo\n");
        cr_assert(config_rendezvous_equal(config, copy));
        copy->mqtt_identity[0] = 'O';
        cr_assert_not(config_rendezvous_equal(config, copy), "another one is a reason to connect anew");
        config_free(copy);
        config_free(config);
}

Test(config_secrets, an_open_secret_is_warned_of, .init = make_root, .fini = remove_root)
{
        Config *config;
        const char *log;
        Capture c;

        use_secret_files(0644);
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, "icewire.conf:2: Everybody on this host may read"), "%s", log);
        cr_assert(strstr(log, "icewire.conf:4: Everybody on this host may read"), "%s", log);
        cr_assert_not(strstr(log, "from file"));
        config_free(config);
}

Test(config_secrets, credentials_come_first, .init = make_root, .fini = remove_root)
{
        char path[512];
        Config *config;

        use_secret_files(0600);
        put("/credentials/mqtt.password", "from credential");
        snprintf(path, sizeof(path), "%s/credentials", config_root);
        setenv("CREDENTIALS_DIRECTORY", path, 1);
        config = load();
        cr_assert_str_eq(config->mqtt_password, "from credential");
        cr_assert_str_eq(config->turn_password, "from file");
        config_free(config);
        put("/credentials/icewire.mqtt.password", "from the system");
        put("/credentials/icewire.turn.password", "from the system");
        config = load();
        cr_assert_str_eq(config->mqtt_password, "from credential", "the unit's own first");
        cr_assert_str_eq(config->turn_password, "from the system");
        config_free(config);
}

Test(config_secrets, a_missing_secret_is_named, .init = make_root, .fini = remove_root)
{
        Config *config;
        const char *log;
        Capture c;

        put("/etc/icewire/icewire.conf", "[ICE]\nTURNPasswordFile=/nowhere/at/all\n");
        c = capture_start();
        config = load();
        log = capture_end(&c);
        cr_assert(strstr(log, "icewire.conf:2: Failed to read the secret in /nowhere/at/all"), "%s", log);
        cr_assert_null(config->turn_password);
        config_free(config);
}

static void load_secret_from(const char *text, const char *expected)
{
        Config *config, *copy = NULL;

        put("/etc/icewire/icewire.conf", text);
        config = load();
        cr_assert_str_eq(config->turn_secret, expected);
        cr_assert_eq(config->n_ice_servers, 1, "a secret is enough");
        cr_assert_eq(config_copy(config, &copy), 0);
        cr_assert(config_relay_credentials_equal(config, copy));
        cr_assert_str_eq(copy->turn_secret, expected);
        *copy->turn_secret = '!';
        cr_assert_not(config_relay_credentials_equal(config, copy));
        config_free(copy);
        config_free(config);
}

Test(config_secrets, relays_take_a_secret, .init = make_root, .fini = remove_root)
{
        char text[1024], path[512];

        put("/secret", "shared with the server\n");
        snprintf(path, sizeof(path), "%s/secret", config_root);
        cr_assert_geq(chmod(path, 0600), 0);
        snprintf(text, sizeof(text), "[ICE]\nTURNServers=turns:a\nTURNSecretFile=%s\n", path);
        load_secret_from(text, "shared with the server");

        put("/credentials/turn.secret", "of systemd");
        snprintf(path, sizeof(path), "%s/credentials", config_root);
        setenv("CREDENTIALS_DIRECTORY", path, 1);
        load_secret_from(text, "of systemd");
}

Test(config_secrets, secrets_are_erased, .init = make_root, .fini = remove_root)
{
        Config *config, *copy = NULL;

        use_secret_files(0600);
        config = load();
        cr_assert_eq(config_copy(config, &copy), 0);
        memset(erased, 0, sizeof(erased));
        config_free(config);
        cr_assert_str_eq(erased, "from file");
        memset(erased, 0, sizeof(erased));
        config_free(copy);
        cr_assert_str_eq(erased, "from file");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may do what, by the real polkit with the actions that we install, on a real bus with the policy that
 * we install, which has the rest closed as a system's bus has. icewired is on it as its own user; the
 * callers are nobody. */

#include "bus-client.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "agent-bus-internal.h"
#include "agent-varlink-internal.h"
#include "fd-util.h"
#include "nobody.h"
#include "one-link.h"
#include "varlink-agent.h"
#include "varlink-util.h"

#define POLKITD "/usr/lib/polkit-1/polkitd"
#define ICEWIRE_UID 4242
#define SOCKET SANDBOX_DIR "/varlink"

#define PEER_1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PEER_1_PATH "/org/icewire1/peer/wg0/AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_3d"
#define MANAGER "org.icewire1.Manager"
#define PEER "org.icewire1.Peer"
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* As /usr/share/dbus-1/system.conf. */
#define CLOSED_BUS                                                                                          \
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"              \
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"                               \
        "<busconfig><type>system</type><listen>" BUS_ADDRESS "</listen><auth>EXTERNAL</auth>\n"             \
        "<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/><deny send_type=\"method_call\"/>" \
        "<allow send_type=\"signal\"/><allow send_requested_reply=\"true\" send_type=\"method_return\"/>"   \
        "<allow send_requested_reply=\"true\" send_type=\"error\"/><allow receive_type=\"method_call\"/>"   \
        "<allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>"                            \
        "<allow receive_type=\"signal\"/><allow send_destination=\"org.freedesktop.DBus\"/></policy>"       \
        "<include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>"                     \
        "<include>%s/dbus/org.icewire1.conf</include></busconfig>\n"

#define RULES                                                                                               \
        "polkit.addRule(function(action, subject) {\n"                                                      \
        "  if (subject.user != 'nobody') return polkit.Result.NOT_HANDLED;\n"                               \
        "  if (action.id == 'org.icewire1.set-policy') return polkit.Result.YES;\n"                         \
        "  if (action.id == 'org.icewire1.diagnose') return polkit.Result.YES;\n"                           \
        "  if (action.id == 'org.icewire1.reload') return polkit.Result.NO;\n"                              \
        "  return polkit.Result.NOT_HANDLED;\n"                                                             \
        "});\n"

static SystemBus *system_bus;
static Authority *authority;
static AgentBus *agent_bus;
static AgentVarlink *agent_varlink;
static BusClient client;
static pid_t polkit_pid;

static void add_user(void)
{
        _cleanup_free_ char *passwd = NULL, *with_us = NULL;

        cr_assert_geq(read_full_file("/etc/passwd", 1024 * 1024, &passwd, NULL), 0);
        with_us = asprintf_safe("%sicewire:x:%u:%u::/:/usr/sbin/nologin\n", passwd, ICEWIRE_UID,
                                ICEWIRE_UID);
        sandbox_replace("/etc/passwd", with_us);
}

static void start_bus(void)
{
        _cleanup_free_ char *text = asprintf_safe(CLOSED_BUS, getenv("ICEWIRE_BUILD"));

        sandbox_write(SANDBOX_DIR "/bus.conf", text);
        bus_start();
        sd_bus_close_unref(bus_client()); /* it is there */
}

static void start_polkit(void)
{
        static const char *const argv[] = { POLKITD, "--no-debug", NULL };

        sandbox_shell("mount -t tmpfs -o mode=0755 tmpfs /usr/share/polkit-1/actions &&"
                      "mount -t tmpfs -o mode=0755 tmpfs /etc/polkit-1/rules.d &&"
                      "cp %s/polkit/org.icewire1.policy /usr/share/polkit-1/actions",
                      getenv("ICEWIRE_BUILD"));
        sandbox_write("/etc/polkit-1/rules.d/10-test.rules", RULES);
        polkit_pid = bus_spawn(argv);
}

/* Waits, which only a test may; else the bus would answer for it that there is none. */
static void wait_for_polkit(void)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        sd_bus *bus = bus_client();

        while (sd_bus_get_name_creds(bus, "org.freedesktop.PolicyKit1", 0, NULL) < 0) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "polkitd does not start");
                cr_assert_eq(waitpid(polkit_pid, NULL, WNOHANG), 0, "polkitd has ended");
                usleep(10 * USEC_PER_MSEC);
        }
        sd_bus_close_unref(bus);
}

static void start(void)
{
        sandbox_need_root();
        if (access(POLKITD, X_OK) < 0)
                cr_skip_test("there is no polkitd");
        bus_set_up();
        add_user();
        start_bus();
        start_polkit();
        one_link_set_up();
        broker.connected = false; /* nobody waits for counters */
        cr_assert_eq(seteuid(ICEWIRE_UID), 0);
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
        cr_assert_eq(seteuid(0), 0);
        cr_assert_eq(authority_new(system_bus, &authority), 0);
        cr_assert_geq(agent_bus_new(event, system_bus, verbs, authority, &agent_bus), 0);
        cr_assert_geq(agent_varlink_new(event, verbs, authority, SOCKET, &agent_varlink), 0);
        wait_for_polkit();
        bus_client_open(&client, event, BUS_NOBODY);
}

static void stop(void)
{
        bus_client_close(&client);
        agent_varlink = agent_varlink_free(agent_varlink);
        agent_bus = agent_bus_free(agent_bus);
        authority = authority_free(authority);
        system_bus = system_bus_free(system_bus);
        bus_end(&polkit_pid);
        bus_stop();
        one_link_tear_down();
}

TestSuite(agent_polkit, .init = start, .fini = stop, .timeout = 60);

static Policy policy_of_peer(void)
{
        WireguardKey key = { .bytes = { 1 } };

        return link_find_peer(manager_find_link(manager, "wg0"), &key)->policy;
}

Test(agent_polkit, decides_on_the_bus)
{
        bus_client_call(&client, PEER_1_PATH, PROPERTIES, "GetAll", "s", PEER);
        EXPECT_BUS_SUCCESS(&client);
        bus_client_call(&client, PEER_1_PATH, PEER, "SetPolicy", "s", "off");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(policy_of_peer(), POLICY_OFF);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "SetPolicy", "sss", "", PEER_1, "direct");
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(policy_of_peer(), POLICY_DIRECT);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Diagnose", NULL);
        EXPECT_BUS_SUCCESS(&client);

        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reload", NULL);
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_ACCESS_DENIED);
        cr_assert_eq(n_reloads, 0);
        bus_client_call(&client, PEER_1_PATH, PEER, "Reconnect", NULL);
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);
        bus_client_call(&client, "/org/freedesktop/LogControl1", PROPERTIES, "Set", "ssv",
                        "org.freedesktop.LogControl1", "LogLevel", "s", "debug");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);
        cr_assert_eq(log_get_max_level(), LOG_ERR);

        /* What is wrong anyway is said without asking. */
        bus_client_call(&client, PEER_1_PATH, PEER, "SetPolicy", "s", "nonsense");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reconnect", "ss", "sixteen-letters-", "");
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchLink");
        bus_client_call(&client, "/org/freedesktop/LogControl1", PROPERTIES, "Set", "ssvs",
                        "org.freedesktop.LogControl1", "LogLevel", "s", "debug", "and more");
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_INVALID_ARGS);
}

Test(agent_polkit, root_needs_no_permission)
{
        bus_client_close(&client);
        bus_end(&polkit_pid);
        bus_client_open(&client, event, 0);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reload", NULL);
        EXPECT_BUS_SUCCESS(&client);
        bus_client_close(&client);
        bus_client_open(&client, event, BUS_NOBODY);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Reload", NULL);
        EXPECT_BUS_ERROR(&client, SD_BUS_ERROR_ACCESS_DENIED);
        cr_assert_not_null(
                strstr(sd_bus_message_get_error(client.answer)->message, "polkit does not answer"));
        cr_assert_eq(n_reloads, 1);
}

/* The name is for our user alone. */
Test(agent_polkit, others_cannot_have_the_name)
{
        bus_client_close(&client);
        agent_bus = agent_bus_free(agent_bus);
        agent_varlink = agent_varlink_free(agent_varlink);
        authority = authority_free(authority);
        system_bus = system_bus_free(system_bus);
        client.bus = bus_client_as(BUS_NOBODY);
        cr_assert_eq(sd_bus_request_name(client.bus, AGENT_BUS_NAME, 0), -EACCES);
}

Test(agent_polkit, who_leaves_the_bus_is_forgotten)
{
        cr_assert_eq(kill(polkit_pid, SIGSTOP), 0);
        bus_client_send(&client, false, PEER_1_PATH, PEER, "SetPolicy", "s", "off");
        RUN_UNTIL(event, agent_bus->calls);
        bus_client_close(&client);
        RUN_UNTIL(event, !agent_bus->calls);
        cr_assert_eq(kill(polkit_pid, SIGCONT), 0);

        bus_client_open(&client, event, BUS_NOBODY);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Diagnose", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(policy_of_peer(), POLICY_AUTO);
}

/* The peer is another one by the time that polkit has answered. */
Test(agent_polkit, what_is_asked_about_may_go)
{
        cr_assert_eq(kill(polkit_pid, SIGSTOP), 0);
        bus_client_send(&client, false, PEER_1_PATH, PEER, "SetPolicy", "s", "off");
        RUN_UNTIL(event, agent_bus->calls);
        broker.callbacks->link_removed(&broker, "wg0", manager);
        run_pending(event);
        cr_assert_eq(kill(polkit_pid, SIGCONT), 0);
        RUN_UNTIL(event, client.n_answers == 1);
        EXPECT_BUS_ERROR(&client, "org.icewire1.Error.NoSuchPeer");
}

/* ---- Varlink ---- */

static const NobodysCall expected[] = {
        { "org.icewire.Agent.Describe", NULL, NULL },
        { "org.icewire.Agent.SetPolicy", "{\"peer\":\"" PEER_1 "\",\"policy\":\"relay\"}", NULL },
        { "org.icewire.Agent.Reload", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "io.systemd.service.Reload", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.Reconnect", NULL, SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED },
        { "io.systemd.service.SetLogLevel", "{\"level\":7}",
          SD_VARLINK_ERROR_INTERACTIVE_AUTHENTICATION_REQUIRED },
        { "org.icewire.Agent.Diagnose", NULL, NULL },
        /* Each call is asked about. */
        { "org.icewire.Agent.SetPolicy", "{\"peer\":\"" PEER_1 "\",\"policy\":\"off\"}", NULL },
        { "org.icewire.Agent.Reload", "{\"allowInteractiveAuthentication\":true}",
          SD_VARLINK_ERROR_PERMISSION_DENIED },
};

static int run_as_nobody(void)
{
        return nobody_calls(SOCKET, expected, ELEMENTSOF(expected));
}

Test(agent_polkit, decides_over_varlink)
{
        int status;

        nobody_run(event, run_as_nobody, &status);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0, "%d: %s", status,
                     (size_t) status <= ELEMENTSOF(expected) ? expected[status - 1].method : "?");
        cr_assert_eq(n_reloads, 0);
        cr_assert_eq(policy_of_peer(), POLICY_OFF);
        cr_assert_eq(log_get_max_level(), LOG_ERR);
}

static int ask_for_what_goes(void)
{
        static const NobodysCall one[] = {
                { "org.icewire.Agent.SetPolicy",
                  "{\"link\":\"wg0\",\"peer\":\"" PEER_1 "\",\"policy\":\"off\"}",
                  AGENT_ERROR_NO_SUCH_LINK },
        };

        return nobody_calls(SOCKET, one, ELEMENTSOF(one));
}

/* The call runs again when polkit has allowed it, and finds what there is by then. */
Test(agent_polkit, what_is_asked_about_over_varlink_may_go)
{
        int status;

        cr_assert_eq(kill(polkit_pid, SIGSTOP), 0);
        nobody_run(event, ask_for_what_goes, &status);
        RUN_UNTIL(event, agent_varlink->connections && agent_varlink->connections->question);
        broker.callbacks->link_removed(&broker, "wg0", manager);
        run_pending(event);
        cr_assert_eq(kill(polkit_pid, SIGCONT), 0);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0);
}

/* Sends what polkit allows and wants no reply, and what it does not allow behind it: at once, or (`later`)
 * when polkit's answer to the first has come. The latter's error is the exit status, 0: as it should be. */
static int ask_for_no_reply(bool later)
{
        sd_json_variant *parameters = NULL, *reply;
        const char *error = NULL;
        sd_varlink *link = NULL;
        sd_bus *bus = NULL;

        (void) sd_json_parse("{\"peer\":\"" PEER_1 "\",\"policy\":\"relay\"}", 0, &parameters, NULL, NULL);
        if (!nobody_connect(SOCKET, &link) || sd_bus_open_system(&bus) < 0)
                return 1;
        for (unsigned i = 0; i < 2; i++)
                if (sd_varlink_send(link, "org.icewire.Agent.Diagnose", NULL) < 0 ||
                    sd_varlink_send(link, "org.icewire.Agent.SetPolicy", parameters) < 0)
                        return 2;
        if (sd_varlink_flush(link) < 0)
                return 3;
        if (later &&
            (sd_varlink_call(link, "org.icewire.Agent.Describe", NULL, &reply, &error) < 0 || error ||
             sd_bus_call_method(bus, AGENT_BUS_NAME, MANAGER_PATH, MANAGER, "Diagnose", NULL, NULL, NULL) <
                     0))
                return 4;
        (void) sd_varlink_call(link, "org.icewire.Agent.Reload", NULL, &reply, &error);
        return streq_ptr(error, SD_VARLINK_ERROR_PERMISSION_DENIED) ? 0 : 5;
}

static int ask_for_no_reply_at_once(void)
{
        return ask_for_no_reply(/* later= */ false);
}

static int ask_for_no_reply_before(void)
{
        return ask_for_no_reply(/* later= */ true);
}

/* One verdict is not another call's. */
Test(agent_polkit, who_wants_no_reply_gets_nothing_done)
{
        int (*const children[])(void) = { ask_for_no_reply_at_once, ask_for_no_reply_before };

        for (size_t i = 0; i < ELEMENTSOF(children); i++) {
                int status;

                nobody_run(event, children[i], &status);
                RUN_UNTIL(event, status >= 0 && !agent_varlink->connections);
                cr_assert_eq(status, 0, "%zu: %d", i, status);
                cr_assert_eq(n_reloads, 0);
                cr_assert_eq(policy_of_peer(), POLICY_AUTO);
        }
}

/* Several at once are no more than none, also if the caller goes. */
static int ask_for_no_replies_and_hang_up(void)
{
        sd_varlink *link = NULL;

        if (!nobody_connect(SOCKET, &link))
                return 1;
        for (unsigned i = 0; i < 8; i++)
                if (sd_varlink_send(link, "org.icewire.Agent.Diagnose", NULL) < 0 ||
                    sd_varlink_send(link, "io.systemd.service.Reload", NULL) < 0)
                        return 2;
        if (sd_varlink_flush(link) < 0)
                return 3;
        sd_varlink_close_unref(link);
        return 0;
}

Test(agent_polkit, who_wants_no_reply_is_not_asked_about)
{
        bool asked = false;
        int status;

        cr_assert_eq(kill(polkit_pid, SIGSTOP), 0);
        nobody_run(event, ask_for_no_replies_and_hang_up, &status);
        RUN_UNTIL(event, ({
                          asked |= agent_varlink->connections && agent_varlink->connections->question;
                          status >= 0 && !agent_varlink->connections;
                  }));
        cr_assert_eq(kill(polkit_pid, SIGCONT), 0);
        cr_assert_eq(status, 0);
        cr_assert_not(asked);
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Diagnose", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(n_reloads, 0);
}

/* The call goes on as it was: with several replies. */
static int ask_for_several_replies(void)
{
        sd_json_variant *replies;
        const char *error = NULL;
        sd_varlink *link = NULL;

        if (!nobody_connect(SOCKET, &link) ||
            sd_varlink_collect(link, "org.icewire.Agent.Diagnose", NULL, &replies, &error) < 0 || error)
                return 1;
        return sd_json_variant_elements(replies) > 0 ? 0 : 2;
}

Test(agent_polkit, decides_about_several_replies)
{
        int status;

        nobody_run(event, ask_for_several_replies, &status);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0, "%d", status);
}

/* Asks for what polkit will think about, and goes. */
static int ask_and_hang_up(void)
{
        sd_json_variant *parameters = NULL;
        sd_varlink *link = NULL;

        (void) sd_json_parse("{\"peer\":\"" PEER_1 "\",\"policy\":\"relay\"}", 0, &parameters, NULL, NULL);
        if (!nobody_connect(SOCKET, &link) ||
            sd_varlink_invoke(link, "org.icewire.Agent.SetPolicy", parameters) < 0 ||
            sd_varlink_flush(link) < 0)
                return 1;
        sd_varlink_close_unref(link);
        return 0;
}

Test(agent_polkit, who_hangs_up_is_forgotten)
{
        int status;

        cr_assert_eq(kill(polkit_pid, SIGSTOP), 0);
        nobody_run(event, ask_and_hang_up, &status);
        RUN_UNTIL(event, agent_varlink->connections && agent_varlink->connections->question);
        RUN_UNTIL(event, !agent_varlink->connections);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0);
        cr_assert_eq(kill(polkit_pid, SIGCONT), 0);

        /* Its answer, if it comes, comes before this one. */
        bus_client_call(&client, MANAGER_PATH, MANAGER, "Diagnose", NULL);
        EXPECT_BUS_SUCCESS(&client);
        cr_assert_eq(policy_of_peer(), POLICY_AUTO);
}

/* ---- A person who is asked ---- */

/* What a desktop is for polkit: it shows a dialogue, and takes it away. */
static bool dialogue_is_shown;

static int on_begin(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        dialogue_is_shown = true;
        return 1; /* the person thinks */
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        dialogue_is_shown = false;
        return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable dialogue_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("BeginAuthentication", "sssa{ss}sa(sa{sv})", "", on_begin, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("CancelAuthentication", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* When this process was started, as polkit wants it: proc_pid_stat(5), field 22. */
static uint64_t start_time(void)
{
        _cleanup_free_ char *stat = NULL;
        uint64_t t = 0;

        if (read_full_file("/proc/self/stat", 4096, &stat, NULL) >= 0)
                (void) sscanf(strrchr(stat, ')') + 1,
                              " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                              "%" SCNu64,
                              &t);
        return t;
}

static sd_bus *register_dialogue(void)
{
        sd_bus *bus = NULL;

        if (sd_bus_open_system(&bus) < 0 ||
            sd_bus_add_object_vtable(bus, NULL, "/dialogue",
                                     "org.freedesktop.PolicyKit1.AuthenticationAgent", dialogue_vtable,
                                     NULL) < 0 ||
            sd_bus_call_method(bus, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                               "org.freedesktop.PolicyKit1.Authority", "RegisterAuthenticationAgent", NULL,
                               NULL, "(sa{sv})ss", "unix-process", 3, "pid", "u", (uint32_t) getpid(),
                               "start-time", "t", start_time(), "uid", "i", (int32_t) BUS_NOBODY, "C",
                               "/dialogue") < 0)
                return NULL;
        return bus;
}

static bool wait_for_dialogue(sd_bus *bus, bool shown)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE / 2;

        while (dialogue_is_shown != shown && now(CLOCK_MONOTONIC) < end) {
                int r = sd_bus_process(bus, NULL);

                if (r < 0 || (r == 0 && sd_bus_wait(bus, USEC_PER_SEC) < 0))
                        return false;
        }
        return dialogue_is_shown == shown;
}

/* Allows that somebody is asked, and hangs up while the dialogue is there. */
static int ask_a_person_and_hang_up(void)
{
        sd_json_variant *parameters = NULL;
        sd_varlink *link = NULL;
        sd_bus *bus;

        if (setgid(BUS_NOBODY) < 0 || setuid(BUS_NOBODY) < 0)
                return 1;
        bus = register_dialogue();
        if (!bus)
                return 2;
        (void) sd_json_parse("{\"allowInteractiveAuthentication\":true}", 0, &parameters, NULL, NULL);
        if (sd_varlink_connect_address(&link, SOCKET) < 0 ||
            sd_varlink_invoke(link, "org.icewire.Agent.Reconnect", parameters) < 0 ||
            sd_varlink_flush(link) < 0)
                return 3;
        if (!wait_for_dialogue(bus, true))
                return 4;
        sd_varlink_close_unref(link);
        return wait_for_dialogue(bus, false) ? 0 : 5;
}

Test(agent_polkit, a_person_is_asked_and_spared)
{
        int status;

        nobody_run(event, ask_a_person_and_hang_up, &status);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0, "%d", status);
}

/* The actions are those that we ask about, and are written as polkit wants them. */
Test(agent_polkit, knows_our_actions)
{
        static const char *const actions[] = { AUTHORITY_RECONNECT, AUTHORITY_SET_POLICY, AUTHORITY_RELOAD,
                                               AUTHORITY_SET_LOG_LEVEL, AUTHORITY_DIAGNOSE };
        _cleanup_free_ char *known = NULL;

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                sandbox_shell("pkaction --verbose --action-id %s >" SANDBOX_DIR "/action.log &&"
                              "grep -q 'policykit.owner -> unix-user:icewire$' " SANDBOX_DIR "/action.log",
                              actions[i]);
        sandbox_shell("pkaction | wc -l >" SANDBOX_DIR "/count");
        cr_assert_geq(read_full_file(SANDBOX_DIR "/count", 64, &known, NULL), 0);
        cr_assert_eq(atoi(known), ELEMENTSOF(actions));
        sandbox_shell("xmllint --nonet --noout --dtdvalid /usr/share/polkit-1/policyconfig-1.dtd "
                      "/usr/share/polkit-1/actions/org.icewire1.policy 2>" SANDBOX_DIR "/xmllint.log");
}

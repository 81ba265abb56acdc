# SPDX-License-Identifier: LGPL-2.1-or-later
"""What icewirectl does: errors and exit statuses, JSON, the pager, authentication."""

import json
import os
import sys
import unittest

import world
from ctl import ICEWIRECTL, Test
from server import HangUp, Refusal

FAILURE, USAGE, PERMISSION, NOT_RUNNING = 1, 2, 4, 7
AUTHENTICATION = "io.systemd.InteractiveAuthenticationRequired"
DENIED = "org.varlink.service.PermissionDenied"


def refuse(error, **parameters):
    def method(_):
        raise Refusal(error, **parameters)
    return method


class Errors(Test):
    def test_not_running(self):
        self.assertIn("No icewired listens at", self.fails(NOT_RUNNING, "status"))
        address = "/run/icewire/org.icewire.Agent"
        if os.path.exists(address):
            self.skipTest("icewired is running here")
        self.assertEqual(self.fails(NOT_RUNNING, "status", f"--socket={address}"),
                         "icewired is not running: systemctl start icewired\n")

    def test_command_line(self):
        for argv, words in (
                (["stauts"], "did you mean \"status\"?"), (["stat"], "did you mean \"status\"?"),
                (["frobnicate"], "see icewirectl --help"), (["peer"], "Too few arguments: icewirectl peer [LINK] PEER"),
                (["status", "wg0"], "Too many arguments: icewirectl status"), (["--frobnicate"], "unrecognized option"),
                (["--json=yaml", "status"], "pretty, short or off"), (["--json"], "requires an argument"),
                (["policy", "abc", "always"], "A policy is auto, direct, relay or off")):
            with self.subTest(argv=argv), self.serve(world.ten()) as server:
                self.assertIn(words, self.fails(USAGE, *argv))
                self.assertEqual(server.calls, [])

    def test_unknown_peers(self):
        key = world.key("relayed 8")
        for argv, words in (
                (["peer", key[0].swapcase() + key[1:6]], f"Did you mean {key[:8]}?"),
                (["peer", key[:9] + "!" + key[10:]], f"Did you mean {key}?"),
                (["peer", "nobody"], "icewirectl peers lists all"),
                (["peers", "wg0", "nobody"], "There is no peer \"nobody\" on link wg0"),
                (["peers", "wg7", key], "There is no link \"wg7\", only wg0"),
                (["peer", "10.9.9.9"], "No peer has 10.9.9.9 among its allowed IPs"),
                (["history", "nobody"], "There is no peer \"nobody\""),
                (["reconnect", "nobody"], "There is no peer \"nobody\"")):
            with self.subTest(argv=argv), self.serve(world.ten()) as server:
                self.assertIn(words, self.fails(FAILURE, *argv))
                self.assertNotIn("Reconnect", [method for method, _ in server.calls])

    def test_an_ambiguous_peer(self):
        w = world.World([world.direct(1, publicKey="abcdefgh1"), world.direct(2, publicKey="abcdefgh2")])
        for argv in (["peer", "abc"], ["peers", "abc"], ["reconnect", "abc"], ["policy", "abc", "off"]):
            with self.subTest(argv=argv), self.serve(w) as server:
                self.assertIn("\"abc\" may be any of 2 peers: abcdefgh1 on wg0, abcdefgh2 on wg0", self.fails(FAILURE, *argv))
                self.assertEqual([method for method, _ in server.calls if not method.startswith("List")], [])

    def test_refusals(self):
        for error, status, words in (
                (DENIED, PERMISSION, "action org.icewire1.reload): try it with sudo"),
                (AUTHENTICATION, PERMISSION, "needs authentication (polkit's action org.icewire1.reload)"),
                ("org.icewire.Agent.ConfigurationInvalid", FAILURE, "line 7"),
                ("org.varlink.service.MethodNotFound", FAILURE, "too old"),
                ("org.varlink.service.InvalidParameter", FAILURE, "does not take \"x\""), ("org.example.Odd", FAILURE, "org.example.Odd")):
            with self.subTest(error=error), self.serve(world.ten(), Reload=refuse(error, message="line 7", parameter="x")):
                self.assertIn(words, self.fails(status, "reload"))

    def test_what_is_no_answer(self):
        w = world.ten()
        w.peers[0]["rxBytes"] = -1
        with self.serve(w):
            self.assertIn("not understood", self.fails(FAILURE, "peers"))

    def test_a_full_disk(self):
        with self.serve(world.ten()), open("/dev/full", "w", encoding="utf-8") as full:
            pid = os.posix_spawn(ICEWIRECTL, [ICEWIRECTL, f"--socket={self.socket}", "status"], os.environ,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, full.fileno(), 1)])
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), FAILURE)


class Verbs(Test):
    def _calls(self, *argv, peers=None, **methods):
        w = world.World(peers or world.ten_peers())
        with self.serve(w, **methods) as server:
            self.assertEqual(self.ctl(*argv), "")
            return [(method, parameters) for method, parameters in server.calls if not method.startswith("List")]

    def test_reconnect(self):
        key = world.key("relayed 8")
        asked = [("Reconnect", {"link": "wg0", "peer": key})]
        self.assertEqual(self._calls("reconnect"), [("Reconnect", {})])
        self.assertEqual(self._calls("reconnect", key), asked)
        self.assertEqual(self._calls("reconnect", "wg0", key[:8]), asked)
        self.assertEqual(self._calls("reconnect", "10.0.0.8"), asked)
        self.assertEqual(len(self._calls("reconnect", "wg0")), 10)

    def test_policy(self):
        key = world.key("relayed 8")
        asked = [("SetPolicy", {"link": "wg0", "peer": key, "policy": "direct"})]
        self.assertEqual(self._calls("policy", key, "direct"), asked)
        self.assertEqual(self._calls("policy", "wg0", "10.0.0.8", "direct"), asked)

    def test_a_key_on_two_links(self):
        peers = [world.direct(1), world.direct(1, link="wg1")]
        calls = self._calls("policy", world.key("direct 1"), "off", peers=peers)
        self.assertEqual([parameters["link"] for _, parameters in calls], ["wg0", "wg1"])

    def test_reload(self):
        self.assertEqual(self._calls("reload"), [("Reload", {})])
        self.assertEqual(self.stderr, "")
        self._calls("reload", Reload=lambda _: {"problems": 3})
        self.assertIn("3 of its secrets, which are missing", self.stderr)

    def test_version(self):
        self.assertRegex(self.ctl("--version"), r"^icewire \d+\.\d+\.\d+\n$")

    def test_monitor(self):
        w = world.ten()
        w.events = [{"event": "link_changed", "link": world.link(peers=2, connected=1)},
                    {"event": "rendezvous_changed", "rendezvous": world.rendezvous("multicast", "down", error="no uplink")},
                    {"event": "peer_changed", "peer": world.relayed(8)}, {"event": "ready"},
                    {"event": "peer_changed", "peer": world.silent(10)}, {"event": "peer_removed", "peer": world.silent(10)}]
        with self.serve(w):
            lines = [line.split(" ", 1) for line in self.ctl("monitor").splitlines()]
            short = [json.loads(line) for line in self.ctl("--json=short", "monitor").splitlines()]
            pretty = self.ctl("--json=pretty", "monitor")
        for time, _ in lines:
            self.assertRegex(time, r"^\d\d:\d\d:\d\d$")
        relayed, silent = world.key("relayed 8")[:12], world.key("silent 10")[:12]
        self.assertEqual([text for _, text in lines], [
            "wg0: kernel, 1 of 2 peers connected", "rendezvous multicast: down: no uplink",
            f"wg0 peer {relayed}…: connected, relayed/tls by relay 192.0.2.5:49160 → srflx 203.0.113.8:4500",
            "That is how it stands; changes follow.", f"wg0 peer {silent}…: waiting: {world.TEXTS['peer_silent']}",
            f"wg0 peer {silent}…: removed"])
        self.assertEqual(short, w.events)
        decoder, values = json.JSONDecoder(), []
        while pretty.strip():
            value, end = decoder.raw_decode(pretty.lstrip())
            values.append(value)
            pretty = pretty.lstrip()[end:]
        self.assertEqual(values, w.events)


class Json(Test):
    def test_every_verb_that_shows_something(self):
        w = world.ten()
        key = world.key("relayed 8")
        w.history = [{"link": "wg0", "publicKey": p["publicKey"], "changes": []} for p in w.peers]
        whole = {**w.description, "links": w.links, "peers": w.peers}
        one = [p for p in w.peers if p["publicKey"] == key]
        for argv, expected in (
                (["status"], whole), ([], whole), (["peers"], w.peers), (["peers", "wg0", key[:8]], one), (["peer", key], [world.details(p) for p in one]),
                (["history"], w.history), (["history", key], [h for h in w.history if h["publicKey"] == key]),
                (["diagnose"], w.methods()["Diagnose"]({})), (["reload"], {"problems": 0})):
            with self.subTest(argv=argv), self.serve(w):
                short = self.ctl("--json=short", *argv)
                self.assertEqual(json.loads(short), expected)
                self.assertEqual(short.count("\n"), 1)
                self.assertEqual(self.ctl("-j", *argv), short)
                pretty = self.ctl("--json=pretty", *argv)
                self.assertEqual(json.loads(pretty), expected)
                if expected != {"problems": 0}:
                    self.assertGreater(pretty.count("\n"), 3)

    def test_off(self):
        with self.serve(world.ten()):
            self.assertEqual(self.ctl("-j", "--json=off", "status"), self.ctl("status"))

    def test_no_colours_in_a_pipe(self):
        with self.serve(world.ten()):
            self.assertNotIn("\033", self.ctl("--json=pretty", "status") + self.ctl("status"))


class Terminal(Test):
    def test_adapts(self):
        with self.serve(world.ten()):
            for columns in (60, 80, 120):
                expected = self.ctl("status", COLUMNS=str(columns), LINES="24")
                self.assertEqual(self.terminal("status", columns=columns, NO_COLOR="1"), expected)

    def test_colours(self):
        with self.serve(world.ten()):
            self.assertIn("\033[", self.terminal("status"))
            for argv, env in ((["--no-colors"], {}), ([], {"NO_COLOR": "1"}), ([], {"SYSTEMD_COLORS": "0"}),
                              ([], {"TERM": "dumb"})):
                self.assertNotIn("\033[", self.terminal("status", *argv, **env))

    def test_json(self):
        with self.serve(world.ten()):
            self.assertIn("\n\t", self.terminal("--no-pager", "-j", "peers", NO_COLOR="1"))
            self.assertIn("\033[", self.terminal("--no-pager", "-j", "peers"))
            self.assertNotIn("\033[", self.terminal("--no-pager", "--json=short", "peers"))

    def test_progress_of_a_diagnosis(self):
        w = world.ten()
        last = w.methods()["Diagnose"]({})
        replies = [{**last, "pending": 2}, {**last, "pending": 1}, last]
        with self.serve(w, Diagnose=lambda _: [dict(reply) for reply in replies]):
            output = self.terminal("diagnose", "--no-pager", NO_COLOR="1")
            self.assertEqual(self.ctl("diagnose"), self.ctl("--full", "diagnose"))
        self.assertTrue(output.startswith("Waiting for 2 answers…\r\033[KWaiting for 1 answer…\r\033[Kicewired 0.1.0\n"), output)
        self.assertEqual(self.stderr, "")


class Paged(Test):
    """By a pager that tells how it was called."""

    PAGER = "echo LESS=$LESS SECURE=$LESSSECURE ARGUMENTS=$*\nsed s/^/paged:/\n"

    def setUp(self):
        super().setUp()
        self.path = self.folder + ":" + os.environ["PATH"]

    def _page(self, *argv, **env):
        return self.terminal(*argv, **{"PATH": self.path, "NO_COLOR": "1", "ICEWIRE_PAGERSECURE": "0", **env}).splitlines()

    def test_which_one(self):
        self.script("less", self.PAGER.replace("paged", "less"))
        self.script("mine", self.PAGER.replace("paged", "mine"))
        for env, word in (({}, "less:"), ({"PAGER": "mine"}, "mine:"), ({"PAGER": "nobody", "SYSTEMD_PAGER": "mine"}, "mine:"),
                          ({"SYSTEMD_PAGER": "nobody", "ICEWIRE_PAGER": "mine"}, "mine:"), ({"PAGER": ""}, ""),
                          ({"PAGER": "cat"}, ""), ({"TERM": "dumb"}, "")):
            for argv in (["peers"], ["peer", world.key("relayed 8")], ["diagnose"], ["history"], ["help"], ["--help"],
                         ["-j", "peers"]):
                with self.subTest(env=env, argv=argv), self.serve(world.ten()):
                    # Not on every system is there a pager(1), which would come first.
                    self.script("pager", "exec less \"$@\"")
                    lines = self._page(*argv, **env)
                    self.assertEqual([line.startswith(word) for line in lines[bool(word):]], [True] * (len(lines) - bool(word)))
                    self.assertEqual(lines[0].startswith("LESS=FRSXMK"), bool(word), lines)

    def test_not_at_all(self):
        self.script("pager", self.PAGER)
        with self.serve(world.ten()):
            for argv in (["status"], ["--no-pager", "peers"], ["reload"]):
                self.assertFalse([line for line in self._page(*argv) if "paged:" in line])

    def test_arguments_and_options(self):
        self.script("mine", self.PAGER)
        with self.serve(world.ten()):
            self.assertEqual(self._page("peers", PAGER="mine -x 'a b'", ICEWIRE_LESS="abc")[0],
                             "LESS=abc SECURE= ARGUMENTS=-x a b")

    def test_secure(self):
        self.script("less", self.PAGER)
        self.script("pager", "echo not this one")
        self.script("more", "echo nor this one")
        self.script("mine", "echo not mine")
        with self.serve(world.ten()):
            for env in ({"ICEWIRE_PAGERSECURE": "1"}, {"ICEWIRE_PAGERSECURE": "nonsense"},
                        {"ICEWIRE_PAGERSECURE": "1", "PAGER": "mine"}):
                self.assertEqual(self._page("peers", **env)[0], "LESS=FRSXMK SECURE=1 ARGUMENTS=")

    def test_nobody_there(self):
        with self.serve(world.ten()):
            expected = self.ctl("peers", COLUMNS="80").splitlines()
            self.assertEqual(self._page("peers", PATH="/nonexistent"), expected)
            self.assertEqual(self._page("peers", PATH="/nonexistent", ICEWIRE_PAGERSECURE="1"), expected)

    def test_one_that_has_seen_enough(self):
        self.script("pager", "head -n 1")
        with self.serve(world.World([world.direct(1, publicKey=world.key(str(i))) for i in range(3000)])):
            # Killed by SIGPIPE, like everything that prints into a pipe that nobody reads.
            self.assertIn("LINK PEER", self.terminal("peers", status=-13, PATH=self.path, NO_COLOR="1", ICEWIRE_PAGERSECURE="0"))


class History(Test):
    def test_of_a_host_whose_clock_was_set_back(self):
        def change(time, boottime, cause):
            return {"timeUSec": time, "bootTimeUSec": boottime, "from": {"kind": "none"}, "to": {"kind": "none"}, "cause": cause}

        w = world.ten()
        w.history = [{"link": "wg0", "publicKey": world.key("relayed 8"), "changes": [
            change(world.now(), 1000, "first_path"), change(world.now() - world.HOUR, 2000, "path_lost")]}]
        with self.serve(w):
            output = self.ctl("history")
        self.assertLess(output.index("first-path"), output.index("path-lost"))


class Authentication(Test):
    """polkit's agent is one that writes down how it was called."""

    AGENT = """
        echo "$@" >>"$(dirname "$0")/agent-log"
        eval "sleep infinity $2>&- &"
        trap 'kill $!; echo ended >>"$(dirname "$0")/agent-log"; exit' TERM
        eval "exec $2>&-"
        wait
        """

    def _reload(self, refusal=AUTHENTICATION):
        def reload(parameters):
            if not parameters.get("allowInteractiveAuthentication"):
                raise Refusal(refusal)
            return {} if "peer" in parameters else {"problems": 0}
        return reload

    def _agent_log(self):
        try:
            with open(os.path.join(self.folder, "agent-log"), encoding="utf-8") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def _on_terminal(self, *argv, **env):
        return self.terminal(*argv, PATH=self.folder + ":" + os.environ["PATH"], **env)

    def test_a_person_is_asked(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten(), Reload=self._reload()) as server:
            self.assertEqual(self._on_terminal("reload"), "")
            self.assertEqual([p.get("allowInteractiveAuthentication") for _, p in server.calls], [None, True])
        called, ended = self._agent_log()
        self.assertRegex(called, r"^--notify-fd \d+( --fallback)?$")
        self.assertEqual(ended, "ended")

    def test_a_diagnosis(self):
        self.script("pkttyagent", self.AGENT)
        w = world.ten()
        reply = w.methods()["Diagnose"]({})

        def diagnose(parameters):
            if not parameters.get("allowInteractiveAuthentication"):
                raise Refusal(AUTHENTICATION)
            return [reply]

        with self.serve(w, Diagnose=diagnose):
            self.assertIn("stun.example:3478", self._on_terminal("--no-pager", "diagnose"))
            self.assertIn("org.icewire1.diagnose", self.fails(PERMISSION, "diagnose"))
        self.assertEqual(len(self._agent_log()), 2)
        with self.serve(w, Diagnose=refuse(AUTHENTICATION)):
            self.assertIn("Nobody has authenticated", self._on_terminal("diagnose", status=PERMISSION))

    def test_once_for_all(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.World([world.direct(1), world.direct(1, link="wg1")]), Reconnect=self._reload()) as server:
            self.assertEqual(self._on_terminal("reconnect", world.key("direct 1")), "")
            self.assertEqual(len(server.calls), 5)
        self.assertEqual(len(self._agent_log()), 2)

    def test_nobody_is_asked_if_it_is_allowed_anyway(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten()):
            self._on_terminal("reload")
        self.assertEqual(self._agent_log(), [])

    def test_nobody_is_asked_who_does_not_want_it(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten(), Reload=self._reload()):
            output = self.terminal("--no-ask-password", "reload", status=PERMISSION, PATH=self.folder + ":" + os.environ["PATH"])
            self.assertIn("needs authentication", output)
            self.assertIn("needs authentication", self.fails(PERMISSION, "reload"))  # no terminal
        self.assertEqual(self._agent_log(), [])

    def test_without_an_agent(self):
        with self.serve(world.ten(), Reload=self._reload()):
            self.assertIn("needs authentication", self.terminal("reload", status=PERMISSION, PATH="/nonexistent"))

    def test_a_person_who_does_not_know_the_password(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten(), Reload=refuse(AUTHENTICATION)):
            self.assertIn("Nobody has authenticated", self._on_terminal("reload", status=PERMISSION))

    def test_icewired_goes_while_a_person_is_asked(self):
        def reload(parameters):
            raise HangUp() if parameters.get("allowInteractiveAuthentication") else Refusal(AUTHENTICATION)

        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten(), Reload=reload):
            self.assertIn("Failed to ask icewired", self._on_terminal("reload", status=1))

    def test_refused_for_good(self):
        self.script("pkttyagent", self.AGENT)
        with self.serve(world.ten(), Reload=self._reload(DENIED)):
            self.assertIn("Permission denied", self.terminal("reload", status=PERMISSION, PATH=self.folder))
        self.assertEqual(self._agent_log(), [])


if __name__ == "__main__":
    sys.exit(unittest.main())

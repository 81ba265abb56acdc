# SPDX-License-Identifier: LGPL-2.1-or-later
"""What icewirectl prints, compared with golden/; ICEWIRE_UPDATE=1 writes it there."""

import os
import sys
import unittest

import world
from ctl import Test

GOLDEN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "golden")
WIDTHS = (60, 80, 120)
KEY = world.key("relayed 8")


def history():
    w = world.ten()
    none, remote = {"kind": "none"}, world.candidate("srflx", "203.0.113.8:51820")
    relayed = {"kind": "relayed", "local": world.candidate("relay", "192.0.2.5:49160"), "remote": remote}
    direct = {"kind": "direct", "local": world.candidate("host", "10.9.0.2:51820"), "remote": remote}

    def change(age, before, after, cause):
        return {"timeUSec": world.now() - age, "bootTimeUSec": 1, "from": before, "to": after, "cause": cause}

    w.history = [{"link": "wg0", "publicKey": KEY, "changes": [
        change(50 * world.HOUR + world.HOUR, none, relayed, "first_path"),
        change(3 * world.HOUR + 30 * world.MINUTE, relayed, direct, "better_path"),
        change(90 * world.SECOND, direct, none, "path_lost")]}, {"link": "wg1", "publicKey": KEY, "changes": []}]
    return w


def diagnosis():
    w = world.trouble()
    w.description["rendezvous"].append(world.rendezvous("mqtt://192.0.2.77:1883"))
    w.description["mappings"] = [
        world.mapping(), world.mapping(local="[2001:db8::2]:51820", kind="none", mapped="[2001:db8::2]:51820"),
        world.mapping(link="wg1", kind="varies", mapped="198.51.100.7:1025"),
        world.mapping(link="wg2", kind="unknown", mapped=None)]
    w.servers += [{"kind": "turn_udp", "name": "192.0.2.9:3478", "addresses": ["192.0.2.9"], "relay": "credentials_refused",
                   "relayError": "192.0.2.9 answers 401 (Unauthorized)"},
                  {"kind": "stun", "name": "nowhere.example:3478", "addresses": [], "error": "there is no such name"}]
    return w


# name: (world, arguments)
SCREENS = {
    "status": (world.ten, ["status"]),
    "status-many": (world.many, ["status"]),
    "status-trouble": (world.trouble, ["status"]),
    "status-empty": (world.empty, ["status"]),
    "status-hostile": (world.hostile, ["status"]),
    "peers": (world.ten, ["peers"]),
    "peers-trouble": (world.trouble, ["peers"]),
    "peers-full": (world.ten, ["--full", "peers"]),
    "peers-no-legend": (world.ten, ["--no-legend", "peers"]),
    "peers-empty": (world.empty, ["peers"]),
    "peer": (world.ten, ["peer", KEY]),
    "peer-hostile": (world.hostile, ["peer", world.key("evil")]),
    "history": (history, ["history"]),
    "history-empty": (world.ten, ["history"]),
    "diagnose": (diagnosis, ["diagnose"]),
}


class Golden(Test):
    def _compare(self, name, output):
        path = os.path.join(GOLDEN, name + ".txt")
        if os.environ.get("ICEWIRE_UPDATE"):
            with open(path, "w", encoding="utf-8") as f:
                f.write(output)
        with open(path, encoding="utf-8") as f:
            self.assertEqual(output, f.read(), f"not as in {path}")

    def test_at_every_width(self):
        for name, (make, argv) in SCREENS.items():
            for width in WIDTHS:
                with self.subTest(name=name, width=width), self.serve(make()):
                    self._compare(f"{name}-{width}", self.ctl(*argv, COLUMNS=str(width), LINES="24"))

    def test_into_a_pipe(self):
        for name in ("status", "status-many", "peers", "diagnose"):
            make, argv = SCREENS[name]
            with self.subTest(name=name), self.serve(make()):
                self._compare(f"{name}-pipe", self.ctl(*argv))

    def test_in_colour(self):
        for name in ("status", "status-trouble", "peers", "diagnose"):
            make, argv = SCREENS[name]
            with self.subTest(name=name), self.serve(make()):
                self._compare(f"{name}-80-colour", self.ctl(*argv, COLUMNS="80", LINES="24", SYSTEMD_COLORS="1"))

    def test_without_utf8(self):
        with self.serve(world.many()):
            output = self.ctl("status", COLUMNS="80", LINES="24", LC_ALL="C")
            self._compare("status-many-80-ascii", output)
            self.assertTrue(output.isascii())

    def test_help(self):
        self._compare("help", self.ctl("--help"))
        self._compare("help-colour", self.ctl("help", SYSTEMD_COLORS="1"))
        self.assertLessEqual(max(map(len, self.ctl("-h").splitlines())), 80)


class Screen(Test):
    """What has to be true whatever it looks like."""

    def test_every_line_fits(self):
        for name, (make, argv) in SCREENS.items():
            if "full" in name:
                continue
            for width in (60, 80, 120):
                with self.subTest(name=name, width=width), self.serve(make()):
                    for line in self.ctl(*argv, COLUMNS=str(width), LINES="24").splitlines():
                        # One word is not broken.
                        self.assertTrue(len(line) <= width or len(line.split()) <= 2, line)

    def test_status_fits_one_screen(self):
        for make in (world.ten, world.many, world.trouble):
            for rows in (24, 30, 50):
                with self.subTest(world=make.__name__, rows=rows), self.serve(make()):
                    lines = self.ctl("status", COLUMNS="80", LINES=str(rows)).splitlines()
                    self.assertLess(len(lines), rows, "\n".join(lines))

    def test_status_shows_ten_peers_and_why_some_are_not_direct(self):
        w = world.ten()
        with self.serve(w):
            text = self.ctl("status", COLUMNS="80", LINES="24")
        for peer in w.peers:
            self.assertIn(peer["publicKey"][:8], text)
        self.assertIn("Only a relay", text)
        self.assertIn("Only TCP", text)
        self.assertIn("Nothing came", text)
        self.assertIn("reachable", text.splitlines()[0])

    def test_one_servers_word_is_believed_where_a_peer_has_proved_it(self):
        for peers, reach in (([], "perhaps reachable"), ([world.relayed(1)], "perhaps reachable"),
                             ([world.direct(1, link="wg1")], "perhaps reachable"), ([world.direct(1)], "reachable")):
            with self.subTest(peers=peers), self.serve(world.World(peers, mappings=[world.mapping(kind="single")])):
                text = self.ctl("status")
                self.assertTrue(text.startswith(f"icewired 0.1.0: {reach}, "), text)
                self.assertIn(f"  Link        {reach}: wg0 at 198.51.100.7:51820", text)

    def test_status_shows_what_does_not_work_first(self):
        w = world.many()
        with self.serve(w):
            text = self.ctl("status", COLUMNS="80", LINES="24")
        for peer in w.peers:
            if peer["state"] != "connected":
                self.assertIn(peer["publicKey"][:8], text)
        self.assertIn("more", text)
        self.assertIn("icewirectl peers", text)

    def test_nothing_is_cut_in_a_pipe_or_with_full(self):
        w = world.many()
        with self.serve(w):
            for argv, env in ((["status"], {}), (["--full", "status"], {"COLUMNS": "60", "LINES": "10"}), (["peers"], {}),
                              (["peers", "-l"], {"COLUMNS": "60"})):
                text = self.ctl(*argv, **env)
                for peer in w.peers:
                    self.assertIn(peer["publicKey"], text)
                    self.assertIn(peer.get("reasonText", ""), text)

    def test_hostile_words_do_not_reach_the_terminal(self):
        for argv in (["status"], ["peers"], ["peer", world.key("evil")], ["diagnose"], ["history"]):
            with self.subTest(argv=argv), self.serve(world.hostile()):
                text = self.ctl(*argv)
                for character in "\033\r\x9b\u202e":
                    self.assertNotIn(character, text)


if __name__ == "__main__":
    sys.exit(unittest.main())

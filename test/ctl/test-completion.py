# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bash and zsh complete behind icewirectl, with links and peers of a running icewired."""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import world
from ctl import BUILD, Test, environment
from server import SOURCE
from shell import END, READY, START, Shell

BASH = os.path.join(SOURCE, "shell-completion", "bash", "icewirectl")
ZSH = os.path.join(SOURCE, "shell-completion", "zsh", "_icewirectl")
DRIVER = os.path.join(SOURCE, "test", "ctl", "complete.bash")
POLICIES = {"auto", "direct", "relay", "off"}
MODES = {"pretty", "short", "off"}


def two_links():
    return world.World([world.direct(1), world.relayed(2), world.silent(3, link="wg1"), world.direct(1, link="wg1")],
                       links=[world.link(), world.link("wg1")])


KEYS = {"wg0": {world.key("direct 1"), world.key("relayed 2")}, "wg1": {world.key("silent 3"), world.key("direct 1")}}
ALL = KEYS["wg0"] | KEYS["wg1"]
RELAYED = world.key("relayed 2")


def help_text():
    return subprocess.run([os.path.join(BUILD, "src", "icewirectl"), "--help"], env=environment(), capture_output=True,
                          text=True, check=True).stdout


def verbs_of_help():
    commands = help_text().partition("Commands:\n")[2].partition("\nOptions:")[0]
    return set(re.findall(r"^  (\w+)", commands, flags=re.MULTILINE))


def options_of_help():
    options = help_text().partition("Options:\n")[2].partition("\n\n")[0]
    return set(re.findall(r"(?:^  | )(-\w|--[\w-]+=?)(?=[ \w]|$)", options, flags=re.MULTILINE)) - {"--json=short", "--json=pretty"}


class Completion:
    """What both shells have to do. candidates() tells what may stand in place of the last word of the line."""

    def complete(self, line):
        return self.candidates(line.replace("icewirectl", f"icewirectl --socket={self.socket}", 1))

    def test_verbs(self):
        self.assertEqual(self.complete("icewirectl "), verbs_of_help())
        self.assertEqual(self.complete("icewirectl pe"), {"peer", "peers"})
        self.assertEqual(self.complete("icewirectl --full -j mon"), {"monitor"})

    def test_options(self):
        self.assertEqual({option.rstrip("=") for option in self.candidates("icewirectl -")} |
                         {option.rstrip("=") for option in self.candidates("icewirectl --")},
                         {option.rstrip("=") for option in options_of_help()})
        self.assertEqual(self.complete("icewirectl peers --no-le"), {"--no-legend"})
        self.assertEqual(self.complete("icewirectl --json="), MODES)
        self.assertEqual(self.complete("icewirectl --json=p"), {"pretty"})

    def test_links_and_peers(self):
        with self.serve(two_links()):
            for verb in ("peers", "peer", "history", "reconnect", "policy"):
                self.assertEqual(self.complete(f"icewirectl {verb} "), {"wg0", "wg1"} | ALL, verb)
                self.assertEqual(self.complete(f"icewirectl {verb} {RELAYED[:5]}"), {RELAYED})
                self.assertEqual(self.complete(f"icewirectl {verb} wg1 "), KEYS["wg1"])
                self.assertEqual(self.complete(f"icewirectl {verb} wg0 {RELAYED[:1]}"), {RELAYED})
            for verb in ("status", "monitor", "diagnose", "reload", "help"):
                self.assertEqual(self.complete(f"icewirectl {verb} "), set(), verb)
            for verb in ("peers", "peer", "history", "reconnect"):
                self.assertEqual(self.complete(f"icewirectl {verb} {RELAYED} "), set(), verb)
                self.assertEqual(self.complete(f"icewirectl {verb} wg0 {RELAYED} "), set(), verb)

    def test_policies(self):
        with self.serve(two_links()):
            self.assertEqual(self.complete(f"icewirectl policy {RELAYED} "), POLICIES)
            self.assertEqual(self.complete(f"icewirectl policy {RELAYED[:6]} d"), {"direct"})
            self.assertEqual(self.complete(f"icewirectl policy wg0 {RELAYED} "), POLICIES)
            self.assertEqual(self.complete(f"icewirectl policy wg0 {RELAYED} off "), set())

    def test_nobody_there(self):
        for line in ("peers ", "peers wg0 ", "policy ", "peer a"):
            self.assertEqual(self.complete("icewirectl " + line), set(), line)

    def test_hostile_names(self):
        peers = [world.direct(1, link=link) for link in ("$(touch ran)", "`touch ran`", "a;touch ran", "*")]
        with self.serve(world.World(peers)):
            self.complete("icewirectl peers ")
            self.complete("icewirectl peers a")
        self.assertNotIn("ran", os.listdir(self.folder))

    def test_hostile_sockets(self):
        for name in ("'$(touch ran)'", "'`touch ran`'", "'a;touch ran'", "$(touch ran)", "a\\;touch\\ ran"):
            self.candidates(f"icewirectl --socket={name} peer ")
            self.assertNotIn("ran", os.listdir(self.folder), name)

    def test_on_a_terminal(self):
        with self.serve(two_links()), self.shell() as shell:
            socket = f"--socket={self.socket}"
            for line, expected in (
                    ("sta", "status "), ("--json=pr", "--json=pretty "), ("--js", "--json="), ("peers wg", "peers wg"),
                    (f"peer {RELAYED[:7]}", f"peer {RELAYED} "), (f"policy {RELAYED} dir", f"policy {RELAYED} direct "),
                    (f"policy {RELAYED[:-1]}", f"policy {RELAYED} "), ("--no-p", "--no-pager ")):
                self.assertEqual(shell.press_tab(f"icewirectl {socket} {line}"), f"icewirectl {socket} {expected}")


@unittest.skipUnless(shutil.which("bash"), "no bash")
class Bash(Completion, Test):
    def setUp(self):
        super().setUp()
        self.env = environment(PATH=os.path.join(BUILD, "src") + ":" + os.environ["PATH"])

    def candidates(self, line):
        done = subprocess.run(["bash", "--norc", DRIVER, BASH, line], env=self.env, cwd=self.folder,
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split("\n")) - {""}

    def test_options_with_a_value_end_in_an_equals_sign(self):
        self.assertEqual(self.candidates("icewirectl -"), options_of_help())

    def test_values_in_a_word_of_their_own(self):
        self.assertEqual(self.candidates("icewirectl --json "), MODES)

    def test_files(self):
        with open(os.path.join(self.folder, "some-socket"), "w", encoding="utf-8"):
            self.assertEqual(self.candidates("icewirectl --socket=some"), {"some-socket"})
            self.assertEqual(self.candidates("icewirectl --socket some"), {"some-socket"})

    def shell(self, script=BASH):
        rc = os.path.join(self.folder, "bashrc")
        with open(rc, "w", encoding="utf-8") as f:
            f.write(f"PS1='{READY}'; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; . {script}\n"
                    f"show() {{ printf '%s' '{START}' \"$READLINE_LINE\" '{END}'; }}; bind -x '\"\\C-g\": show'\n")
        return Shell(["bash", "--rcfile", rc, "-i"], self.env, self.folder)

    def test_found_by_the_name_of_the_command(self):
        """bash-completion loads what is called so, when it is needed."""
        library = "/usr/share/bash-completion/bash_completion"
        if not os.path.exists(library):
            self.skipTest("no bash-completion")
        completions = os.path.join(self.folder, "user", "completions")
        os.makedirs(completions)
        os.symlink(BASH, os.path.join(completions, os.path.basename(BASH)))
        self.env["BASH_COMPLETION_USER_DIR"] = os.path.join(self.folder, "user")
        with self.shell(library) as shell:
            self.assertEqual(shell.press_tab("icewirectl diag"), "icewirectl diagnose ")


@unittest.skipUnless(shutil.which("zsh"), "no zsh")
class Zsh(Completion, Test):
    # What is added with compadd goes to a file as well.
    SETUP = """
        PROMPT=READY RPROMPT=; unsetopt beep zle_bracketed_paste; zstyle ':completion:*' list false
        unsetopt auto_list auto_menu list_ambiguous
        compadd() {
                local -a added
                if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
                        builtin compadd -A added "$@"
                        (( ! $#added )) || print -rl -- "$added[@]" >>$HITS
                fi
                builtin compadd "$@"
        }
        show() { print -rn -- 'START'$BUFFER'END' }; zle -N show; bindkey '^G' show
        """

    def setUp(self):
        super().setUp()
        self.hits = os.path.join(self.folder, "hits")
        self._shell = None
        functions = os.path.join(self.folder, "functions")
        os.mkdir(functions)
        shutil.copy(ZSH, functions)
        self.env = environment(PATH=os.path.join(BUILD, "src") + ":" + os.environ["PATH"], HITS=self.hits, ZDOTDIR=self.folder)
        rc = f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D\n" + self.SETUP
        with open(os.path.join(self.folder, ".zshrc"), "w", encoding="utf-8") as f:
            f.write(rc.replace("READY", f"'{READY}'").replace("START", START).replace("END", END))

    def shell(self):
        return Shell(["zsh", "-i"], self.env, self.folder)

    def candidates(self, line):
        if not self._shell:
            self._shell = self.shell()
            self.addCleanup(self._shell.close)
        with open(self.hits, "w", encoding="utf-8"):
            pass
        self._shell.press_tab(line)
        with open(self.hits, encoding="utf-8") as f:
            return set(f.read().split("\n")) - {""}

    def test_sockets_that_have_to_be_quoted(self):
        self.socket = os.path.join(self.folder, "$(touch ran) `touch ran`;touch ran")
        with self.serve(two_links()):
            self.assertEqual(self.candidates(f"icewirectl --socket='{self.socket}' peer wg1 "), KEYS["wg1"])
        self.assertNotIn("ran", os.listdir(self.folder))


class Installed(unittest.TestCase):
    def test_where_shells_look(self):
        with open(os.path.join(BUILD, "meson-info", "intro-installed.json"), encoding="utf-8") as f:
            installed = json.load(f)
        self.assertRegex(installed[BASH], "/bash-completion/completions/icewirectl$")
        self.assertRegex(installed[ZSH], "/zsh/(vendor-completions|site-functions)/_icewirectl$")


if __name__ == "__main__":
    sys.exit(unittest.main())

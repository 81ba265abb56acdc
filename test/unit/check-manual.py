#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-manual.py SOURCE BUILD SETTINGS: the manual pages say what there is, and nothing else: settings (SETTINGS prints the table in C)
as in icewire.conf, options and verbs as in --help, both APIs, kinds of events; and each page renders without a warning."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

SOURCE, BUILD, SETTINGS = sys.argv[1:4]
ALTERNATING = {"BR", "RB", "BI", "IB", "IR", "RI"}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# Pages


def arguments(line):
    """What stands behind a macro, without quotes."""
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]


def plain(line):
    """A line of roff as it is read."""
    macro = re.match(r"\.([A-Z]+)(?: (.*))?$", line)
    if macro:
        name, words = macro.group(1), arguments(macro.group(2) or "")
        if name in ALTERNATING:
            line = "".join(words)
        elif name in ("B", "I", "SH", "SS", "SM"):
            line = " ".join(words)
        else:
            return ""
    for escape, character in ((r"\fB", ""), (r"\fI", ""), (r"\fR", ""), (r"\fP", ""), (r"\-", "-"), (r"\&", ""), (r"\(->", "->"),
                              (r"\(aq", "'"), (r"\(dq", '"'), (r"\ ", " "), (r"\:", ""), (r"\(co", "(C)"), (r"\(bu", "*"), (r"\e", "\\")):
        line = line.replace(escape, character)
    return line.strip()


class Page:
    """A page by its sections: {heading: [(tag, text)]}, where the text without a tag has the tag "", and {heading: {subheading: …}}."""

    def __init__(self, name):
        self.name = name
        self.sections, self.subsections = {}, {}
        items = []
        lines = iter(line for line in read(BUILD, "man", name).splitlines() if not line.startswith('.\\"'))
        for line in lines:
            if line.startswith(".SH "):
                self.heading = plain(line)
                items = self.sections.setdefault(self.heading, [("", [])])
                self.subsections[self.heading] = {}
            elif line.startswith(".SS "):
                items = self.subsections[self.heading].setdefault(plain(line), [("", [])])
            elif line.startswith(".TP"):
                items.append((plain(next(lines)), []))
            elif line.startswith((".TQ",)):
                items.append((plain(next(lines)), items[-1][1]))
            elif line in (".PP", ".RE"):
                # The paragraph behind a list belongs to nothing in it.
                items.append(("", []))
            elif items:
                items[-1][1].append(plain(line))

    def items(self, heading):
        """The tagged ones of a section, its subsections included."""
        found = list(self.sections[heading])
        for items in self.subsections[heading].values():
            found += items
        return [(tag, " ".join(text)) for tag, text in found if tag]

    def tags(self, heading):
        return [tag for tag, _ in self.items(heading)]


class Manual(unittest.TestCase):
    maxDiff = None

    def assert_same(self, there_is, page_has, what, page):
        there_is, page_has = list(there_is), list(page_has)
        self.assertEqual(len(page_has), len(set(page_has)), f"{page} has {what} twice")
        self.assertEqual(set(there_is) - set(page_has), set(), f"{what} without an entry in {page}")
        self.assertEqual(set(page_has) - set(there_is), set(), f"{what} only in {page}")


# Settings


def settings():
    lines = run(SETTINGS).stdout.splitlines()
    return [line.split("\t") for line in lines]


class Settings(Manual):
    page = Page("icewire.conf.5")

    def entries(self):
        """{(section, key): text}"""
        found = {}
        for heading in self.page.sections:
            section = re.match(r"\[(\w+)\] SECTION", heading)
            if section:
                for tag, text in self.page.items(heading):
                    if tag.endswith("="):
                        self.assertNotIn((section.group(1), tag[:-1]), found)
                        found[section.group(1), tag[:-1]] = text
        return found

    def test_each_has_an_entry(self):
        self.assertGreater(len(settings()), 15)
        self.assertEqual([(section.upper(), key) for section, key, *_ in settings()], list(self.entries()))

    def test_types_and_defaults(self):
        entries = self.entries()
        for section, key, kind, form, preset in settings():
            text = entries[section.upper(), key]
            takes = f"Takes a list, each word {form}." if kind == "list" else f"Takes {form}."
            default = {"": "Empty by default.", "-": "There is no default."}.get(preset, f"Defaults to {preset}.")
            self.assertIn(takes, text, key)
            self.assertIn(default, text, key)

    def test_versions(self):
        now = tuple(map(int, re.search(r"version : '([\d.]+)'", read(SOURCE, "meson.build")).group(1).split(".")))
        for (section, key), text in self.entries().items():
            version = re.search(r"Added in version (\d+\.\d+\.\d+)\.$", text)
            self.assertIsNotNone(version, f"[{section}] {key}= does not end by the version that it came with: {text}")
            self.assertLessEqual(tuple(map(int, version.group(1).split("."))), now, key)

    def test_installed_file(self):
        section, found = None, []
        for line in read(SOURCE, "units/icewire.conf").splitlines():
            heading = re.match(r"\[(\w+)\]$", line)
            assignment = re.match(r"#(\w+)=(.*)$", line)
            section = heading.group(1) if heading else section
            if assignment:
                found.append((section, assignment.group(1), assignment.group(2)))
        self.assertEqual([(s, k, preset) for s, k, _, _, preset in settings() if preset != "-"], found)


# Options and verbs


def help_of(program):
    return run(os.path.join(BUILD, "src/icewire"), program, "--help", env={**os.environ, "COLUMNS": "200", "TERM": "dumb"}).stdout


def options_of_help(program):
    """As they stand in a page: "-h, --help", "--socket=PATH"."""
    found = re.findall(r"^ {2,6}(-\w)?,? ?(--[\w-]+(?:\[?=\S+)?)?(?=\s|$)", help_of(program), re.M)
    return [", ".join(part for part in option if part) for option in found if any(option)]


def verbs_of_help():
    return [re.sub(r" +", " ", verb).strip() for verb in re.findall(r"^  ([a-z][a-z-]*(?: [\[A-Z][^ a-z]*)*)(?=  |$)", help_of("icewirectl"), re.M)]


class Options(Manual):
    def check(self, program, page):
        options = options_of_help(program)
        self.assertIn("-h, --help", options)
        self.assert_same(options, [tag for tag in Page(page).tags("OPTIONS") if tag.startswith("-")], "options", page)

    def test_icewired(self):
        self.check("icewired", "icewired.service.8")

    def test_icewire_broker(self):
        self.check("icewire-broker", "icewire-broker.service.8")

    def test_icewirectl(self):
        self.check("icewirectl", "icewirectl.1")

    def test_verbs(self):
        verbs = verbs_of_help()
        self.assertGreater(len(verbs), 8)
        self.assert_same(verbs, Page("icewirectl.1").tags("COMMANDS"), "verbs", "icewirectl(1)")


# Environment and credentials


def variables(*patterns):
    """The environment variables that the code asks for."""
    code = "".join(read(path) for pattern in patterns for path in glob.glob(os.path.join(SOURCE, "src", pattern)))
    return set(re.findall(r'getenv\("(\w+)"\)', code)) | set(re.findall(r'"((?:ICEWIRE|SYSTEMD)_[A-Z0-9_]+|COLUMNS|LINES|PAGER)"', code))


class Environment(Manual):
    # Of libsystemd and of getopt(3); and what is between us and the journal.
    others = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"}
    internal = {"JOURNAL_STREAM"}

    def check(self, page, *patterns):
        names = set(re.findall(r"\$(\w+)", " ".join(tag for tag, _ in Page(page).items("ENVIRONMENT"))))
        text = read(BUILD, "man", page)
        self.assertEqual(set(name for name in variables(*patterns) - self.internal if "$" + name not in text), set(), f"variables without an entry in {page}")
        self.assertEqual(names - variables("*/*.c") - self.others, set(), f"variables only in {page}")

    def test_icewired(self):
        self.check("icewired.service.8", "basic/log.c", "shared/*.c", "agent/*.c", "daemon/*.c")

    def test_icewire_broker(self):
        self.check("icewire-broker.service.8", "basic/log.c", "broker/*.c")

    def test_icewirectl(self):
        self.check("icewirectl.1", "basic/log.c", "basic/terminal-util.c", "ctl/*.c")

    def test_credentials(self):
        names = re.findall(r'"((?:mqtt|turn)\.\w+)"', read(SOURCE, "src/agent/config-secrets.c"))
        self.assertGreater(len(names), 2)
        self.assertIn("ImportCredential=icewire.*", read(SOURCE, "units/icewired.service").splitlines())
        self.assertEqual([f"icewire.{name}, {name}" for name in names], Page("icewire.conf.5").tags("CREDENTIALS"))
        # systemd refuses one that is encrypted for another name.
        for page in ("icewire.conf.5", "icewired.service.8"):
            for name, path in re.findall(r"encrypt --name=(\S+) .*\n +(/etc/credstore\.encrypted/\S+)", read(BUILD, "man", page).replace("\\-", "-")):
                self.assertEqual(name, os.path.basename(path), page)
                self.assertIn(name, [f"icewire.{known}" for known in names], page)


# Events of the journal


class Events(Manual):
    journal = Page("icewired.service.8").items("JOURNAL")

    def test_each_has_its_id(self):
        table = dict(re.findall(r'EVENT\(\s*"([a-z-]+)",\s*"([0-9a-f]{32})"', read(SOURCE, "src/basic/log-event.c")))
        self.assertGreater(len(table), 20)
        page = {tag: text.split(".")[0] for tag, text in self.journal if "=" not in tag}
        self.assertEqual(table, page)

    def test_fields(self):
        code = "".join(read(path) for path in glob.glob(os.path.join(SOURCE, "src/*/*.[ch]")))
        fields = set(re.findall(r'LOG_FIELD\(\s*"(ICEWIRE_\w+|CONFIG_\w+)=', code)) | {"MESSAGE_ID", "ICEWIRE_EVENT"}
        page = [name for tag, _ in self.journal for name in re.findall(r"(\w+)=", tag)]
        self.assert_same(fields, page, "fields", "icewired.service(8)")


# Varlink


def members(text):
    """The members of a parenthesis: ["link: ?string", …], or of an enum: ["up", …]."""
    text = re.sub(r"#.*", "", text)
    return [re.sub(r"\s+", " ", member).strip() for member in text.split(",") if member.strip()]


def varlink(text):
    """{"METHODS": {name: [what it takes, what it returns]}, "TYPES": {name: [members]}, "ERRORS": …}, and {method that streams: "Requires" or
    "Supports"}."""
    text = re.sub(r"^[\t ]*#(?! \[\w+ 'more' flag\]$).*\n", "", text, flags=re.M)
    found = {"METHODS": {}, "TYPES": {}, "ERRORS": {}}
    more = {name: flag for flag, name in re.findall(r"# \[(\w+) 'more' flag\]\nmethod (\w+)", text)}
    for kind, name, body, result in re.findall(r"^(type|error|method) (\w+) ?\(([^()]*)\)(?: -> \(([^()]*)\))?", text, re.M):
        groups = [members(body), members(result)] if kind == "method" else [members(body)]
        found[{"type": "TYPES", "error": "ERRORS", "method": "METHODS"}[kind]][name] = groups
    # What the expressions above do not see must not be missed in silence.
    declared = re.findall(r"^(?:type|error|method) (\w+)", text, re.M)
    assert sorted(declared) == sorted(name for group in found.values() for name in group), "something in the IDL is not understood"
    return found, more


class Varlink(Manual):
    page = Page("org.icewire.Agent.5")
    idl, more = varlink(read(SOURCE, "varlink/org.icewire.Agent.varlink"))

    def groups(self, heading, name):
        """What the page has of it, split where it says "Takes:" and "Returns:"."""
        takes, returns = [], []
        group = takes
        for tag, text in self.page.subsections[heading][name]:
            if tag:
                group.append(tag)
            if "Returns:" in text:
                group = returns
        return [takes, returns] if heading == "METHODS" else [takes]

    def test_names(self):
        for heading, things in self.idl.items():
            self.assert_same(things, self.page.subsections[heading], heading.lower(), self.page.name)

    def test_members(self):
        for heading, things in self.idl.items():
            for name, groups in things.items():
                self.assertEqual(groups, self.groups(heading, name), f"{heading.lower()}: {name}")

    def test_streaming(self):
        says = {"It has to be called with the flag more.": "Requires", "It may be called with the flag more.": "Supports"}
        found = {}
        for name, items in self.page.subsections["METHODS"].items():
            for line in says.keys() & set(items[0][1]):
                found[name] = says[line]
        self.assertEqual(self.more, found)


    def test_actions(self):
        """Of polkit, which the comments of the IDL name."""
        idl = dict(reversed(pair) for pair in re.findall(r"polkit: (\S+)\n(?:#.*\n)?method (\w+)", read(SOURCE, "varlink/org.icewire.Agent.varlink")))
        found = {}
        for name, items in self.page.subsections["METHODS"].items():
            action = re.search(r"The polkit action is (\S+)\.(?: |$)", " ".join(items[0][1]))
            if action:
                found[name] = action.group(1)
        self.assertGreater(len(idl), 2)
        self.assertEqual(idl, found)


    def test_metrics(self):
        families = re.findall(r'FAMILY\("(\w+)",\s*METRIC_(\w+)', read(SOURCE, "src/daemon/metrics.c"))
        self.assertGreater(len(families), 10)
        self.assert_same([f"{name}: {kind.lower()}" for name, kind in families], self.page.tags("METRICS"), "metrics", self.page.name)


# D-Bus


def signature(member):
    """As it stands in a page: "Path: s", "GetPeer(s link, s public_key) -> o path"."""
    if member.tag == "property":
        return f"{member.get('name')}: {member.get('type')}" + ("" if member.get("access") == "read" else ", writable")
    takes, returns = [], []
    for arg in member.findall("arg"):
        group = returns if arg.get("direction") == "out" and member.tag == "method" else takes
        group.append(f"{arg.get('type')} {arg.get('name')}")
    return f"{member.get('name')}({', '.join(takes)})" + (f" -> {', '.join(returns)}" if returns else "")


class Bus(Manual):
    page = Page("org.icewire1.5")
    interfaces = [interface for path in glob.glob(os.path.join(SOURCE, "dbus", "*.xml"))
                  for interface in xml.etree.ElementTree.parse(path).getroot().findall("interface")]

    def test_members(self):
        self.assertGreater(len(self.interfaces), 2)
        for interface in self.interfaces:
            for kind, heading in (("property", "Properties"), ("method", "Methods"), ("signal", "Signals")):
                there_is = [signature(member) for member in interface.findall(kind)]
                found = self.page.subsections[interface.get("name").upper()].get(heading, [])
                self.assertEqual(there_is, [tag for tag, _ in found if tag], interface.get("name"))

    def test_interfaces(self):
        has = [heading for heading in self.page.sections if heading.startswith("ORG.")]
        self.assert_same([interface.get("name").upper() for interface in self.interfaces], has, "interfaces", self.page.name)

    def test_changes(self):
        """Which properties tell of their changes."""
        says = {"const": "It never changes.", "false": "No signal tells of changes."}
        for interface in self.interfaces:
            items = dict(self.page.items(interface.get("name").upper()))
            for member in interface.findall("property"):
                annotation = member.find("annotation[@name='org.freedesktop.DBus.Property.EmitsChangedSignal']")
                kind = "true" if annotation is None else annotation.get("value")
                for value, sentence in says.items():
                    self.assertEqual(kind == value, items[signature(member)].endswith(sentence), signature(member))

    def test_errors(self):
        code = "".join(read(path) for path in glob.glob(os.path.join(SOURCE, "src/daemon/*.h")))
        self.assert_same(re.findall(r'"(org\.icewire1\.Error\.\w+)"', code), self.page.tags("ERRORS"), "errors", self.page.name)

    def test_actions(self):
        actions = xml.etree.ElementTree.fromstring(read(SOURCE, "polkit/org.icewire1.policy.in").replace("<!DOCTYPE", "<!--", 1).replace('.dtd">', ".dtd -->", 1).encode())
        self.assert_same([action.get("id") for action in actions.findall("action")], self.page.tags("ACTIONS"), "actions", self.page.name)


# Rendering


class Rendering(Manual):
    # {page: [other names that it is installed by]}
    pages = {page: re.findall(r"'([^']+)'", aliases) for page, aliases in re.findall(r"'([\w.-]+\.\d)' : \[(.*)\]", read(SOURCE, "man/meson.build"))}

    def test_all_are_installed(self):
        self.assert_same([os.path.basename(path) for path in glob.glob(os.path.join(SOURCE, "man", "*.[0-9]"))], self.pages, "pages", "man/meson.build")

    def test_nothing_is_left_to_replace(self):
        for page in self.pages:
            self.assertNotRegex(read(BUILD, "man", page), "@[A-Z]+@")
            self.assertTrue(read(BUILD, "man", page).isascii(), page)

    def test_groff(self):
        for page in self.pages:
            done = run("groff", "-man", "-ww", "-Tutf8", os.path.join(BUILD, "man", page))
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)

    def test_mandoc(self):
        for page in self.pages:
            done = run("mandoc", "-Tlint", "-Wwarning", os.path.join(BUILD, "man", page))
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""), page)

    def test_man(self):
        """By the name that a user gives, aliases included, from folders like the installed ones."""
        with tempfile.TemporaryDirectory() as root:
            for page, aliases in self.pages.items():
                folder = os.path.join(root, "man" + page[-1])
                os.makedirs(folder, exist_ok=True)
                shutil.copy(os.path.join(BUILD, "man", page), folder)
                for alias in aliases:
                    os.symlink(page, os.path.join(folder, alias))
            for page in (name for page, aliases in self.pages.items() for name in [page] + aliases):
                name, section = page.rsplit(".", 1)
                done = run("man", "--warnings", "-M", root, section, name, env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANWIDTH": "100"})
                self.assertEqual((done.returncode, done.stderr), (0, ""), page)
                self.assertIn("SEE ALSO", re.sub(".\b", "", done.stdout), page)

    def test_names(self):
        """What man -k finds a page by are its names."""
        for page, aliases in self.pages.items():
            names = Page(page).sections["NAME"][0][1][0].split(" - ")[0].split(", ")
            self.assertEqual({name.rsplit(".", 1)[0] for name in [page] + aliases}, set(names), page)

    def test_units(self):
        """Each has a page by its name."""
        units = {os.path.basename(path) for kind in ("service", "socket") for path in glob.glob(os.path.join(SOURCE, "units", "*." + kind))}
        names = {name.rsplit(".", 1)[0] for page, aliases in self.pages.items() for name in [page] + aliases}
        self.assertGreater(len(units), 2)
        self.assertEqual(units - names, set())

    def test_references(self):
        """A page of ours that another one points to is there."""
        names = {(name[:-2], name[-1]) for page, aliases in self.pages.items() for name in [page] + aliases}
        for page in self.pages:
            for name, section in re.findall(r"^\.BR (ice\S+|org\.icewire\S*) \((\d)\)", read(BUILD, "man", page), re.M):
                self.assertIn((name.replace("\\-", "-"), section), names, page)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)

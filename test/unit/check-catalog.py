#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-catalog.py SOURCE: every event of log-event.h is logged somewhere, with all the fields that its entry in the catalog refers to,
and journalctl takes the catalog up and gives each entry back. Exit status 77: there is no journalctl."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

# Of the journal's own, or of every message.
COMMON = {"SYSLOG_IDENTIFIER", "ERRNO", "CODE_FILE", "CODE_LINE", "CODE_FUNC"}
MACROS = {"PEER_LOG_FIELDS": {"ICEWIRE_LINK", "ICEWIRE_PEER"},
          "PATH_LOG_FIELDS": {"ICEWIRE_PATH", "ICEWIRE_TRANSPORT", "ICEWIRE_LOCAL", "ICEWIRE_REMOTE"}}


def entries(text):
    """{id: (subject, body)} of a catalog."""
    found = {}
    for entry in text.split("\n-- ")[1:]:
        identifier, rest = entry.split("\n", 1)
        header, body = rest.split("\n\n", 1)
        fields = [line.split(": ", 1) for line in header.splitlines()]
        names = [name for name, _ in fields]
        if names[:2] != ["Subject", "Defined-By"] or set(names[2:]) != {"Documentation"}:
            sys.exit(f"the entry {identifier} should have Subject, Defined-By and Documentation; it has {names}")
        found[identifier] = (fields[0][1], header + body)
    return found


def call_end(text, start):
    """Where the call that begins with the parenthesis at start ends."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    sys.exit("unbalanced parentheses")


def calls(function):
    """(events, fields) of each event that a function logs. Where the event is a variable: any that the function names."""
    named = set(re.findall(r"\bLOG_EVENT_(?!FIELD)(\w+)", function))
    for match in re.finditer(r"\blog_(peer_)?event\(", function):
        call = function[match.start():call_end(function, match.end() - 1)]
        literal = set(re.findall(r"\bLOG_EVENT_(?!FIELD)(\w+)", call))
        fields = set(re.findall(r'LOG_FIELD\(\s*"(\w+)=', call))
        fields |= MACROS["PEER_LOG_FIELDS"] if match.group(1) else set()
        for macro, names in MACROS.items():
            fields |= names if macro in call else set()
        variable = re.search(r"events\[", call)
        yield (named if variable else literal), fields


def logged(source):
    """{event: [fields of each call]}, and all names of events that are used."""
    found, used = {}, set()
    for path in glob.glob(os.path.join(source, "src/*/*.c")):
        if os.path.basename(path) == "log-event.c":
            continue
        with open(path, encoding="utf-8") as f:
            text = f.read()
        used |= set(re.findall(r"\bLOG_EVENT_(?!FIELD)(\w+)", text))
        for function in text.split("\n}\n"):
            for events, fields in calls(function):
                for event in events:
                    found.setdefault(event, []).append((path, fields))
    return found, used


def check_fields(source, catalog, table):
    found, used = logged(source)
    problems = [f"nothing logs {name}" for name in table if name not in used]
    for name, identifier in table.items():
        wanted = set(re.findall(r"@(\w+)@", "".join(catalog[identifier]))) - COMMON
        for path, fields in found.get(name, []):
            missing = wanted - fields
            if missing:
                problems.append(f"{path} logs {name} without {', '.join(sorted(missing))}, which its text in the catalog refers to")
    return problems


def check_journalctl(source, catalog):
    with tempfile.TemporaryDirectory() as root:
        folder = os.path.join(root, "usr/lib/systemd/catalog")
        os.makedirs(folder)
        os.makedirs(os.path.join(root, "var/lib/systemd/catalog"))
        shutil.copy(os.path.join(source, "data/icewire.catalog"), folder)
        done = subprocess.run(["journalctl", "--root", root, "--update-catalog"], capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stderr:
            return [f"journalctl --update-catalog: {done.stderr.strip() or done.returncode}"]
        told = subprocess.run(["journalctl", "--root", root, "--list-catalog"], capture_output=True, text=True, check=True).stdout
    expected = {f"{identifier} icewire: {subject}" for identifier, (subject, _) in catalog.items()}
    return [f"journalctl --list-catalog differs: {line}" for line in sorted(expected ^ set(told.splitlines()))]


def main():
    source = sys.argv[1]
    with open(os.path.join(source, "data/icewire.catalog"), encoding="utf-8") as f:
        catalog = entries(f.read())
    with open(os.path.join(source, "src/basic/log-event.c"), encoding="utf-8") as f:
        table = dict(re.findall(r'\[LOG_EVENT_(\w+)\]\s*=\s*EVENT\(\s*"[a-z-]+",\s*"([0-9a-f]{32})"', f.read()))
    if not table or set(table.values()) != set(catalog):
        sys.exit("the events and the entries are not the same")
    problems = check_fields(source, catalog, table)
    if not shutil.which("journalctl"):
        print("\n".join(problems) or "no journalctl")
        return 1 if problems else 77
    problems += check_journalctl(source, catalog)
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface org.icewire.Agent as varlink/ prints it, so that a test's answers are as icewired's would be."""

import re

TYPES = {"string": str, "int": int, "bool": bool, "float": float, "object": dict}


class Interface:
    def __init__(self, path):
        self._types = {}
        self._methods = {}
        self._errors = set()
        with open(path, encoding="utf-8") as f:
            text = re.sub(r"^\s*#.*$", "", f.read(), flags=re.MULTILINE)
        for kind, name, rest in re.findall(r"^(type|method|error) (\w+)\s*(\(.*?\)(?:\s*->\s*\(.*?\))?)\s*(?=^\w|\Z)",
                                           text, flags=re.MULTILINE | re.DOTALL):
            if kind == "type":
                self._types[name] = self._parse(rest)
            elif kind == "method":
                before, after = rest.split("->")
                self._methods[name] = (self._parse(before), self._parse(after))
            else:
                self._errors.add(name)

    @staticmethod
    def _parse(text):
        """The values of an enum as a set, or the fields of a struct with their types."""
        inner = text.strip()[1:-1]
        words = [word.strip() for word in inner.split(",") if word.strip()]
        if any(":" in word for word in words) or not words:
            return dict([part.strip() for part in word.split(":", 1)] for word in words)
        return set(words)

    def methods(self):
        return set(self._methods)

    def values(self, name):
        """Those of an enum."""
        return self._types[name]

    def check_call(self, method, parameters):
        self._check_fields(method, self._methods[method][0], parameters)

    def check_reply(self, method, parameters):
        self._check_fields(method, self._methods[method][1], parameters)

    def _check_fields(self, where, fields, value):
        for name in value:
            if name not in fields:
                raise ValueError(f"{where} has no field {name}")
        for name, kind in fields.items():
            if name in value:
                self._check(f"{where}.{name}", kind, value[name])
            elif not kind.startswith("?"):
                raise ValueError(f"{where} lacks {name}")

    def _check(self, where, kind, value):
        kind = kind.removeprefix("?")
        if kind.startswith("[]"):
            for item in value:
                self._check(where, kind[2:], item)
        elif kind in TYPES:
            if type(value) is not TYPES[kind]:
                raise ValueError(f"{where} is no {kind}: {value!r}")
        elif isinstance(self._types[kind], set):
            if value not in self._types[kind]:
                raise ValueError(f"{where} is no {kind}: {value!r}")
        else:
            self._check_fields(where, self._types[kind], value)

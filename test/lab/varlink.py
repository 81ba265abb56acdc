# SPDX-License-Identifier: LGPL-2.1-or-later
"""Varlink calls: JSON objects with a NUL behind, over a UNIX socket (https://varlink.org)."""

import json
import select
import socket
import time

from patience import patient


class VarlinkError(Exception):
    """The service answered with an error, or went away."""


class Connection:
    def __init__(self, path, timeout=20):
        self._timeout = patient(timeout)
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(path)
        except OSError as e:
            self.close()
            raise VarlinkError(str(e)) from None

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, method, parameters=None, more=False):
        call = {"method": method, "parameters": parameters or {}}
        if more:
            call["more"] = True
        self._socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        """The parameters of the next reply."""
        deadline = time.monotonic() + self._timeout
        while b"\0" not in self._buffer:
            if not select.select([self._socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise VarlinkError(f"no answer within {self._timeout} s")
            try:
                block = self._socket.recv(65536)
            except OSError as e:
                raise VarlinkError(str(e)) from None
            if not block:
                raise VarlinkError("the service closed the connection")
            self._buffer += block
        message, _, self._buffer = self._buffer.partition(b"\0")
        reply = json.loads(message)
        if "error" in reply:
            raise VarlinkError(f"{reply['error']}: {json.dumps(reply.get('parameters', {}))}")
        return reply.get("parameters", {})

    def call(self, method, parameters=None):
        self.send(method, parameters)
        return self.receive()


def call(path, method, parameters=None):
    with Connection(path) as connection:
        return connection.call(method, parameters)

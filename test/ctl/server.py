# SPDX-License-Identifier: LGPL-2.1-or-later
"""An icewired that says what a test wants it to say, in the words of its interface."""

import json
import os
import socket
import threading

from idl import Interface

SOURCE = os.environ["ICEWIRE_SOURCE"]
INTERFACE = Interface(os.path.join(SOURCE, "varlink", "org.icewire.Agent.varlink"))
NAME = "org.icewire.Agent."


class Refusal(Exception):
    """An error that a method answers with."""

    def __init__(self, error, **parameters):
        super().__init__(error)
        self.error = error
        self.parameters = parameters


class HangUp(Exception):
    """What a method raises if the connection ends in place of an answer."""


class Server:
    """methods: a function by the name of the method, from the parameters to the reply's, or to a list of these where the
    caller wants more. Calls are in `calls`, the last one last."""

    def __init__(self, path, methods):
        self.path = path
        self.calls = []
        self.errors = []
        self._methods = methods
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._listener.bind(path)
        self._listener.listen()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.unlink(self.path)
        if self.errors:
            raise self.errors[0]

    def _listen(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        buffer = b""
        with connection:
            while block := connection.recv(65536):
                buffer += block
                while b"\0" in buffer:
                    call, _, buffer = buffer.partition(b"\0")
                    try:
                        self._answer(connection, json.loads(call))
                    except HangUp:
                        return
                    except Exception as e:  # pylint: disable=broad-except
                        self.errors.append(e)
                        return

    def _answer(self, connection, call):
        method, parameters = call["method"].removeprefix(NAME), call.get("parameters", {})
        INTERFACE.check_call(method, parameters)
        self.calls.append((method, parameters))
        try:
            reply = self._methods[method](parameters)
        except Refusal as e:
            self._send(connection, error=e.error, parameters=e.parameters)
            return
        replies = reply if isinstance(reply, list) else [reply]
        for i, one in enumerate(replies):
            INTERFACE.check_reply(method, one)
            self._send(connection, parameters=one, **({"continues": True} if i + 1 < len(replies) else {}))

    @staticmethod
    def _send(connection, **message):
        connection.sendall(json.dumps(message).encode() + b"\0")

# SPDX-License-Identifier: LGPL-2.1-or-later
"""As much of MQTT 3.1.1 as a test needs: connect, subscribe to all, publish with QoS 0, receive."""

import os
import select
import socket
import ssl
import struct


class Client:
    """Raises OSError when the server refuses. ca_file: TLS, with that authority; None: plain."""

    def __init__(self, host, port, user, password, ca_file=None):
        self._buffer = b""
        self._socket = socket.create_connection((host, port), timeout=20)
        if ca_file:
            self._socket = ssl.create_default_context(cafile=ca_file).wrap_socket(self._socket, server_hostname=host)
        payload = _text("lab-" + os.urandom(6).hex()) + _text(user) + _text(password)
        self._send(0x10, _text("MQTT") + bytes((4, 0xc2)) + struct.pack("!H", 0) + payload)
        kind, answer = self._receive()
        if kind != 0x20 or answer[1] != 0:
            raise ConnectionRefusedError(f"the MQTT server refuses: {answer.hex()}")

    def close(self):
        self._socket.close()

    def subscribe(self, topics):
        self._send(0x82, struct.pack("!H", 1) + _text(topics) + b"\0")
        while self._receive()[0] != 0x90:
            pass

    def publish(self, topic, payload):
        self._send(0x30, _text(topic) + payload)

    def settle(self):
        """Until the server has taken in everything that was published: it answers in order."""
        self._send(0xc0, b"")
        while self._receive()[0] != 0xd0:
            pass

    def received(self, wait):
        """The next (topic, payload) that comes within `wait` seconds, or None."""
        while self._buffer or select.select([self._socket], [], [], wait)[0]:
            kind, data = self._receive()
            if kind & 0xf0 == 0x30:
                size = struct.unpack("!H", data[:2])[0]
                rest = data[2 + size:]
                return data[2:2 + size].decode(), rest[2:] if kind & 0x06 else rest
        return None

    def _send(self, kind, data):
        header, size = bytes((kind,)), len(data)
        while True:
            header += bytes(((size & 0x7f) | (0x80 if size > 0x7f else 0),))
            size >>= 7
            if not size:
                break
        self._socket.sendall(header + data)

    def _receive(self):
        kind = self._take(1)[0]
        size = shift = 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return kind, self._take(size)

    def _take(self, size):
        while len(self._buffer) < size:
            block = self._socket.recv(65536)
            if not block:
                raise ConnectionResetError("the MQTT server closed the connection")
            self._buffer += block
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def _text(s):
    return struct.pack("!H", len(s.encode())) + s.encode()

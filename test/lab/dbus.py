# SPDX-License-Identifier: LGPL-2.1-or-later
"""A system bus on a host, and as much of the D-Bus protocol as it takes to be somebody there and send a signal."""

import os
import socket
import struct

from sandbox import WORK

SOCKET = "/run/dbus/system_bus_socket"

CONFIGURATION = f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={SOCKET}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/></policy>
</busconfig>
"""


def start_bus(host):
    """Anybody may have any name there."""
    host.run("install", "-d", "-m", "0755", os.path.dirname(SOCKET))
    configuration = os.path.join(WORK, host.name + "-bus.conf")
    with open(configuration, "w", encoding="utf-8") as f:
        f.write(CONFIGURATION)
    process = host.start("dbus", ["dbus-daemon", "--config-file=" + configuration, "--nofork", "--nopidfile"])
    host.lab.wait_until(lambda: os.path.exists(host.path(SOCKET)), f"{host.name}: the bus is there")
    return process


class Client:
    """A connection to a host's bus, under a name."""

    def __init__(self, host, name):
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(20)
        self._socket.connect(host.path(SOCKET))
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        if not self._socket.recv(1000).startswith(b"OK"):
            raise ConnectionRefusedError("the bus refuses")
        self._socket.sendall(b"BEGIN\r\n")
        self._call("Hello", b"", b"")
        self._call("RequestName", b"su", _string(name) + _pad(len(_string(name)), 4) + struct.pack("<I", 0))

    def close(self):
        self._socket.close()

    def signal(self, path, interface, member, value):
        """With one boolean."""
        self._send(4, [(1, b"o", path), (2, b"s", interface), (3, b"s", member), (8, b"g", b"b")], struct.pack("<I", value))

    def _call(self, member, signature, body):
        fields = [(1, b"o", "/org/freedesktop/DBus"), (2, b"s", "org.freedesktop.DBus"), (3, b"s", member),
                  (6, b"s", "org.freedesktop.DBus")]
        self._send(1, fields + ([(8, b"g", signature)] if signature else []), body)
        # Signals come as well; what is asked for here is answered before whatever is sent next.
        self._socket.recv(65536)

    def _send(self, kind, fields, body):
        self._serial += 1
        header = b""
        for code, signature, value in fields:
            header += _pad(len(header), 8) + bytes((code, 1)) + signature + b"\0"
            header += bytes((len(value),)) + value + b"\0" if signature == b"g" else _pad(len(header), 4) + _string(value)
        message = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), self._serial, len(header)) + header
        self._socket.sendall(message + _pad(len(message), 8) + body)


def _pad(size, to):
    return bytes(-size % to)


def _string(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"

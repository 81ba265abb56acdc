# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pings of our own: the kernel's WireGuard answers packets for a peer without an endpoint with ICMP errors, which end
ping(8); these go on. And they count what ping does not: order and gaps."""

import dataclasses
import os
import select
import signal
import socket
import struct
import time

from namespace import Call


@dataclasses.dataclass
class Echoes:
    """What came of a series of pings."""
    sent: int = 0
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    first_reply: float = None  # time.monotonic()
    longest_gap: float = 0.0  # seconds without a reply between two replies
    sent_at: list = dataclasses.field(default_factory=list, repr=False)  # time.monotonic(), by sequence number
    replied_at: dict = dataclasses.field(default_factory=dict, repr=False)  # of those that were answered

    @property
    def lost(self):
        return self.sent - self.received

    def lost_since(self, moment):
        """How many of those that were sent since then were not answered."""
        return sum(sent >= moment and sequence not in self.replied_at for sequence, sent in enumerate(self.sent_at))

    def first_reply_since(self, moment):
        """When the first of those that were sent since then was answered; None: none was."""
        return min((t for sequence, t in self.replied_at.items() if self.sent_at[sequence] >= moment), default=None)


class _Socket:
    """ICMP echo over IPv4 or IPv6."""

    def __init__(self, address):
        self.v6 = ":" in address
        self.address = address
        self.identifier = os.getpid() & 0xffff
        if self.v6:
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        else:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)

    def send(self, sequence, size):
        kind = 128 if self.v6 else 8
        rest = struct.pack("!HH", self.identifier, sequence & 0xffff) + bytes(size)
        packet = struct.pack("!BBH", kind, 0, 0 if self.v6 else _checksum(struct.pack("!BBH", kind, 0, 0) + rest)) + rest
        try:
            self.socket.sendto(packet, (self.address, 0))
        except OSError:
            pass  # no route, no endpoint, no address yet: a packet that is lost

    def receive(self):
        """The sequence number of a reply, or None."""
        try:
            packet, source = self.socket.recvfrom(65536)
        except OSError:
            return None
        if not self.v6:
            packet = packet[(packet[0] & 0xf) * 4:]
        if len(packet) < 8 or source[0] != self.address or packet[0] != (129 if self.v6 else 0):
            return None
        _, _, _, identifier, sequence = struct.unpack("!BBHHH", packet[:8])
        return sequence if identifier == self.identifier else None


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def _echo(address, interval, count, size, linger, until_first):
    """Sends `count` pings (None: until SIGTERM, or the first reply), then waits up to `linger` seconds for the rest."""
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    sock = _Socket(address)
    echoes, seen, last, newest = Echoes(), set(), None, -1
    due = time.monotonic()
    end = None
    while True:
        now = time.monotonic()
        if end is None and (stopped or (count is not None and echoes.sent >= count)):
            end = now + linger
        if end is not None and (now >= end or echoes.received >= echoes.sent):
            return echoes
        if end is None and now >= due:
            sock.send(echoes.sent, size)
            echoes.sent_at.append(now)
            echoes.sent += 1
            due = max(due + interval, now)
        wait = (end if end is not None else due) - time.monotonic()
        if not select.select([sock.socket], [], [], max(0, wait))[0]:
            continue
        sequence = sock.receive()
        if sequence is None:
            continue
        now = time.monotonic()
        if sequence in seen:
            echoes.duplicates += 1
            continue
        seen.add(sequence)
        echoes.replied_at[sequence] = now
        echoes.received += 1
        echoes.reordered += sequence < newest
        newest = max(newest, sequence)
        if last is None:
            echoes.first_reply = now
            if until_first:
                return echoes
        else:
            echoes.longest_gap = max(echoes.longest_gap, now - last)
        last = now


def echo(address, interval, count, size, linger):
    """For Call(): sends `count` pings and returns the Echoes."""
    return _echo(address, interval, count, size, linger, False)


def until_reply(address, interval, seconds):
    """For Call(): pings until there is a reply; returns its time.monotonic(), or None if there was none for so long."""
    return _echo(address, interval, int(seconds / interval), 56, 1, True).first_reply


def ping(namespace, address, count=5, interval=0.05, size=56, linger=5):
    """Sends `count` pings and returns the Echoes."""
    return namespace.call(_echo, address, interval, count, size, linger, False, timeout=count * interval + linger + 60)


class Pinger:
    """Pings in the background, until stop()."""

    def __init__(self, namespace, address, interval=0.05, size=56, until_first=False):
        self._call = Call(namespace, _echo, address, interval, None, size, 5, until_first)

    def stop(self):
        self._call.signal(signal.SIGTERM)
        return self._call.result()

    def first_reply(self, timeout=60):
        """With until_first: waits for the reply; returns its time.monotonic()."""
        return self._call.result(timeout).first_reply

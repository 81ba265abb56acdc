# SPDX-License-Identifier: LGPL-2.1-or-later
"""whoever controls the MQTT server replays every envelope thousands of times and floods with garbage: nothing happens"""

import os

import mqtt
import probe
from errors import LabError
from namespace import Call
from sandbox import WORK
from services import MQTT_USER
from topology import TUNNEL4, Sites

REPLAYS = 3000
MEMORY = 8 * 1024 * 1024  # bytes that a daemon may grow by: sanitizers keep freed memory for a while


def _connect(password):
    return mqtt.Client("127.0.0.1", 1883, MQTT_USER, password)


def _record(password, ready, done):
    """Every envelope, until the file `done` is there."""
    client = _connect(password)
    client.subscribe("icewire/#")
    _touch(ready)
    recorded = []
    while not os.path.exists(done):
        message = client.received(0.1)
        if message:
            recorded.append(message)
    return recorded


def _touch(path):
    with open(path, "w", encoding="ascii"):
        pass


def _attack(password, recorded):
    """Returns how many envelopes were sent to topics that the daemons listen to."""
    client = _connect(password)
    sent = 0
    for i in range(REPLAYS):
        topic, envelope = recorded[i % len(recorded)]
        client.publish(topic, envelope)
        sent += 1
        if i % 10 == 0:
            for forged in _forgeries(topic, envelope, recorded):
                client.publish(topic, forged)
                sent += 1
        if i % 100 == 0:
            client.settle()
    client.settle()
    return sent


def _attack_with_bulk(password, recorded):
    """More than any client takes in: it may hang up, and has to come back."""
    client = _connect(password)
    for topic in sorted({topic for topic, _ in recorded}):
        client.publish(topic, bytes(1000000))
    client.settle()


def _forgeries(topic, envelope, recorded):
    flipped = bytearray(envelope)
    flipped[int.from_bytes(os.urandom(2), "big") % len(flipped)] ^= 1 << (os.urandom(1)[0] % 8)
    yield bytes(flipped)
    yield os.urandom(len(envelope))
    yield envelope[:len(envelope) // 2]
    yield b""
    yield envelope + bytes(20000)  # oversized
    # Sealed for the other direction.
    yield next((e for t, e in recorded if t != topic), b"\1")


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    sites.configure(Rendezvous={"Multicast": "no"})
    ready, done = os.path.join(WORK, "recorder-ready"), os.path.join(WORK, "recorder-done")
    recorder = Call(sites.server, _record, sites.mosquitto.password, ready, done)
    lab.wait_until(lambda: os.path.exists(ready), "the recorder listens")
    for host in (sites.a, sites.b):
        host.start_icewire()
    sites.wait_connected()
    sites.prove_direct()
    _touch(done)
    recorded = recorder.result()
    lab.say(f"{len(recorded)} envelopes recorded, of {sum(len(e) for _, e in recorded)} bytes")
    if len({t for t, _ in recorded}) < 2:
        raise LabError(f"expected envelopes on two topics, found {recorded}")

    processes = [p for host in (sites.a, sites.b) for p in (host.agent, host.broker)]
    # Memory that is only used for the first time now is no leak: a first wave warms up.
    sites.server.call(_attack, sites.mosquitto.password, recorded, timeout=300)
    memory = {p: p.resident() for p in processes}
    received = _received(sites.a)
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    sent = sites.server.call(_attack, sites.mosquitto.password, recorded, timeout=300)
    lab.wait_until(lambda: _received(sites.a) - received > sent // 8, "a's counter of received envelopes grew")
    lab.say(f"{sent} envelopes sent; a received {_received(sites.a) - received}")
    sites.server.call(_attack_with_bulk, sites.mosquitto.password, recorded)
    for host in (sites.a, sites.b):
        host.wait_rendezvous("mqtts://", "up", timeout=120)
    echoes = pinger.stop()
    lab.say(f"pings: {echoes}")
    if echoes.lost:
        raise LabError(f"the path suffered: {echoes}")
    sites.wait_connected(timeout=1)
    sites.prove_direct()
    for process, then in memory.items():
        lab.say(f"{process.name}: {then // 1024} KiB before, {process.resident() // 1024} KiB after")
        if process.resident() > then + MEMORY:
            raise LabError(f"{process.name} grew from {then} to {process.resident()} bytes")


def _received(host):
    return sum(r["received"] for r in host.rendezvous())

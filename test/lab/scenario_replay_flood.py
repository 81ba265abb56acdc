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
        # At once too, while there is still some rate left that opens them.
        if i % 10 == 0 or i < len(recorded):
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
    before = _counters(sites)
    # Memory that is only used for the first time now is no leak: a first wave warms up.
    sites.server.call(_attack, sites.mosquitto.password, recorded, timeout=300)
    memory = {p: p.resident() for p in processes}
    received = _received(sites.a)
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    sent = sites.server.call(_attack, sites.mosquitto.password, recorded, timeout=300)
    lab.wait_until(lambda: _received(sites.a) - received > sent // 8, "a's counter of received envelopes grew")
    lab.say(f"{sent} envelopes sent; a received {_received(sites.a) - received}")
    _check_counters(lab, before, _counters(sites))
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


def _counters(sites):
    return {"a": sites.a.peer(sites.keys["b"].public)["counters"], "b": sites.b.peer(sites.keys["a"].public)["counters"]}


def _check_counters(lab, before, after):
    """Each envelope was refused for a reason that is counted, none was acted on, and no negotiation was begun."""
    for host in before:
        grown = {name: after[host][name] - n for name, n in before[host].items() if after[host][name] != n}
        lab.say(f"{host} counted {grown}")
        done = [name for name in ("sessions", "paths", "messagesAccepted", "messagesAcceptedAnew") if name in grown]
        if done:
            raise LabError(f"{host} acted on what was replayed: {grown}")
        for name in ("envelopesReceived", "envelopesFlooded", "envelopesRefused", "messagesDuplicate"):
            if name not in grown:
                raise LabError(f"{host} has not counted any {name}: {grown}")


def _received(host):
    return sum(r["received"] for r in host.rendezvous())

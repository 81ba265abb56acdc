# SPDX-License-Identifier: LGPL-2.1-or-later
"""A network for the machine's own icewire, and for another host's: the machine, the host "b" and a server with mosquitto and coturn,
on one switch. b is a network namespace with copies of the shipped units."""

import glob
import os
import re
import secrets
import subprocess

from units import run, wait_until

SWITCH, PEER, SERVER = "switch", "b", "server"
ADDRESSES = {"machine": "192.0.2.1", PEER: "192.0.2.2", SERVER: "192.0.2.10"}
TUNNEL = {"machine": "10.66.0.1", PEER: "10.66.0.2"}
PKI = "/run/pki"
USER = "somebody"
UNITS = "/usr/lib/systemd/system"
RUN_UNITS = "/run/systemd/system"
BROKER, AGENT = "icewire-broker.service", "icewired.service"


def inside(namespace, *argv):
    return run("ip", "netns", "exec", namespace, *argv)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        os.fchmod(f.fileno(), mode)
        f.write(text)


def cable(name, namespace):
    """An uplink for the machine (namespace None) or a namespace, that ends at the switch."""
    run("ip", "link", "add", "up-" + name, "type", "veth", "peer", "name", "to-" + name)
    run("ip", "link", "set", "to-" + name, "netns", SWITCH)
    inside(SWITCH, "ip", "link", "set", "to-" + name, "master", "switch", "up")
    prefix = ()
    if namespace:
        run("ip", "link", "set", "up-" + name, "netns", namespace)
        prefix = ("ip", "netns", "exec", namespace)
        run(*prefix, "ip", "link", "set", "lo", "up")
    run(*prefix, "ip", "address", "add", ADDRESSES[name] + "/24", "dev", "up-" + name)
    run(*prefix, "ip", "link", "set", "up-" + name, "up")


def make_network():
    for name in (SWITCH, PEER, SERVER):
        run("ip", "netns", "add", name)
    inside(SWITCH, "ip", "link", "add", "switch", "type", "bridge")
    inside(SWITCH, "ip", "link", "set", "switch", "up")
    cable("machine", None)
    cable(PEER, PEER)
    cable(SERVER, SERVER)


def make_link(namespace, name):
    """wg0; returns its public key. Peers come by add_peer()."""
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    run(*prefix, "ip", "link", "add", "wg0", "type", "wireguard")
    run(*prefix, "sh", "-ec", "umask 077; wg genkey >/run/key; wg set wg0 listen-port 51820 private-key /run/key; rm /run/key")
    run(*prefix, "ip", "address", "add", TUNNEL[name] + "/24", "dev", "wg0")
    run(*prefix, "ip", "link", "set", "wg0", "up")
    return run(*prefix, "wg", "show", "wg0", "public-key").strip()


def add_peer(namespace, public_key, name):
    prefix = ("ip", "netns", "exec", namespace) if namespace else ()
    run(*prefix, "wg", "set", "wg0", "peer", public_key, "allowed-ips", TUNNEL[name] + "/32")


def make_certificates():
    os.makedirs(PKI)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
    run("openssl", "req", "-x509", *curve, "-subj", "/CN=authority", "-addext", "keyUsage=critical,keyCertSign",
        "-keyout", f"{PKI}/ca.key", "-out", f"{PKI}/ca.crt")
    for name, alternative in (("server", f"IP:{ADDRESSES[SERVER]}"), ("client", "DNS:client.example")):
        run("openssl", "req", "-x509", *curve, "-subj", f"/CN={name}", "-CA", f"{PKI}/ca.crt", "-CAkey", f"{PKI}/ca.key",
            "-addext", f"subjectAltName={alternative}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", f"{PKI}/{name}.key", "-out", f"{PKI}/{name}.crt")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Servers:
    """mosquitto and coturn, both with TLS and a password; mosquitto wants a certificate besides."""

    def __init__(self):
        self.mqtt_password, self.turn_password = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        make_certificates()
        write("/run/mosquitto/passwords", f"{USER}:{self.mqtt_password}\n", 0o600)
        run("mosquitto_passwd", "-U", "/run/mosquitto/passwords")
        write("/run/mosquitto/conf", "\n".join((
            "user root", "persistence false", "log_dest stderr", "allow_anonymous false", "password_file /run/mosquitto/passwords",
            "listener 8883", f"certfile {PKI}/server.crt", f"keyfile {PKI}/server.key",
            f"cafile {PKI}/ca.crt", "require_certificate true", "")))
        write("/run/coturn/conf", "\n".join((
            f"listening-ip={ADDRESSES[SERVER]}", f"relay-ip={ADDRESSES[SERVER]}", "realm=example", "lt-cred-mech",
            f"user={USER}:{self.turn_password}", "no-dtls", "fingerprint", "log-file=stdout", "pidfile=/run/coturn/pid",
            "userdb=/run/coturn/db", f"cert={PKI}/server.crt", f"pkey={PKI}/server.key", "")), 0o600)
        self.identity = read(f"{PKI}/client.crt") + read(f"{PKI}/client.key")
        self._start("mosquitto", 8883, "mosquitto", "-c", "/run/mosquitto/conf")
        self._start("coturn", 5349, "turnserver", "-c", "/run/coturn/conf")

    @staticmethod
    def _start(name, port, *argv):
        run("systemd-run", "--quiet", f"--unit=server-{name}", "-p", f"NetworkNamespacePath=/run/netns/{SERVER}", *argv)
        wait_until(lambda: f":{port} " in inside(SERVER, "ss", "--numeric", "--listening", "--tcp"), f"{name} listens")


def configuration(more=""):
    server = ADDRESSES[SERVER]
    return (f"[Rendezvous]\nMQTT=mqtts://{server}\nMQTTUser={USER}\nMQTTCAFile={PKI}/ca.crt\nMulticast=no\n"
            f"[ICE]\nSTUNServers={server}\nTURNServers=turns:{server}\nTURNUser={USER}\nTURNCAFile={PKI}/ca.crt\n{more}")


def copy_unit(folder, name, command, more):
    """The unit's sandbox as b's, drop-ins and all: without what ties it to the machine's own."""
    text = "\n".join(read(path) for path in (os.path.join(folder, name), *sorted(glob.glob(os.path.join(folder, name + ".d", "*")))))
    text = re.sub(r"^(Requires|Wants|After|BusName|ExecStart|ExecReload|WantedBy|Also|Alias)=.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("[Service]\n", f"[Service]\nExecStart={command}\nNetworkNamespacePath=/run/netns/{PEER}\n{more}\n", 1)
    write(os.path.join(RUN_UNITS, f"{PEER}-{name}"), text)


def add_peer_units(folder):
    """Of those in the folder."""
    programs = os.path.dirname(re.search(r"^ExecStart=(\S+)", read(os.path.join(folder, AGENT)), re.MULTILINE)[1])
    copy_unit(folder, BROKER, f"{programs}/icewire-broker --socket=/run/b-broker/socket", "RuntimeDirectory=b-broker")
    copy_unit(folder, AGENT, f"{programs}/icewired --broker=/run/b-broker/socket --socket=/run/b-agent/socket",
              "RuntimeDirectory=b-agent\nBindReadOnlyPaths=/run/b-icewire.conf:/etc/icewire/icewire.conf")


def all_units():
    return [BROKER, AGENT, f"{PEER}-{BROKER}", f"{PEER}-{AGENT}"]


def pings(address):
    return subprocess.run(["ping", "-c", "1", "-W", "2", address], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False).returncode == 0

# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real servers that a lab uses: mosquitto as the rendezvous, coturn for STUN and TURN, and a certificate authority."""

import os
import re
import secrets
import socket

from sandbox import WORK

MQTT_NAME = "rendezvous.example"
MQTT_USER = "lab"
TURN_USER = "lab"
TURN_REALM = "lab.example"


class Authority:
    """Issues certificates; `certificate` is its own, to be trusted."""

    def __init__(self, lab, name="ca"):
        self._lab = lab
        self._folder = os.path.join(WORK, "pki-" + name)
        os.makedirs(self._folder, mode=0o700)
        self._key = os.path.join(self._folder, "ca.key")
        self._certificate = os.path.join(self._folder, "ca.crt")
        lab.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "30", "-subj", f"/CN=Lab {name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout", self._key, "-out", self._certificate)
        with open(self._certificate, encoding="utf-8") as f:
            self.certificate = f.read()

    def issue(self, *names):
        """Returns the paths of a certificate for these DNS names and its private key."""
        base = os.path.join(self._folder, names[0])
        self._lab.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-days", "30", "-subj", f"/CN={names[0]}", "-CA", self._certificate, "-CAkey", self._key,
                      "-addext", "subjectAltName=" + ",".join("DNS:" + n for n in names),
                      "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", base + ".key", "-out", base + ".crt")
        return base + ".crt", base + ".key"


class Mosquitto:
    """MQTT: plain on port 1883, TLS on port 8883, one user with a password. tls_addresses: TLS at these alone."""

    def __init__(self, namespace, authority, names=(MQTT_NAME,), name="mosquitto", tls_port=8883, plain_port=1883,
                 tls_addresses=("",)):
        self.namespace = namespace
        self.password = secrets.token_urlsafe(12)
        self._name = name
        self._accepting = [("127.0.0.1", plain_port)] + [(a or "127.0.0.1", tls_port) for a in tls_addresses]
        self._folder = os.path.join(WORK, name)
        os.makedirs(self._folder, mode=0o700)
        certificate, key = authority.issue(*names)
        passwords = self._file("passwords", f"{MQTT_USER}:{self.password}\n")
        namespace.run("mosquitto_passwd", "-U", passwords)
        self._configuration = self._file("conf", "\n".join((
            "user root", "persistence false", "log_dest stderr", "log_type all", "connection_messages true",
            "allow_anonymous false", f"password_file {passwords}",
            f"listener {plain_port}",
            *(f"listener {tls_port} {a}\ncertfile {certificate}\nkeyfile {key}" for a in tls_addresses), "")))
        self.process = None
        self.start()

    def _file(self, name, text):
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(text)
        return path

    def start(self):
        self.process = self.namespace.start(self._name, ["mosquitto", "-c", self._configuration])
        for where in self._accepting:
            self.namespace.lab.wait_until(lambda where=where: self.namespace.call(_accepts, *where),
                                          f"{self._name} listens on {where[0]} port {where[1]}")

    def stop(self):
        self.process.stop(status=None)


class Coturn:
    """STUN and TURN on port 3478 (or another), with long-term credentials. relays: the addresses that it relays by, its
    own if there are none. certificate: as Authority.issue() returns it, for TLS on tls_port as well. secret: makes
    time-limited credentials, in place of the user and the password."""

    def __init__(self, namespace, addresses, name="coturn", port=3478, password=None, relays=(), certificate=None,
                 tls_port=5349, secret=None):
        self.namespace = namespace
        self.password = password or secrets.token_urlsafe(12)
        self._name = name
        self._ports = [port] + ([tls_port] if certificate else [])
        folder = os.path.join(WORK, name)
        os.makedirs(folder, mode=0o700)
        self._configuration = os.path.join(folder, "conf")
        lines = [f"listening-ip={a}" for a in addresses] + [f"relay-ip={a}" for a in relays or addresses]
        lines += [f"listening-port={port}", "min-port=49152", "max-port=65535", f"realm={TURN_REALM}", "no-dtls",
                  "fingerprint", "verbose", "log-file=stdout", "simple-log", f"pidfile={folder}/pid",
                  f"userdb={folder}/db", "no-software-attribute"]
        if secret:
            lines += ["use-auth-secret", f"static-auth-secret={secret}"]
        else:
            lines += ["lt-cred-mech", f"user={TURN_USER}:{self.password}"]
        if certificate:
            lines += [f"tls-listening-port={tls_port}", f"cert={certificate[0]}", f"pkey={certificate[1]}"]
        else:
            lines += ["no-tls"]
        with open(self._configuration, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("\n".join(lines) + "\n")
        self._addresses = addresses
        self.process = None
        self.start()

    def start(self):
        self.process = self.namespace.start(self._name, ["turnserver", "-c", self._configuration])
        for address in self._addresses:
            for port in self._ports:
                self.namespace.lab.wait_until(lambda a=address, p=port: self.namespace.call(_accepts, a, p),
                                              f"{self._name} listens on {address}, port {port}")

    def stop(self):
        self.process.stop(status=None)

    def sessions(self):
        """What became of each session with an allocation, as the log tells: {session: "allocated", "deleted" (the
        client has given it back) or "closed"}."""
        found = {}
        for line in self.process.output().splitlines():
            session = _SESSION.search(line)
            if not session:
                continue
            if "ALLOCATE processed, success" in line:
                found[session[1]] = "allocated"
            elif "refreshed" in line and "lifetime=0" in line:
                found[session[1]] = "deleted"
            elif "closed (" in line and session[1] in found and found[session[1]] != "deleted":
                found[session[1]] = "closed"
        return found


_SESSION = re.compile(r"session (\d+)")


def _accepts(address, port):
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False

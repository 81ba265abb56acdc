# SPDX-License-Identifier: LGPL-2.1-or-later
"""a right that is missing is named: a daemon's capability, a file that cannot be read, a broker that is not there"""

from errors import LabError
from host import AGENT_RIGHTS
from topology import MQTT_PASSWORD_FILE, Sites

NO_NET_ADMIN = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]


def _refuses(host, argv, *words):
    """It ends at once, with a message that has the words."""
    done = host.run("timeout", "20", *argv, check=False)
    if done.returncode in (0, 124) or any(word not in done.stderr for word in words):
        raise LabError(f"{argv[-1]}: expected a refusal with {words}, found exit status {done.returncode}: {done.stderr}")
    host.lab.say(done.stderr.strip())


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    sites.configure()
    a, b = sites.a, sites.b
    _refuses(a, NO_NET_ADMIN + [lab.binary("icewire-broker")], "CAP_NET_ADMIN")
    _refuses(a, [lab.binary("icewired")], "must not run as root")
    _refuses(a, AGENT_RIGHTS + [lab.binary("icewired"), "--socket=/run/elsewhere"], "/run/elsewhere", "Permission denied")

    lab.say("icewired without a broker, and with a password that it may not read")
    a.write(MQTT_PASSWORD_FILE, sites.mosquitto.password, mode=0o600, group=0)
    a.start_agent().wait_ready()
    status = a.ctl("status")
    if a.varlink("Describe")["broker"] == "ready" or "start icewire-broker" not in status:
        raise LabError(f"icewirectl does not tell that the broker is missing: {status}")
    lab.wait_until(lambda: MQTT_PASSWORD_FILE in a.agent.output() and "Permission denied" in a.agent.output(),
                   lambda: f"icewired names {MQTT_PASSWORD_FILE}: {a.agent.output()}")
    lab.say(status)

    lab.say("both are put right")
    a.write_secret(MQTT_PASSWORD_FILE, sites.mosquitto.password)
    a.ctl("reload")
    a.start_broker().wait_ready()
    b.start_icewire()
    sites.wait_connected()
    sites.prove_direct()

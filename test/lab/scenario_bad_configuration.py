# SPDX-License-Identifier: LGPL-2.1-or-later
"""a broken configuration file is named with file and line, the rest of it is used, and the daemon stays up; so on reload"""

import re

from errors import LabError
from topology import Sites

BROKEN = "/etc/icewire/icewire.conf.d/50-broken.conf"

# By line number: what is wrong there.
LINES = {2: ("[ICE]", None), 3: ("NoSuchKey=1", "NoSuchKey"), 4: ("TURNServers=turn:", "TURNServers"),
         5: ("STUNServers=192.0.2.10:99999", "STUNServers"), 6: ("[Agent]", None), 7: ("LogLevel=loud", "LogLevel")}


def _complaint(number, word):
    return re.compile(rf"50-broken\.conf:{number}\b.*{word}|{word}.*50-broken\.conf:{number}\b")


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    sites.configure()
    text = "# broken on purpose\n" + "".join(line + "\n" for line, _ in LINES.values())
    sites.a.write(BROKEN, text)
    for host in (sites.a, sites.b):
        host.start_icewire()
    _complains(lab, sites.a, LINES)
    sites.wait_connected()
    sites.prove_direct()

    lab.say("a file that is no configuration at all, and a reload")
    sites.a.write(BROKEN, "\x01\x02 neither = [section\n[\n" + "x" * 10000 + "\n")
    before = len(sites.a.agent.output())
    told = sites.a.run(lab.binary("icewirectl"), "reload", check=False).stderr
    if "make no sense" not in told:
        raise LabError(f"icewirectl reload does not say that something was skipped: {told}")
    lab.wait_until(lambda: "50-broken.conf" in sites.a.agent.output()[before:], "the broken file is named after the reload")
    sites.wait_connected()
    sites.ping()

    lab.say("the file is repaired")
    sites.a.write(BROKEN, "[Rendezvous]\nMulticast=no\n")
    before = len(sites.a.agent.output())
    sites.a.ctl("reload")
    lab.wait_until(lambda: not any(r["name"] == "multicast" for r in sites.a.rendezvous()), "multicast is off, as the file says")
    if "50-broken.conf" in sites.a.agent.output()[before:]:
        raise LabError(f"the repaired file is still complained of: {sites.a.agent.output()[before:]}")
    sites.wait_connected()
    sites.ping()


def _complains(lab, host, lines):
    for number, (_, word) in lines.items():
        if word:
            lab.wait_until(lambda n=number, w=word: _complaint(n, w).search(host.agent.output()),
                           f"line {number} of {BROKEN} is named, with {word}", timeout=10)
    if not host.agent.alive():
        raise LabError("icewired ended")

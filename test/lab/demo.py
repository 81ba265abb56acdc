#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tools/demo runs, in a sandbox: demo.py BUILD LOGS [--shell]."""

import os
import signal
import subprocess
import sys
import traceback

import sandbox
from errors import LabError
from host import frozen, start_together
from lab import Lab
from topology import SERVER4, TUNNEL4, WIDE4, Sites

NAT_A, NAT_B = WIDE4["a"] + ".2", WIDE4["b"] + ".2"


def _show(host, *argv):
    """Prints a command and its output, as if it were typed on the host."""
    print(f"\n{host.name}# {' '.join(os.path.basename(a) for a in argv)}", flush=True)
    print(host.run(*argv), end="", flush=True)


def _connect(lab, sites):
    lab.say("icewire-broker and icewired start on both hosts")
    start_together(sites.a, sites.b)
    sites.wait_connected(paths=("direct",))
    lab.say("connected")
    for host in (sites.a, sites.b):
        _show(host, lab.binary("icewirectl"), "status")
    _show(sites.a, "ping", "-n", "-c", "5", "-i", "0.2", TUNNEL4["b"])
    with frozen(sites.a, sites.b):
        there, back, relayed = sites.prove_direct()
    print(f"\n20 pings of 1000 bytes through the tunnel, all answered while icewired and icewire-broker were held by\n"
          f"SIGSTOP on both hosts; as the internet's router saw them pass, in bytes:\n"
          f"  from NAT {NAT_A} to NAT {NAT_B}: {there}\n"
          f"  from NAT {NAT_B} to NAT {NAT_A}: {back}\n"
          f"  to or from the relay {SERVER4}: {relayed}\n", flush=True)


def _shell(lab):
    """A shell in which each machine's name runs a command there."""
    folder = os.path.join(sandbox.WORK, "machines")
    os.makedirs(folder)
    for machine in lab.namespaces:
        path = os.path.join(folder, machine.name)
        with open(path, "w", encoding="utf-8") as f:
            # With the root as well: without it, nsenter ends up outside of a chroot that the lab is in.
            f.write(f"#!/bin/bash\nPATH={sandbox.WORK}/bin:$PATH\n"
                    f"exec nsenter --target {machine.holder} --net --mount --root --wd=/ -- \"${{@:-bash}}\"\n")
        os.chmod(path, 0o755)
    names = [m.name for m in lab.namespaces]
    print(f"""Machines: {', '.join(names)}. Each name runs a command there, for example:
  a icewirectl status
  a ping {TUNNEL4['b']}
  nat-a nft list ruleset
  internet tcpdump -ni any udp and not port 3478
exit ends the demo.""", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    env = dict(os.environ, PATH=folder + ":" + os.environ["PATH"], PS1="demo# ")
    subprocess.run(["bash", "--norc"], env=env, check=False,
                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def main(build, logs, *options):
    sandbox.prepare()
    lab = Lab(build, logs, verbose=True)
    try:
        print("Two hosts behind two NATs; nobody tells either of them where the other is.", flush=True)
        sites = Sites(lab)
        sites.add_links()
        sites.configure()
        _connect(lab, sites)
        if "--shell" in options:
            _shell(lab)
        lab.close()
    except KeyboardInterrupt:
        print(f"\ndemo: interrupted; logs: {lab.logs}", flush=True)
        return 130
    except Exception as e:  # pylint: disable=broad-except
        if not isinstance(e, LabError):
            traceback.print_exc()
        lab.explain()
        print(f"demo: FAILED: {e}\ndemo: logs: {lab.logs}", flush=True)
        return 1
    print("demo: the two hosts are connected directly: no relay carries their packets, and no process of icewire; "
          f"logs: {lab.logs}", flush=True)
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(*sys.argv[1:]))

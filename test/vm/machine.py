# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host with a systemd of its own: a container (systemd-nspawn) of the same system, in a network namespace that the lab has made and
cabled, with icewire as it is installed. Its units, its bus and what manages its links are real; the kernel is the machine's."""

import json
import os
import shlex
import subprocess

import varlink
from errors import LabError
from host import AGENT_SOCKET, Host
from patience import patient

FOLDER = "/run/icewire-hosts"

# A container of systemd-nspawn may make no network, and load no eBPF program, unless it is told otherwise: here it is to be
# what a host is. The parameters are the machine's own (see run).
NSPAWN = ("systemd-nspawn", "--quiet", "--boot", "--keep-unit", "--register=no", "--settings=no", "--console=read-only",
          "--notify-ready=yes", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--capability=all",
          "--system-call-filter=bpf perf_event_open")
PARAMETERS = ("systemd.firstboot=off", "systemd.condition_first_boot=no", "systemd.condition_needs_update=no",
              "systemd.show_status=no")

# Its journal goes to its console, and from there to the machine's journal, which test/vm/run reads.
JOURNAL = "[Journal]\nStorage=volatile\nForwardToConsole=yes\nTTYPath=/dev/console\nRateLimitIntervalSec=0\nLineMax=8K\n"

# A console that nobody looks at, modules, which a container does not load, and users that are there.
MASKED = ("console-getty.service", "modprobe@.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
          "systemd-sysusers.service")

DAEMONS = ("icewire-broker.service", "icewired.service")
SOCKETS = ("icewire-broker.socket", "icewired.socket")


class Machine(Host):
    """Between the constructor and begin_boot(), files may be written and cables plugged in."""

    _init = _booting = _pids = None

    def _make_private(self):
        """The files in which it will differ from this machine."""
        self._files = os.path.join(FOLDER, self.name)
        for name in ("upper", "work", "root"):
            os.makedirs(os.path.join(self._files, name))
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/machine-id", os.urandom(16).hex() + "\n")
        self.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self.write("/etc/systemd/journald.conf.d/zz-host.conf", JOURNAL)
        for unit in MASKED:
            self.write("/etc/systemd/system/" + unit, "")
        for unit in SOCKETS:
            self._enable("sockets.target", unit)
        self._enable("multi-user.target", "icewired.service")

    def _enable(self, target, unit):
        """As `systemctl enable` does, before it boots."""
        folder = self.path(f"/etc/systemd/system/{target}.wants")
        os.makedirs(folder, exist_ok=True)
        os.symlink("/usr/lib/systemd/system/" + unit, os.path.join(folder, unit))

    # Files

    def path(self, inside):
        return super().path(inside) if self._init else os.path.join(self._files, "upper") + inside

    def write(self, path, text, mode=0o644, group=None):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        super().write(path, text, mode, group)

    def write_secret(self, path, text):
        """As a credential of the system: /etc/icewire/NAME becomes icewire.NAME."""
        self.write("/etc/credstore/icewire." + os.path.basename(path), text, mode=0o600)

    # Life

    @property
    def unit(self):
        return f"icewire-host-{self.name}.service"

    def begin_boot(self):
        """Until booted() returns it may not be used."""
        root, upper, work = (os.path.join(self._files, name) for name in ("root", "upper", "work"))
        mount = ["mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", self.name, root]
        nspawn = [*NSPAWN, f"--machine={self.name}", f"--directory={root}", f"--network-namespace-path=/proc/{self.holder}/ns/net",
                  *PARAMETERS]
        self._booting = subprocess.Popen(
            ["systemd-run", "--quiet", "--collect", "--service-type=notify", f"--unit={self.unit}", "--property=Delegate=yes",
             f"--property=SyslogIdentifier={self.name}", "--setenv=SYSTEMD_NSPAWN_API_VFS_WRITABLE=network", f"--property=TimeoutStartSec={patient(60):.0f}", "--",
             "sh", "-ec", f"{shlex.join(mount)}\nexec {shlex.join(nspawn)}"], stdin=subprocess.DEVNULL)

    def booted(self):
        """Waits until its first process says that it is up."""
        if self._booting.wait() != 0:
            raise LabError(f"{self.name} did not boot: see {self.unit}")
        init = self._find_init()
        self._become(init)
        self._init = init
        self._pids = os.open(f"/proc/{init}/ns/pid", os.O_RDONLY)

    def _find_init(self):
        """The one child of systemd-nspawn that is another PID namespace's first."""
        main = subprocess.run(["systemctl", "show", "--value", "--property=MainPID", self.unit], check=True, capture_output=True,
                              text=True).stdout.strip()
        with open(f"/proc/{main}/task/{main}/children", encoding="utf-8") as f:
            children = f.read().split()
        for child in children:
            with open(f"/proc/{child}/status", encoding="utf-8") as f:
                numbers = next(line.split()[1:] for line in f if line.startswith("NSpid:"))
            if len(numbers) == 2 and numbers[1] == "1":
                return int(child)
        raise LabError(f"{self.name}: which process is its first? there are {children}")

    def _how_to_run(self, argv):
        if not self._init:
            return super()._how_to_run(argv)
        return ["nsenter", f"--target={self._init}", "--all", "--root", "--wdns=/", "--", *argv], None

    def varlink(self, method, parameters=None):
        """Calls a method of org.icewire.Agent from a process that has a number on this host, as sd-varlink wants of its
        clients."""
        worked, answer = self.call(_call_inside, self._pids, "org.icewire.Agent." + method, parameters)
        if not worked:
            raise varlink.VarlinkError(answer)
        return answer

    # Units

    def systemctl(self, *argv, **options):
        return self.run("systemctl", *argv, **options)

    def start_icewire(self):
        """As at boot."""
        self.systemctl("start", *SOCKETS, "icewired.service")

    def stop_icewire(self):
        """Everything of it, and nothing starts it again."""
        if self._init:
            self.systemctl("stop", "--quiet", *SOCKETS, *DAEMONS)

    def main_pid(self, unit):
        """As this host sees it; 0: it does not run."""
        return int(self.systemctl("show", "--value", "--property=MainPID", unit))

    def kill(self, unit):
        """SIGKILL; its manager starts it again."""
        self.systemctl("kill", "--signal=KILL", "--kill-whom=main", unit)

    def dump(self):
        """What helps to understand a failure, beside the journal."""
        if not self._init:
            return
        text = ""
        for argv in (["systemctl", "--no-pager", "--failed"], ["systemctl", "--no-pager", "status", *SOCKETS, *DAEMONS],
                     ["networkctl", "--no-pager", "status", "--all"], ["icewirectl", "status"], ["icewirectl", "--json=short", "peers"],
                     ["icewirectl", "history"]):
            done = self.run(*argv, check=False)
            text += f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}\n"
        with open(os.path.join(self.lab.logs, self.name + ".units"), "w", encoding="utf-8") as f:
            f.write(text)


def _call_inside(pids, method, parameters):
    """For Call(): (True, answer) or (False, error)."""
    read, write = os.pipe()
    os.setns(pids)
    # Who enters a PID namespace is not in it, but its children are.
    child = os.fork()
    if child == 0:
        try:
            answer = (True, varlink.call(AGENT_SOCKET, method, parameters))
        except (OSError, varlink.VarlinkError) as e:
            answer = (False, str(e))
        with os.fdopen(write, "w", encoding="utf-8") as f:
            json.dump(answer, f)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as f:
        answer = json.load(f)
    os.waitpid(child, 0)
    return answer

"""A systemd of its own in namespaces of this machine, with an installed tree, and pods in it."""

import os
import shutil
import subprocess
import tempfile
import time

import fleet

_BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot.sh")
# Hierarchies that systemd keeps its groups in: one, or where controllers are of version 1 two.
_CGROUPS = [path for path in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
            if os.path.isdir(path)] or ["/sys/fs/cgroup"]


def install(destination, prefix="/usr/local"):
    """What `make install` does once the programs are built; returns what CMake said."""
    return fleet.run("cmake", "--install", os.path.dirname(fleet.BIN), "--prefix", prefix,
                     "--strip", env=dict(os.environ, DESTDIR=destination))


class Guest:
    """Everything made here is gone when the context ends."""

    def __init__(self, installed):
        self.installed = installed
        self.scratch = tempfile.mkdtemp(prefix="podtap-systemd-")
        self.groups = [f"{cgroup}/podtap-test-{os.getpid()}" for cgroup in _CGROUPS]
        self.outer = None
        self.pid = None

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _boot(self):
        for group in self.groups:
            os.mkdir(group)
        enter = "; ".join(f"echo $$ >{group}/cgroup.procs" for group in self.groups)
        boot = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--uts", "--ipc",
                "--cgroup", _BOOT, self.scratch, self.installed]
        self.outer = subprocess.Popen(["sh", "-ec", enter + '; exec "$@"', "sh", *boot],
                                      stdin=subprocess.DEVNULL)
        children = f"/proc/{self.outer.pid}/task/{self.outer.pid}/children"

        def first_child():
            with open(children, encoding="ascii") as file:
                return file.read().split()
        self.pid = int(fleet.wait_for(first_child, "a process 1")[0])
        fleet.wait_for(lambda: self.ask("systemctl", "is-active", "basic.target") == "active",
                       "systemd to be up", seconds=60)

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.ask("journalctl", "--no-pager", "-n", "200"), flush=True)
        if self.outer is not None:
            # All processes of its pid namespace go with process 1.
            self.outer.kill()
            self.outer.wait()
        for group in self.groups:
            self._remove_group(group)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _remove_group(self, group):
        def try_it():
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    return False
            return True
        fleet.wait_for(try_it, f"{group} to be empty")

    def prefix(self):
        return ["nsenter", f"--target={self.pid}", "--all"]

    def ask(self, *command):
        """What a command in the guest says, also when it fails."""
        return subprocess.run([*self.prefix(), *command], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False).stdout.strip()

    def run(self, *command):
        return fleet.run(*self.prefix(), *command).strip()

    def property(self, unit, name):
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def start_service(self, name, *command):
        """A service in a network namespace of its own, which makes it a pod."""
        self.run("systemd-run", f"--unit={name}", "--property=PrivateNetwork=yes", *command)

    def in_service(self, name, *command):
        pid = self.property(name, "MainPID")
        return self.run("nsenter", f"--target={pid}", "--net", *command)

    def connect(self, number, name):
        """Gives a service an interface on the bridge of the guest, and an address."""
        pid = self.property(name, "MainPID")
        self.run("ip", "link", "add", f"veth{number}", "type", "veth",
                 "peer", "name", "eth0", "netns", pid)
        self.run("ip", "link", "set", f"veth{number}", "master", "br0", "up")
        self.address(name, number)

    def address(self, name, number):
        self.in_service(name, "ip", "addr", "add", f"10.4.2.{number}/24", "dev", "eth0")
        self.in_service(name, "ip", "link", "set", "eth0", "up")

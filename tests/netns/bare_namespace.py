"""Pods in network namespaces that have no name: a process keeps them, or an open mount."""

import json
import os
import shutil
import subprocess

import fleet

# What the agent needs to look at the processes of others.
PROC_PRIVILEGES = ["setpriv", "--bounding-set", "-all,+bpf,+net_raw,+sys_ptrace",
                   "--inh-caps", "-all,+bpf,+net_raw,+sys_ptrace"]


class BareNamespaces:
    """Namespaces on the bridge of a Fleet; what is made here is removed when the context ends."""

    def __init__(self, watched):
        self.watched = watched
        self.count = 0
        self.mounts = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        # Those whose namespace is gone went with it.
        for number in range(1, self.count + 1):
            subprocess.run(["ip", "link", "del", self.interface(number)], check=False,
                           capture_output=True)

    def interface(self, number):
        return f"{self.watched.tag}b{number}"

    def ip(self, number):
        return f"10.{self.watched.subnet}.77.{100 + number}"

    def program(self, name):
        """Busybox under another name, which is the command that a process goes by."""
        path = os.path.join(self.watched.directory, name)
        if not os.path.exists(path):
            shutil.copy("/bin/busybox", path)
        return path

    def start(self, name, command, mount=False):
        """A process in a namespace of its own, which is connected by number. With `mount` the
        namespace and its interface outlive the process."""
        self.count += 1
        number = self.count
        process = self.watched.start(f"{name}-{number}", ["unshare", "--net", *command])
        own = os.readlink("/proc/self/ns/net")
        link = f"/proc/{process.pid}/ns/net"
        fleet.wait_for(lambda: os.readlink(link) != own, "a namespace of its own")
        fleet.wait_for(lambda: comm(process.pid) == name, "the program to run")
        if mount:
            path = os.path.join(self.watched.directory, f"kept-{number}")
            with open(path, "wb"):
                pass
            fleet.run("mount", "--bind", link, path)
            self.mounts.append(path)
        host = self.interface(number)
        fleet.run("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns",
                  str(process.pid))
        fleet.run("ip", "link", "set", host, "master", self.watched.bridge, "up")
        inside = ["nsenter", f"--net={link}", "ip"]
        fleet.run(*inside, "addr", "add", self.ip(number) + "/24", "dev", "eth0")
        fleet.run(*inside, "link", "set", "eth0", "up")
        return process

    def start_server(self, name="httpd", mount=False):
        root = os.path.join(self.watched.directory, "bare-www")
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(root, "index.html"), "w", encoding="ascii") as file:
            file.write("hello\n")
        # Busybox takes any name that begins with its own.
        applet = [] if name == "httpd" else ["httpd"]
        return self.start(name, [self.program(name), *applet, "-f", "-p", "80", "-h", root], mount)


def comm(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def events(agent):
    """What an agent with --stdout -o json has printed."""
    return [json.loads(line) for line in agent.out().splitlines() if line.endswith("}")]

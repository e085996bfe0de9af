"""A Docker engine of the test's own, and containers in it.

Data, state, sockets and process ids are in a temporary directory, and containerd is one of the
test's own too; the containers are on the bridge of a Fleet. The engine changes no firewall and no
setting of the host. Everything is removed when the context ends, also when a test fails.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile

import fleet
from runtime import adopt_orphans, reap_shims

IMAGE = "podtap-test:1"
# What engine, containerd and shims leave in places that can't be chosen.
OUTSIDE = ("/run/docker", "/run/containerd", "/run/containerd/runc")


class Engine:
    def __init__(self, watched):
        self.watched = watched
        self.directory = os.path.join(watched.directory, "docker")
        self.socket = os.path.join(self.directory, "docker.sock")
        self.containerd_socket = os.path.join(self.directory, "containerd.sock")
        self.group = watched.tag + "d"
        self.present = {path for path in OUTSIDE if os.path.exists(path)}
        self.processes = []

    def __enter__(self):
        adopt_orphans()
        try:
            os.makedirs(self.directory)
            # The containers' part of the bridge's network, which has to have an address.
            fleet.run("ip", "addr", "add", f"10.{self.watched.subnet}.77.254/24", "dev",
                      self.watched.bridge)
            self._start_containerd()
            self._start_engine()
            self._import_image()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            for container in self.ctr("containers", "list", "-q").split():
                self.docker("rm", "-f", container, check=False)
                # Where the engine is gone.
                self.ctr("tasks", "rm", "-f", container)
        finally:
            for process in reversed(self.processes):
                process.stop(seconds=30)
            reap_shims()
            self._clean_up()

    def _start_containerd(self):
        config = os.path.join(self.directory, "containerd.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"""
version = 2
root = "{self.directory}/containerd"
state = "{self.directory}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
                    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.directory}/opt"
[grpc]
  address = "{self.containerd_socket}"
""")
        self.processes.append(self.watched.start("dockers-containerd", ["containerd", "-c", config]))
        fleet.wait_for(lambda: self.ctr("version"), "containerd to answer")

    def _start_engine(self):
        config = os.path.join(self.directory, "none.json")
        with open(config, "w", encoding="ascii") as file:
            file.write("{}")
        self.processes.append(self.watched.start("dockerd", [
            "dockerd", "--config-file", config, "--data-root", self.directory + "/data",
            "--exec-root", self.directory + "/exec", "--pidfile", self.directory + "/pid",
            "--host", "unix://" + self.socket, "--containerd", self.containerd_socket,
            "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false",
            "--ip-masq=false", "--ip-forward=false", "--userland-proxy=false",
            "--bridge", self.watched.bridge,
            "--fixed-cidr", f"10.{self.watched.subnet}.77.128/26",
            # As Docker names it, in a group of the test's own.
            "--cgroup-parent", f"/{self.group}/docker"]))
        fleet.wait_for(lambda: self.docker("version", check=False), "the engine to answer", 60)

    def _import_image(self):
        image = io.BytesIO()
        with tarfile.open(fileobj=image, mode="w") as tar:
            tar.add("/bin/busybox", "bin/busybox")
            for name in ("sh", "httpd"):
                link = tarfile.TarInfo("bin/" + name)
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            page = tarfile.TarInfo("www/index.html")
            page.size = 6
            tar.addfile(page, io.BytesIO(b"hello\n"))
        path = os.path.join(self.directory, "image.tar")
        with open(path, "wb") as file:
            file.write(image.getvalue())
        self.docker("import", path, IMAGE)

    def docker(self, *arguments, check=True):
        """What Debian's docker says; empty when it fails and may."""
        result = subprocess.run(["/usr/bin/docker", "--host", "unix://" + self.socket, *arguments],
                                capture_output=True, text=True, check=False, timeout=60,
                                env={**os.environ, "DOCKER_CONFIG": self.directory})
        if check and result.returncode != 0:
            raise RuntimeError(f"docker {arguments}: {result.stderr}")
        return result.stdout if result.returncode == 0 else ""

    def ctr(self, *arguments):
        return subprocess.run(
            ["ctr", "-a", self.containerd_socket, "-n", "moby", *arguments],
            capture_output=True, text=True, check=False, timeout=30).stdout

    def start_server(self, name):
        """Starts a container with a server; returns its id and address."""
        full_id = self.docker("run", "--detach", "--name", name, IMAGE,
                              "/bin/httpd", "-f", "-p", "80", "-h", "/www").strip()
        state = json.loads(self.docker("inspect", full_id))[0]

        def listens():
            with open(f"/proc/{state['State']['Pid']}/net/tcp6", encoding="ascii") as file:
                return any(":0050 " in line and " 0A " in line for line in file)
        fleet.wait_for(listens, f"a server in {name}")
        return full_id, state["NetworkSettings"]["IPAddress"]

    def _clean_up(self):
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = [line.split()[1] for line in file]
        for path in reversed(mounts):
            if path.startswith(self.directory + "/"):
                subprocess.run(["umount", "-l", path], check=False, capture_output=True)
        for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.group}" in folder:
                os.rmdir(folder)
        for path in set(OUTSIDE) - self.present:
            shutil.rmtree(path, ignore_errors=True)

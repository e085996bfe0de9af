"""A containerd of the test's own, and pods in it as a kubelet makes them.

Root, state, socket and network configuration are in a temporary directory; bridges carry the
process id. Everything is removed when the context ends, also when a test fails: the pods first,
then containerd by its process id.
"""

import base64
import concurrent.futures
import ctypes
import json
import os
import shutil
import signal
import subprocess
import uuid

import fleet
from image import write_image

PAUSE_IMAGE = "localhost/podtap-pause:1"
APP_IMAGE = "localhost/podtap-app:1"
# Debian's place.
CNI_PROGRAMS = "/usr/lib/cni"
SERVER = ["/bin/sh", "-c", "mkdir -p /www && echo hello >/www/index.html && "
          "exec httpd -f -p 80 -h /www"]


class Pod:
    """A pod that runs."""

    def __init__(self, sandbox_id, namespace, name, uid, addresses, netns):
        self.id = sandbox_id
        self.namespace = namespace
        self.name = name
        self.uid = uid
        # The first is that of its first network.
        self.addresses = addresses
        # The name under /run/netns; None for a pod on the host's network.
        self.netns = netns
        # What the runtime was asked for.
        self.config = None

    def run(self, *command):
        """Runs a program of this machine in the pod's network."""
        return fleet.run(*fleet.inside(self.netns), *command)

    def wait_for_server(self):
        """Asked of the kernel, so that nothing is sent."""
        def listens():
            lines = self.run("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
            return any(":0050 " in line and " 0A " in line for line in lines)
        fleet.wait_for(listens, f"a server in {self.name}")

    def host_interfaces(self):
        """Names of the host's ends of the pod's pairs."""
        known = {entry["name"]: entry.get("id")
                 for entry in json.loads(fleet.run("ip", "-j", "netns", "list"))}
        links = json.loads(fleet.run("ip", "-j", "-d", "link", "show", "type", "veth"))
        return {link["ifname"] for link in links
                if link.get("link_netnsid", -1) == known.get(self.netns)}


class Runtime:
    """`watched` is the Fleet whose directory and processes are used."""

    _serial = 0

    def __init__(self, watched, start=True):
        Runtime._serial += 1
        self.watched = watched
        self.tag = f"r{os.getpid() % 100000}x{Runtime._serial}"
        self.directory = os.path.join(watched.directory, "cri")
        self.socket = os.path.join(self.directory, "containerd.sock")
        self.endpoint = "unix://" + self.socket
        self.process = None
        self.pods = []
        self.starts_at_once = start
        self.present = {path for path in ("/var/lib/cni", "/run/containerd")
                        if os.path.exists(path)}
        self.subnet = os.getpid() % 200 + 1
        # This machine's address in the network `bridge`, once there is a pod in it.
        self.gateway = f"10.{self.subnet}.90.1"

    def __enter__(self):
        adopt_orphans()
        # The gateway plugins turn it on.
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            self.ip_forward = file.read()
        try:
            self._prepare()
            if self.starts_at_once:
                self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self.pods and self.process.popen.poll() is not None:
                self.start()
            for pod in list(self.pods):
                self.remove_pod(pod)
        finally:
            if self.process is not None:
                self.process.stop()
            self._clean_up()
            reap_shims()

    def _prepare(self):
        os.makedirs(self.directory)
        # The master of macvlan interfaces.
        self.uplink = self.tag + "u"
        fleet.run("ip", "link", "add", self.uplink, "type", "veth", "peer", "name",
                  self.uplink + "p")
        for end in (self.uplink, self.uplink + "p"):
            fleet.run("ip", "link", "set", end, "up")
        for number, (name, plugins) in enumerate(self._networks().items()):
            os.makedirs(os.path.join(self.directory, "cni", name))
            for index, (plugin, extra) in enumerate(plugins):
                ranges = [[{"subnet": f"10.{self.subnet}.{90 + 2 * number + index}.0/24"}]]
                if name == "bridge":
                    ranges.append([{"subnet": f"fd00:{self.subnet}:90::/64"}])
                # One way out is enough for a pod with two networks.
                routes = [] if index else [{"dst": "0.0.0.0/0"}]
                network = f"{self.tag}{name}{index}"
                path = os.path.join(self.directory, "cni", name, f"{index}.conflist")
                with open(path, "w", encoding="ascii") as file:
                    json.dump({"cniVersion": "1.0.0", "name": network, "plugins": [{
                        "type": plugin, **extra, "ipMasq": False,
                        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes,
                                 "dataDir": os.path.join(self.directory, "ipam")}}]}, file)
        write_image(os.path.join(self.directory, "pause.tar"), PAUSE_IMAGE,
                    {"pause": os.path.join(fleet.BIN, "cri_pause")}, {}, ["/pause"])
        write_image(os.path.join(self.directory, "app.tar"), APP_IMAGE,
                    {"bin/busybox": "/bin/busybox"},
                    {"bin/" + name: "busybox"
                     for name in ("sh", "httpd", "sleep", "mkdir", "echo")}, ["/bin/sh"])
        with open(os.path.join(self.directory, "config.toml"), "w", encoding="ascii") as file:
            file.write(self._config())

    def _networks(self):
        """Per handler the networks that a pod of it gets: (plugin, its settings). That of `bridge`
        is dual stack."""
        def bridge(number):
            return ("bridge", {"bridge": f"{self.tag}b{number}", "isGateway": True})
        return {"bridge": [bridge(0)], "ptp": [("ptp", {})], "dual": [bridge(1), bridge(2)],
                "macvlan": [("macvlan", {"master": self.uplink, "mode": "bridge"})]}

    def _config(self):
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        handlers = "".join(f"""
[{cri}.containerd.runtimes.{name}]
  runtime_type = "io.containerd.runc.v2"
  cni_conf_dir = "{self.directory}/cni/{name}"
  cni_max_conf_num = {len(plugins)}
""" for name, plugins in self._networks().items())
        # restrict_oom_score_adj: not every test machine lets the score be lowered.
        return f"""
version = 2
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
                    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.directory}/opt"
[grpc]
  address = "{self.socket}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  stream_server_port = "0"
[{cri}.cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{self.directory}/cni/bridge"
[{cri}.containerd]
  snapshotter = "native"
  default_runtime_name = "bridge"
{handlers}"""

    def start(self):
        """Starts containerd, or starts it again."""
        is_first = self.process is None
        self.process = self.watched.start(
            "containerd", ["containerd", "-c", os.path.join(self.directory, "config.toml")])
        fleet.wait_for(lambda: self._ctr("version", check=False), "containerd to answer")
        if is_first:
            for image in ("pause.tar", "app.tar"):
                self.import_image(os.path.join(self.directory, image))

    def kill(self):
        """As a crash does. The pods live on."""
        self.process.stop(signal.SIGKILL)

    def _ctr(self, *arguments, check=True):
        result = subprocess.run(["ctr", "-a", self.socket, *arguments], capture_output=True,
                                text=True, check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"ctr {arguments}: {result.stderr}")
        return result.returncode == 0

    def import_image(self, path):
        self._ctr("-n", "k8s.io", "images", "import", path)

    def call(self, method, request):
        result = subprocess.run([os.path.join(fleet.BIN, "cri_call"), self.socket, method],
                                input=json.dumps(request), capture_output=True, text=True,
                                check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        return json.loads(result.stdout)

    # Pods.

    def add_pod(self, name, network="bridge", namespace="shop", labels=None, annotations=None,
                containers=(("web", SERVER),), settings=None, security=None, dns=None):
        """`network` is one of _networks(), or "host"; `settings` are more of each container's
        config, `security` of the sandbox's security context, `dns` its resolver's; without that
        names are those of this machine."""
        uid = str(uuid.uuid4())
        own = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace,
               "io.kubernetes.pod.uid": uid}
        is_host = network == "host"
        config = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            # On the host's network there is no name of its own to have.
            "hostname": "" if is_host else name,
            "log_directory": os.path.join(self.directory, "log"),
            "labels": {**own, **(labels or {})},
            "annotations": annotations or {},
            "dns_config": dns or {},
            "linux": {"cgroup_parent": "/" + self.tag, "security_context": {
                "namespace_options": {"network": "NODE" if is_host else "POD"},
                **(security or {})}}}
        sandbox = self.call("RunPodSandbox", {
            "config": config, "runtime_handler": "" if is_host else network})["podSandboxId"]
        pod = Pod(sandbox, namespace, name, uid, [], None)
        self.pods.append(pod)
        pod.config = config
        for container, command in containers:
            self.add_container(pod, container, command, settings)
        status = self.call("PodSandboxStatus", {"pod_sandbox_id": sandbox, "verbose": True})
        address = status["status"].get("network", {})
        pod.addresses = [address.get("ip", "")] + [
            other["ip"] for other in address.get("additionalIps", [])]
        for entry in json.loads(status["info"]["info"])["runtimeSpec"]["linux"]["namespaces"]:
            if entry["type"] == "network":
                pod.netns = os.path.basename(entry["path"])
        if not is_host and any(command is SERVER for _, command in containers):
            pod.wait_for_server()
        return pod

    def add_pods(self, names, at_a_time, **options):
        """Pods of these names, in this order."""
        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            return list(pool.map(lambda name: self.add_pod(name, **options), names))

    def add_container(self, pod, name, command, settings=None):
        """Returns its id."""
        created = self.call("CreateContainer", {
            "pod_sandbox_id": pod.id, "sandbox_config": pod.config,
            "config": {"metadata": {"name": name}, "image": {"image": APP_IMAGE},
                       "command": command, "log_path": self.log_name(pod.name, name),
                       **(settings or {})}})
        self.call("StartContainer", {"container_id": created["containerId"]})
        return created["containerId"]

    def stop_container(self, container_id, seconds):
        """SIGTERM, and SIGKILL after these seconds."""
        self.call("StopContainer", {"container_id": container_id, "timeout": seconds})

    def container_status(self, container_id):
        """What the runtime says of a container, and the id of its process."""
        status = self.call("ContainerStatus", {"container_id": container_id, "verbose": True})
        return status["status"], json.loads(status["info"]["info"]).get("pid")

    def run_in_container(self, container_id, *command):
        """Exit code and output of a program of the container's image."""
        done = self.call("ExecSync", {"container_id": container_id, "cmd": command, "timeout": 30})
        said = b"".join(base64.b64decode(done.get(name, "")) for name in ("stdout", "stderr"))
        return done.get("exitCode", 0), said.decode(errors="replace")

    @staticmethod
    def log_name(pod_name, container):
        return f"{pod_name}-{container}.log"

    def log(self, pod, container):
        """What a container has said."""
        path = os.path.join(self.directory, "log", self.log_name(pod.name, container))
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def first_process(self, pod):
        status = self.call("PodSandboxStatus", {"pod_sandbox_id": pod.id, "verbose": True})
        return json.loads(status["info"]["info"])["pid"]

    def remove_pod(self, pod):
        self.call("StopPodSandbox", {"pod_sandbox_id": pod.id})
        self.call("RemovePodSandbox", {"pod_sandbox_id": pod.id})
        self.pods.remove(pod)

    def _clean_up(self):
        for link in (self.uplink, *(f"{self.tag}b{number}" for number in range(3))):
            subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
            file.write(self.ip_forward)
        for folder, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{self.tag}" in folder:
                os.rmdir(folder)
        for path in {"/var/lib/cni", "/run/containerd"} - self.present:
            shutil.rmtree(path, ignore_errors=True)


def adopt_orphans():
    """Shims outlive the containerd that started them; who adopts them has to reap them, and not
    every machine's first process does."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def reap_shims():
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                name, rest = file.read().split("(", 1)[1].rsplit(")", 1)
        except (OSError, IndexError):
            continue
        state, parent = rest.split()[:2]
        if name.startswith("containerd-shim") and state == "Z" and int(parent) == os.getpid():
            os.waitpid(int(entry), 0)

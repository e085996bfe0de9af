"""Pods in network namespaces, the three programs, and waiting for what they show.

Everything made here is removed when its context ends, also when a test fails. Names carry the
process id, so that runs don't meet; other namespaces of the machine may be tapped too, and tests
ask by pod name for that reason.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BIN = os.environ.get("PODTAP_BIN", os.path.join(os.getcwd(), "bin"))
SMALL_PRIVILEGES = ["setpriv", "--bounding-set", "-all,+bpf,+net_raw",
                    "--inh-caps", "-all,+bpf,+net_raw"]


def need_root():
    """Each module's setUpModule: skips without root; in CI a skip would hide that nothing ran."""
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        raise unittest.SkipTest("needs root")


def inside(netns):
    """Prefix of a command that runs in a named network namespace."""
    # Not `ip netns exec` or `ip -n`, which mount /sys anew: a chroot does not allow that.
    return ["nsenter", f"--net=/run/netns/{netns}"]


def run(*command, **options):
    """Runs a command; its output is in the error when it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            stdin=subprocess.DEVNULL, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}")
    return result.stdout


def wait_for(condition, what, seconds=20.0):
    """The first true value of condition(); fails the test when none comes."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def free_port():
    """A port that nobody listens on. It is none of those that the kernel hands out itself: a
    program's own port 0 or a connection's end could take such a one before its user does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Process:
    """A program with its output in files."""

    def __init__(self, directory, name, command, netns=None, stdout=None):
        """`stdout` is a descriptor to write to in place of the file."""
        self.name = name
        self.out_path = os.path.join(directory, name + ".out")
        self.err_path = os.path.join(directory, name + ".err")
        if netns:
            command = [*inside(netns), *command]
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                          stdout=out if stdout is None else stdout, stderr=err)

    @property
    def pid(self):
        return self.popen.pid

    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_err(self, text, seconds=20.0):
        def look():
            if self.popen.poll() is not None and text not in self.err():
                raise AssertionError(f"{self.name} ended with {self.popen.returncode}: {self.err()}")
            return text in self.err()
        wait_for(look, f"{self.name} to say {text!r}", seconds)

    def admin_address(self):
        said = "probes and metrics on "
        self.wait_for_err(said)
        return self.err().split(said)[1].split()[0]

    def admin(self, path):
        """Status and text of a page of the admin port."""
        try:
            with urllib.request.urlopen(f"http://{self.admin_address()}{path}",
                                        timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self, number=signal.SIGTERM, seconds=15):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise


class Fleet:
    """A bridge with pods on it, and the programs that watch them."""

    _serial = 0

    def __init__(self):
        Fleet._serial += 1
        self.tag = f"e{os.getpid() % 100000}x{Fleet._serial}"
        self.directory = tempfile.mkdtemp(prefix="podtap-")
        self.processes = []
        self.pods = {}
        self.links = []
        self.subnet = None

    def __enter__(self):
        self.bridge = self.tag + "br"
        self.subnet = os.getpid() % 200 + 1
        run("ip", "link", "add", self.bridge, "type", "bridge")
        self.links.append(self.bridge)
        # A bridge of this test's own: no delays of spanning trees, no filtering by the host.
        run("ip", "link", "set", self.bridge, "up")
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for process in self.processes:
                print(f"--- {process.name} said:\n{process.err()[-3000:]}", flush=True)
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.kill()
            process.popen.wait()
        for pod in list(self.pods):
            self.remove_pod(pod)
        for link in self.links:
            subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def netns(self, pod):
        return f"{self.tag}-{pod}"

    def host_interface(self, pod):
        return f"{self.tag}v{self.pods[pod]}"

    def ip4(self, pod):
        return f"10.{self.subnet}.77.{self.pods[pod] + 1}"

    def ip6(self, pod):
        return f"fd00:{self.subnet}:77::{self.pods[pod] + 1}"

    def add_pod(self, pod):
        netns = self.netns(pod)
        number = 1
        while number in self.pods.values():
            number += 1
        self.pods[pod] = number
        host = self.host_interface(pod)
        run("ip", "netns", "add", netns)
        run("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", netns)
        run("ip", "link", "set", host, "master", self.bridge, "up")
        self.in_pod(pod, "ip", "addr", "add", self.ip4(pod) + "/24", "dev", "eth0")
        self.in_pod(pod, "ip", "addr", "add", self.ip6(pod) + "/64", "dev", "eth0", "nodad")
        self.in_pod(pod, "ip", "link", "set", "lo", "up")
        self.in_pod(pod, "ip", "link", "set", "eth0", "up")

    def remove_pod(self, pod):
        subprocess.run(["ip", "link", "del", self.host_interface(pod)], check=False,
                       capture_output=True)
        subprocess.run(["ip", "netns", "del", self.netns(pod)], check=False, capture_output=True)
        del self.pods[pod]

    def seconds_until_freed(self, pod):
        """Deletes the pod's namespace by name alone. Its pair lives as long as the namespace does:
        by that the host can tell when nobody keeps it any more."""
        path = f"/sys/class/net/{self.host_interface(pod)}"
        if not os.path.exists(path):
            raise AssertionError(f"{path} is not there")
        run("ip", "netns", "del", self.netns(pod))
        begin = time.monotonic()
        wait_for(lambda: not os.path.exists(path), "the namespace to be freed")
        return time.monotonic() - begin

    def set_offloads(self, pod, state):
        features = [word for name in ("tso", "gso", "gro", "tx", "sg") for word in (name, state)]
        run("ethtool", "-K", self.host_interface(pod), *features)
        self.in_pod(pod, "ethtool", "-K", "eth0", *features)

    def start(self, name, command, pod=None, stdout=None):
        process = Process(self.directory, name, command, self.netns(pod) if pod else None, stdout)
        self.processes.append(process)
        return process

    def in_pod(self, pod, *command, **options):
        return run(*inside(self.netns(pod)), *command, **options)

    # The programs.

    def start_collector(self, *flags, port=None, name="collector", store=None):
        self.port = port or free_port()
        store = store or os.path.join(self.directory, "store")
        process = self.start(name, [
            os.path.join(BIN, "podtap-collector"), "--listen", f"127.0.0.1:{self.port}",
            "--admin-listen", "127.0.0.1:0", "--store", "sqlite:" + store, *flags])
        process.wait_for_err("listening on ")
        return process

    def start_agent(self, *flags, name="agent", privileges=SMALL_PRIVILEGES, wait_for_pods=True,
                    stdout=None, discovery="netns"):
        process = self.start(name, [*privileges, os.path.join(BIN, "podtap-agent"),
                                    "--discovery", discovery, "--admin-listen", "127.0.0.1:0",
                                    *flags], stdout=stdout)
        if wait_for_pods:
            self.wait_for_taps(process)
        return process

    def wait_for_taps(self, agent, pods=None):
        for pod in pods or self.pods:
            agent.wait_for_err(f"tapping {self.host_interface(pod)} for pod {self.netns(pod)}")

    def start_watching(self, *agent_flags):
        """Collector and agent; returns both."""
        collector = self.start_collector()
        agent = self.start_agent("--collector", f"127.0.0.1:{self.port}", *agent_flags)
        return collector, agent

    # Servers in pods.

    def start_nginx(self, pod, server_lines=""):
        """nginx on port 80, IPv4 and IPv6, with an access log; returns its process."""
        root = os.path.join(self.directory, "www-" + pod)
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(root, "index.html"), "w", encoding="ascii") as file:
            file.write("hello from " + pod + "\n")
        config = os.path.join(self.directory, f"nginx-{pod}.conf")
        log = self.access_log(pod)
        with open(config, "w", encoding="ascii") as file:
            file.write(f"""
daemon off; master_process off; user root; pid {self.directory}/nginx-{pod}.pid;
error_log {self.directory}/nginx-{pod}.error;
events {{ worker_connections 1024; }}
http {{
  log_format one '$request_method $request_uri $status $body_bytes_sent';
  access_log {log} one;
  client_body_temp_path {self.directory}; proxy_temp_path {self.directory};
  fastcgi_temp_path {self.directory}; uwsgi_temp_path {self.directory};
  scgi_temp_path {self.directory};
  sendfile on; keepalive_requests 1000000; client_max_body_size 0;
  server {{ listen 80; listen [::]:80; root {root}; {server_lines} }}
}}
""")
        process = self.start("nginx-" + pod, ["nginx", "-c", config], pod)
        self.wait_for_port(pod, 80)
        return process

    def access_log(self, pod):
        return os.path.join(self.directory, f"access-{pod}.log")

    def access_lines(self, pod):
        with open(self.access_log(pod), encoding="ascii", errors="replace") as file:
            return file.read().splitlines()

    def www(self, pod, name):
        return os.path.join(self.directory, "www-" + pod, name)

    def wait_for_port(self, pod, port):
        # Asked inside the pod over loopback, where nothing is tapped.
        def listening():
            lines = self.in_pod(pod, "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
            return any(f":{port:04X} " in line and " 0A " in line for line in lines)
        wait_for(listening, f"a server on port {port} of {pod}")

    def received_bytes(self, pod):
        """What eth0 of the pod has received."""
        for line in self.in_pod(pod, "cat", "/proc/net/dev").splitlines():
            if line.strip().startswith("eth0:"):
                return int(line.split(":")[1].split()[0])
        return 0

    # Questions.

    def observe(self, *flags, last=100_000):
        """Stored events as dicts."""
        lines = run(os.path.join(BIN, "podtap"), "observe", "--server", f"127.0.0.1:{self.port}",
                    "-o", "json", "--last", str(last), *flags,
                    ).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events_of(self, pod, *flags, **options):
        return self.observe("--pod", self.netns(pod), *flags, **options)

    def status(self):
        """GetServerStatus as a dict."""
        return json.loads(run(os.path.join(BIN, "server_status"), f"127.0.0.1:{self.port}"))

    def agent_status(self):
        """The newest status of the one agent."""
        statuses = [agent["status"] for agent in self.status().get("agents", [])
                    if "status" in agent]
        return max(statuses, key=lambda status: status["time"])

    def coverage(self, pod_name):
        """What GetCoverage says of the pod of that name, or None."""
        pods = json.loads(run(os.path.join(BIN, "server_status"), f"127.0.0.1:{self.port}",
                              "coverage")).get("pods", [])
        return next((pod for pod in pods if pod["coverage"]["podName"] == pod_name), None)

    def ledger(self):
        """The newest ledger of the one agent: {(stage, name): (count, bytes)}."""
        return {(entry["stage"].removeprefix("LEDGER_STAGE_"), entry["name"]):
                (int(entry.get("count", 0)), int(entry.get("bytes", 0)))
                for entry in self.agent_status()["ledger"]}

    def losses(self):
        return {entry["name"]: int(entry.get("count", 0)) for entry in self.agent_status()["ledger"]
                if entry.get("isLoss") and int(entry.get("count", 0)) > 0}


def reporter(event):
    return event["reporter"].removeprefix("REPORTER_").lower()

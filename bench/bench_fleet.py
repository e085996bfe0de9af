"""Pods, load, and what the kernel knows about the cost of a process and of a BPF program."""

import contextlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "netns"))

import fleet  # noqa: E402  (found through the line above)

STATS_SWITCH = "/proc/sys/kernel/bpf_stats_enabled"


def program(name):
    return os.path.join(fleet.BIN, name)


class BenchFleet(fleet.Fleet):
    """Two pods, `client` and `web`; nginx without a log in the latter."""

    def __init__(self):
        super().__init__()
        self.idle_pods = []

    def __enter__(self):
        super().__enter__()
        try:
            for pod in ("client", "web"):
                self.add_pod(pod)
            self.start_web()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        for netns, host in self.idle_pods:
            subprocess.run(["ip", "link", "del", host], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", netns], check=False, capture_output=True)
        super().__exit__(kind, value, trace)

    def start_web(self):
        root = os.path.join(self.directory, "www")
        os.makedirs(root)
        for name, size in (("index.html", 20), ("64k", 65_536), ("bulk", 64 << 20)):
            with open(os.path.join(root, name), "w", encoding="ascii") as file:
                file.write("x" * size)
        config = os.path.join(self.directory, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"""
daemon off; master_process off; user root; pid {self.directory}/nginx.pid;
error_log {self.directory}/nginx.error; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; sendfile on; tcp_nopush on; open_file_cache max=16;
  keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {self.directory}; proxy_temp_path {self.directory};
  fastcgi_temp_path {self.directory}; uwsgi_temp_path {self.directory};
  scgi_temp_path {self.directory};
  server {{ listen 80 backlog=16384; root {root}; }}
}}
""")
        self.in_pod("web", "sysctl", "-qw", "net.core.somaxconn=16384")
        self.start("nginx", ["nginx", "-c", config], "web")
        self.wait_for_port("web", 80)

    @property
    def url(self):
        return f"http://{self.ip4('web')}"

    @property
    def target(self):
        return f"{self.ip4('web')}:80"

    def interfaces(self):
        return [self.host_interface(pod) for pod in ("client", "web")]

    def add_idle_pods(self, count):
        """Namespaces with one interface each, and no traffic but the kernel's own."""
        for number in range(count):
            netns = f"{self.tag}-idle{number}"
            host = f"{self.tag}i{number}"
            self.idle_pods.append((netns, host))
            fleet.run("ip", "netns", "add", netns)
            fleet.run("ip", "link", "add", host, "up", "type", "veth",
                      "peer", "name", "eth0", "netns", netns)
            fleet.run(*fleet.inside(netns), "ip", "link", "set", "eth0", "up")

    def wait_for_all_taps(self, agent):
        count = len(self.pods) + len(self.idle_pods)
        fleet.wait_for(lambda: sum(f"for pod {self.tag}-" in line
                                   for line in agent.err().splitlines()) >= count,
                       f"{count} taps", 60)

    # Programs that come and go during a run.

    @contextlib.contextmanager
    def running(self, name, command, ready):
        """A program that is ended when the context ends; waits for a text on its output."""
        process = self.start(name, command)
        try:
            def look():
                if process.popen.poll() is not None:
                    raise AssertionError(f"{name} ended: {process.err()[-2000:]}")
                return ready in process.out() + process.err()
            fleet.wait_for(look, f"{name} to say {ready!r}")
            yield process
        finally:
            self.end(process)

    def end(self, process):
        process.stop()
        self.processes.remove(process)
        for path in (process.out_path, process.err_path):
            os.remove(path)

    @contextlib.contextmanager
    def sink(self):
        """A collector that only acknowledges; its `totals` are set when the context ends."""
        process = self.start("sink", [program("ack_sink")])
        try:
            fleet.wait_for(lambda: process.out().endswith("\n"), "the sink to listen")
            process.port = json.loads(process.out())["port"]
            yield process
        finally:
            process.stop()
            process.totals = json.loads(process.out().splitlines()[-1])
            self.end(process)

    @contextlib.contextmanager
    def agent(self, port, *flags):
        """An agent that reports to a port of this machine and has tapped all pods."""
        process = self.start_agent("--collector", f"127.0.0.1:{port}",
                                   *flags, wait_for_pods=False)
        try:
            self.wait_for_all_taps(process)
            yield process
        finally:
            self.end(process)

    # Load.

    def wrk(self, path, connections, seconds):
        """Requests per second."""
        out = self.in_pod("client", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
                          self.url + path)
        if "Non-2xx" in out or "Socket errors" in out:
            raise AssertionError(out)
        line = next(line for line in out.splitlines() if line.startswith("Requests/sec:"))
        return float(line.split()[1])

    def load_command(self, rate, connections, seconds, path="/index.html"):
        return [program("http_load"), "--target", self.target, "--path", path, "--rate", str(rate),
                "--connections", str(connections), "--seconds", str(seconds)]

    def load(self, rate, connections, seconds, path="/index.html"):
        """Requests at a fixed rate; what http_load says of them."""
        done = json.loads(self.in_pod("client",
                                      *self.load_command(rate, connections, seconds, path)))
        if done["failed"]:
            raise AssertionError(f"requests failed: {done}")
        return done


def cpu_seconds(pid):
    """User and system time of a process, threads that have ended included."""
    # The clock that clock_getcpuclockid(3) names; the kernel counts it in nanoseconds.
    return time.clock_gettime(~pid << 3 | 2)


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def bpf_stats():
    """Counts runs of BPF programs and their time; the switch is put back."""
    with open(STATS_SWITCH, encoding="ascii") as file:
        before = file.read()
    try:
        with open(STATS_SWITCH, "w", encoding="ascii") as file:
            file.write("1")
        yield
    finally:
        with open(STATS_SWITCH, "w", encoding="ascii") as file:
            file.write(before)


def bpf_runs(name):
    """(runs, nanoseconds) of the loaded programs of this name.

    A tail call is part of the run of the program that makes it.
    """
    shown = json.loads(fleet.run("bpftool", "-j", "prog", "show"))
    ours = [entry for entry in shown if entry.get("name") == name]
    return (sum(entry.get("run_cnt", 0) for entry in ours),
            sum(entry.get("run_time_ns", 0) for entry in ours))

"""Collector and agent in a runtime, deployed as the chart says, beside pods of an application."""

import contextlib
import os

import fleet
from agent_pod_test import share_named_namespaces
from cluster import Cluster
from name_server import NameServer
from runtime import Runtime

# Numbers of capabilities.
NET_RAW, SYS_PTRACE, SYS_ADMIN, BPF = 13, 19, 21, 39


def tapping_from_outside(pod):
    interface, = pod.host_interfaces()
    return f"tapping {interface} for pod {pod.name}"


class Deployment:
    """Collector and agent as rendered with `settings` and the values of a case, and two pods of an
    application. `tapping` is what the agent says of a pod that it has tapped."""

    def __init__(self, settings=None, case="default", tapping=tapping_from_outside):
        self._settings = settings
        self._case = case
        self._tapping = tapping
        self._contexts = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            share_named_namespaces()
            self.watched = stack.enter_context(fleet.Fleet())
            self.runtime = stack.enter_context(Runtime(self.watched))
            self.runtime.import_image(os.environ["PODTAP_IMAGE"])
            self.names = stack.enter_context(NameServer(self.runtime.gateway))
            self.cluster = Cluster(
                self.runtime.directory, self.runtime.socket, self.runtime, self.names,
                self._settings, self._case)
            self.collector = self.cluster.run_collector()
            self.agent = self.cluster.run_agent()
            self.cluster.wait_until_ready(self.collector)
            self.cluster.wait_until_ready(self.agent)
            self.client = self.runtime.add_pod("client", namespace="office")
            self.web = self.runtime.add_pod("web")
            for pod in (self.client, self.web):
                self.wait_for_log(self._tapping(pod))
            self._contexts = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._contexts.__exit__(*error)

    def wait_for_log(self, text, seconds=20.0):
        try:
            fleet.wait_for(lambda: text in self.cluster.log(self.agent), text, seconds)
        except AssertionError as error:
            raise AssertionError(self.cluster.log(self.agent)) from error

    def events(self, *flags):
        return self.cluster.observe(self.collector, self.agent, *flags)

    def process(self, made):
        """What the kernel says of a container's process: status, mount of its root, variables."""
        pid = self.cluster.status(made)[1]
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.strip().split(":\t", 1) for line in file if ":\t" in line)
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
            root, = (fields[5] for fields in map(str.split, file) if fields[4] == "/")
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read().decode().split("\0")
        return status, root.split(","), environment

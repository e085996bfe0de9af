"""The agent as a pod itself, with no more than a DaemonSet would give it."""

import os
import unittest

import fleet
from pods_test import ends, get
from runtime import Runtime

setUpModule = fleet.need_root


def readonly(container_path, host_path):
    return {"container_path": container_path, "host_path": host_path, "readonly": True}


def agent_settings(runtime):
    """Two capabilities, the default seccomp profile, a read-only root; this machine's libraries
    under the programs that were built on it."""
    return {
        "mounts": [
            readonly("/usr", "/usr"), readonly("/lib", "/usr/lib"), readonly("/lib64", "/usr/lib64"),
            readonly("/podtap", fleet.BIN), readonly(runtime.directory, runtime.directory),
            {**readonly("/var/run/netns", "/run/netns"),
             "propagation": "PROPAGATION_HOST_TO_CONTAINER"}],
        "linux": {"security_context": {
            "capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["BPF", "NET_RAW"]},
            "namespace_options": {"network": "NODE"},
            "readonly_rootfs": True,
            "seccomp": {"profile_type": "RuntimeDefault"}}}}


def share_named_namespaces():
    """What is mounted under /run/netns later is to arrive in pods that mount it: the first named
    namespace of a machine does that."""
    name = f"first{os.getpid()}"
    fleet.run("ip", "netns", "add", name)
    fleet.run("ip", "netns", "del", name)


def process_status(word):
    """What the kernel says of the agent that has this word on its command line."""
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words[0] == b"/podtap/podtap-agent" and word.encode() in words:
                with open(f"/proc/{entry}/status", encoding="utf-8", errors="replace") as file:
                    return dict(line.strip().split(":\t", 1) for line in file if ":\t" in line)
        except OSError:
            continue
    raise AssertionError("no such process")


class AgentPod(unittest.TestCase):
    def test_it_sees_and_names_the_pods_beside_it(self):
        share_named_namespaces()
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            client = runtime.add_pod("client", namespace="office")
            agent = runtime.add_pod(
                "agent", "host", namespace="podtap", settings=agent_settings(runtime),
                containers=[("agent", [
                    "/podtap/podtap-agent", "--collector", f"127.0.0.1:{watched.port}",
                    "--admin-listen", "", "--cri-endpoint", runtime.endpoint])])

            def wait_for_tap(pod):
                interface, = pod.host_interfaces()
                said = f"tapping {interface} for pod {pod.name}"
                try:
                    fleet.wait_for(lambda: said in runtime.log(agent, "agent"), said)
                except AssertionError as error:
                    raise AssertionError(runtime.log(agent, "agent")) from error
            wait_for_tap(client)
            status = process_status(runtime.endpoint)
            bpf, net_raw = 39, 13
            self.assertEqual(int(status["CapBnd"], 16), 1 << bpf | 1 << net_raw)
            # Filtered by a profile.
            self.assertEqual(status["Seccomp"], "2")
            # Its namespace is mounted after the agent's pod was made.
            web = runtime.add_pod("web")
            wait_for_tap(web)
            get(client, web.addresses[0])
            found = fleet.wait_for(
                lambda: (lambda events: events if len(events) == 2 else None)(
                    watched.observe("--path", "/index.html")), "both reports")
            self.assertEqual({ends(event) for event in found},
                             {(("office", "client"), ("shop", "web"))})


if __name__ == "__main__":
    unittest.main()

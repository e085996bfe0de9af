"""What the chart offers beyond its default rights, each run as rendered and for what it is for."""

import os
import unittest

import fleet
import pod_netns_test
from bare_namespace import BareNamespaces
from cluster import Cluster
from deployment import BPF, NET_RAW, SYS_ADMIN, SYS_PTRACE, Deployment
from pods_test import ends, get
from proc_test import listens

setUpModule = fleet.need_root

CLIENT, WEB = ("office", "client"), ("shop", "web")
NO_BPF = {"agent.seccompProfile.type": "Localhost",
          "agent.seccompProfile.localhostProfile": "no-bpf.json"}


def brief(event):
    return (fleet.reporter(event), event["capture"]["mode"].removeprefix("CAPTURE_MODE_"),
            *ends(event))


def both_sides(mode, client, server):
    return [(side, mode, client, server) for side in ("client", "server")]


def id_of(pod):
    """What a pod is called that is known by its processes alone."""
    return pod.id[:12]


def get_from(process, address, path):
    """A request from the network namespace of a process of this machine."""
    fleet.run("nsenter", f"--net=/proc/{process.pid}/ns/net", "curl", "-sS", "-o", "/dev/null",
              "--max-time", "10", f"http://{address}{path}")


class Modes(unittest.TestCase):
    def assert_reports(self, deployment, path, expected):
        """These and no others of the one exchange with this path, in brief."""
        found = fleet.wait_for(
            lambda: (lambda events: events if len(events) >= len(expected) else None)(
                deployment.events("--path", path)), f"the reports of {path}")
        self.assertEqual(sorted(map(brief, found)), expected)
        return found

    def assert_capabilities(self, deployment, *wanted):
        """Nothing but these, filtered by a profile."""
        status, root, _ = deployment.process(deployment.agent)
        for name in ("CapEff", "CapPrm", "CapBnd"):
            self.assertEqual(int(status[name], 16), sum(1 << bit for bit in wanted), name)
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
        self.assertIn("ro", root)

    def assert_doctor_agrees(self, deployment, *findings):
        """Asked in the agent's container, as docs/troubleshooting.md has it."""
        code, said = deployment.runtime.run_in_container(
            deployment.agent.container_id, "podtap-agent", "doctor", "--config",
            "/etc/podtap/config/agent.yaml", "--admin-listen", "")
        self.assertEqual(code, 0, said)
        for text in ("svc:4270 takes connections", *findings):
            self.assertIn(text, said)

    def test_privileged_works_where_a_profile_blocks_bpf(self):
        with Deployment(NO_BPF, "agent-privileged") as deployment:
            status, root, _ = deployment.process(deployment.agent)
            # All that the runtime itself has.
            with open(f"/proc/{deployment.runtime.process.pid}/status", encoding="ascii") as file:
                own, = (line.split()[1] for line in file if line.startswith("CapEff:"))
            self.assertEqual((status["CapEff"], status["CapBnd"]), (own, own))
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("0", "0"))
            self.assertIn("ro", root)
            get(deployment.client, deployment.web.addresses[0])
            self.assert_reports(deployment, "/index.html", both_sides("HOST_VETH", CLIENT, WEB))
            self.assert_doctor_agrees(deployment, "is tapped for pod shop/web")
            # What it is for: another release with the same profile, and the usual rights.
            usual = Cluster(os.path.join(deployment.runtime.directory, "usual"),
                            deployment.runtime.socket, deployment.runtime, deployment.names,
                            {**NO_BPF, "agent.adminPort": 4273})
            blocked = usual.run_agent()
            self.assertEqual(usual.wait_for_end(blocked).get("exitCode", 0), 1)
            self.assertIn("a seccomp profile blocks bpf()", usual.log(blocked))

    def test_proc_sees_what_no_runtime_knows_of(self):
        with Deployment(case="agent-proc",
                        tapping=lambda pod: f"for pod {id_of(pod)}") as deployment, \
                BareNamespaces(deployment.watched) as bare:
            self.assert_capabilities(deployment, BPF, NET_RAW, SYS_PTRACE)
            agent = deployment.cluster.status(deployment.agent)[1]
            self.assertEqual(os.readlink(f"/proc/{agent}/ns/pid"), os.readlink("/proc/self/ns/pid"))
            client = bare.start("sleep", [bare.program("sleep"), "600"])
            server = bare.start_server()
            for number, name in ((1, "sleep"), (2, "httpd")):
                deployment.wait_for_log(f"tapping {bare.interface(number)} for pod {name}")
            fleet.wait_for(lambda: listens(server.pid), "a server")
            get_from(client, bare.ip(2), "/bare")
            self.assert_reports(deployment, "/bare", both_sides(
                "HOST_VETH", ("process", "sleep"), ("process", "httpd")))
            # The runtime's pods are containers like any others.
            get(deployment.client, deployment.web.addresses[0])
            self.assert_reports(deployment, "/index.html", both_sides(
                "HOST_VETH", ("container", id_of(deployment.client)),
                ("container", id_of(deployment.web))))
            self.assert_doctor_agrees(deployment, "is tapped for pod process/httpd")

    def test_proc_enters_what_no_runtime_knows_of(self):
        """With both others, and their rights together."""
        with Deployment({"agent.podNetns.enabled": "true", "agent.podNetns.mode": "always",
                         "agent.podLoopback.enabled": "true"}, "agent-proc",
                        lambda pod: f"tapping eth0 inside pod {id_of(pod)}") as deployment, \
                BareNamespaces(deployment.watched) as bare:
            self.assert_capabilities(deployment, BPF, NET_RAW, SYS_ADMIN, SYS_PTRACE)
            client = bare.start("sleep", [bare.program("sleep"), "600"])
            server = bare.start_server()
            fleet.run("nsenter", f"--net=/proc/{server.pid}/ns/net", "ip", "link", "set", "lo", "up")
            for name in ("eth0 inside pod sleep", "eth0 inside pod httpd", "lo inside pod httpd"):
                deployment.wait_for_log(f"tapping {name}")
            fleet.wait_for(lambda: listens(server.pid), "a server")
            get_from(client, bare.ip(2), "/bare")
            get_from(server, "127.0.0.1", "/inside")
            httpd = ("process", "httpd")
            self.assert_reports(deployment, "/bare", both_sides(
                "POD_NETNS", ("process", "sleep"), httpd))
            self.assert_reports(deployment, "/inside", [("server", "POD_LOOPBACK", httpd, httpd)])
            self.assert_doctor_agrees(deployment, "process/httpd is tapped inside")

    def test_pod_netns_sees_pods_without_an_interface_of_the_node(self):
        with Deployment(case="agent-pod-netns") as deployment:
            self.assert_capabilities(deployment, BPF, NET_RAW, SYS_ADMIN)
            hidden = [deployment.runtime.add_pod(name, "macvlan")
                      for name in ("hidden-client", "hidden-web")]
            for pod in hidden:
                self.assertEqual(pod.host_interfaces(), set())
                deployment.wait_for_log(f"tapping eth0 inside pod {pod.name}")
            get(hidden[0], hidden[1].addresses[0], "/hidden")
            self.assert_reports(deployment, "/hidden", both_sides(
                "POD_NETNS", ("shop", "hidden-client"), ("shop", "hidden-web")))
            # The others are left to the node's side.
            get(deployment.client, deployment.web.addresses[0])
            self.assert_reports(deployment, "/index.html", both_sides("HOST_VETH", CLIENT, WEB))
            self.assert_doctor_agrees(deployment, "shop/hidden-web is tapped inside")
            # Their namespaces are not kept, neither by the tap nor in the agent's mounts.
            path = f"/proc/{deployment.cluster.status(deployment.agent)[1]}/mountinfo"
            for pod in hidden:
                self.assertIn(pod.netns, read(path))
                deployment.runtime.remove_pod(pod)
                deployment.wait_for_log(f"closed tap of eth0 inside pod {pod.name}")
                self.assertNotIn(pod.netns, read(path))

    def test_pod_netns_heals_pods_of_which_the_node_sees_one_direction(self):
        with Deployment(case="agent-pod-netns") as deployment:
            interfaces = [name for pod in (deployment.client, deployment.web)
                          for name in pod.host_interfaces()]
            fleet.run(os.path.join(fleet.BIN, "past_the_pair"), *interfaces)
            stop_file = os.path.join(deployment.watched.directory, "stop")
            load = deployment.watched.start("load", [
                *fleet.inside(deployment.client.netns), "python3", "-c", pod_netns_test.OneSided.LOAD,
                deployment.web.addresses[0], stop_file])
            deployment.wait_for_log("tapping eth0 inside pod web", 60)
            first = load.out().count("\n") + 2
            fleet.wait_for(lambda: load.out().count("\n") > first, "requests")
            with open(stop_file, "w", encoding="ascii"):
                pass
            self.assertEqual(load.popen.wait(20), 0, load.err())
            last = load.out().count("\n") - 1
            self.assert_reports(deployment, f"/{last}", [
                ("client", "HOST_VETH", CLIENT, WEB), ("server", "POD_NETNS", CLIENT, WEB)])

    def test_pod_loopback_sees_what_containers_of_a_pod_say_to_each_other(self):
        with Deployment(case="agent-pod-loopback") as deployment:
            self.assert_capabilities(deployment, BPF, NET_RAW, SYS_ADMIN)
            deployment.wait_for_log("tapping lo inside pod web")
            deployment.runtime.add_container(
                deployment.web, "sidecar",
                ["/bin/busybox", "wget", "-O", "/dev/null", "http://127.0.0.1/index.html"])
            event, = self.assert_reports(
                deployment, "/index.html", [("server", "POD_LOOPBACK", WEB, WEB)])
            for end in ("source", "destination"):
                self.assertEqual((event[end]["podUid"], event[end]["ip"]),
                                 (deployment.web.uid, "127.0.0.1"), end)
            self.assert_doctor_agrees(deployment, "pods that are tapped on it: 3")
            # What comes from outside is reported as ever.
            get(deployment.client, deployment.web.addresses[0], "/outside")
            outside = both_sides("HOST_VETH", CLIENT, WEB)
            self.assert_reports(deployment, "/outside", outside)
            # The agent has sent all that it had.
            self.assertEqual(deployment.cluster.terminate(deployment.agent), 0,
                             deployment.cluster.log(deployment.agent))
            self.assertEqual(sorted(map(brief, deployment.events())), sorted(
                [*outside, ("server", "POD_LOOPBACK", WEB, WEB)]))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    unittest.main()

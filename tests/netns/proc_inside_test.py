"""Pods that are known by their processes alone, tapped inside their namespaces."""

import os
import unittest

import fleet
from bare_namespace import BareNamespaces, comm, events
from pod_netns_test import MacvlanFleet

setUpModule = fleet.need_root

CAPABILITIES = "-all,+bpf,+net_raw,+sys_ptrace,+sys_admin"
PRIVILEGES = ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES]


def start_agent(watched, *flags):
    return watched.start_agent("--stdout", "-o", "json", *flags, discovery="proc",
                               privileges=PRIVILEGES, wait_for_pods=False)


def listens(pid):
    with open(f"/proc/{pid}/net/tcp6", encoding="ascii") as file:
        return any(":0050 " in line and " 0A " in line for line in file)


def get(command_prefix, address, path):
    fleet.run(*command_prefix, "curl", "-sS", "--max-time", "10", "-o", "/dev/null",
              f"http://{address}{path}")


def brief(event):
    return (event["source"].get("podName", ""), event["destination"].get("podName", ""),
            event["request"]["path"], event["capture"]["mode"].removeprefix("CAPTURE_MODE_"),
            event["capture"]["interfaceName"])


def served(agent):
    """What servers' taps have reported. Those of clients without a process are nobody's."""
    return sorted(brief(event) for event in events(agent) if fleet.reporter(event) == "server")


class ProcInside(unittest.TestCase):
    def test_always_taps_them_inside_and_their_loopback_if_wished(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            server = bare.start_server()
            inside = ["nsenter", f"--net=/proc/{server.pid}/ns/net"]
            fleet.run(*inside, "ip", "link", "set", "lo", "up")
            fleet.wait_for(lambda: listens(server.pid), "a server")
            agent = start_agent(watched, "--pod-netns", "always", "--pod-loopback")
            for interface in ("eth0", "lo"):
                agent.wait_for_err(f"tapping {interface} inside pod httpd")
            get(fleet.inside(watched.netns("client")), bare.ip(1), "/outside")
            get(inside, "127.0.0.1", "/inside")
            fleet.wait_for(lambda: len(served(agent)) == 2, "the events")
            self.assertEqual(served(agent), [
                ("", "httpd", "/outside", "POD_NETNS", "eth0"),
                ("httpd", "httpd", "/inside", "POD_LOOPBACK", "lo")])
            self.assertNotIn(" for pod httpd", agent.err())
            # The namespace goes with its process, though taps were in it.
            path = f"/sys/class/net/{bare.interface(1)}"
            server.stop()
            fleet.wait_for(lambda: not os.path.exists(path), "the namespace to be freed", 1.0)
            self.assertEqual(agent.stop(), 0)

    def test_fallback_enters_those_that_the_host_does_not_see(self):
        with MacvlanFleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            plain = bare.start_server()
            hidden = watched.start("hidden", ["unshare", "--net", bare.program("busybox-hidden"),
                                              "httpd", "-f", "-p", "80"])
            fleet.wait_for(lambda: comm(hidden.pid) == "busybox-hidden", "the program to run")
            inside = ["nsenter", f"--net=/proc/{hidden.pid}/ns/net"]
            fleet.run("ip", "link", "add", "link", watched.master, "name", watched.tag + "h",
                      "type", "macvlan", "mode", "bridge")
            fleet.run("ip", "link", "set", watched.tag + "h", "netns", str(hidden.pid), "name",
                      "eth0")
            fleet.run(*inside, "ip", "addr", "add", bare.ip(9) + "/24", "dev", "eth0")
            fleet.run(*inside, "ip", "link", "set", "eth0", "up")
            for process in (plain, hidden):
                fleet.wait_for(lambda at=process: listens(at.pid), "a server")
            agent = start_agent(watched, "--pod-netns", "fallback")
            agent.wait_for_err(f"tapping {bare.interface(1)} for pod httpd")
            agent.wait_for_err("tapping eth0 inside pod busybox-hidden")
            client = fleet.inside(watched.netns("client"))
            get(client, bare.ip(1), "/plain")
            get(client, bare.ip(9), "/hidden")
            fleet.wait_for(lambda: len(served(agent)) == 2, "the events")
            self.assertEqual(served(agent), [
                ("", "busybox-hidden", "/hidden", "POD_NETNS", "eth0"),
                ("", "httpd", "/plain", "HOST_VETH", bare.interface(1))])
            self.assertNotIn("inside pod httpd", agent.err())
            self.assertEqual(agent.stop(), 0)

    def test_a_pod_whose_first_process_ends_is_tapped_on_through_another(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            server = bare.start_server(mount=True)
            kept = ["nsenter", f"--net={bare.mounts[0]}"]
            other = watched.start("other", [*kept, bare.program("busybox-other"), "httpd", "-f",
                                            "-p", "81"])
            fleet.wait_for(lambda: comm(other.pid) == "busybox-other", "the other process")
            agent = start_agent(watched, "--pod-netns", "always", "--pod-loopback")
            tapping = [f"tapping {name} inside pod httpd" for name in ("eth0", "lo")]
            for line in tapping:
                agent.wait_for_err(line)
            server.stop()
            for line in tapping:
                fleet.wait_for(lambda at=line: agent.err().count(at) == 2, line + " again")
            get(fleet.inside(watched.netns("client")), bare.ip(1) + ":81", "/later")
            fleet.wait_for(lambda: served(agent), "the event")
            self.assertEqual(served(agent),
                             [("", "httpd", "/later", "POD_NETNS", "eth0")])
            self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

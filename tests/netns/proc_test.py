"""Pods that are known only by the processes in their network namespaces."""

import os
import subprocess
import unittest

import fleet
from bare_namespace import PROC_PRIVILEGES, BareNamespaces, comm, events

setUpModule = fleet.need_root

LAST_PID = "/proc/sys/kernel/ns_last_pid"
# Where no container runtime answers.
NO_RUNTIME = ["--cri-endpoint", "unix:///nowhere/podtap-test.sock"]


def start_agent(watched, discovery="proc", flags=(), privileges=PROC_PRIVILEGES):
    return watched.start_agent("--stdout", "-o", "json", *flags, discovery=discovery,
                               privileges=privileges, wait_for_pods=False)


def tapping(interface, pod):
    return f"tapping {interface} for pod {pod}"


def request(watched, number, bare):
    watched.in_pod("client", "curl", "-sS", "--max-time", "10", "-o", "/dev/null",
                   f"http://{bare.ip(number)}/index.html?{number}")


def ends(agent):
    """Who served, per event of a server's tap."""
    return [(event["destination"].get("namespace"), event["destination"].get("podName"),
             event["capture"]["interfaceName"])
            for event in events(agent) if fleet.reporter(event) == "server"]


class Bare(unittest.TestCase):
    def test_a_server_is_named_by_its_command_before_and_after_the_agent_starts(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            first = bare.start_server()
            agent = start_agent(watched)
            agent.wait_for_err(tapping(bare.interface(1), "httpd"))
            second = bare.start_server("busybox-web")
            agent.wait_for_err(tapping(bare.interface(2), "busybox-web"))
            for number in (1, 2):
                fleet.wait_for(lambda at=number: listens((first, second)[at - 1].pid), "a server")
                request(watched, number, bare)
            fleet.wait_for(lambda: len(ends(agent)) == 2, "the events")
            self.assertCountEqual(ends(agent), [("process", "httpd", bare.interface(1)),
                                                ("process", "busybox-web", bare.interface(2))])
            # The namespace goes with its process.
            first.stop()
            agent.wait_for_err(f"closed tap of {bare.interface(1)} for pod httpd")
            self.assertEqual(agent.stop(), 0)

    def test_a_namespace_whose_processes_are_gone_is_no_pod(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            server = bare.start_server(mount=True)
            kept = f"--net={bare.mounts[0]}"
            agent = start_agent(watched)
            agent.wait_for_err(tapping(bare.interface(1), "httpd"))
            # Another one that lives there lets it stay what it is.
            other = watched.start("other", ["nsenter", kept, "sleep", "600"])
            fleet.wait_for(lambda: comm(other.pid) == "sleep", "the other process")
            third = bare.start("sleep", [bare.program("sleep"), "600"])
            agent.wait_for_err(tapping(bare.interface(2), "sleep"))
            server.stop()
            # Later than this is seen, all processes have been looked at again.
            third.stop()
            agent.wait_for_err(f"closed tap of {bare.interface(2)}")
            self.assertNotIn(f"closed tap of {bare.interface(1)}", agent.err())
            other.stop()
            agent.wait_for_err(f"closed tap of {bare.interface(1)} for pod httpd")

    def test_a_reused_process_id_never_gives_its_name_to_another_namespace(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("client")
            agent = start_agent(watched)
            server = bare.start_server(mount=True)
            agent.wait_for_err(tapping(bare.interface(1), "httpd"))
            server.stop()
            reused = self.start_as(bare, server.pid, "busybox-re")
            agent.wait_for_err(tapping(bare.interface(reused), "busybox-re"))
            agent.wait_for_err(f"closed tap of {bare.interface(1)} for pod httpd")
            self.assertNotIn(tapping(bare.interface(1), "busybox-re"), agent.err())
            self.assertNotIn(tapping(bare.interface(reused), "httpd"), agent.err())
            # The first namespace is still there, and its interface nobody's.
            self.assertEqual(agent.err().count(f"tapping {bare.interface(1)} "), 1)

    def start_as(self, bare, pid, name):
        """Starts a server that gets this process id; returns its number."""
        for _ in range(50):
            with open(LAST_PID, "w", encoding="ascii") as file:
                file.write(str(pid - 1))
            process = bare.start_server(name)
            if process.pid == pid:
                return bare.count
            process.stop()
        self.fail(f"process id {pid} was never given again")


class Auto(unittest.TestCase):
    def test_without_a_runtime_namespaces_with_a_name_and_without_are_pods(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("named")
            # Known both ways.
            watched.start("sleeper", ["sleep", "600"], "named")
            bare.start_server()
            agent = start_agent(watched, "auto", NO_RUNTIME)
            watched.wait_for_taps(agent)
            agent.wait_for_err(tapping(bare.interface(1), "httpd"))
            self.assertEqual(agent.err().count(f"tapping {watched.host_interface('named')} "), 1)

    def test_without_permission_it_says_so_once_and_goes_on_with_names(self):
        with fleet.Fleet() as watched, BareNamespaces(watched) as bare:
            watched.add_pod("named")
            bare.start_server()
            agent = start_agent(watched, "auto", NO_RUNTIME, fleet.SMALL_PRIVILEGES)
            watched.wait_for_taps(agent)
            watched.add_pod("later")
            watched.wait_for_taps(agent, ["later"])
            self.assertEqual(agent.err().count("only namespaces that have a name are pods"), 1)
            self.assertIn("CAP_SYS_PTRACE is missing", agent.err())
            self.assertNotIn("for pod httpd", agent.err())

    def test_proc_alone_does_not_start_without_permission(self):
        agent = subprocess.run(
            [*fleet.SMALL_PRIVILEGES, os.path.join(fleet.BIN, "podtap-agent"), "--stdout",
             "--discovery", "proc", "--admin-listen", ""],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(agent.returncode, 1)
        self.assertEqual(len(agent.stderr.splitlines()), 1, agent.stderr)
        self.assertIn("CAP_SYS_PTRACE is missing", agent.stderr)


def listens(pid):
    """Asked of the kernel, so that nothing is sent."""
    with open(f"/proc/{pid}/net/tcp6", encoding="ascii") as file:
        return any(":0050 " in line and " 0A " in line for line in file)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""The agent inside pods' network namespaces: pods that the host does not see, or not whole."""

import collections
import json
import os
import signal
import unittest

import fleet

setUpModule = fleet.need_root

# Only for these pods.
PRIVILEGES = ["setpriv", "--bounding-set", "-all,+bpf,+net_raw,+sys_admin",
              "--inh-caps", "-all,+bpf,+net_raw,+sys_admin"]


class MacvlanFleet(fleet.Fleet):
    """Pods may also be on a macvlan, whose master is a pair that ends in the bridge."""

    def __enter__(self):
        super().__enter__()
        self.master = self.tag + "m"
        fleet.run("ip", "link", "add", self.master, "type", "veth", "peer", "name",
                  self.master + "p")
        self.links.append(self.master)
        fleet.run("ip", "link", "set", self.master, "up")
        fleet.run("ip", "link", "set", self.master + "p", "master", self.bridge, "up")
        return self

    def add_macvlan_pod(self, pod):
        number = max(self.pods.values(), default=0) + 1
        self.pods[pod] = number
        netns, host = self.netns(pod), self.host_interface(pod)
        fleet.run("ip", "netns", "add", netns)
        fleet.run("ip", "link", "add", "link", self.master, "name", host, "type", "macvlan",
                  "mode", "bridge")
        fleet.run("ip", "link", "set", host, "netns", netns, "name", "eth0")
        self.in_pod(pod, "ip", "addr", "add", self.ip4(pod) + "/24", "dev", "eth0")
        self.in_pod(pod, "ip", "link", "set", "lo", "up")
        self.in_pod(pod, "ip", "link", "set", "eth0", "up")

    def start_entering(self, mode, *flags):
        return self.start_agent("--collector", f"127.0.0.1:{self.port}", "--pod-netns", mode,
                                *flags, privileges=PRIVILEGES, wait_for_pods=False)

    def wait_for_inside(self, agent, *pods):
        for pod in pods:
            agent.wait_for_err(f"tapping eth0 inside pod {self.netns(pod)}")

    def get(self, client, server, path):
        self.in_pod(client, "curl", "-sS", "-o", "/dev/null", "--max-time", "10",
                    f"http://{self.ip4(server)}{path}")


def brief(event):
    return (fleet.reporter(event), event["source"].get("podName"),
            event["destination"].get("podName"), event["request"]["path"],
            event["capture"]["mode"].removeprefix("CAPTURE_MODE_"), event["outcome"])


class PodNetns(unittest.TestCase):
    def test_macvlan_pods_are_tapped_inside_and_each_exchange_is_one_right_event(self):
        with MacvlanFleet() as watched:
            watched.add_pod("plain")
            watched.add_macvlan_pod("web")
            watched.add_macvlan_pod("shop")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_entering("fallback")
            watched.wait_for_inside(agent, "web", "shop")
            watched.wait_for_taps(agent, ["plain"])
            for number in range(20):
                watched.get("shop", "web", f"/macvlan-{number}")
                watched.get("plain", "web", f"/mixed-{number}")
            self.assertEqual(agent.stop(), 0)
            web, shop, plain = (watched.netns(pod) for pod in ("web", "shop", "plain"))
            expected = []
            for number in range(20):
                expected += [
                    (side, shop, web, f"/macvlan-{number}", "POD_NETNS", "OUTCOME_COMPLETE")
                    for side in ("client", "server")]
                expected += [
                    ("client", plain, web, f"/mixed-{number}", "HOST_VETH", "OUTCOME_COMPLETE"),
                    ("server", plain, web, f"/mixed-{number}", "POD_NETNS", "OUTCOME_COMPLETE")]
            events = watched.observe("--pod", web)
            self.assertEqual(sorted(map(brief, events)), sorted(expected))
            self.assertEqual({event["capture"]["interfaceName"] for event in events
                              if brief(event)[4] == "POD_NETNS"}, {"eth0"})
            # Both reports of an exchange have one key, wherever they were made.
            keys = collections.Counter(event["exchangeKey"] for event in events)
            self.assertEqual(set(keys.values()), {2})
            self.assertEqual(watched.losses(), {})

    def test_always_taps_every_pod_inside(self):
        with MacvlanFleet() as watched:
            watched.add_pod("plain")
            watched.add_macvlan_pod("web")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_entering("always")
            watched.wait_for_inside(agent, "web", "plain")
            # And those that come later.
            watched.add_pod("late")
            watched.wait_for_inside(agent, "late")
            for client in ("plain", "late"):
                watched.get(client, "web", "/" + client)
            self.assertEqual(agent.stop(), 0)
            web = watched.netns("web")
            self.assertEqual(sorted(map(brief, watched.observe("--pod", web))), sorted(
                (side, watched.netns(client), web, "/" + client, "POD_NETNS", "OUTCOME_COMPLETE")
                for client in ("plain", "late") for side in ("client", "server")))
            self.assertNotIn(" for pod ", agent.err())

    def test_a_deleted_namespace_is_freed_within_a_second(self):
        with MacvlanFleet() as watched:
            watched.add_pod("short")
            watched.start_collector()
            agent = watched.start_entering("always")
            watched.wait_for_inside(agent, "short")
            self.assertLess(watched.seconds_until_freed("short"), 1.0)
            agent.wait_for_err(f"closed tap of eth0 inside pod {watched.netns('short')}")

    def test_nothing_is_left_behind(self):
        """An agent that is killed keeps no namespace, and its successor finds the pods."""
        with MacvlanFleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            watched.add_pod("shop")
            watched.start_collector()
            agent = watched.start_entering("always")
            watched.wait_for_inside(agent, "web", "shop")
            agent.stop(signal.SIGKILL)
            again = watched.start_agent(
                "--collector", f"127.0.0.1:{watched.port}", "--pod-netns", "always",
                privileges=PRIVILEGES, wait_for_pods=False, name="again")
            watched.wait_for_inside(again, "web", "shop")
            watched.get("shop", "web", "/again")
            again.stop(signal.SIGKILL)
            for pod in ("web", "shop"):
                self.assertEqual(len(watched.in_pod(pod, "cat", "/proc/net/packet").splitlines()),
                                 1, "only the heading")
            path = f"/sys/class/net/{watched.host_interface('shop')}"
            fleet.run("ip", "netns", "del", watched.netns("shop"))
            fleet.wait_for(lambda: not os.path.exists(path), "the namespace to be freed", 1.0)


class OneSided(unittest.TestCase):
    """What goes to the pod web is delivered past the host's end of its pair."""

    # A request, its number in the path, each 50 ms on one connection, until the file is there.
    LOAD = """
import http.client, os, sys, time
connection = http.client.HTTPConnection(sys.argv[1], 80)
number = 0
while not os.path.exists(sys.argv[2]):
    connection.request("GET", f"/{number}")
    connection.getresponse().read()
    print(number, flush=True)
    number += 1
    time.sleep(0.05)
"""

    def start(self, watched):
        """Everything but the agent."""
        watched.add_pod("web")
        watched.add_pod("shop")
        watched.start_nginx("web")
        fleet.run(os.path.join(fleet.BIN, "past_the_pair"), watched.host_interface("shop"),
                  watched.host_interface("web"))
        watched.start_collector()
        self.stop_file = os.path.join(watched.directory, "stop")

    def start_load(self, watched):
        load = watched.start("load", ["python3", "-c", self.LOAD, watched.ip4("web"),
                                      self.stop_file], "shop")
        fleet.wait_for(lambda: load.out().count("\n") > 5, "requests")
        return load

    @staticmethod
    def coverage(watched, agent, pod):
        pods = json.loads(agent.admin("/coverage")[1])["pods"]
        found, = (entry for entry in pods if entry["podName"] == watched.netns(pod))
        return found

    def recognised(self, watched, agent):
        agent.wait_for_err(f"{watched.host_interface('web')} shows only what pod "
                           f"{watched.netns('web')} sends", 60)

    def test_it_is_recognised_and_reported_where_pods_may_not_be_entered(self):
        with MacvlanFleet() as watched:
            self.start(watched)
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}")
            load = self.start_load(watched)
            self.recognised(watched, agent)
            found = self.coverage(watched, agent, "web")
            self.assertEqual(found["state"], "COVERAGE_STATE_ONE_SIDED")
            self.assertIn(watched.host_interface("web") + " shows only what the pod sends",
                          found["reason"])
            # The other pod's is whole.
            self.assertEqual(self.coverage(watched, agent, "shop")["state"],
                             "COVERAGE_STATE_TAPPED")
            with open(self.stop_file, "w", encoding="ascii"):
                pass
            self.assertEqual(load.popen.wait(20), 0, load.err())
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(watched.ledger()[("CAPTURE", "taps_one_sided")][0], 1)
            self.assertEqual(watched.ledger()[("CAPTURE", "pods_handed_over")][0], 0)
            self.assertEqual(agent.err().count("shows only"), 1)
            self.assertNotIn("inside pod", agent.err())

    def test_it_is_healed_where_they_may_and_nothing_is_reported_twice(self):
        with MacvlanFleet() as watched:
            self.start(watched)
            agent = watched.start_entering("fallback")
            watched.wait_for_taps(agent)
            load = self.start_load(watched)
            self.recognised(watched, agent)
            watched.wait_for_inside(agent, "web")
            inside_from = load.out().count("\n") + 2
            fleet.wait_for(lambda: load.out().count("\n") > inside_from + 50, "requests")
            # The kernel tells of its host end again: it stays as it is.
            fleet.run("ip", "link", "set", watched.host_interface("web"), "mtu", "1499")
            fleet.wait_for(lambda: load.out().count("\n") > inside_from + 100, "requests")
            self.assertEqual(self.coverage(watched, agent, "web")["state"],
                             "COVERAGE_STATE_TAPPED")
            with open(self.stop_file, "w", encoding="ascii"):
                pass
            self.assertEqual(load.popen.wait(20), 0, load.err())
            made = load.out().count("\n")
            self.assertEqual(agent.stop(), 0)
            # The other pod's name is on all: whose web's address is, was not proved at first.
            events = watched.observe("--pod", watched.netns("shop"))
            reports = collections.Counter((fleet.reporter(event), event["request"]["path"])
                                          for event in events)
            self.assertEqual(set(reports.values()), {1}, "nothing is reported twice")
            self.assertEqual({path for side, path in reports if side == "client"},
                             {f"/{number}" for number in range(made)})
            inside = [event for event in events
                      if event["capture"]["mode"] == "CAPTURE_MODE_POD_NETNS"]
            paths = {event["request"]["path"] for event in inside}
            self.assertLessEqual({f"/{number}" for number in range(inside_from, made)}, paths)
            for event in inside:
                self.assertEqual(brief(event), (
                    "server", watched.netns("shop"), watched.netns("web"),
                    event["request"]["path"], "POD_NETNS", "OUTCOME_COMPLETE"))
                self.assertIn("EXCHANGE_FLAG_MIDSTREAM", event["flags"])
            ledger = watched.ledger()
            self.assertEqual(ledger[("CAPTURE", "pods_handed_over")][0], 1)
            self.assertEqual(ledger[("CAPTURE", "taps_one_sided")][0], 0)
            # Once, and for good.
            self.assertEqual(agent.err().count("inside pod"), 1)


if __name__ == "__main__":
    unittest.main()

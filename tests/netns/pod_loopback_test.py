"""The agent on pods' loopback: what a pod's containers say to each other."""

import collections
import json
import os
import signal
import subprocess
import unittest

import fleet
import metrics_text
from pod_netns_test import PRIVILEGES, MacvlanFleet

setUpModule = fleet.need_root

REQUESTS = 2000
BODY_BYTES = 3_000_000

# NUMBER requests on one connection to an address, and what they were sent and answered.
KEEP_ALIVE = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 80)
for number in range(int(sys.argv[2])):
    connection.request("GET", "/missing" if number % 10 == 9 else "/index.html")
    connection.getresponse().read()
"""
# An upload and a download on one connection, three times.
LARGE = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 80)
for number in range(3):
    connection.request("POST", "/upload", b"x" * int(sys.argv[2]))
    assert connection.getresponse().read() == b"taken"
    connection.request("GET", "/large")
    assert len(connection.getresponse().read()) == int(sys.argv[2])
"""
# A request each time that a line comes in.
ON_DEMAND = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 80)
for line in sys.stdin:
    connection.request("GET", line.strip())
    connection.getresponse().read()
    print("done", flush=True)
"""


class LoopbackFleet(MacvlanFleet):
    def start_on_loopback(self, *flags, pods, name="agent"):
        agent = self.start_agent("--collector", f"127.0.0.1:{self.port}", "--pod-loopback", *flags,
                                 privileges=PRIVILEGES, wait_for_pods=False, name=name)
        for pod in pods:
            agent.wait_for_err(f"tapping lo inside pod {self.netns(pod)}")
        return agent

    def segments(self, pod):
        """TCP segments that the pod has sent again, and those that it took out of order: when a
        sender goes on on another processor, what it sends there may overtake what it sent before.
        """
        counts = {}
        for file, line in (("snmp", "Tcp:"), ("netstat", "TcpExt:")):
            names, values = [each.split() for each in
                             self.in_pod(pod, "cat", f"/proc/net/{file}").splitlines()
                             if each.startswith(line)]
            counts.update(zip(names, values))
        return int(counts["RetransSegs"]), int(counts["TCPOFOQueue"])

    def packet_sockets(self, pod):
        """AF_PACKET sockets in the pod's namespace."""
        return len(self.in_pod(pod, "cat", "/proc/net/packet").splitlines()) - 1


def mode(event):
    return event["capture"]["mode"].removeprefix("CAPTURE_MODE_")


class PodLoopback(unittest.TestCase):
    maxDiff = None

    def check_ends(self, watched, event, ip):
        """Both ends are the pod."""
        self.assertEqual((fleet.reporter(event), mode(event), event["capture"]["interfaceName"]),
                         ("server", "POD_LOOPBACK", "lo"))
        for end in ("source", "destination"):
            self.assertEqual({name: event[end].get(name) for name in
                              ("ip", "kind", "namespace", "podName", "metadataState")},
                             {"ip": ip, "kind": "ENDPOINT_KIND_POD", "namespace": "netns",
                              "podName": watched.netns("web"),
                              "metadataState": "METADATA_STATE_RESOLVED"})
        self.assertEqual(event["destination"]["port"], 80)
        self.assertNotEqual(event["source"]["port"], 80)
        self.assertEqual(event["outcome"], "OUTCOME_COMPLETE")

    def check_flags(self, events, sent_again, out_of_order):
        """None but for what the kernel did itself, which a busy machine makes it do."""
        flags = collections.Counter(flag for event in events for flag in event.get("flags", []))
        allowed = collections.Counter({"EXCHANGE_FLAG_RETRANSMITTED": sent_again,
                                       "EXCHANGE_FLAG_REORDERED": out_of_order})
        self.assertEqual(flags - allowed, {})

    def test_each_exchange_is_one_right_event(self):
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            watched.add_pod("shop")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_on_loopback(pods=("web", "shop"))
            watched.wait_for_taps(agent)
            addresses = ("127.0.0.1", "::1", watched.ip4("web"), watched.ip6("web"))
            for address in addresses:
                watched.in_pod("web", "python3", "-c", KEEP_ALIVE, address, str(REQUESTS))
            watched.get("shop", "web", "/outside")
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(len(watched.access_lines("web")), len(addresses) * REQUESTS + 1)
            events = watched.events_of("web")
            inside = [event for event in events if event["request"]["path"] != "/outside"]
            self.assertEqual(collections.Counter(event["destination"]["ip"] for event in inside),
                             {address: REQUESTS for address in addresses})
            self.assertEqual(len({event["exchangeKey"] for event in inside}), len(inside))
            for event in inside:
                self.check_ends(watched, event, event["destination"]["ip"])
                is_missing = event["capture"].get("exchangeIndex", 0) % 10 == 9
                self.assertEqual((event["request"]["method"], event["request"]["path"],
                                  event["response"]["statusCode"]),
                                 ("GET", "/missing", 404) if is_missing
                                 else ("GET", "/index.html", 200))
            # One connection for each address.
            connections = collections.Counter(event["capture"]["connectionId"] for event in inside)
            self.assertEqual(set(connections.values()), {REQUESTS})
            # What comes from outside has two reports as ever, with the right names.
            self.assertEqual(
                sorted((fleet.reporter(event), mode(event), event["source"]["podName"],
                        event["destination"]["podName"]) for event in events
                       if event["request"]["path"] == "/outside"),
                [(side, "HOST_VETH", watched.netns("shop"), watched.netns("web"))
                 for side in ("client", "server")])
            self.assertEqual(watched.losses(), {})
            sent_again, out_of_order = watched.segments("web")
            self.check_flags(inside, sent_again, out_of_order)
            ledger = watched.ledger()
            self.assertLessEqual(ledger[("REASSEMBLY", "duplicate")][0], sent_again)
            for name in ("out_of_window", "not_copied"):
                self.assertEqual(ledger[("REASSEMBLY", name)], (0, 0), name)

    def test_large_bodies(self):
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web", "location /upload { return 200 taken; }")
            with open(watched.www("web", "large"), "wb") as file:
                file.write(b"y" * BODY_BYTES)
            watched.start_collector()
            agent = watched.start_on_loopback(pods=["web"])
            for address in ("127.0.0.1", "::1"):
                watched.in_pod("web", "python3", "-c", LARGE, address, str(BODY_BYTES))
            self.assertEqual(agent.stop(), 0)
            events = watched.events_of("web")
            self.assertEqual(collections.Counter(
                (event["request"]["method"], int(event["request"].get("bodySize", 0)),
                 event["response"]["statusCode"], int(event["response"].get("bodySize", 0)))
                for event in events),
                {("POST", BODY_BYTES, 200, len("taken")): 6, ("GET", 0, 200, BODY_BYTES): 6})
            for event in events:
                self.check_ends(watched, event, event["destination"]["ip"])
            sent_again, out_of_order = watched.segments("web")
            self.check_flags(events, sent_again, out_of_order)
            self.assertEqual(watched.losses(), {})
            # Each packet counts once: what is seen of the bodies is what they are.
            coverage = watched.coverage(watched.netns("web"))["coverage"]
            http1, = [entry for entry in coverage["traffic"]
                      if entry["trafficClass"] == "TRAFFIC_CLASS_HTTP1"]
            for name in ("bytesSent", "bytesReceived"):
                self.assertGreater(int(http1[name]), 6 * BODY_BYTES)
                self.assertLess(int(http1[name]), 6 * BODY_BYTES + 10_000 + 65_536 * sent_again)

    def test_a_sidecar_and_what_it_asks_the_application(self):
        """Each hop is an event, a metric tells them apart, and each reporters setting has all."""
        for reporters, inside, outside in (("both", "server", {"client", "server"}),
                                           ("client", "client", {"client"}),
                                           ("server", "server", {"server"})):
            with self.subTest(reporters), LoopbackFleet() as watched:
                watched.add_pod("web")
                watched.add_pod("shop")
                watched.start_nginx("web", "} server { listen 8080; "
                                           "location / { proxy_pass http://127.0.0.1:80; }")
                collector = watched.start_collector()
                agent = watched.start_on_loopback("--reporters", reporters, pods=("web", "shop"))
                watched.wait_for_taps(agent)
                watched.in_pod("shop", "curl", "-sS", "-o", "/dev/null",
                               f"http://{watched.ip4('web')}:8080/index.html")
                self.assertEqual(agent.stop(), 0)
                self.assertEqual(sorted(
                    (fleet.reporter(event), mode(event), event["source"]["podName"],
                     event["destination"]["port"]) for event in watched.events_of("web")),
                    sorted([(side, "HOST_VETH", watched.netns("shop"), 8080) for side in outside]
                           + [(inside, "POD_LOOPBACK", watched.netns("web"), 80)]))
                families = metrics_text.parse(collector.admin("/metrics")[1])
                family = families[f"http_{inside}_request_duration_seconds"]
                web = {"k8s_pod_name": watched.netns("web")}
                self.assertEqual(family.total("_count", **web, network_interface_name="lo"), 1)
                self.assertEqual(family.total("_count", **web), 1 + (inside == "server"))

    def test_a_deleted_namespace_is_freed_within_a_second(self):
        with LoopbackFleet() as watched:
            watched.add_pod("short")
            watched.start_collector()
            agent = watched.start_on_loopback(pods=["short"])
            self.assertLess(watched.seconds_until_freed("short"), 1.0)
            agent.wait_for_err(f"closed tap of lo inside pod {watched.netns('short')}")

    def test_it_is_off_by_default_and_needs_no_more_then(self):
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}")
            self.assertEqual(watched.packet_sockets("web"), 0)
            watched.in_pod("web", "curl", "-sS", "-o", "/dev/null", "http://127.0.0.1/")
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(watched.events_of("web"), [])
            self.assertEqual(watched.ledger()[("CAPTURE", "pods_tapped_on_loopback")][0], 0)

    def test_an_agent_that_is_killed_leaves_nothing_and_the_next_goes_on(self):
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_on_loopback(pods=["web"])
            self.assertEqual(watched.packet_sockets("web"), 1)
            with subprocess.Popen([*fleet.inside(watched.netns("web")), "python3", "-c", ON_DEMAND],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True) as client:
                def ask(path):
                    client.stdin.write(path + "\n")
                    client.stdin.flush()
                    self.assertEqual(client.stdout.readline(), "done\n")
                ask("/before")
                fleet.wait_for(lambda: watched.events_of("web"), "the first event")
                agent.stop(signal.SIGKILL)
                fleet.wait_for(lambda: watched.packet_sockets("web") == 0, "the tap to go", 1.0)
                ask("/between")
                again = watched.start_on_loopback(pods=["web"], name="again")
                ask("/after-1")
                ask("/after-2")
                client.stdin.close()
                client.wait(10)
            self.assertEqual(again.stop(), 0)
            events = {event["request"]["path"]: event for event in watched.events_of("web")}
            self.assertEqual(set(events), {"/before", "/after-1", "/after-2"})
            self.assertNotIn("flags", events["/before"])
            for path in ("/after-1", "/after-2"):
                self.assertEqual(events[path]["flags"], ["EXCHANGE_FLAG_MIDSTREAM"])
                self.assertEqual(events[path]["response"]["statusCode"], 404)
                self.assertEqual(events[path]["destination"]["port"], 80)

    def test_the_hosts_loopback_is_left_alone(self):
        """Also when a pod is said to live there."""
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            name = watched.netns("host")
            fleet.run("ip", "netns", "attach", name, str(os.getpid()))
            try:
                watched.start_collector()
                agent = watched.start_on_loopback(pods=["web"])
                self.assertNotIn(f"inside pod {name}", agent.err())
                with open("/proc/net/packet", encoding="ascii") as file:
                    indexes = [int(line.split()[4]) for line in file.read().splitlines()[1:]]
                self.assertNotIn(1, indexes)
                self.assertEqual(agent.stop(), 0)
            finally:
                fleet.run("ip", "netns", "del", name)

    def test_coverage_lists_it_and_it_alone_makes_no_pod_a_tapped_one(self):
        with LoopbackFleet() as watched:
            watched.add_pod("web")
            watched.add_macvlan_pod("hidden")
            for pod in ("web", "hidden"):
                watched.start_nginx(pod)
            watched.start_collector()
            agent = watched.start_on_loopback(pods=("web", "hidden"))
            watched.wait_for_taps(agent, ["web"])
            for pod in ("web", "hidden"):
                watched.in_pod(pod, "curl", "-sS", "-o", "/dev/null", "http://127.0.0.1/")
            pods = {}

            def told():
                pods.update((pod["podName"], pod) for pod in
                            json.loads(agent.admin("/coverage")[1])["pods"])
                return all(pods[watched.netns(pod)].get("exchanges") == "1"
                           for pod in ("web", "hidden"))
            fleet.wait_for(told, "both exchanges")
            web, hidden = pods[watched.netns("web")], pods[watched.netns("hidden")]
            self.assertEqual([(tap["name"], tap["mode"]) for tap in web["interfaces"]],
                             [("lo", "CAPTURE_MODE_POD_LOOPBACK"),
                              (watched.host_interface("web"), "CAPTURE_MODE_HOST_VETH")])
            self.assertEqual(web["state"], "COVERAGE_STATE_TAPPED")
            self.assertEqual([(tap["name"], tap["mode"]) for tap in hidden["interfaces"]],
                             [("lo", "CAPTURE_MODE_POD_LOOPBACK")])
            self.assertEqual(hidden["state"], "COVERAGE_STATE_NO_HOST_INTERFACE")
            self.assertIn("only its loopback is tapped", hidden["reason"])
            self.assertEqual(agent.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

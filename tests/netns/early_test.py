#!/usr/bin/env python3
"""Pods from their first packet on: taps that come with the interface, and names that come later."""

import collections
import concurrent.futures
import os
import subprocess
import time
import unittest

import fleet
import metrics_text

CHURN_PODS = int(os.environ.get("PODTAP_CHURN_PODS", "60"))
AT_A_TIME = 8


def setUpModule():
    fleet.need_root()


class Unnamed:
    """A network namespace that has no name yet, with an interface on the fleet's bridge."""

    def __init__(self, watched, number):
        self.watched = watched
        self.host = f"{watched.tag}u{number}"
        self.ip = f"10.{watched.subnet}.77.{200 + number}"
        self.process = watched.start(f"unnamed{number}",
                                     ["unshare", "-n", "sh", "-c", "echo; exec sleep 600"])
        fleet.wait_for(lambda: self.process.out() == "\n", "the namespace")
        self.inside = ["nsenter", "-t", str(self.process.pid), "-n"]
        fleet.run("ip", "link", "add", self.host, "type", "veth", "peer", "name", "eth0", "netns",
                  str(self.process.pid))
        watched.links.append(self.host)
        fleet.run("ip", "link", "set", self.host, "master", watched.bridge, "up")
        fleet.run(*self.inside, "ip", "addr", "add", f"{self.ip}/24", "dev", "eth0")
        fleet.run(*self.inside, "ip", "link", "set", "eth0", "up")

    def get(self, path):
        fleet.run(*self.inside, "curl", "-sS", "-o", "/dev/null",
                  f"http://{self.watched.ip4('web')}/{path}")

    def give_name(self, pod):
        name = self.watched.netns(pod)
        fleet.run("ip", "netns", "attach", name, str(self.process.pid))
        return name

    def remove(self, name):
        self.process.popen.kill()
        self.process.popen.wait()
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def by_reporter(events):
    return {fleet.reporter(event): event for event in events}


class Hold(unittest.TestCase):
    def start(self, watched, hold):
        watched.add_pod("web")
        watched.start_nginx("web")
        watched.start_collector()
        return watched.start_agent("--collector", f"127.0.0.1:{watched.port}", "--log-level",
                                   "debug", "--metadata-hold", hold)

    @staticmethod
    def wait_for_held(watched):
        fleet.wait_for(lambda: watched.ledger().get(("ENRICHMENT", "held"), (0,))[0] == 2,
                       "both reports to wait", 25)

    def test_events_wait_for_a_name_that_comes_later(self):
        with fleet.Fleet() as watched:
            agent = self.start(watched, "60s")
            pod = Unnamed(watched, 1)
            pod.get("waits")
            self.wait_for_held(watched)
            self.assertEqual(watched.events_of("web"), [])
            # Others are not delayed.
            watched.add_pod("other")
            watched.in_pod("other", "curl", "-sS", "-o", "/dev/null",
                           f"http://{watched.ip4('web')}/passes")
            events = fleet.wait_for(lambda: watched.events_of("other"), "the other's reports", 10)
            self.assertEqual({event["request"]["path"] for event in events}, {"/passes"})
            name = pod.give_name("late")
            try:
                agent.wait_for_err(f"tapping {pod.host} for pod {name}")
                fleet.wait_for(lambda: len(watched.events_of("late")) == 2, "both reports", 10)
                for event in watched.events_of("late"):
                    self.assertEqual(event["source"]["podName"], name)
                    self.assertEqual(event["source"]["metadataState"], "METADATA_STATE_RESOLVED")
                    self.assertEqual(event["destination"]["podName"], watched.netns("web"))
                agent.stop()
                ledger = watched.ledger()
                self.assertEqual(ledger[("ENRICHMENT", "hold_named")][0], 2)
                self.assertEqual(ledger[("ENRICHMENT", "held")][0], 0)
            finally:
                pod.remove(name)

    def test_what_nobody_names_is_sent_without_a_name(self):
        with fleet.Fleet() as watched:
            agent = self.start(watched, "1s")
            pod = Unnamed(watched, 1)
            begin = time.monotonic()
            pod.get("nobody")
            events = fleet.wait_for(
                lambda: len(found := watched.events_of("web")) == 2 and found, "both reports")
            self.assertGreater(time.monotonic() - begin, 0.9)
            for event in events:
                self.assertNotIn("podName", event["source"])
                self.assertEqual(event["source"]["metadataState"], "METADATA_STATE_UNRESOLVED")
                self.assertEqual(event["source"]["ip"], pod.ip)
            self.assertEqual(by_reporter(events)["client"]["capture"]["interfaceName"], pod.host)
            agent.stop()
            ledger = watched.ledger()
            self.assertEqual(ledger[("ENRICHMENT", "hold_expired")][0], 2)
            self.assertEqual(watched.losses(), {})

    def test_what_waits_is_sent_when_the_agent_stops(self):
        with fleet.Fleet() as watched:
            agent = self.start(watched, "60s")
            pod = Unnamed(watched, 1)
            pod.get("stops")
            self.wait_for_held(watched)
            agent.stop()
            self.assertEqual(len(watched.events_of("web")), 2)
            self.assertEqual(watched.losses(), {})


def resources(agent):
    """Resident memory in KiB and the number of open files."""
    with open(f"/proc/{agent.pid}/status", encoding="ascii") as file:
        rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    return rss, len(os.listdir(f"/proc/{agent.pid}/fd"))


class Churn(unittest.TestCase):
    # Makes a pod whose first act is a request, and soon takes it away.
    SCRIPT = """
set -e
ip netns add "$pod"
ip link add "$host" type veth peer name eth0 netns "$pod"
ip link set "$host" master "$bridge" up
nsenter --net=/run/netns/"$pod" sh -ec '
  ip addr add "$ip/24" dev eth0
  ip link set eth0 up
  exec curl -sS --connect-timeout 10 -o /dev/null "http://$web/index.html?$host"'
# Its life: one that is gone before discovery comes to run can't be named, and machines are busy.
sleep 0.5
ip netns del "$pod"
ip link del "$host" 2>/dev/null || true
"""

    def churn(self, watched, round_number, count):
        def one(number):
            slot = number % 180
            environment = dict(
                os.environ, pod=watched.netns(f"c{round_number}x{number}"),
                host=f"{watched.tag}c{round_number}x{number}"[:15], bridge=watched.bridge,
                ip=f"10.{watched.subnet}.77.{20 + slot}", web=watched.ip4("web"))
            fleet.run("sh", "-c", self.SCRIPT, env=environment)
            return environment["pod"]
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(one, range(count)))

    def test_the_first_request_of_each_pod_is_seen_and_named(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            _, agent = watched.start_watching()
            # Once over, so that what is allocated for good is.
            self.churn(watched, 0, CHURN_PODS)
            fleet.wait_for(lambda: self.has_reports(watched, agent, 2 * CHURN_PODS),
                           "all reports of the first round", 30)
            idle = lambda: self.is_idle(agent)
            fleet.wait_for(idle, "all taps but one to be closed")
            rss, files = resources(agent)
            pods = self.churn(watched, 1, CHURN_PODS)
            fleet.wait_for(lambda: self.has_reports(watched, agent, 4 * CHURN_PODS),
                           "all reports of the second round", 30)
            fleet.wait_for(idle, "all taps but one to be closed")
            # Sockets are closed, and questions answered, on threads of their own.
            fleet.wait_for(lambda: resources(agent)[1] <= files, "files to be closed")
            rss_after, _ = resources(agent)
            delays = self.delays(agent)
            print(f"attach delays by bound: {delays}; RSS {rss} -> {rss_after} KiB", flush=True)
            agent.stop()
            pairs = collections.Counter(
                (event["source"].get("podName"), event["destination"].get("podName"),
                 fleet.reporter(event)) for event in watched.events_of("web"))
            losses = watched.losses()
            missed = losses.get("orphan_responses", 0)
            bad = [pod for pod in pods if any(
                pairs[(pod, watched.netns("web"), side)] != 1 for side in ("client", "server"))]
            self.assertLessEqual(len(bad), missed, bad)
            self.assertEqual(set(losses) - {"orphan_responses"}, set())
            self.assertLess(rss_after, rss * 1.1)
            # Each pod's own, and web's was there before.
            self.assertEqual(sum(delays.values()), 2 * CHURN_PODS)
            self.assertLess(delays["+Inf"] + delays.get("10", 0) + delays.get("5", 0)
                            + delays.get("2.5", 0), 1)

    def has_reports(self, watched, agent, wanted):
        """The client's report of a request is missing where its tap came late, which is counted."""
        ledger = metrics_text.parse(agent.admin("/metrics")[1])["podtap_ledger_total"]
        missed = ledger.value(stage="pairing", name="orphan_responses")
        self.assertLessEqual(missed, ledger.value(stage="capture", name="taps_late"))
        self.assertLessEqual(missed, wanted // 50)
        return len(watched.events_of("web")) == wanted - missed

    @staticmethod
    def is_idle(agent):
        page = metrics_text.parse(agent.admin("/metrics")[1])
        return page["podtap_agent_interfaces_attached"].value() == 1

    @staticmethod
    def delays(agent):
        """Attach delays by the upper bound of their bucket, in seconds."""
        _, text = agent.admin("/metrics")
        counts, before = {}, 0
        for line in text.splitlines():
            if line.startswith("podtap_agent_attach_delay_seconds_bucket"):
                bound = line.split('le="')[1].split('"')[0]
                count = int(float(line.split()[-1]))
                counts[bound] = count - before
                before = count
        return counts


class Restart(unittest.TestCase):
    def test_an_agent_that_starts_amid_pods_names_them_within_a_second(self):
        pods = 50
        with fleet.Fleet() as watched:
            for number in range(pods):
                watched.add_pod(f"p{number}")
            watched.start_nginx("p0")
            watched.start_collector()
            flags = ("--collector", f"127.0.0.1:{watched.port}")
            watched.start_agent(*flags).stop()
            begin = time.monotonic()
            agent = watched.start_agent(*flags, name="second")
            took = time.monotonic() - begin
            print(f"{pods} pods named in {took:.3f} s", flush=True)
            self.assertLess(took, 1.0)
            watched.in_pod("p49", "curl", "-sS", "-o", "/dev/null",
                           f"http://{watched.ip4('p0')}/index.html")
            events = fleet.wait_for(
                lambda: len(found := watched.events_of("p0")) == 2 and found, "both reports")
            for event in events:
                self.assertEqual(event["source"]["podName"], watched.netns("p49"))
                self.assertEqual(event["destination"]["podName"], watched.netns("p0"))
            self.assertIsNone(agent.popen.poll())


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""Many pods that come and go while each makes a request as its first act, and what is left of them.

PODTAP_CHURN_PODS says how many, AT_A_TIME at once.
"""

import collections
import concurrent.futures
import json
import os
import time
import unittest

import early_test
import fleet
import metrics_text
from lifecycle_test import bpf_objects, ids, kernel_objects
from pods_test import ends, start_agent, wait_for_taps
from runtime import Runtime

setUpModule = fleet.need_root

PODS = int(os.environ.get("PODTAP_CHURN_PODS", "200"))
AT_A_TIME = 8
# busybox's wget asks for the number of a service, which its static libc can't.
FIRST_ACT = """
printf 'GET /index.html?{name}=1 HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 20 {web} 80 |
  busybox grep -q ' 200 OK' && echo done
exec sleep 600"""
# Of the LRU map, which forgets by itself.
MAX_HANDSHAKES = 65536


def entries(agent):
    """Entries of the agent's hash maps by name."""
    maps, _, _ = kernel_objects(agent)
    return {item["name"]: len(json.loads(fleet.run("bpftool", "-j", "map", "dump", "id",
                                                   str(item["id"]))))
            for item in bpf_objects("map")
            if item["id"] in maps and item["type"] in ("hash", "lru_hash")}


def namespaces():
    """Every named network namespace of the machine."""
    return set(os.listdir("/run/netns"))


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


class Churn(unittest.TestCase):
    def test_the_first_request_of_each_pod_has_both_its_names(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            web = runtime.add_pod("web")
            # On a machine that this keeps busy, the runtime takes its time to list a pod.
            agent = start_agent(watched, runtime, "--metadata-hold", "20s")
            wait_for_taps(agent, web)
            # Once over, so that what is allocated for good is.
            self.churn(watched, runtime, agent, web, "warm", max(PODS // 4, AT_A_TIME))
            before = self.state(agent)
            begin = time.monotonic()
            lives = self.churn(watched, runtime, agent, web, "pod", PODS)
            took = time.monotonic() - begin
            self.check_events(watched, lives)
            after = self.state(agent)
            self.report(agent, lives, took, before, after)
            self.check_leaks(before, after)
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(watched.losses(), {})

    def churn(self, watched, runtime, agent, web, prefix, count):
        """Makes and removes the pods; returns by name in how many seconds each was named."""
        def one(number):
            name = f"{prefix}-{number:04}"
            begin = time.monotonic()
            pod = runtime.add_pod(name, ("bridge", "ptp")[number % 2], containers=(
                ("job", ["/bin/sh", "-c", FIRST_ACT.format(name=name, web=web.addresses[0])]),))
            # One that is gone before its runtime has listed it has no name.
            agent.wait_for_err(f" for pod {name}", 30)
            named = time.monotonic() - begin
            try:
                fleet.wait_for(lambda: "done" in runtime.log(pod, "job"), f"{name}'s answer", 30)
            except AssertionError as error:
                raise AssertionError(runtime.log(pod, "job")) from error
            runtime.remove_pod(pod)
            return name, named
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            lives = dict(pool.map(one, range(count)))
        def all_closed():
            said = agent.err()
            return all(said.count(f" for pod {name}") == 2 for name in lives)
        fleet.wait_for(all_closed, "all their taps to be closed", 30)
        return lives

    def state(self, agent):
        """What the agent and the machine hold, once what ends late has ended."""
        fleet.wait_for(lambda: entries(agent)["connections"] == 0, "connections to be forgotten",
                       30)
        _, programs, sockets = kernel_objects(agent)
        rss, files = early_test.resources(agent)
        return {"rss": rss, "files": files, "programs": len(programs), "sockets": len(sockets),
                "entries": entries(agent), "namespaces": namespaces(), "all programs": ids("prog"),
                "all maps": ids("map")}

    def check_events(self, watched, lives):
        def reports():
            return [event for event in watched.observe("--to-pod", "web", last=10 * len(lives) + 99)
                    if event["source"].get("podName") in lives]
        try:
            fleet.wait_for(lambda: len(reports()) >= 2 * len(lives), "all reports", 30)
        except AssertionError as error:
            # Which lack a name, and which are not there at all.
            seen = collections.Counter(event["request"].get("query", "").split("=")[0]
                                       for event in watched.observe(last=10 * len(lives) + 99))
            named = collections.Counter(event["source"].get("podName") for event in reports())
            raise AssertionError("reports, and those with names, of " + str(
                {name: (seen[name], named[name]) for name in lives if named[name] != 2}) + str(
                    {key[1]: value[0] for key, value in watched.ledger().items()
                     if key[0] == "ENRICHMENT" and value[0]})) from error
        found = collections.Counter(
            (fleet.reporter(event), *ends(event), event["request"]["query"].split("=")[0])
            for event in reports())
        self.assertEqual(found, collections.Counter(
            (side, ("shop", name), ("shop", "web"), name)
            for side in ("client", "server") for name in lives))

    def check_leaks(self, before, after):
        self.assertLessEqual(after["files"], before["files"])
        self.assertLessEqual(after["sockets"], before["sockets"])
        self.assertLessEqual(after["programs"], before["programs"])
        self.assertEqual(after["namespaces"], before["namespaces"])
        self.assertEqual(after["entries"]["connections"], 0)
        self.assertEqual(after["entries"]["feedback"], 0)
        self.assertLessEqual(after["entries"]["handshakes"], MAX_HANDSHAKES)
        self.assertEqual(after["all programs"] - before["all programs"], set())
        self.assertEqual(after["all maps"] - before["all maps"], set())
        self.assertLess(after["rss"], before["rss"] * 1.1)

    def report(self, agent, lives, took, before, after):
        page = metrics_text.parse(agent.admin("/metrics")[1])
        delay = page["podtap_agent_attach_delay_seconds"]
        print(f"{len(lives)} pods in {took:.1f} s, named after p50 "
              f"{percentile(lives.values(), 0.5):.3f} s, p99 {percentile(lives.values(), 0.99):.3f}"
              f" s; attach delays {early_test.Churn.delays(agent)}, mean "
              f"{delay.total('_sum') / max(delay.total('_count'), 1) * 1000:.2f} ms; "
              f"late taps {page['podtap_ledger_total'].total(name='taps_late'):.0f}", flush=True)
        for name in ("rss", "files", "programs", "sockets", "entries"):
            print(f"  {name}: {before[name]} -> {after[name]}", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""Starts, stops and kills: what they leave behind, and what they do to traffic."""

import collections
import ctypes
import errno
import hashlib
import json
import os
import platform
import signal
import subprocess
import unittest

import fleet

setUpModule = fleet.need_root


def kernel_objects(agent):
    """What the kernel holds on behalf of an agent: ids of its maps, of programs that use them, and
    inodes of its packet sockets."""
    maps, inodes = set(), set()
    for fd in os.listdir(f"/proc/{agent.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{agent.pid}/fd/{fd}")
            with open(f"/proc/{agent.pid}/fdinfo/{fd}", encoding="ascii") as file:
                info = file.read()
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
        for line in info.splitlines():
            if line.startswith("map_id:"):
                maps.add(int(line.split()[1]))
    programs = {program["id"] for program in bpf_objects("prog")
                if maps & set(program.get("map_ids", []))}
    return maps, programs, inodes & packet_sockets()


def bpf_objects(kind):
    return json.loads(fleet.run("bpftool", "-j", kind, "show"))


def ids(kind):
    """Ids of all programs or maps. Only the ids are asked for: opening an object that is about to
    go, as bpftool does, can keep the kernel from freeing it."""
    next_id = {"prog": 11, "map": 12}[kind]  # BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    found, attributes = set(), (ctypes.c_uint32 * 3)()
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.syscall(number, next_id, attributes, ctypes.sizeof(attributes)) == 0:
        attributes[0] = attributes[1]
        found.add(attributes[1])
    if ctypes.get_errno() != errno.ENOENT:
        raise OSError(ctypes.get_errno(), "bpf")
    return found


def packet_sockets():
    """Inodes of all packet sockets of the host's namespace."""
    with open("/proc/net/packet", encoding="ascii") as file:
        return {int(line.split()[-1]) for line in file.readlines()[1:]}


class Privileges(unittest.TestCase):
    def test_two_capabilities_do_the_whole_job(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            _, agent = watched.start_watching()
            with open(f"/proc/{agent.pid}/status", encoding="ascii") as file:
                lines = dict(line.split(":\t", 1) for line in file.read().splitlines()
                             if ":\t" in line)
            net_raw_and_bpf = (1 << 13) | (1 << 39)
            for which in ("CapEff", "CapPrm", "CapBnd"):
                self.assertEqual(int(lines[which], 16), net_raw_and_bpf, which)
            watched.in_pod("client", "curl", "-sS", "-o", "/dev/null",
                           f"http://{watched.ip4('web')}/index.html")
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2, "both reports")

    def test_usage_errors_end_with_2_and_one_line(self):
        for flags in ([], ["--stdout", "--no-such-flag"], ["--collector", "nonsense"],
                      ["--collector", "192.0.2.1:4270"], ["--stdout", "--ring-bytes", "1000"],
                      ["--stdout", "--capture-bytes", "1"], ["--stdout", "-o", "xml"],
                      ["-o", "json", "--collector", "127.0.0.1:1"]):
            result = subprocess.run([os.path.join(fleet.BIN, "podtap-agent"), *flags],
                                    capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(result.returncode, 2, (flags, result.stderr))
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


class Ends(unittest.TestCase):
    def test_nothing_is_left_behind(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number=number), fleet.Fleet() as watched:
                watched.add_pod("web")
                watched.add_pod("client")
                agent = watched.start_agent("--stdout")
                maps, programs, sockets = kernel_objects(agent)
                self.assertGreaterEqual(len(maps), 8)
                # The shared program and a dispatcher for each tap.
                self.assertGreaterEqual(len(programs), 3)
                self.assertGreaterEqual(len(sockets), 2)
                self.assertLessEqual(programs, ids("prog"))
                self.assertLessEqual(maps, ids("map"))
                agent.stop(number)
                fleet.wait_for(lambda: not programs & ids("prog"), "programs to go")
                fleet.wait_for(lambda: not maps & ids("map"), "maps to go")
                fleet.wait_for(lambda: not sockets & packet_sockets(), "sockets to go")

    def test_a_transfer_runs_undisturbed_through_start_stop_and_kill(self):
        size = 48 << 20
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web", "limit_rate 8m;")
            block = os.urandom(1 << 20)
            digest = hashlib.sha256()
            with open(watched.www("web", "long"), "wb") as file:
                for _ in range(size >> 20):
                    file.write(block)
                    digest.update(block)
            target = os.path.join(watched.directory, "long")
            transfer = watched.start("transfer", ["curl", "-sS", "-o", target,
                                                  f"http://{watched.ip4('web')}/long"], "client")
            ends = collections.Counter()
            while transfer.popen.poll() is None:
                for number in (signal.SIGTERM, signal.SIGKILL):
                    agent = watched.start_agent("--stdout", name=f"agent{sum(ends.values())}")
                    if transfer.popen.poll() is None:
                        ends[number] += 1
                    agent.stop(number)
            self.assertEqual(transfer.popen.returncode, 0, transfer.err())
            self.assertGreater(ends[signal.SIGTERM], 1)
            self.assertGreater(ends[signal.SIGKILL], 1)
            with open(target, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest.hexdigest())

    def test_open_exchanges_are_sent_when_the_agent_stops(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web", "limit_rate 50k;")
            with open(watched.www("web", "slow"), "wb") as file:
                file.truncate(50 << 20)
            collector, agent = watched.start_watching()
            del collector
            watched.start("transfer", ["curl", "-sS", "-o", "/dev/null",
                                       f"http://{watched.ip4('web')}/slow"], "client")
            fleet.wait_for(lambda: int(watched.status()["agents"][0].get("status", {}).get(
                "openExchanges", 0)) == 2, "the exchange to be open", 25)
            self.assertEqual(watched.events_of("web"), [])
            agent.stop()
            events = watched.events_of("web")
            self.assertEqual(len(events), 2)
            for event in events:
                self.assertEqual(event["response"]["statusCode"], 200)
                self.assertNotEqual(event["outcome"], "OUTCOME_COMPLETE")


class Churn(unittest.TestCase):
    def test_pods_that_come_and_go_while_the_agent_runs(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            _, agent = watched.start_watching()
            for turn in range(5):
                pod = f"job{turn}"
                watched.add_pod(pod)
                watched.wait_for_taps(agent, [pod])
                watched.in_pod(pod, "curl", "-sS", "-o", "/dev/null",
                               f"http://{watched.ip4('web')}/index.html?turn={turn}")
                watched.remove_pod(pod)
            fleet.wait_for(lambda: agent.err().count("closed tap") == 5, "taps to be closed")
            agent.stop()
            events = watched.events_of("web")
            pairs = collections.Counter((event["source"]["podName"], fleet.reporter(event))
                                        for event in events)
            wanted = {(watched.netns(f"job{turn}"), side): 1
                      for turn in range(5) for side in ("client", "server")}
            self.assertEqual(pairs, wanted)


    def test_the_open_exchange_of_a_deleted_pod_is_sent(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            watched.add_pod("job")
            watched.start_nginx("web", "limit_rate 50k;")
            with open(watched.www("web", "slow"), "wb") as file:
                file.truncate(50 << 20)
            _, agent = watched.start_watching()
            watched.start("transfer", ["curl", "-sS", "-o", "/dev/null",
                                       f"http://{watched.ip4('web')}/slow"], "job")
            # Begun, as the pod's own counters tell.
            fleet.wait_for(lambda: watched.received_bytes("job") > 50_000, "the transfer to begin")
            watched.remove_pod("job")
            events = fleet.wait_for(
                lambda: [event for event in watched.observe("--path", "/slow")
                         if fleet.reporter(event) == "client"], "the deleted pod's report")
            self.assertEqual(events[0]["source"]["podName"], watched.netns("job"))
            self.assertEqual(events[0]["response"]["statusCode"], 200)
            self.assertNotEqual(events[0]["outcome"], "OUTCOME_COMPLETE")
            self.assertIsNone(agent.popen.poll())


class CollectorRestart(unittest.TestCase):
    def test_collector_killed_mid_run_has_each_exchange_once(self):
        requests = 20_000
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            collector, agent = watched.start_watching()
            load = watched.start("load", ["ab", "-q", "-k", "-n", str(requests), "-c", "4",
                                          f"http://{watched.ip4('web')}/index.html"], "client")
            port = watched.port
            for kill in range(3):
                wanted = (kill + 1) * requests // 5
                fleet.wait_for(lambda: int(watched.status().get("storedEvents", 0)) >= wanted
                               or load.popen.poll() is not None, "events to be stored", 30)
                collector.stop(signal.SIGKILL)
                # The agent goes on: requests are made while nobody takes events.
                lines = len(watched.access_lines("web"))
                fleet.wait_for(lambda: len(watched.access_lines("web")) > lines
                               or load.popen.poll() is not None, "requests without a collector")
                self.assertIsNone(agent.popen.poll())
                collector = watched.start_collector(port=port, name=f"collector{kill}")
            self.assertEqual(load.popen.wait(60), 0)
            agent.stop()
            self.assertEqual(len(watched.access_lines("web")), requests)
            events = watched.events_of("web")
            ids = collections.Counter(event["id"] for event in events)
            self.assertEqual(set(ids.values()), {1})
            sides = collections.Counter(fleet.reporter(event) for event in events)
            self.assertEqual(sides, {"client": requests, "server": requests})
            self.assertEqual(watched.losses(), {})
            # Said once per outage, not once per attempt.
            self.assertLessEqual(agent.err().count("can't be reached"), 4, agent.err())

    def test_agent_that_starts_before_its_collector(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            port = fleet.free_port()
            agent = watched.start_agent("--collector", f"127.0.0.1:{port}")
            watched.in_pod("client", "curl", "-sS", "-o", "/dev/null",
                           f"http://{watched.ip4('web')}/index.html")
            fleet.wait_for(lambda: "can't be reached" in agent.err(), "the outage to be said")
            watched.start_collector(port=port)
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2, "both reports", 40)


class LedgerSums(unittest.TestCase):
    def test_in_equals_out_plus_named_losses_plus_in_flight(self):
        self.check_sums("1")

    def test_the_same_with_three_rings(self):
        self.check_sums("3")

    def check_sums(self, rings):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            # A ring so small that records are refused under load.
            _, agent = watched.start_watching("--ring-bytes", "65536", "--rings", rings)
            made = 5000
            os.kill(agent_pid(agent), signal.SIGSTOP)
            try:
                watched.in_pod("client", "ab", "-q", "-k", "-n", str(made), "-c", "8",
                               f"http://{watched.ip4('web')}/index.html")
            finally:
                os.kill(agent_pid(agent), signal.SIGCONT)
            agent.stop()
            ledger = watched.ledger()
            stored = len(watched.events_of("web"))
        count = lambda stage, name: ledger[(stage, name)][0]
        self.assertGreater(count("KERNEL", "fair_share") + count("KERNEL", "ring_full"), 0)
        # Every record that the kernel submitted was read.
        self.assertEqual(count("KERNEL", "records"), count("CAPTURE", "records_read"))
        self.assertEqual(ledger[("KERNEL", "records")][1], ledger[("CAPTURE", "records_read")][1])
        # Exchanges named = events made.
        self.assertEqual(count("ENRICHMENT", "exchanges"),
                         count("ENRICHMENT", "events") + count("ENRICHMENT", "tap_unknown")
                         + count("ENRICHMENT", "excluded_by_reporters")
                         + count("ENRICHMENT", "held"))
        self.assertEqual(count("ENRICHMENT", "events"), count("EXPORTER", "events_appended"))
        self.assertEqual(count("EXPORTER", "events_appended"),
                         count("EXPORTER", "events_acked") + count("EXPORTER", "events_dropped")
                         + count("EXPORTER", "events_queued"))
        self.assertEqual(count("EXPORTER", "events_acked"), stored)
        self.assertLess(stored, 2 * made)


def agent_pid(agent):
    # setpriv executes the agent in its own place.
    return agent.pid


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""A quiet pod beside a flooding one: it keeps its events, and what is refused is on the ledger."""

import http.client
import os
import signal
import sys
import threading
import time
import unittest

import fleet

setUpModule = fleet.need_root
HERE = os.path.dirname(os.path.abspath(__file__))
QUIET_REQUESTS = 1000


class Slowed:
    """A program that is stopped again and again while the context lasts, each time that it had the
    processor for so long: not that it could have, which on a busy machine is another thing.
    """

    def __init__(self, process, stopped_seconds, running_seconds):
        self.pid = process.pid
        self.stopped_seconds = stopped_seconds
        self.running_seconds = running_seconds
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def seconds_run(self):
        # The clock that clock_getcpuclockid(3) finds: all threads, also those that have ended.
        return time.clock_gettime(~self.pid << 3 | 2)

    def run(self):
        while not self.done.is_set():
            os.kill(self.pid, signal.SIGSTOP)
            self.done.wait(self.stopped_seconds)
            until = self.seconds_run() + self.running_seconds
            os.kill(self.pid, signal.SIGCONT)
            while self.seconds_run() < until and not self.done.wait(0.001):
                pass

    def __enter__(self):
        self.thread.start()

    def __exit__(self, kind, value, trace):
        self.done.set()
        self.thread.join()


class Fairness(unittest.TestCase):
    def test_a_quiet_pod_beside_a_flooding_one_keeps_its_events(self):
        with fleet.Fleet() as watched:
            for pod in ("quiet", "quiet-web", "flood", "flood-web"):
                watched.add_pod(pod)
            watched.start_nginx("quiet-web")
            # The response is one segment.
            watched.start_nginx("flood-web", "location = /one { return 200 one; }")
            _, agent = watched.start_watching("--ring-bytes", str(256 * 1024))
            # Not the flood's speed, which depends on the machine, but a reader that is too slow for
            # it makes the ring fill up.
            with Slowed(agent, 0.1, 0.01):
                flood = watched.start("load", ["wrk", "-t", "1", "-c", "32", "-d", "60",
                                               f"http://{watched.ip4('flood-web')}/one"],
                                      "flood")
                fleet.wait_for(lambda: len(watched.access_lines("flood-web")) > 1000, "the flood")
                watched.in_pod("quiet", "python3", os.path.abspath(__file__),
                               watched.ip4("quiet-web"))
                self.assertIsNone(flood.popen.poll(), "the flood ended before the quiet pod did")
                flood.stop(signal.SIGINT)
            agent.stop()
            quiet = [event for event in watched.events_of("quiet") if "ip" in event["source"]]
            ledger = watched.ledger()
            made = len(watched.access_lines("flood-web"))
            seen = {side: {event["request"]["path"] for event in quiet
                           if fleet.reporter(event) == side} for side in ("client", "server")}
        refused = ledger[("KERNEL", "fair_share")][0] + ledger[("KERNEL", "ring_full")][0]
        print(f"flood: {made} requests, {refused} records refused; quiet: "
              f"{[len(paths) for paths in seen.values()]} of {QUIET_REQUESTS} events")
        self.assertGreater(refused, made // 50, "the ring was not under pressure")
        for paths in seen.values():
            self.assertGreaterEqual(len(paths), QUIET_REQUESTS * 0.99)
        self.check_sums(ledger, made)

    def check_sums(self, ledger, made):
        count = lambda stage, name: ledger[(stage, name)][0]
        # Each request and each response is one segment, seen by two taps.
        segments = 4 * (made + QUIET_REQUESTS)
        kept = count("KERNEL", "copied") + count("KERNEL", "sampled")
        lost = sum(count("KERNEL", name) for name in ("fair_share", "ring_full", "table_full"))
        self.assertGreaterEqual(kept + lost, segments)
        # Requests that wrk had sent and nginx had not logged when it was ended, and what a busy
        # machine sends again.
        self.assertLess(kept + lost, segments * 1.01 + 4 * 64)
        self.assertEqual(count("KERNEL", "records"), count("CAPTURE", "records_read"))
        missing = 2 * (made + QUIET_REQUESTS) - count("ENRICHMENT", "events")
        self.assertGreater(missing, 0)
        self.assertLessEqual(missing, lost)


def make_requests(address):
    """Runs inside the quiet pod: some 200 numbered requests a second, new connections now and then."""
    for number in range(QUIET_REQUESTS):
        if number % 50 == 0:
            connection = http.client.HTTPConnection(address, 80, timeout=20)
        connection.request("GET", f"/r/{number}")
        connection.getresponse().read()
        time.sleep(0.005)  # the pace, not a wait


if __name__ == "__main__":
    make_requests(sys.argv[1])

"""Counted requests against the server's own access log, and one very large body."""

import collections
import json
import unittest

import fleet

setUpModule = fleet.need_root
REQUESTS = 10_000


class Exactness(unittest.TestCase):
    def check_counts(self, watched, access_log, requests):
        events = watched.events_of("web")
        by_reporter = collections.Counter(fleet.reporter(event) for event in events)
        self.assertEqual(len(access_log), requests)
        self.assertEqual(by_reporter, {"client": requests, "server": requests})
        # Not only as many: both reports of each exchange are there, once.
        keys = collections.Counter((event["exchangeKey"]) for event in events)
        self.assertEqual(len(keys), requests)
        self.assertEqual(set(keys.values()), {2})
        statuses = collections.Counter(int(line.split()[2]) for line in access_log)
        for side in ("client", "server"):
            seen = collections.Counter(event["response"]["statusCode"] for event in events
                                       if fleet.reporter(event) == side)
            self.assertEqual(seen, statuses)
        for event in events:
            self.assertEqual(event["outcome"], "OUTCOME_COMPLETE")
            self.assertNotIn("flags", event)
            self.assertEqual(event["source"]["podName"], watched.netns("client"))
            self.assertEqual(event["destination"]["podName"], watched.netns("web"))
        self.assertEqual(watched.losses(), {})

    def load(self, v6, command, *agent_flags):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            _, agent = watched.start_watching(*agent_flags)
            address = f"[{watched.ip6('web')}]" if v6 else watched.ip4("web")
            watched.in_pod("client", *command, f"http://{address}/index.html")
            agent.stop()
            self.check_counts(watched, watched.access_lines("web"), REQUESTS)

    def test_ab_v4(self):
        self.load(False, ["ab", "-q", "-k", "-n", str(REQUESTS), "-c", "16"])

    def test_ab_v6(self):
        self.load(True, ["ab", "-q", "-k", "-n", str(REQUESTS), "-c", "16"])

    def test_h2load_v4(self):
        self.load(False, ["h2load", "--h1", "-n", str(REQUESTS), "-c", "8"])

    def test_h2load_v6(self):
        self.load(True, ["h2load", "--h1", "-n", str(REQUESTS), "-c", "8"])

    def test_two_rings(self):
        self.load(False, ["h2load", "--h1", "-n", str(REQUESTS), "-c", "8"], "--rings", "2")

    def test_four_rings(self):
        """Also the first exchange names both ends, though their records are in several rings."""
        self.load(True, ["ab", "-q", "-k", "-n", str(REQUESTS), "-c", "16"], "--rings", "4")

    def test_new_connection_for_each_request(self):
        """Ports come round again and again: no request goes to an older connection's account."""
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web")
            # Few ports, so that tuples are reused at once.
            watched.in_pod("client", "sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40099",
                           "net.ipv4.tcp_tw_reuse=1")
            _, agent = watched.start_watching()
            watched.in_pod("client", "ab", "-q", "-n", "1000", "-c", "4",
                           f"http://{watched.ip4('web')}/index.html")
            agent.stop()
            self.check_counts(watched, watched.access_lines("web"), 1000)


class LargeBody(unittest.TestCase):
    SIZE = 1 << 30
    # Ring bytes per tap: 1 MiB for each 64 MiB of body.
    RING_LIMIT = SIZE // 64

    def download(self, offloads):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            for pod in ("client", "web"):
                watched.set_offloads(pod, offloads)
            watched.start_nginx("web")
            line = b"GET / HTTP/1.1\r\nHost: trap\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
            block = (line * (1 << 20))[:1 << 20]
            with open(watched.www("web", "big"), "wb") as file:
                for _ in range(self.SIZE >> 20):
                    file.write(block)
            _, agent = watched.start_watching()
            timing = json.loads(watched.in_pod(
                "client", "curl", "-sS", "-o", "/dev/null", "-w", "%{json}",
                f"http://{watched.ip4('web')}/big"))
            agent.stop()
            events = watched.events_of("web")
            ledger = watched.ledger()
            self.assertEqual(watched.losses(), {})
        self.assertEqual(sorted(fleet.reporter(event) for event in events), ["client", "server"])
        taken = timing["time_total"] - timing["time_pretransfer"]
        for event in events:
            self.assertEqual(event["request"]["path"], "/big")
            self.assertEqual(event["outcome"], "OUTCOME_COMPLETE")
            self.assertEqual(int(event["response"]["bodySize"]), self.SIZE)
            self.assertNotIn("EXCHANGE_FLAG_GAP", event.get("flags", []))
            self.assertNotIn("EXCHANGE_FLAG_FRAMING_INFERRED", event.get("flags", []))
            duration = float(event["duration"].removesuffix("s"))
            self.assertAlmostEqual(duration, taken, delta=max(0.1, taken * 0.05))
        ring_bytes = ledger[("KERNEL", "records")][1]
        print(f"offloads {offloads}: {ring_bytes} ring bytes on two taps, {taken:.2f} s")
        self.assertLess(ring_bytes, 2 * self.RING_LIMIT)

    def test_offloads_on(self):
        self.download("on")

    def test_offloads_off(self):
        self.download("off")


if __name__ == "__main__":
    unittest.main(verbosity=2)

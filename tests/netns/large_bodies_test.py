"""1 GiB in chunks and as pipelined POSTs: one exchange per request, right sizes, doubt where it is due.

Bodies are made of lines that look like messages; see large_bodies.py. Segments of 64 KiB, as pods have
them: their middle is not copied, so chunk framing is lost from sight and has to be inferred.
"""

import json
import os
import unittest

import fleet
import large_bodies

setUpModule = fleet.need_root
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "large_bodies.py")
# What bodies of unknown framing may cost, and nothing else. See docs/ledger.md.
UNFRAMED = {"unframed"}
# In doubt a response ends the wait for what is missing of the requests, though another processor may
# still bring it: gap_lost.
HIDDEN_HEADS = UNFRAMED | {"unsynced", "doubtful_requests", "orphan_responses", "gap_lost"}


def flags(event):
    return {flag.removeprefix("EXCHANGE_FLAG_") for flag in event.get("flags", [])}


def body_size(message):
    return int(message.get("bodySize", 0))


class LargeBodies(unittest.TestCase):
    def watch(self, *command):
        """Runs the client; returns its report, the events by reporter, the ledger, the losses."""
        with fleet.Fleet() as watched:
            for pod in ("client", "web"):
                watched.add_pod(pod)
                watched.set_offloads(pod, "on")
            watched.start("server", ["python3", SCRIPT, "serve"], "web")
            watched.wait_for_port("web", large_bodies.PORT)
            # Large enough that the agent may be held up for a moment.
            _, agent = watched.start_watching("--ring-bytes", "64MiB")
            report = json.loads(watched.in_pod("client", "python3", SCRIPT, command[0],
                                               watched.ip4("web"), *map(str, command[1:])))
            agent.stop()
            events = watched.events_of("web")
            ledger = watched.ledger()
            losses = watched.losses()
        print(f"{command}: {report['seconds']:.1f} s, losses {losses}")
        self.check_sums(ledger)
        by_reporter = {side: [event for event in events if fleet.reporter(event) == side]
                       for side in ("client", "server")}
        return report, by_reporter, ledger, losses

    def check_sums(self, ledger):
        def add(stage, kind, *names):
            return sum(ledger[(stage, name)][kind] for name in names)
        count, size = 0, 1
        self.assertEqual(add("KERNEL", count, "records"), add("CAPTURE", count, "records_read"))
        self.assertEqual(
            add("REASSEMBLY", size, "segments"),
            add("REASSEMBLY", size, "table_full", "unclaimed", "stale", "after_close", "opaque",
                "delivered", "not_copied", "duplicate", "keepalive", "out_of_window", "after_end",
                "discarded", "buffered"))
        self.assertEqual(add("REASSEMBLY", size, "delivered", "not_copied", "gap_lost"),
                         add("HTTP", size, "read"))
        self.assertEqual(add("HTTP", size, "read"), add("HTTP", size, "head", "body", "blank",
                                                        "unframed", "unsynced", "not_http"))
        self.assertEqual(
            add("HTTP", count, "request_heads"),
            add("PAIRING", count, "exchanges_begun", "doubtful_requests", "pending_limit"))
        self.assertEqual(
            add("HTTP", count, "response_heads"),
            add("PAIRING", count, "responses_paired", "responses_informational",
                "orphan_responses"))

    def check_download(self, chunk):
        report, by_reporter, ledger, losses = self.watch("get", chunk)
        self.assertLessEqual(set(losses), UNFRAMED)
        inferred = ledger[("HTTP", "inferred_ends")][0]
        self.assertEqual(inferred, 2)
        for events in by_reporter.values():
            [event] = events
            self.assertEqual(event["request"]["path"], f"/chunks/{chunk}")
            self.assertEqual(event["outcome"], "OUTCOME_COMPLETE")
            self.assertEqual(body_size(event["response"]), report["bodyBytes"])
            self.assertIn("FRAMING_INFERRED", flags(event))
            self.assertNotIn("GAP", flags(event))

    def test_download_in_chunks_of_16_kib(self):
        self.check_download(16384)

    def test_download_in_chunks_of_20_bytes(self):
        self.check_download(20)

    def check_pipelined_posts(self, count):
        report, by_reporter, ledger, losses = self.watch("post", count, 0)
        self.assertEqual(losses, {})
        self.assertEqual(ledger[("HTTP", "inferred_ends")][0], 0)
        for events in by_reporter.values():
            self.assertEqual([event["request"]["path"] for event in events],
                             [f"/upload/{number}" for number in range(count)])
            for event in events:
                self.assertEqual(event["outcome"], "OUTCOME_COMPLETE")
                self.assertEqual(body_size(event["request"]), report["bodyBytes"])
                self.assertEqual(body_size(event["response"]), 2)
                self.assertFalse({"GAP", "FRAMING_INFERRED"} & flags(event))
            # A long body leaves the server the time to answer before the next head is there.
            if count > 32:
                self.assertIn("PIPELINED", set().union(*map(flags, events)))

    def test_pipelined_posts_of_32_mib(self):
        self.check_pipelined_posts(32)

    def test_pipelined_posts_of_4_mib(self):
        self.check_pipelined_posts(256)

    def test_pipelined_posts_of_1_mib(self):
        self.check_pipelined_posts(1024)

    def check_pipelined_chunked(self, chunk):
        """Where one body ends and the next head begins lies in what was not copied: the first
        exchange is there, and behind it nothing is paired by guess."""
        count = 64
        report, by_reporter, ledger, losses = self.watch("post", count, chunk)
        self.assertLessEqual(set(losses), HIDDEN_HEADS)
        for events in by_reporter.values():
            self.assertGreater(len(events), 0)
            self.assertEqual(events[0]["request"]["path"], "/upload/0")
            self.assertEqual(len(events), len({event["request"]["path"] for event in events}))
            for event in events:
                self.assertTrue(event["request"]["path"].startswith("/upload/"), event)
                self.assertIn("FRAMING_INFERRED", flags(event))
        # Each response was read; those that are not paired are counted.
        self.assertEqual(ledger[("HTTP", "response_heads")][0], 2 * count)
        self.assertEqual(sum(len(events) for events in by_reporter.values())
                         + losses.get("orphan_responses", 0), 2 * count)

    def test_pipelined_posts_in_chunks_of_16_kib(self):
        self.check_pipelined_chunked(16384)

    def test_pipelined_posts_in_chunks_of_20_bytes(self):
        self.check_pipelined_chunked(20)


if __name__ == "__main__":
    unittest.main(verbosity=2)

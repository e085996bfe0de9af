"""The admin ports: probes, and metrics that say what the ledger and the store say."""

import os
import re
import subprocess
import unittest

import fleet
import metrics_text

setUpModule = fleet.need_root

DOCUMENT = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "metrics.md")
SECRET = "canary-8d1f"


def documented(section):
    """{name: (type, {label})} of one section of docs/metrics.md."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read().split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", text, re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def metrics_of(process):
    status, text = process.admin("/metrics")
    if status != 200:
        raise AssertionError(f"/metrics: {status} {text}")
    # Prometheus's own opinion, of names and help texts too.
    said = subprocess.run(["promtool", "check", "metrics"], input=text, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if said.returncode != 0:
        raise AssertionError(f"/metrics: {said.stdout}")
    return metrics_text.parse(text)


class Admin(unittest.TestCase):
    maxDiff = None

    def check_document(self, families, section):
        # Pods in named namespaces have none.
        uid = {"k8s_pod_uid"}
        wanted = {name: (kind, labels - uid) for name, (kind, labels) in (
            documented("Both programs") | documented(section)).items()}
        self.assertEqual({name: (family.type, family.label_names())
                          for name, family in families.items() if not name.startswith("http_")},
                         wanted)

    def check_requests(self, families, watched, made):
        """Each stored event is in one series, under its own pod."""
        server = families["http_server_request_duration_seconds"]
        client = families["http_client_request_duration_seconds"]
        stored = families["podtap_events_total"].value(result="stored")
        self.assertEqual(server.total("_count") + client.total("_count"), stored)
        self.assertEqual(families["podtap_collector_request_overflow_events_total"].value(), 0)
        labels = documented("Requests, errors and durations")[server.name][1]
        common = {"k8s_node_name": "node-a", "k8s_cluster_name": "cluster-a",
                  "k8s_namespace_name": "netns", "http_request_method": "GET"}
        for family, pod, missing in ((server, "web", {}), (client, "client",
                                                          {"error_type": "404"})):
            self.assertEqual(family.type, "histogram")
            mine = common | {"k8s_pod_name": watched.netns(pod)}
            self.assertEqual(family.total("_count", **mine), made)
            self.assertEqual(family.total("_count", **mine, http_response_status_code="200"),
                             made - 1)
            # A request that is not found is an error of the client alone.
            self.assertEqual(family.value("_count", **mine, **missing,
                                          http_response_status_code="404",
                                          network_protocol_version="1.1"), 1)
            self.assertEqual(family.total("_bucket", **mine, le="+Inf"), made)
            self.assertGreater(family.total("_sum", **mine), 0)
            self.assertLessEqual(family.label_names(), labels)

    def check_agent(self, families, stored):
        """The sums of docs/ledger.md, from the metrics alone."""
        total = families["podtap_ledger_total"]
        now = families["podtap_ledger_current"]
        def line(stage, name):
            return total.value(stage=stage, name=name)
        self.assertEqual(line("kernel", "records"), line("capture", "records_read"))
        packets = families["podtap_agent_packets_total"]
        self.assertEqual(packets.total(), total.total(stage="kernel") - sum(
            line("kernel", name)
            for name in ("records", "runs_lost", "tls_connections", "connections")))
        self.assertGreater(packets.value(result="copied"), 0)
        self.assertEqual(line("http", "request_heads"),
                         line("pairing", "exchanges_begun") + line("pairing", "doubtful_requests")
                         + line("pairing", "pending_limit"))
        self.assertEqual(line("pairing", "exchanges_begun"),
                         line("pairing", "exchanges_sent") + now.value(stage="pairing", name="open")
                         + line("pairing", "midstream_unconfirmed"))
        self.assertEqual(line("enrichment", "events"), line("exporter", "events_appended"))
        self.assertEqual(line("exporter", "events_appended"), stored)
        self.assertEqual(families["podtap_events_total"].value(result="acked"), stored)
        self.assertEqual(families["podtap_events_total"].value(result="dropped"), 0)
        self.assertEqual(families["podtap_lost_events_total"].total(), 0)
        self.assertEqual(families["podtap_agent_stream_connected"].value(), 1)
        self.assertEqual(families["podtap_agent_queue_bytes"].value(), 0)
        self.assertGreater(families["podtap_ack_latency_seconds"].value("_count"), 0)

    def test_metrics_say_what_ledger_and_store_say(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "web"):
                watched.add_pod(pod)
            watched.start_nginx("web")
            collector, agent = watched.start_watching("--node-name", "node-a",
                                                      "--cluster-name", "cluster-a")
            made = 300
            url = f"http://user:{SECRET}@{watched.ip4('web')}/index.html?key={SECRET}"
            watched.in_pod("client", "curl", "-sS", "-o", "/dev/null", "-H", f"X-Key: {SECRET}",
                           "-H", f"Cookie: {SECRET}", "-A", SECRET, url)
            watched.in_pod("client", "curl", "-sS", "-o", "/dev/null",
                           f"http://{watched.ip4('web')}/none")
            watched.in_pod("client", "ab", "-q", "-k", "-n", str(made - 2), "-c", "4",
                           f"http://{watched.ip4('web')}/index.html")
            fleet.wait_for(lambda: len(watched.events_of("web")) == 2 * made, "all events")

            ours = metrics_of(collector)
            stored = ours["podtap_events_total"].value(result="stored")
            self.assertGreaterEqual(stored, 2 * made)
            self.assertEqual(ours["podtap_store_events"].value(), stored)
            self.assertEqual(ours["podtap_collector_ingest_events_total"].value(agent="node-a"),
                             stored)
            self.assertEqual(ours["podtap_collector_agents_connected"].value(), 1)
            self.assertEqual(ours["podtap_store_writable"].value(), 1)
            self.assertGreater(ours["podtap_store_write_seconds"].value("_count"), 0)
            self.assertGreater(
                ours["podtap_query_duration_seconds"].value("_count", method="ListEvents"), 0)
            self.check_requests(ours, watched, made)
            said = {entry["name"]: int(entry.get("count", 0))
                    for entry in watched.status()["ledger"]}
            self.assertEqual({labels["name"]: number for labels, number
                              in ours["podtap_ledger_total"].series()}, said)

            # The last acknowledgement may still be on its way, and the ledger is as of a tick.
            def settled():
                families = metrics_of(agent)
                acked = families["podtap_events_total"].value(result="acked")
                return families if acked == stored else None
            self.check_agent(fleet.wait_for(settled, "the agent's acknowledgements"), stored)

            for process, section in ((agent, "Agent"), (collector, "Collector")):
                self.check_document(metrics_of(process), section)
                self.assertNotIn(SECRET, process.admin("/metrics")[1])
                for path in ("/healthz", "/readyz"):
                    self.assertEqual(process.admin(path), (200, "ok\n"), path)
                self.assertEqual(process.admin("/" + SECRET), (404, "no such page\n"))

    def test_an_agent_without_its_collector_is_ready(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            agent = watched.start_agent("--collector", f"127.0.0.1:{fleet.free_port()}")
            for path in ("/healthz", "/readyz"):
                self.assertEqual(agent.admin(path), (200, "ok\n"), path)
            families = metrics_of(agent)
            self.assertEqual(families["podtap_agent_stream_connected"].value(), 0)
            # Other namespaces of this machine may be tapped too.
            self.assertGreaterEqual(families["podtap_agent_interfaces_attached"].value(), 1)

    def test_a_collector_whose_disk_is_full_is_alive_and_not_ready(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "web"):
                watched.add_pod(pod)
            watched.start_nginx("web")
            store = os.path.join(watched.directory, "store")
            os.mkdir(store)
            fleet.run("mount", "-t", "tmpfs", "-o", "size=8m", "podtap-test", store)
            try:
                collector, agent = watched.start_watching()
                self.assertEqual(collector.admin("/readyz"), (200, "ok\n"))
                ballast = os.path.join(store, "ballast")
                subprocess.run(["dd", "if=/dev/zero", "of=" + ballast, "bs=64k"], check=False,
                               capture_output=True)
                def refused():
                    watched.in_pod("client", "curl", "-sS", "-o", "/dev/null",
                                   f"http://{watched.ip4('web')}/index.html")
                    status, text = collector.admin("/readyz")
                    return text if status == 503 else None
                why = fleet.wait_for(refused, "the collector to be not ready")
                self.assertRegex(why, r"\Athe store takes no writes: .+\n\Z")
                self.assertEqual(collector.admin("/healthz"), (200, "ok\n"))
                self.assertEqual(agent.admin("/readyz"), (200, "ok\n"))
                self.assertEqual(metrics_of(collector)["podtap_store_writable"].value(), 0)
                os.remove(ballast)
                fleet.wait_for(lambda: collector.admin("/readyz")[0] == 200,
                               "the collector to be ready again")
                self.assertEqual(metrics_of(collector)["podtap_store_writable"].value(), 1)
            finally:
                for process in watched.processes:
                    process.stop()
                fleet.run("umount", store)

    def test_a_port_that_is_taken_ends_both_programs(self):
        with fleet.Fleet() as watched:
            address = watched.start_collector().admin_address()
            for program, flags in (("podtap-agent", ["--stdout"]),
                                   ("podtap-collector", ["--listen", "127.0.0.1:0", "--store",
                                                         f"sqlite:{watched.directory}/other"])):
                for flag, code in ((address, 1), ("192.0.2.1:1", 2), ("nonsense", 2)):
                    result = subprocess.run(
                        [os.path.join(fleet.BIN, program), "--admin-listen", flag, *flags],
                        capture_output=True, text=True, timeout=20, check=False)
                    self.assertEqual(result.returncode, code, result.stderr)
                    self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
                    self.assertIn("--admin-listen", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)

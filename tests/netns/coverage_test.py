"""Coverage, live: each pod has a state and a reason, and its figures are those of the ledger."""

import json
import os
import unittest

import fleet
import metrics_text

setUpModule = fleet.need_root

# Speaks first, as no HTTP server does.
GREETER = """
import socket
listener = socket.create_server(("", 25), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"220 ready\\r\\n")
    connection.recv(100)
    connection.close()
"""
LEAVER = """
import socket, sys
with socket.create_connection((sys.argv[1], 25)) as connection:
    connection.recv(100)
    connection.sendall(b"QUIT\\r\\n")
    connection.recv(100)
"""
# Reads and never answers.
WAITER = """
import socket
listener = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _ = listener.accept()
    while connection.recv(1000):
        pass
"""
# The reasons of the kernel's stage under which packets with payload are counted.
PAYLOAD = ("copied", "sampled", "skipped", "examined", "tls", "http2", "opaque", "midstream",
           "undecided", "table_full", "ring_full", "read_failed", "fair_share")


def traffic(pod):
    """Class -> (packets, bytes), both ways together."""
    return {entry["trafficClass"].removeprefix("TRAFFIC_CLASS_"): (
                int(entry.get("packetsSent", 0)) + int(entry.get("packetsReceived", 0)),
                int(entry.get("bytesSent", 0)) + int(entry.get("bytesReceived", 0)))
            for entry in pod.get("traffic", [])}


class Coverage(unittest.TestCase):
    def start(self, watched):
        for pod in ("client", "web", "secure", "mail", "silent"):
            watched.add_pod(pod)
        key = os.path.join(watched.directory, "key.pem")
        certificate = os.path.join(watched.directory, "certificate.pem")
        fleet.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                  "-days", "2", "-subj", "/CN=secure.example")
        watched.start_nginx("web")
        watched.start_nginx("secure", "listen 443 ssl; "
                                      f"ssl_certificate {certificate}; ssl_certificate_key {key};")
        watched.start("greeter", ["python3", "-c", GREETER], pod="mail")
        watched.wait_for_port("mail", 25)
        return watched.start_watching("--node-name", "node-a", "--cluster-name", "cluster-a")

    def make_traffic(self, watched):
        for _ in range(5):
            watched.in_pod("client", "curl", "-sS", f"http://{watched.ip4('web')}/index.html")
        for _ in range(3):
            watched.in_pod("client", "curl", "-sSk", "--resolve",
                           f"secure.example:443:{watched.ip4('secure')}",
                           "https://secure.example/index.html")
        watched.in_pod("client", "python3", "-c", LEAVER, watched.ip4("mail"))
        fleet.wait_for(lambda: len(watched.events_of("web")) == 10, "all events")

    def check(self, watched, name, state, reason):
        pod = watched.coverage(watched.netns(name))
        self.assertIsNotNone(pod, name)
        coverage = pod["coverage"]
        self.assertEqual((pod["nodeName"], pod["clusterName"]), ("node-a", "cluster-a"))
        self.assertEqual(coverage["namespace"], "netns")
        self.assertEqual(coverage["state"], "COVERAGE_STATE_" + state, (name, coverage["reason"]))
        self.assertIn(reason, coverage["reason"])
        tap, = coverage["interfaces"]
        self.assertEqual((tap["name"], tap["mode"]),
                         (watched.host_interface(name), "CAPTURE_MODE_HOST_VETH"))
        return pod

    def test_each_pod_has_a_state_and_a_reason(self):
        with fleet.Fleet() as watched:
            _, agent = self.start(watched)
            self.make_traffic(watched)
            self.check_admin_port(watched, agent)
            agent.stop()
            ledger = watched.ledger()
            web = self.check(watched, "web", "TAPPED", "seen")
            client = self.check(watched, "client", "TAPPED", "seen")
            secure = self.check(watched, "secure", "TLS_ONLY", "TLS")
            mail = self.check(watched, "mail", "NO_HTTP_SEEN", "other than HTTP")
            silent = self.check(watched, "silent", "NO_HTTP_SEEN", "packet")
            self.assertNotIn("traffic", silent["coverage"])
        self.assertFalse(web.get("agentConnected", False))
        self.assertEqual(int(web["coverage"]["exchanges"]), 5)
        self.assertEqual(int(client["coverage"]["exchanges"]), 5)
        self.assertEqual(int(web["coverage"].get("openExchanges", 0)), 0)
        for pod, classes in ((web, {"HTTP1"}), (secure, {"TLS"}), (mail, {"OTHER"}),
                             (client, {"HTTP1", "TLS", "OTHER"})):
            self.assertEqual(set(traffic(pod["coverage"])), classes)
            self.assertIn("lastPacketTime", pod["coverage"])
        # What the client's tap saw, the others did as well.
        self.assertEqual(traffic(client["coverage"]), {
            "HTTP1": traffic(web["coverage"])["HTTP1"], "TLS": traffic(secure["coverage"])["TLS"],
            "OTHER": traffic(mail["coverage"])["OTHER"]})
        tls, = secure["tlsUses"]
        self.assertEqual((tls["serverName"], tls["connections"]), ("secure.example", "3"))
        pods = (web, client, secure, mail, silent)
        for index in (0, 1):
            self.assertEqual(sum(figures[index] for pod in pods
                                 for figures in traffic(pod["coverage"]).values()),
                             sum(ledger[("KERNEL", name)][index] for name in PAYLOAD))

    def check_admin_port(self, watched, agent):
        status, text = agent.admin("/coverage")
        self.assertEqual(status, 200)
        pods = {pod["podName"]: pod for pod in json.loads(text)["pods"]}
        self.assertEqual(pods[watched.netns("secure")]["state"], "COVERAGE_STATE_TLS_ONLY")
        page = metrics_text.parse(agent.admin("/metrics")[1])
        states = page["podtap_pod_coverage"]
        self.assertEqual(states.value(k8s_namespace_name="netns", state="tls_only",
                                      k8s_pod_name=watched.netns("secure")), 1)
        self.assertEqual(page["podtap_pod_exchanges_total"].value(
            k8s_namespace_name="netns", k8s_pod_name=watched.netns("web")), 5)
        for name in ("podtap_pod_payload_packets_total", "podtap_pod_payload_bytes_total"):
            self.assertGreater(page[name].value(
                k8s_namespace_name="netns", k8s_pod_name=watched.netns("web"),
                **{"class": "http1", "direction": "sent"}), 0)

    def test_open_exchanges_are_told_and_a_pod_that_goes_leaves(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "web"):
                watched.add_pod(pod)
            watched.start("waiter", ["python3", "-c", WAITER], pod="web")
            watched.wait_for_port("web", 80)
            _, agent = watched.start_watching()
            watched.start("curl", ["curl", "-sS", f"http://{watched.ip4('web')}/"], pod="client")
            name = watched.netns("web")

            def told():
                pods = json.loads(agent.admin("/coverage")[1]).get("pods", [])
                return next((pod for pod in pods if pod["podName"] == name), None)
            fleet.wait_for(lambda: told().get("openExchanges") == "1", "the open exchange")
            self.assertEqual(told()["state"], "COVERAGE_STATE_TAPPED")
            watched.remove_pod("web")
            fleet.wait_for(lambda: told() is None, "the pod to leave")


if __name__ == "__main__":
    unittest.main(verbosity=2)

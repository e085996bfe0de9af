"""TLS and HTTP/2 in clear, live: what the hellos tell is in the status, and there are no events."""

import os
import unittest

import fleet

setUpModule = fleet.need_root

# curl's flags, then what both pods' entries say: name, version, offered, chosen.
HANDSHAKES = [
    (["--tls-max", "1.2", "--http1.1"], ("web.example", "1.2", ("http/1.1",), "http/1.1")),
    (["--tls-max", "1.2", "--http2"], ("web.example", "1.2", ("h2", "http/1.1"), "h2")),
    (["--tlsv1.3", "--http1.1"], ("web.example", "1.3", ("http/1.1",), "")),
    (["--tlsv1.3", "--http2"], ("web.example", "1.3", ("h2", "http/1.1"), "")),
    (["--tlsv1.3", "--no-alpn"], ("web.example", "1.3", (), "")),
]
NAMELESS = ("", "1.3", ("h2", "http/1.1"), "")


def told(use):
    return (use.get("serverName", ""), use.get("protocolVersion", ""),
            tuple(use.get("offeredProtocols", [])), use.get("nextProtocol", ""))


class TlsHellos(unittest.TestCase):
    def start(self, watched):
        for pod in ("client", "web"):
            watched.add_pod(pod)
        key = os.path.join(watched.directory, "key.pem")
        certificate = os.path.join(watched.directory, "certificate.pem")
        fleet.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                  "-days", "2", "-subj", "/CN=web.example")
        watched.start_nginx("web", "listen 443 ssl http2; listen 81 http2; "
                                   "ssl_protocols TLSv1.2 TLSv1.3; "
                                   f"ssl_certificate {certificate}; ssl_certificate_key {key};")
        return watched.start_watching()

    def get(self, watched, url, *flags):
        """The page over TLS: its name leads to the pod."""
        page = watched.in_pod("client", "curl", "-sSk", "--resolve",
                              f"web.example:443:{watched.ip4('web')}", *flags, url)
        self.assertEqual(page, "hello from web\n")

    def test_status_tells_names_versions_and_protocols(self):
        with fleet.Fleet() as watched:
            _, agent = self.start(watched)
            for flags, _ in HANDSHAKES:
                for _ in range(3):
                    self.get(watched, "https://web.example/index.html", *flags)
            self.get(watched, f"https://{watched.ip4('web')}/index.html", "--tlsv1.3")
            agent.stop()
            uses = watched.agent_status()["tlsUses"]
            ledger = watched.ledger()
            self.assertEqual(watched.events_of("web"), [])
            self.assertEqual(watched.losses(), {})
        expected = {wanted: 3 for _, wanted in HANDSHAKES} | {NAMELESS: 1}
        for pod, reporter in (("client", "REPORTER_CLIENT"), ("web", "REPORTER_SERVER")):
            mine = [use for use in uses if use["podName"] == watched.netns(pod)]
            self.assertEqual({told(use): int(use["connections"]) for use in mine}, expected)
            self.assertEqual({(use["namespace"], use["reporter"]) for use in mine},
                             {("netns", reporter)})
        count = lambda stage, name: ledger[(stage, name)][0]
        # Each connection is seen at both of its ends.
        self.assertEqual(count("KERNEL", "tls_connections"), 32)
        self.assertEqual(count("HTTP", "tls_handshakes"), 32)
        self.assertEqual((count("HTTP", "tls_1_2"), count("HTTP", "tls_1_3")), (12, 20))
        self.assertEqual(count("HTTP", "tls_hellos_malformed"), 0)
        self.assertEqual(count("HTTP", "tls_hellos_incomplete"), 0)
        self.assertEqual(count("REASSEMBLY", "connections_opaque"), 32)
        self.assertEqual(ledger[("HTTP", "read")][1], ledger[("HTTP", "not_http")][1])

    def test_http2_in_clear_is_counted_and_left_alone(self):
        with fleet.Fleet() as watched:
            _, agent = self.start(watched)
            for _ in range(3):
                self.get(watched, f"http://{watched.ip4('web')}:81/index.html",
                         "--http2-prior-knowledge")
            agent.stop()
            self.assertEqual(watched.events_of("web"), [])
            self.assertEqual(watched.losses(), {})
            self.assertEqual(watched.ledger()[("HTTP", "http2_connections")][0], 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""What --include-... and --exclude-... leave out: never sent, counted, and told as coverage."""

import unittest

import fleet
import metrics_text
from early_test import Unnamed

setUpModule = fleet.need_root


def get(watched, pod, server, path, *flags):
    watched.in_pod(pod, "curl", "-sS", "-o", "/dev/null", *flags,
                   f"http://{watched.ip4(server)}{path}")


def count(watched, name):
    return watched.ledger().get(("ENRICHMENT", name), (0,))[0]


class Selection(unittest.TestCase):
    def test_pods_by_name(self):
        with fleet.Fleet() as watched:
            for pod in ("client", "web-a", "web-b", "db"):
                watched.add_pod(pod)
            for pod in ("web-a", "web-b", "db"):
                watched.start_nginx(pod)
            watched.start_collector()
            agent = watched.start_agent(
                "--collector", f"127.0.0.1:{watched.port}", "--include-pod",
                f"{watched.tag}-web-*", "--exclude-pod", "*-web-b,*-nobody", wait_for_pods=False)
            watched.wait_for_taps(agent, ["web-a"])
            for pod, reason in (("web-b", "excluded by --exclude-pod *-web-b"),
                                ("db", "matches no --include-pod")):
                agent.wait_for_err(f"not tapping {watched.host_interface(pod)} of pod "
                                   f"{watched.netns(pod)}: {reason}")
            # This one comes while the agent runs: it is tapped before it has a name.
            watched.add_pod("web-b-late")
            watched.add_pod("late")
            watched.start_nginx("late")
            agent.wait_for_err(f"not tapping {watched.host_interface('late')} of pod")
            watched.wait_for_taps(agent, ["web-b-late"])
            for server in ("web-b", "db", "late", "web-a"):
                get(watched, "client", server, f"/{server}")
                get(watched, "web-b-late", server, f"/from-late-{server}")
            # The clients' reports of a pod that is watched are wanted whomever it asks.
            seen = {("server", "/web-a"), ("server", "/from-late-web-a"),
                    *(("client", f"/from-late-{server}")
                      for server in ("web-b", "db", "late", "web-a"))}

            def reports():
                return [(fleet.reporter(event), event["request"]["path"])
                        for event in watched.observe()]
            fleet.wait_for(lambda: set(reports()) == seen, "the reports")
            page = metrics_text.parse(agent.admin("/metrics")[1])["podtap_ledger_current"]
            self.assertGreaterEqual(page.total(name="pods_excluded"), 4)
            agent.stop()
            self.assertEqual(sorted(reports()), sorted(seen))
            self.assertEqual(watched.losses(), {})
            coverage = watched.coverage(watched.netns("db"))["coverage"]
            self.assertEqual(coverage["state"], "COVERAGE_STATE_EXCLUDED")
            self.assertIn("matches no --include-pod", coverage["reason"])

    def test_what_an_early_tap_saw_of_an_excluded_pod_is_dropped(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}",
                                        "--metadata-hold", "60s", "--exclude-pod", "*-secret")
            pod = Unnamed(watched, 1)
            pod.get("early")
            fleet.wait_for(lambda: count(watched, "held") == 2, "both reports to wait", 25)
            name = pod.give_name("secret")
            try:
                agent.wait_for_err(f"not tapping {pod.host} of pod {name}")
                # The server's report waits no longer either, and does not name the client.
                event, = fleet.wait_for(lambda: watched.events_of("web"), "the server's report")
                self.assertEqual(fleet.reporter(event), "server")
                self.assertNotIn("podName", event["source"])
                pod.get("later")
                # Told of again by the kernel, it is not tapped again.
                fleet.run("ip", "link", "set", pod.host, "mtu", "1400")
                pod.get("last")
                fleet.wait_for(lambda: len(watched.events_of("web")) == 3, "the next reports")
                agent.stop()
            finally:
                pod.remove(name)
            self.assertEqual({fleet.reporter(event) for event in watched.observe()}, {"server"})
            self.assertEqual(count(watched, "excluded_by_pod"), 1)
            self.assertEqual(agent.err().count(f"not tapping {pod.host}"), 1)
            self.assertEqual(watched.ledger()[("CAPTURE", "taps_excluded")][0], 1)
            self.assertEqual(watched.losses(), {})

    def test_what_nobody_names_may_be_an_excluded_pods(self):
        with fleet.Fleet() as watched:
            watched.add_pod("web")
            watched.start_nginx("web")
            watched.start_collector()
            agent = watched.start_agent("--collector", f"127.0.0.1:{watched.port}",
                                        "--metadata-hold", "1s", "--exclude-pod", "*-secret")
            pod = Unnamed(watched, 1)
            pod.get("nobody")
            event, = fleet.wait_for(lambda: watched.events_of("web"), "the server's report")
            self.assertEqual(fleet.reporter(event), "server")
            agent.stop()
            self.assertEqual(len(watched.observe()), 1)
            self.assertEqual(count(watched, "excluded_unnamed"), 1)

    def test_ports_and_probes(self):
        with fleet.Fleet() as watched:
            watched.add_pod("client")
            watched.add_pod("web")
            watched.start_nginx("web", "listen 8080; listen 9090;")
            _, agent = watched.start_watching("--include-port", "80,8080", "--include-port",
                                              "9090", "--exclude-port", "9090", "--exclude-probes")
            web = watched.ip4("web")
            for url in (f"{web}/80", f"{web}:9090/9090", f"{web}:8080/8080"):
                watched.in_pod("client", "curl", "-sS", "-o", "/dev/null", "http://" + url)
            get(watched, "client", "web", "/probe", "-A", "kube-probe/1.31")
            get(watched, "client", "web", "/last", "-A", "kube-probes/1.31")
            fleet.wait_for(lambda: len(watched.observe("--path", "/last")) == 2, "both reports")
            agent.stop()
            self.assertEqual(sorted(event["request"]["path"] for event in watched.observe()),
                             ["/80", "/80", "/8080", "/8080", "/last", "/last"])
            self.assertEqual(count(watched, "excluded_by_port"), 2)
            self.assertEqual(count(watched, "excluded_probes"), 2)
            self.assertEqual(watched.losses(), {})


if __name__ == "__main__":
    unittest.main(verbosity=2)

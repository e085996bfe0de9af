"""Pods of a real container runtime that are left out by namespace or label."""

import unittest

import fleet
from pods_test import ends, get, start_agent, wait_for_taps
from runtime import Runtime

setUpModule = fleet.need_root


class Selection(unittest.TestCase):
    def test_by_namespace_and_label(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            watched.start_collector()
            agent = start_agent(
                watched, runtime, "--include-namespace", "shop", "--include-namespace", "off*",
                "--exclude-namespace", "offline", "--include-label", "app",
                "--exclude-label", "team=secret")
            # All come while the agent runs, so that each is tapped before it is known.
            client = runtime.add_pod("client", namespace="office", labels={"app": "client"})
            web = runtime.add_pod("web", labels={"app": "web", "team": "open"})
            reasons = {
                runtime.add_pod("offline", namespace="offline", labels={"app": "web"}):
                    "excluded by --exclude-namespace offline",
                runtime.add_pod("dns", namespace="kube-system", labels={"app": "dns"}):
                    "matches no --include-namespace",
                runtime.add_pod("bare"): "matches no --include-label",
                runtime.add_pod("secret", labels={"app": "web", "team": "secret"}):
                    "excluded by --exclude-label team=secret"}
            wait_for_taps(agent, client, web)
            for pod, reason in reasons.items():
                interface, = pod.host_interfaces()
                agent.wait_for_err(f"not tapping {interface} of pod {pod.name}: {reason}")
            get(client, web.addresses[0], "/web")
            for pod in reasons:
                get(client, pod.addresses[0], "/" + pod.name)
                get(pod, web.addresses[0], "/from-" + pod.name)
            wanted = sorted([
                *(("client", ("office", "client"), "/" + pod.name) for pod in (*reasons, web)),
                ("server", ("office", "client"), "/web"),
                *(("server", (None, None), "/from-" + pod.name) for pod in reasons)], key=str)

            def reports():
                return sorted(((fleet.reporter(event), ends(event)[0], event["request"]["path"])
                               for event in watched.observe()), key=str)
            fleet.wait_for(lambda: len(reports()) >= len(wanted), "the reports")
            for pod, reason in reasons.items():
                found = fleet.wait_for(lambda pod=pod: watched.coverage(pod.name),
                                       "the coverage of " + pod.name)["coverage"]
                self.assertEqual(found["state"], "COVERAGE_STATE_EXCLUDED")
                self.assertIn(reason, found["reason"])
            self.assertEqual(agent.stop(), 0)
            self.assertEqual(reports(), wanted)
            self.assertEqual(watched.losses(), {})


if __name__ == "__main__":
    unittest.main()

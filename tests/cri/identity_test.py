"""What events, queries and metrics say of pods beyond their names: docs/identity.md."""

import unittest

import fleet
import metrics_text
from pods_test import get, start_agent, wait_for_taps
from runtime import APP_IMAGE, SERVER, Runtime

setUpModule = fleet.need_root

SECRET = "canary-52c7"
HASH = "7d4b9c6f5b"


class Identity(unittest.TestCase):
    maxDiff = None

    def test_events_say_what_a_pod_belongs_to(self):
        with fleet.Fleet() as watched, Runtime(watched) as runtime:
            collector = watched.start_collector()
            client = runtime.add_pod(
                "loader-0", namespace="office",
                labels={"statefulset.kubernetes.io/pod-name": "loader-0", "tier": "front"},
                containers=(("web", SERVER), ("side", ["/bin/sleep", "600"])))
            web = runtime.add_pod(
                f"web-{HASH}-x2x7k",
                labels={"pod-template-hash": HASH, "app": "web", "db-password": SECRET},
                annotations={"resource.opentelemetry.io/service.name": "storefront",
                             "example.org/note": SECRET})
            # Nothing tells whose this is.
            other = runtime.add_pod("orphan-x2x7k",
                                    labels={"app": "orphan", "evil\n": "\x1b[2J\u202e"})
            agent = start_agent(watched, runtime)
            wait_for_taps(agent, client, web, other)
            get(client, web.addresses[0])
            get(client, other.addresses[0])
            fleet.wait_for(lambda: len(watched.observe("--namespace", "office")) == 4,
                           "two reports of each request")

            loader = {"podUid": client.uid, "serviceName": "loader",
                      "workload": {"kind": "StatefulSet", "name": "loader"},
                      "labels": {"statefulset.kubernetes.io/pod-name": "loader-0",
                                 "tier": "front"}}
            storefront = {"podUid": web.uid, "serviceName": "storefront",
                          "workload": {"kind": "Deployment", "name": "web"},
                          "labels": {"pod-template-hash": HASH, "app": "web"},
                          "containerName": "web", "containerImage": APP_IMAGE}
            orphan = {"podUid": other.uid, "labels": {"app": "orphan", "evil%0A": "%1B[2J%E2%80%AE"},
                      "containerName": "web", "containerImage": APP_IMAGE}
            for pod, described in ((web, storefront), (other, orphan)):
                events = watched.observe("--to-pod", pod.name)
                self.assertEqual(len(events), 2)
                for event in events:
                    self.assertEqual(description(event["source"]), loader)
                    self.assertEqual(description(event["destination"]), described)
            self.check_filters(watched)
            self.check_metrics(metrics_text.parse(collector.admin("/metrics")[1]), web)
            self.assertNotIn(SECRET, collector.admin("/metrics")[1])
            self.assertNotIn(SECRET, str(watched.observe()))
            left_out = metrics_text.parse(agent.admin("/metrics")[1])["podtap_ledger_current"]
            self.assertEqual(left_out.total(name="labels_left_out"), 1)

    def check_filters(self, watched):
        """Of the four reports, two are of requests to web."""
        for count, *flags in (
                (4, "--workload", "loader"), (4, "--from-workload", "office/load*"),
                (0, "--to-workload", "loader"), (0, "--workload", "shop/loader"),
                (2, "--to-workload", "web"), (2, "--service", "storefront"),
                (2, "--to-service", "store*"), (0, "--from-service", "storefront"),
                (2, "--label", "app=web"), (4, "--to-label", "app"),
                (2, "--to-label", "app=orp*"), (0, "--label", "app=web,tier"),
                (4, "--from-label", "tier=front"), (0, "--label", "db-password"),
                (2, "--workload", "loader", "--not", "--to-label", "app=web"),
                (2, "--not", "--to-service", "*")):
            self.assertEqual(len(watched.observe(*flags)), count, flags)

    def check_metrics(self, families, web):
        server = families["http_server_request_duration_seconds"]
        self.assertEqual(server.total("_count", k8s_deployment_name="web",
                                      service_name="storefront", k8s_pod_name=web.name), 1)
        self.assertEqual(server.total("_count", k8s_namespace_name="shop"), 2)
        client = families["http_client_request_duration_seconds"]
        self.assertEqual(client.total("_count", k8s_statefulset_name="loader",
                                      service_name="loader"), 2)


def description(end):
    """What is known of a pod beyond its names and its place."""
    return {name: end[name] for name in
            ("podUid", "serviceName", "workload", "labels", "containerName", "containerImage")
            if name in end}


if __name__ == "__main__":
    unittest.main()

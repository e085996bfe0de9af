"""Agent and collector as the chart renders them, with the image, beside pods of an application."""

import collections
import copy
import os
import tempfile
import unittest

import fleet
from cluster import NODE, Cluster
from deployment import BPF, NET_RAW, Deployment
from fields import NotKnown
from pod_spec import PodSpec
from pods_test import ends, get

setUpModule = fleet.need_root

NOBODY = 65532


class Rendered(unittest.TestCase):
    def assert_seen(self, deployment, path):
        """One request, which both ends report."""
        get(deployment.client, deployment.web.addresses[0], path)
        found = fleet.wait_for(
            lambda: (lambda events: events if len(events) == 2 else None)(
                deployment.events("--path", path)), "both reports")
        self.assertEqual({ends(event) for event in found},
                         {(("office", "client"), ("shop", "web"))})
        self.assertEqual({fleet.reporter(event) for event in found}, {"client", "server"})
        self.assertEqual({event["nodeName"] for event in found}, {NODE})

    def test_exchanges_arrive_and_are_answered(self):
        with Deployment() as deployment:
            self.assert_seen(deployment, "/index.html")
            self.assertIn("tls", deployment.agent.spec.volumes)
            for made in (deployment.collector, deployment.agent):
                for kind in ("startup", "liveness", "readiness"):
                    self.assertEqual(deployment.cluster.probe(made, kind), 200, kind)
                # What Kubernetes would set, without anybody having minded.
                _, _, environment = deployment.process(made)
                self.assertTrue([line for line in environment
                                 if line.startswith("PODTAP_COLLECTOR_PORT=tcp://")])
                self.assertNotIn("PODTAP_COLLECTOR", deployment.cluster.log(made))
            for code, said in deployment.cluster.run_helm_test():
                self.assertEqual(code, 0, said)
                self.assertIn("200", said)

    def test_each_has_the_rights_that_it_needs_and_no_more(self):
        with Deployment() as deployment:
            status, root, _ = deployment.process(deployment.agent)
            for name in ("CapEff", "CapPrm", "CapBnd"):
                self.assertEqual(int(status[name], 16), 1 << BPF | 1 << NET_RAW, name)
            self.assertEqual(int(status["CapAmb"], 16), 0)
            self.assertEqual(status["Uid"].split(), ["0"] * 4)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
            self.assertIn("ro", root)
            status, root, _ = deployment.process(deployment.collector)
            for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
            self.assertEqual(status["Uid"].split(), [str(NOBODY)] * 4)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))
            self.assertIn("ro", root)

    def test_what_was_seen_is_stored_when_pods_are_terminated(self):
        with Deployment() as deployment:
            number = 300
            get(deployment.client, deployment.web.addresses[0], f"/[1-{number}]")
            self.assertEqual(deployment.cluster.terminate(deployment.agent), 0,
                             deployment.cluster.log(deployment.agent))
            expected = {(side, ("office", "client"), ("shop", "web")): number
                        for side in ("client", "server")}

            def stored():
                return collections.Counter(
                    (fleet.reporter(event), *ends(event)) for event in deployment.events())
            self.assertEqual(stored(), expected)
            self.assertEqual(deployment.cluster.terminate(deployment.collector), 0,
                             deployment.cluster.log(deployment.collector))
            # Nobody answers: the test of a release says so.
            self.assertNotIn(0, [code for code, _ in deployment.cluster.run_helm_test()])
            # Another container of the same pod, with the same volume.
            deployment.cluster.start_container(deployment.collector, attempt=1)
            deployment.cluster.wait_until_ready(deployment.collector)
            self.assertEqual(stored(), expected)

    def test_in_plain_text(self):
        with Deployment({"tls.mode": "disabled"}) as deployment:
            self.assertNotIn("tls", deployment.agent.spec.volumes)
            self.assert_seen(deployment, "/index.html")
            self.assertEqual([code for code, _ in deployment.cluster.run_helm_test()], [0])


class Translation(unittest.TestCase):
    def test_what_is_not_known_is_refused(self):
        """So that the other cases run nothing less than what the chart says."""
        with tempfile.TemporaryDirectory(prefix="podtap-") as directory:
            cluster = Cluster(directory, os.path.join(directory, "runtime.sock"))
            template = cluster.object("DaemonSet", "podtap-agent")["spec"]["template"]
            serial = iter(range(100))

            def translate(**changes):
                changed = copy.deepcopy(template)
                spec, container = changed["spec"], changed["spec"]["containers"][0]
                places = {"spec": spec, "container": container,
                          "security": container["securityContext"],
                          "probe": container["livenessProbe"], "volume": spec["volumes"][0],
                          "resources": container["resources"]}
                for place, change in changes.items():
                    places[place].update(change)
                where = os.path.join(directory, str(next(serial)))
                os.mkdir(where)
                return PodSpec(changed, "agent", cluster, where)
            translate()
            for changes in ({"spec": {"shareProcessNamespace": True}},
                            {"spec": {"automountServiceAccountToken": True}},
                            {"spec": {"initContainers": []}},
                            {"container": {"lifecycle": {}}},
                            {"security": {"procMount": "Unmasked"}},
                            {"spec": {"dnsPolicy": "Default"}},
                            {"security": {"seccompProfile": {"type": "Localhost"}}},
                            {"security": {"appArmorProfile": {"type": "RuntimeDefault"}}},
                            {"probe": {"exec": {"command": ["true"]}}},
                            {"volume": {"projected": {}}},
                            {"resources": {"claims": []}}):
                with self.assertRaises(NotKnown, msg=str(changes)):
                    translate(**changes)


if __name__ == "__main__":
    unittest.main()

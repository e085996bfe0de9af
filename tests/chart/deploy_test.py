"""What deploy/ holds for clusters without Helm, and for OpenShift."""

import os
import sys
import tempfile
import unittest

import yaml

import chart
import fleet
import typecheck

DEPLOY = os.path.join(chart.ROOT, "deploy")


def read(*path):
    with open(os.path.join(DEPLOY, *path), encoding="utf-8") as file:
        return file.read()


class Plain(unittest.TestCase):
    maxDiff = None

    def test_manifests_are_those_of_the_chart(self):
        code, rendered = chart.run(
            sys.executable, os.path.join(DEPLOY, "kubernetes", "render.py"),
            env=dict(os.environ, HELM=os.path.join(chart.TOOLS, "bin", "helm")))
        self.assertEqual(code, 0, rendered)
        self.assertEqual(read("kubernetes", "podtap.yaml"), rendered,
                         "deploy/kubernetes/render.py >deploy/kubernetes/podtap.yaml")
        self.assertEqual(typecheck.complaints({"plain": chart.objects(rendered)}), "")

    def test_certificates_serve_agents_and_clients(self):
        wanted = {volume["secret"]["secretName"]
                  for manifest in chart.objects(read("kubernetes", "podtap.yaml"))
                  if manifest["kind"] in ("DaemonSet", "StatefulSet")
                  for volume in manifest["spec"]["template"]["spec"]["volumes"]
                  if "secret" in volume}
        code, said = chart.run(os.path.join(DEPLOY, "kubernetes", "certificates.sh"), "elsewhere")
        self.assertEqual(code, 0, said)
        self.assertEqual({m["metadata"]["namespace"] for m in chart.objects(said)}, {"elsewhere"})
        self.assertEqual(typecheck.complaints({"secrets": chart.objects(said)}), "")
        with tempfile.TemporaryDirectory() as directory, fleet.Fleet() as watched:
            self.assertEqual(chart.write_certificates(said, directory), wanted)
            code, verified = chart.run(
                "openssl", "verify", "-CAfile", f"{directory}/podtap-collector-tls/ca.crt",
                "-verify_hostname", "podtap-collector.elsewhere.svc",
                f"{directory}/podtap-collector-tls/tls.crt")
            self.assertEqual(code, 0, verified)

            def flags(secret):
                path = os.path.join(directory, secret)
                return (f"--tls-ca={path}/ca.crt", f"--tls-cert={path}/tls.crt",
                        f"--tls-key={path}/tls.key")

            watched.start_collector(*flags("podtap-collector-tls"))
            observe = (os.path.join(os.environ["PODTAP_BIN"], "podtap"), "observe", "--last=1",
                       f"--server=localhost:{watched.port}")
            code, said = chart.run(*observe, *flags("podtap-client-tls"))
            self.assertEqual(code, 0, said)
            code, said = chart.run(*observe, flags("podtap-client-tls")[0])
            self.assertEqual(code, 1, "a client without a certificate is refused: " + said)


class OpenShift(unittest.TestCase):
    def setUp(self):
        self.constraints = yaml.safe_load(read("openshift", "scc.yaml"))
        manifests = chart.objects(chart.template(
            "-f", os.path.join(DEPLOY, "openshift", "values.yaml")))
        self.agent, self.collector = (
            next(m for m in manifests if m["kind"] == kind)["spec"]["template"]["spec"]
            for kind in ("DaemonSet", "StatefulSet"))

    def test_constraints_allow_what_the_agent_asks_for_and_no_more(self):
        [container] = self.agent["containers"]
        context = container["securityContext"]
        self.assertEqual(self.constraints["allowedCapabilities"], context["capabilities"]["add"])
        self.assertEqual(self.constraints["requiredDropCapabilities"],
                         context["capabilities"]["drop"])
        self.assertEqual(self.constraints["allowPrivilegedContainer"], context["privileged"])
        self.assertEqual(self.constraints["allowPrivilegeEscalation"],
                         context["allowPrivilegeEscalation"])
        self.assertEqual(self.constraints["allowHostNetwork"], self.agent["hostNetwork"])
        self.assertEqual(self.constraints["allowHostPorts"],
                         any("hostPort" in port for port in container["ports"]))
        self.assertEqual(self.constraints["allowHostPID"], "hostPID" in self.agent)
        kinds = {kind for volume in self.agent["volumes"] for kind in volume if kind != "name"}
        self.assertEqual(set(self.constraints["volumes"]), kinds)
        self.assertEqual(self.constraints["users"],
                         [f"system:serviceaccount:podtap:{self.agent['serviceAccountName']}"])

    def test_the_collector_leaves_its_ids_to_the_cluster(self):
        context = self.collector["securityContext"]
        for key in ("runAsUser", "runAsGroup", "fsGroup"):
            self.assertNotIn(key, context)
        self.assertTrue(context["runAsNonRoot"])


if __name__ == "__main__":
    unittest.main()

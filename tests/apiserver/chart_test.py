"""What the chart makes, as a real API server takes it."""

import base64
import glob
import json
import os
import re
import tempfile
import unittest

from apiserver import ApiServer

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
CHART = os.path.join(_ROOT, "helm/podtap")
MATRIX = sorted(glob.glob(os.path.join(_ROOT, "tests/chart/values/*.yaml")))
PLAIN = os.path.join(_ROOT, "deploy/kubernetes")
NAMESPACE = "podtap"
# Kinds whose definitions come with other software; tests/chart checks their fields.
FOREIGN = ("monitoring.coreos.com/", "cert-manager.io/", "gateway.networking.k8s.io/")
DRY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")


class Asked(unittest.TestCase):
    """With a server of its own for each class."""

    @classmethod
    def setUpClass(cls):
        global server
        server = cls.enterClassContext(ApiServer())


def template(*flags):
    """The manifests of a release, as texts; those of foreign kinds apart."""
    out = server.helm("template", "podtap", CHART, f"--namespace={NAMESPACE}", *flags)
    return known_and_foreign(out)


def known_and_foreign(text):
    known, foreign = [], []
    for document in re.split(r"^---.*$", text, flags=re.MULTILINE):
        version = re.search(r"^apiVersion: *(\S+)", document, re.MULTILINE)
        if version:
            (foreign if version[1].startswith(FOREIGN) else known).append(document)
    return known, foreign


def pods(manifests):
    """The pods among them, and those that controllers would make of them, by component."""
    listed = json.loads(server.kubectl(*DRY, "-o", "json", stdin="\n---\n".join(manifests)))
    made = {}
    for item in listed["items"]:
        if item["kind"] not in ("DaemonSet", "StatefulSet", "Pod"):
            continue
        pod = item if item["kind"] == "Pod" else item["spec"]["template"]
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        spec = pod["spec"]
        for claim in item["spec"].get("volumeClaimTemplates", []):
            name = claim["metadata"]["name"]
            spec["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
        # The account is looked for in the namespace that the pod is tried in.
        spec["serviceAccountName"] = "default"
        spec.pop("serviceAccount", None)
        made[component] = {"apiVersion": "v1", "kind": "Pod", "spec": spec,
                           "metadata": {"name": component}}
    return made


class Manifests(Asked):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server.make_namespace(NAMESPACE, "privileged")

    def test_every_manifest_of_the_matrix_is_accepted(self):
        self.assertGreaterEqual(len(MATRIX), 25)
        accepted = left_out = 0
        for values in MATRIX:
            with self.subTest(values=os.path.basename(values)):
                known, foreign = template(f"--values={values}")
                code, out = server.call("kubectl", *DRY, f"--namespace={NAMESPACE}",
                                        stdin="\n---\n".join(known))
                self.assertEqual(code, 0, out)
                self.assertEqual(out.count("serverside-applied (server dry run)"), len(known), out)
                self.assertNotIn("Warning", out)
                accepted += len(known)
                left_out += len(foreign)
        print(f"{len(MATRIX)} sets of values: {accepted} manifests accepted, {left_out} of kinds "
              "that no definition is here for")

    def test_a_field_that_does_not_exist_is_refused(self):
        known, _ = template()
        wrong = "\n---\n".join(known).replace("hostNetwork: true", "hostNetwerk: true")
        code, out = server.call("kubectl", *DRY, stdin=wrong)
        self.assertNotEqual(code, 0)
        self.assertIn("hostNetwerk", out)


class Plain(Asked):
    def test_manifests_and_certificates_are_accepted(self):
        manifests = os.path.join(PLAIN, "podtap.yaml")
        code, out = server.call("kubectl", "apply", "--validate=strict", f"--filename={manifests}")
        self.assertEqual(code, 0, out)
        self.assertNotIn("Warning", out)
        server.run_script(f"{PLAIN}/certificates.sh | kubectl apply --validate=strict -f -", "/")
        # The pods find what they mount.
        there = {(item["kind"], item["metadata"]["name"])
                 for item in server.get("secrets,configmaps", "--namespace=podtap")["items"]}
        mounted = set()
        for item in server.get("daemonsets,statefulsets", "--namespace=podtap")["items"]:
            for volume in item["spec"]["template"]["spec"]["volumes"]:
                if "secret" in volume:
                    mounted.add(("Secret", volume["secret"]["secretName"]))
                elif "configMap" in volume:
                    mounted.add(("ConfigMap", volume["configMap"]["name"]))
        self.assertEqual(len(mounted), 4)
        self.assertLessEqual(mounted, there)


class PodSecurity(Asked):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server.make_namespace(NAMESPACE, "privileged")

    def test_only_the_agent_needs_the_level_privileged(self):
        known, _ = template()
        made = pods(known)
        self.assertEqual(set(made), {"agent", "collector", "test"})
        others = {"collector", "test"}
        for level, taken in (("privileged", set(made)), ("baseline", others),
                             ("restricted", others)):
            server.make_namespace(f"of-{level}", level)
            for component, pod in made.items():
                with self.subTest(level=level, component=component):
                    code, out = server.call("kubectl", *DRY, f"--namespace=of-{level}",
                                            stdin=json.dumps(pod))
                    self.assertEqual(code == 0, component in taken, out)
                    if code != 0:
                        self.assertIn(f"violates PodSecurity \"{level}:latest\"", out)
                        print(out.strip())


class Release(Asked):
    """Installed, upgraded and removed for real."""

    def setUp(self):
        self.namespace = "release-" + self.id().rsplit("_", 1)[-1]
        server.make_namespace(self.namespace, "privileged")
        self.before = self.objects()

    def objects(self):
        """Everything in the namespace, by kind and name."""
        kinds = server.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        kinds = [kind for kind in kinds if not kind.startswith("events")]
        listed = server.get(",".join(kinds), f"--namespace={self.namespace}")
        return {(item["kind"], item["metadata"]["name"]) for item in listed["items"]}

    def release(self, verb, *flags):
        return server.helm(verb, "podtap", CHART, f"--namespace={self.namespace}", *flags)

    def secrets(self):
        listed = server.get("secrets", "--field-selector=type=kubernetes.io/tls",
                            f"--namespace={self.namespace}")
        return {item["metadata"]["name"]: item["data"] for item in listed["items"]}

    def checksums(self):
        listed = server.get("daemonsets,statefulsets", f"--namespace={self.namespace}")
        return {item["kind"]: item["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
                for item in listed["items"]}

    def test_certificates_survive_an_upgrade(self):
        self.release("install")
        secrets = self.secrets()
        self.assertEqual(len(secrets), 2)
        for data in secrets.values():
            self.assertEqual(set(data), {"ca.crt", "tls.crt", "tls.key"})
        self.release("upgrade", "--dry-run=server")
        self.release("upgrade", "--set=collector.config.retention=48h")
        self.assertEqual(self.secrets(), secrets)
        server.helm("rollback", "podtap", "1", f"--namespace={self.namespace}")
        self.assertEqual(self.secrets(), secrets)

    def test_certificates_that_were_deleted_are_made_again(self):
        self.release("install")
        secrets = self.secrets()
        server.kubectl("delete", "secret", *secrets, f"--namespace={self.namespace}")
        self.release("upgrade", "--reset-then-reuse-values")
        again = self.secrets()
        self.assertEqual(set(again), set(secrets))
        for name, data in again.items():
            self.assertNotEqual(data, secrets[name])
            # Of one authority.
            self.assertEqual(len({other["ca.crt"] for other in again.values()}), 1)

    def test_the_notes_say_how_to_get_the_certificates(self):
        notes = self.release("install")
        script = re.search(r"^  for file in .*?^  done$", notes, re.MULTILINE | re.DOTALL)[0]
        with tempfile.TemporaryDirectory() as directory:
            server.run_script(script, directory)
            for name, value in self.secrets()["podtap-client-tls"].items():
                with open(os.path.join(directory, "podtap-" + name), "rb") as file:
                    self.assertEqual(file.read(), base64.b64decode(value))

    def test_what_is_configured_anew_is_started_anew(self):
        self.release("install")
        first = self.checksums()
        self.release("upgrade", "--set=collector.config.retention=48h")
        second = self.checksums()
        self.assertNotEqual(first["StatefulSet"], second["StatefulSet"])
        self.assertEqual(first["DaemonSet"], second["DaemonSet"])
        self.release("upgrade", "--reuse-values", "--set=agent.config.reporters=server")
        third = self.checksums()
        self.assertEqual(second["StatefulSet"], third["StatefulSet"])
        self.assertNotEqual(second["DaemonSet"], third["DaemonSet"])

    def test_nothing_is_left_when_it_is_removed(self):
        self.release("install", "--set=networkPolicy.enabled=true",
                     "--set=collector.podDisruptionBudget.enabled=true")
        self.assertGreater(len(self.objects() - self.before), 8)
        server.helm("uninstall", "podtap", f"--namespace={self.namespace}")
        # The claim of the collector's volume is made, and kept, by a controller that is not here.
        self.assertEqual(self.objects(), self.before)


if __name__ == "__main__":
    unittest.main()

"""What the chart renders, and what it refuses."""

import json
import os
import re
import shutil
import tempfile
import unittest

import chart
import golden
import typecheck
import values_page

# Values that must be refused, and what the message has to name.
REFUSED = [
    ("unknwon: 1", "unknwon"),
    ("agent: {adminport: 1}", "adminport"),
    ("agent: {config: {exclude-pods: [a]}}", "exclude-pods"),
    ("agent: {config: {reporters: all}}", "/agent/config/reporters"),
    ("agent: {config: {rings: 17}}", "/agent/config/rings"),
    ("agent: {config: {capture-bytes: 10}}", "/agent/config/capture-bytes"),
    ("agent: {config: {discovery: docker}}", "/agent/config/discovery"),
    ("agent: {config: {exclude-port: [http]}}", "/agent/config/exclude-port"),
    ("agent: {adminPort: 70000}", "/agent/adminPort"),
    ("agent: {adminPort: '4272'}", "/agent/adminPort"),
    ("agent: {podNetns: {mode: never}}", "/agent/podNetns/mode"),
    ("agent: {privileged: 'yes'}", "/agent/privileged"),
    ("agent: {tolerations: {}}", "/agent/tolerations"),
    ("agent: {extraEnv: [{nme: a}]}", "/agent/extraEnv"),
    ("collector: {config: {retension: 1h}}", "retension"),
    ("collector: {ipFamily: IPv5}", "/collector/ipFamily"),
    ("collector: {persistence: {size: 10}}", "/collector/persistence/size"),
    ("collector: {service: {type: ExternalName}}", "/collector/service/type"),
    ("collector: {replicas: 2}", "replicas"),
    ("image: {digest: latest}", "/image/digest"),
    ("image: {pullPolicy: Sometimes}", "/image/pullPolicy"),
    ("tls: {mode: none}", "/tls/mode"),
    ("tls: {validityDays: 0}", "/tls/validityDays"),
    ("tls: {mode: secret}", "tls.secret."),
    ("tls: {mode: cert-manager}", "issuerRef.name"),
    ("networkPolicy: {nodeCIDRs: 10.0.0.0/8}", "/networkPolicy/nodeCIDRs"),
    ("monitoring: {podMonitor: {interval: 30}}", "/monitoring/podMonitor/interval"),
    ("monitoring: {dashboards: {label: a}}", "label"),
    ("agent: {config: {discovery: proc}}", "agent.proc.enabled"),
]


class Render(unittest.TestCase):
    maxDiff = None

    def test_lint_finds_nothing(self):
        for case in chart.CASES:
            with self.subTest(case=case):
                code, said = chart.helm("lint", "--strict", chart.CHART, "-f",
                                        chart.values_file(case))
                self.assertEqual(code, 0, said)

    def test_every_case_renders_as_written_down(self):
        self.assertGreaterEqual(len(chart.CASES), 25)
        for case, text in golden.render_all().items():
            with self.subTest(case=case):
                with open(golden.path(case), encoding="utf-8") as file:
                    self.assertEqual(text, file.read(), "tests/chart/golden.py --write, and read it")
                if case != "default":
                    self.assertTrue(text, "the values change nothing")

    def test_wrong_values_are_refused_by_name(self):
        for values, named in REFUSED:
            with self.subTest(values=values):
                code, said = chart.helm("template", "podtap", chart.CHART, "-f", "-", stdin=values)
                self.assertNotEqual(code, 0)
                self.assertIn(named, said)

    def test_every_value_is_known_to_the_schema_and_documented(self):
        with open(os.path.join(chart.CHART, "README.md"), encoding="utf-8") as file:
            self.assertEqual(file.read(), values_page.page(),
                             "python3 tests/chart/values_page.py --write")
        undocumented = [key for key, _, text in values_page.rows() if not text]
        self.assertEqual(undocumented, [])

    def test_the_schema_is_closed(self):
        """Each map has all its keys listed, or is one of names to texts or of Kubernetes' own."""
        with open(os.path.join(chart.CHART, "values.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        # Volumes have too many kinds to repeat them here.
        del schema["definitions"]["named"]

        def check(part, path):
            if isinstance(part, dict):
                if isinstance(part.get("properties"), dict):
                    self.assertIs(part.get("additionalProperties"), False, path)
                for key, below in part.items():
                    check(below, f"{path}/{key}")

        check(schema, "")

    def test_pods_have_no_rights_that_were_not_asked_for(self):
        more = {"agent-pod-netns": "SYS_ADMIN", "agent-pod-netns-always": "SYS_ADMIN",
                "agent-pod-loopback": "SYS_ADMIN", "agent-proc": "SYS_PTRACE",
                "agent-cri-dockerd": "SYS_PTRACE"}
        for case in chart.CASES:
            manifests = chart.objects(chart.template("-f", chart.values_file(case)))
            self.assertFalse([m for m in manifests if "Role" in m["kind"]])
            pods = {m["kind"]: m["spec"] if m["kind"] == "Pod" else m["spec"]["template"]["spec"]
                    for m in manifests if m["kind"] in ("Pod", "DaemonSet", "StatefulSet")}
            self.assertEqual(len(pods), 3)
            for kind, pod in pods.items():
                with self.subTest(case=case, kind=kind):
                    is_agent = kind == "DaemonSet"
                    [container] = pod["containers"]
                    rights = container["securityContext"]
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    self.assertIs(pod["enableServiceLinks"], False)
                    self.assertEqual(pod.get("hostNetwork", False), is_agent)
                    self.assertEqual(pod.get("hostPID", False),
                                     is_agent and more.get(case) == "SYS_PTRACE")
                    self.assertIs(rights["readOnlyRootFilesystem"], True)
                    self.assert_no_writing_to_the_node(pod, container)
                    if is_agent and case == "agent-privileged":
                        self.assertIs(rights["privileged"], True)
                        continue
                    self.assertFalse(rights.get("privileged", False))
                    self.assertIs(rights["allowPrivilegeEscalation"], False)
                    self.assertEqual(rights["capabilities"]["drop"], ["ALL"])
                    wanted = ["BPF", "NET_RAW"] if is_agent else []
                    if is_agent and case in more:
                        wanted.append(more[case])
                    self.assertEqual(rights["capabilities"].get("add", []), wanted)

    def assert_no_writing_to_the_node(self, pod, container):
        of_node = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume} if (
            "volumes" in pod) else set()
        for mount in container.get("volumeMounts", []):
            if mount["name"] in of_node:
                self.assertIs(mount.get("readOnly"), True, mount)

    def test_certificates_are_made_for_the_names_that_agents_use(self):
        with tempfile.TemporaryDirectory() as directory:
            made = chart.write_certificates(
                chart.template("--set", "tls.validityDays=30"), directory)
            self.assertEqual(made, {"podtap-client-tls", "podtap-collector-tls"})
            for secret in made:
                path = os.path.join(directory, secret)
                name = ("-verify_hostname", "podtap-collector.podtap.svc")
                code, said = chart.run("openssl", "verify", "-CAfile", f"{path}/ca.crt",
                                       *(name if "collector" in secret else ()), f"{path}/tls.crt")
                self.assertEqual(code, 0, said)
                for days, ended in ((29, 0), (31, 1)):
                    code, said = chart.run("openssl", "x509", "-noout", "-in", f"{path}/tls.crt",
                                           "-checkend", str(days * 86400))
                    self.assertEqual(code, ended, said)


class Notes(unittest.TestCase):
    """What helm prints after an install."""

    def notes(self, *flags):
        code, said = chart.helm("install", "podtap", chart.CHART, "--namespace=podtap",
                                "--dry-run=client", *flags)
        self.assertEqual(code, 0, said)
        return said.split("\nNOTES:\n")[1]

    def test_any_shell_gets_the_certificates_as_told(self):
        loop = re.search(r"^  for file in .*?^  done$", self.notes(), re.DOTALL | re.MULTILINE)[0]
        kept = {"ca.crt": "authority\n", "tls.crt": "certificate\n", "tls.key": "key\n"}
        kubectl = os.path.join(chart.TOOLS, "bin", "kubectl")
        with tempfile.TemporaryDirectory() as directory:
            # Of a secret that is made and not sent, kubectl prints the same as of one that is there.
            given = " ".join(f"'--from-literal={key}={value}'" for key, value in kept.items())
            path = os.path.join(directory, "kubectl")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"""#!/bin/sh
[ "$1 $2 $3 $4 $5 $6" = "--namespace podtap get secret podtap-client-tls --output" ] || exit 9
exec {kubectl} create secret generic x --dry-run=client {given} --output "$7"
""")
            os.chmod(path, 0o755)
            code, said = chart.run("sh", "-euc", loop, cwd=directory, env=dict(
                os.environ, PATH=f"{directory}:{os.environ['PATH']}"))
            self.assertEqual(code, 0, said)
            for key, value in kept.items():
                with open(os.path.join(directory, "podtap-" + key), encoding="utf-8") as file:
                    self.assertEqual(file.read(), value)

    def test_they_name_what_is_there_and_say_what_is_risky(self):
        services = [m["metadata"]["name"] for m in chart.objects(chart.template())
                    if m["kind"] == "Service"]
        plain = self.notes()
        self.assertIn(re.search(r"port-forward service/(\S+) 4270:4270", plain)[1], services)
        self.assertIn("grpcurl -cacert", plain)
        for words in ("PLAIN TEXT", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "PRIVILEGED", "go with"):
            self.assertNotIn(words, plain)
        for setting, words in (("tls.mode=disabled", "PLAIN TEXT"),
                               ("agent.podNetns.enabled=true", "CAP_SYS_ADMIN"),
                               ("agent.podLoopback.enabled=true", "CAP_SYS_ADMIN"),
                               ("agent.proc.enabled=true", "CAP_SYS_PTRACE"),
                               ("agent.privileged=true", "PRIVILEGED"),
                               ("collector.persistence.enabled=false", "go with")):
            self.assertIn(words, self.notes("--set", setting), setting)


class Types(unittest.TestCase):
    def test_manifests_are_what_the_api_takes(self):
        texts = {case: chart.objects(chart.template("-f", chart.values_file(case)))
                 for case in chart.CASES}
        self.assertGreater(len({(m["apiVersion"], m["kind"]) for ms in texts.values() for m in ms}),
                           10)
        self.assertEqual(typecheck.complaints(texts), "")

    def test_a_slip_would_be_found(self):
        def rendered(change):
            manifests = chart.objects(chart.template())
            change(next(m for m in manifests if m["kind"] == "DaemonSet")["spec"]["template"]["spec"])
            return {"slip": manifests}

        def misspell(spec):
            spec["containers"][0]["livenesProbe"] = spec["containers"][0].pop("livenessProbe")

        def retype(spec):
            spec["hostNetwork"] = "true"

        def omit(spec):
            del spec["containers"][0]["name"]

        for change, named in ((misspell, "livenesProbe"), (retype, "boolean"), (omit, "name")):
            with self.subTest(change=change.__name__):
                self.assertIn(named, typecheck.complaints(rendered(change)))


class Settings(unittest.TestCase):
    """The configuration files are what the programs take."""

    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)

    def _write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _start(self, program, config, *arguments):
        """A program without any right ends with 2 when it refuses its settings, else with 1."""
        return chart.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                         "--bounding-set=-all", "timeout", "20",
                         os.path.join(os.environ["PODTAP_BIN"], program),
                         f"--config={self._write(program + '.yaml', config)}", *arguments)

    def test_programs_take_the_settings_of_every_case(self):
        chart.write_certificates(chart.template(), self.directory)
        for case in chart.CASES:
            configs = {m["metadata"]["name"].rsplit("-", 1)[-1]: m["data"]
                       for m in chart.objects(chart.template("-f", chart.values_file(case)))
                       if m["kind"] == "ConfigMap"}
            for component in ("agent", "collector"):
                text = configs[component][component + ".yaml"]
                # Certificates and store are at other places here; ports may be taken.
                text = text.replace("/etc/podtap/tls", f"{self.directory}/podtap-{component}-tls").replace(
                    "podtap-agent-tls", "podtap-client-tls").replace(
                    "/var/lib/podtap", self.directory + "/not-there/store")
                with self.subTest(case=case, component=component):
                    code, said = self._start("podtap-" + component, text)
                    self.assertEqual(code, 1, said)

    def test_a_setting_that_is_none_would_be_found(self):
        for component in ("agent", "collector"):
            code, said = self._start("podtap-" + component, "insecure: true\nno-such: 1\n")
            self.assertEqual(code, 2, said)
            self.assertIn("no-such", said)

    def test_all_settings_of_the_agent_that_suit_a_pod_are_values(self):
        with open(os.path.join(chart.CHART, "values.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        # What the chart sets by itself, or what has no place in a cluster.
        own = {
            "agent": {"collector", "cri-endpoint", "admin-listen", "node-name", "pod-netns",
                      "pod-loopback", "tls-ca", "tls-cert", "tls-key", "insecure", "output",
                      "config", "help", "version", "spool-dir"},
            "collector": {"listen", "admin-listen", "store", "tls-ca", "tls-cert", "tls-key",
                          "insecure", "config", "help", "version"},
        }
        for component, sets in own.items():
            code, said = chart.run(os.path.join(os.environ["PODTAP_BIN"], "podtap-" + component),
                                   "--help")
            self.assertEqual(code, 0)
            flags = {word[2:].strip(",=") for line in said.splitlines()
                     for word in line.split()[:2] if word.startswith("--")}
            values = set(schema["properties"][component]["properties"]["config"]["properties"])
            with self.subTest(component=component):
                self.assertEqual(values - flags, set(), "values that are no flags")
                self.assertEqual(flags - values - sets, set(), "flags that are no values")


if __name__ == "__main__":
    unittest.main()

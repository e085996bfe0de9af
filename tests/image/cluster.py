"""What stands for a cluster around the chart's pods: a node's kubelet, services.

One node: pods are made in the containerd of a Runtime, with the chart's config maps and secrets.
"""

import json
import os
import urllib.error
import urllib.request

import yaml

import fleet
import name_server
import volumes
from fields import NotKnown
from pod_spec import PodSpec

RELEASE = "podtap"
NAMESPACE = "observability"
NODE = "node-1"
HERE = os.path.dirname(os.path.abspath(__file__))
CHART = os.path.join(HERE, "..", "..", "helm", "podtap")
# Values whose manifests are pinned as texts.
CASES = os.path.join(HERE, "..", "chart", "values")
# Where a kubelet would look for profiles that pods name.
SECCOMP_PROFILES = os.path.join(HERE, "seccomp")


def render(case, settings):
    """The chart's objects with the values of a case, and with these, such as
    {"agent.adminPort": 4272}."""
    flags = ["--values", os.path.join(CASES, case + ".yaml")]
    flags += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    helm = os.path.join(os.environ["PODTAP_CHART_TOOLS"], "bin", "helm")
    text = fleet.run(helm, "template", RELEASE, CHART, "--namespace", NAMESPACE, *flags)
    return [document for document in yaml.safe_load_all(text) if document]


class RunningPod:
    """A pod made from a manifest: the runtime's pod, its container, what was asked for."""

    def __init__(self, pod, spec):
        self.pod = pod
        self.spec = spec
        self.container_id = None


class Cluster:
    """`case` and `settings` are values of the chart. Without a runtime, and a name server that its
    pods ask, there are only the objects."""

    def __init__(self, directory, socket, runtime=None, names=None, settings=None, case="default"):
        self._runtime = runtime
        self._names = names
        self._directory = os.path.join(directory, "kubelet")
        self._made = 0
        self.host_ip = runtime.gateway if runtime else "127.0.0.1"
        self.objects = render(case, {"agent.cri.socket": socket, **(settings or {})})

    def object(self, kind, name):
        found = [one for one in self.objects
                 if one["kind"] == kind and one["metadata"]["name"] == name]
        if len(found) != 1:
            raise NotKnown(f"{len(found)} objects {kind} {name}")
        return found[0]

    # What pod specs refer to.

    def config_map(self, name):
        return self.object("ConfigMap", name)["data"]

    def secret(self, name):
        return self.object("Secret", name)["data"]

    def field(self, path):
        return {"spec.nodeName": NODE, "status.hostIP": self.host_ip}[path]

    @staticmethod
    def seccomp_profile(name):
        path = os.path.join(SECCOMP_PROFILES, name)
        if not os.path.exists(path):
            raise NotKnown(f"no seccomp profile {name}")
        return path

    def injected_variables(self):
        """Those of the services of a namespace, which pods get unless they say that they don't want
        them: the chart says so; the programs must not mind them either."""
        variables = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        for service in self.objects:
            if service["kind"] != "Service" or service["spec"].get("clusterIP") == "None":
                continue
            prefix = service["metadata"]["name"].upper().replace("-", "_")
            port = service["spec"]["ports"][0]["port"]
            variables.update({
                f"{prefix}_SERVICE_HOST": "10.96.7.7", f"{prefix}_SERVICE_PORT": str(port),
                f"{prefix}_PORT": f"tcp://10.96.7.7:{port}",
                f"{prefix}_PORT_{port}_TCP": f"tcp://10.96.7.7:{port}",
                f"{prefix}_PORT_{port}_TCP_ADDR": "10.96.7.7",
                f"{prefix}_PORT_{port}_TCP_PORT": str(port),
                f"{prefix}_PORT_{port}_TCP_PROTO": "tcp"})
        return variables

    # Pods.

    def run_collector(self):
        made = self._run(self.object("StatefulSet", "podtap-collector"))
        for service in self.objects:
            if service["kind"] == "Service":
                name = f"{service['metadata']['name']}.{NAMESPACE}.svc"
                self._names.addresses[name] = made.pod.addresses[0]
        return made

    def run_agent(self):
        return self._run(self.object("DaemonSet", "podtap-agent"))

    def run_helm_test(self):
        """Runs the pods of `helm test` one after the other; the exit codes and what they said."""
        ended = []
        for pod in self.objects:
            if "test" in pod["metadata"].get("annotations", {}).get("helm.sh/hook", "").split(","):
                made = self._run_template(pod, pod["metadata"]["name"], {})
                status = self.wait_for_end(made)
                ended.append((status.get("exitCode", 0), self.log(made)))
        return ended

    def _run(self, owner):
        name = owner["metadata"]["name"]
        claims = [claim["metadata"]["name"]
                  for claim in owner["spec"].get("volumeClaimTemplates", [])]
        return self._run_template(owner["spec"]["template"], name, claims)

    def _run_template(self, template, name, claims):
        self._made += 1
        name = f"{name}-{self._made}"
        directory = os.path.join(self._directory, name)
        os.makedirs(directory)
        spec = PodSpec(template, name, self, directory)
        for claim in claims:
            spec.volumes[claim] = os.path.join(directory, claim)
            volumes.make_writable(spec.volumes[claim], spec.group)
        pod = self._runtime.add_pod(
            name, "host" if spec.is_on_host_network else "bridge", namespace=NAMESPACE,
            labels=spec.labels, annotations=spec.annotations, containers=(),
            security=spec.sandbox_security(), dns=name_server.settings(
                self._names.address, NAMESPACE) if spec.asks_cluster_for_names else None)
        made = RunningPod(pod, spec)
        self.start_container(made)
        return made

    def start_container(self, made, attempt=0):
        """The pod's container, or another one in its place."""
        config = made.spec.config()
        made.container_id = self._runtime.add_container(
            made.pod, made.spec.container, config.pop("command"),
            {**config, "metadata": {"name": made.spec.container, "attempt": attempt}})

    def log(self, made):
        return self._runtime.log(made.pod, made.spec.container)

    def status(self, made):
        """(what the runtime says of the container, its process id)"""
        return self._runtime.container_status(made.container_id)

    def wait_for_end(self, made):
        def ended():
            status, _ = self.status(made)
            return status if status.get("state") == "CONTAINER_EXITED" else None
        try:
            return fleet.wait_for(ended, f"{made.pod.name} to end")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(made)}") from error

    def terminate(self, made):
        """As when a pod is deleted: SIGTERM, and SIGKILL when its time is over. Its exit code."""
        self._runtime.stop_container(made.container_id, made.spec.grace_seconds)
        return self.wait_for_end(made).get("exitCode", 0)

    def probe(self, made, kind):
        """The answer's code to one try of a probe; 0 when nobody answers."""
        port, path, seconds = made.spec.probes[kind]
        host = self.host_ip if made.spec.is_on_host_network else made.pod.addresses[0]
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=seconds) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_until_ready(self, made):
        """As a kubelet: the startup probe, then the readiness probe."""
        def passes(kind):
            status, _ = self.status(made)
            if status.get("state") == "CONTAINER_EXITED":
                raise AssertionError(f"{made.pod.name} has ended: {self.log(made)}")
            return 200 <= self.probe(made, kind) < 400
        try:
            for kind in ("startup", "readiness"):
                fleet.wait_for(lambda kind=kind: passes(kind), f"{made.pod.name}: {kind} probe")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(made)}") from error

    def observe(self, collector, client, *flags):
        """Stored events as dicts. Asked in the collector's pod, with `client`'s certificate."""
        security = [f"--tls-{kind}={os.path.join(client.spec.volumes['tls'], file)}"
                    for kind, file in (("ca", "ca.crt"), ("cert", "tls.crt"), ("key", "tls.key"))
                    if "tls" in client.spec.volumes]
        lines = collector.pod.run(
            os.path.join(fleet.BIN, "podtap"), "observe", "--server",
            f"127.0.0.1:{collector.spec.ports['grpc']}", "-o", "json", "--last", "100000",
            *security, *flags).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

"""A kube-apiserver with an etcd behind it, on loopback, and kubectl and helm that talk to it.

No controller, scheduler or kubelet runs beside it: objects are checked, completed and stored, and
nothing else happens to them.
"""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request

import fleet

_PROGRAM = os.environ.get("PODTAP_APISERVER", "kube-apiserver")
# Where helm and kubectl are.
_TOOLS = os.path.join(os.environ.get("PODTAP_CHART_TOOLS", ""), "bin")
_TOKEN = "of-this-test"


class ApiServer:
    """Everything started and written here is gone when the context ends."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="podtap-apiserver-")
        self.processes = []
        self.url = None

    def __enter__(self):
        try:
            self._start()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for process in self.processes:
                print(f"--- {process.name} said:\n{process.err()[-3000:]}", flush=True)
        for process in reversed(self.processes):
            process.stop(seconds=30)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, name, text=None):
        path = os.path.join(self.directory, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return path

    def _start_process(self, name, command):
        process = fleet.Process(self.directory, name, command)
        self.processes.append(process)
        return process

    def _start(self):
        store, peers = (f"http://127.0.0.1:{fleet.free_port()}" for _ in range(2))
        self._start_process("etcd", [
            "etcd", f"--data-dir={self._path('etcd')}", "--unsafe-no-fsync",
            f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}"])
        key = self._path("accounts.key")
        fleet.run("openssl", "genrsa", "-out", key, "2048")
        tokens = self._path("tokens.csv", f"{_TOKEN},admin,admin,system:masters\n")
        port = fleet.free_port()
        self.url = f"https://127.0.0.1:{port}"
        server = self._start_process("kube-apiserver", [
            _PROGRAM, f"--etcd-servers={store}", f"--cert-dir={self._path('certificates')}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
            "--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=https://test",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            "--allow-privileged=true"])

        def ready():
            if server.popen.poll() is not None:
                raise AssertionError(f"kube-apiserver ended: {server.err()[-3000:]}")
            return self._is_ready()
        fleet.wait_for(ready, "kube-apiserver to be ready", seconds=60)
        self._path("config", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url,
                                                      "insecure-skip-tls-verify": True}}],
            "users": [{"name": "test", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}))

    def _is_ready(self):
        request = urllib.request.Request(self.url + "/readyz",
                                         headers={"Authorization": f"Bearer {_TOKEN}"})
        try:
            # Its certificate is one that it made for itself.
            with urllib.request.urlopen(request, timeout=5,
                                        context=ssl._create_unverified_context()) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def call(self, program, *arguments, stdin=None):
        """Exit code and whole output of kubectl or helm."""
        result = self._call(program, arguments, stdin, subprocess.STDOUT)
        return result.returncode, result.stdout

    def _call(self, program, arguments, stdin, stderr):
        return subprocess.run(
            [os.path.join(_TOOLS, program), *arguments], check=False, text=True,
            input=stdin or "", stdout=subprocess.PIPE, stderr=stderr,
            env=dict(os.environ, KUBECONFIG=self._path("config"), HOME=self.directory))

    def _run(self, program, arguments, stdin=None):
        result = self._call(program, arguments, stdin, subprocess.PIPE)
        if result.returncode != 0:
            raise AssertionError(f"{program} {' '.join(arguments)}: exit {result.returncode}\n"
                                 f"{result.stdout}{result.stderr}")
        return result.stdout

    def kubectl(self, *arguments, stdin=None):
        return self._run("kubectl", arguments, stdin)

    def helm(self, *arguments):
        return self._run("helm", arguments)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", "-o", "json", *arguments))

    def run_script(self, text, directory):
        """Runs a script for an administrator's shell, which has kubectl on its path."""
        return fleet.run("bash", "-euc", text, cwd=directory, env=dict(
            os.environ, KUBECONFIG=self._path("config"), HOME=self.directory,
            PATH=_TOOLS + ":" + os.environ["PATH"]))

    def make_namespace(self, name, level):
        """A namespace that takes pods of this level of Pod Security."""
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, f"pod-security.kubernetes.io/enforce={level}")
        # A controller would make it.
        self.kubectl("create", "serviceaccount", "default", f"--namespace={name}")

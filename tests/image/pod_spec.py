"""From the pod specs of manifests to what a kubelet asks of a container runtime for them.

A field that this module does not know is an error, so that nothing a manifest says is left out
silently. Left out knowingly: /dev/termination-log, /etc/hosts, and what places a pod on a node.
"""

import re

import volumes
from fields import Fields, NotKnown

# Of every container that is not privileged.
_MASKED_PATHS = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                 "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                 "/sys/firmware"]
_READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_PROPAGATIONS = {"None": "PROPAGATION_PRIVATE",
                 "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
                 "Bidirectional": "PROPAGATION_BIDIRECTIONAL"}
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class PodSpec:
    """One pod: what to ask for its sandbox, and for its one container."""

    def __init__(self, template, name, cluster, directory):
        """`template` has metadata and spec; `cluster` stands for the rest of a cluster; volumes are
        made in `directory`."""
        self.labels = template["metadata"].get("labels", {})
        self.annotations = template["metadata"].get("annotations", {})
        self.name = name
        self._cluster = cluster
        spec = Fields(template["spec"], name)
        # Nothing but the API server has tokens to mount.
        spec.expect("automountServiceAccountToken", False)
        spec.expect("enableServiceLinks", False)
        spec.expect("restartPolicy", "Always", "Never")
        spec.ignore("serviceAccountName", "imagePullSecrets", "priorityClassName", "nodeSelector",
                    "tolerations", "affinity")
        self.is_on_host_network = spec.take("hostNetwork", False)
        self.asks_cluster_for_names = self._take_dns_policy(spec)
        self._namespaces = {"network": "NODE" if self.is_on_host_network else "POD",
                            "pid": "NODE" if spec.take("hostPID", False) else "CONTAINER"}
        self.grace_seconds = spec.take("terminationGracePeriodSeconds", 30)
        self._pod_security = dict(spec.take("securityContext", {}))
        self.group = self._pod_security.pop("fsGroup", None)
        self._pod_security.pop("fsGroupChangePolicy", None)
        self.volumes = volumes.make(spec, directory, cluster, self.group)
        container, = spec.take("containers")
        spec.end()
        self._take_container(Fields(container, name))

    def sandbox_security(self):
        # Whatever the manifest says: the sandbox's own process gets along with the default profile,
        # and a runtime takes a privileged container into a privileged sandbox only.
        settings = {"namespace_options": self._namespaces,
                    "privileged": self._security["privileged"],
                    "seccomp": {"profile_type": "RuntimeDefault"}}
        if self.group is not None:
            settings["supplemental_groups"] = [self.group]
        return settings

    def config(self):
        """The container's settings but for its name and log."""
        mounts = []
        for mount in self._mounts:
            mount = Fields(mount, self.name)
            mounts.append({
                "container_path": mount.take("mountPath"),
                "host_path": self.volumes[mount.take("name")],
                "readonly": mount.take("readOnly", False),
                "propagation": _PROPAGATIONS[mount.take("mountPropagation", "None")]})
            mount.end()
        return {
            "image": {"image": self.image}, "command": self.command, "args": self.args,
            "envs": [{"key": key, "value": value} for key, value in self.environment.items()],
            "mounts": mounts,
            "linux": {"resources": self._resources, "security_context": self._security}}

    def _take_dns_policy(self, spec):
        policy = spec.take("dnsPolicy", "ClusterFirst")
        if policy not in ("ClusterFirst", "ClusterFirstWithHostNet"):
            raise NotKnown(f"dnsPolicy {policy}")
        # Elsewhere than in the cluster's network the first of them means the node's own names.
        return policy == "ClusterFirstWithHostNet" or not self.is_on_host_network

    def _take_container(self, container):
        self.container = container.take("name")
        self.image = container.take("image")
        container.expect("imagePullPolicy", "IfNotPresent", "Never")
        # Those of the service come first, and the manifest's own win.
        self.environment = dict(self._cluster.injected_variables())
        for variable in container.take("env", []):
            self._take_variable(Fields(variable, "env"))
        self.command = [self._expand(word) for word in container.take("command", [])]
        self.args = [self._expand(word) for word in container.take("args", [])]
        self.ports = {port["name"]: port["containerPort"] for port in container.take("ports", [])}
        self.probes = {kind: _http_probe(container.take(kind + "Probe"), self.ports)
                       for kind in ("startup", "liveness", "readiness")
                       if kind + "Probe" in container}
        self._security = self._take_security(
            Fields({**self._pod_security, **container.take("securityContext", {})}, self.name))
        self._resources = _resources(Fields(container.take("resources", {}), "resources"))
        self._mounts = container.take("volumeMounts", [])
        container.end()

    def _take_variable(self, variable):
        name = variable.take("name")
        if "valueFrom" in variable:
            source = variable.take("valueFrom")
            value = self._cluster.field(source["fieldRef"]["fieldPath"])
        else:
            value = self._expand(variable.take("value", ""))
        self.environment[name] = value
        variable.end()

    def _expand(self, text):
        """$(NAME) is the value of a variable, where there is such a one."""
        if "$$" in text:
            raise NotKnown(text)
        return re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)",
                      lambda found: self.environment.get(found[1], found[0]), text)

    def _take_security(self, security):
        user = security.take("runAsUser", None)
        if security.take("runAsNonRoot", False) and not user:
            raise NotKnown("runAsNonRoot without a user that is not root")
        privileged = security.take("privileged", False)
        settings = {
            "namespace_options": self._namespaces, "privileged": privileged,
            "readonly_rootfs": security.take("readOnlyRootFilesystem", False),
            "no_new_privs": not security.take("allowPrivilegeEscalation", True)}
        if not privileged:
            settings.update(masked_paths=_MASKED_PATHS, readonly_paths=_READONLY_PATHS)
        if user is not None:
            settings["run_as_user"] = {"value": user}
        if "runAsGroup" in security:
            settings["run_as_group"] = {"value": security.take("runAsGroup")}
        if self.group is not None:
            settings["supplemental_groups"] = [self.group]
        if "capabilities" in security:
            wanted = Fields(security.take("capabilities"), "capabilities")
            settings["capabilities"] = {"add_capabilities": wanted.take("add", []),
                                        "drop_capabilities": wanted.take("drop", [])}
            wanted.end()
        # A kubelet leaves a container without a profile unconfined.
        settings["seccomp"] = self._seccomp(
            security.take("seccompProfile", {"type": "Unconfined"}))
        if "appArmorProfile" in security:
            settings["apparmor"] = _apparmor(security.take("appArmorProfile"))
        security.end()
        return settings

    def _seccomp(self, profile):
        profile = Fields(profile, "seccompProfile")
        kind = profile.take("type")
        settings = {"profile_type": kind}
        if kind == "Localhost":
            settings["localhost_ref"] = self._cluster.seccomp_profile(
                profile.take("localhostProfile"))
        elif kind not in ("RuntimeDefault", "Unconfined"):
            raise NotKnown(f"seccomp profile {kind}")
        profile.end()
        return settings


def _apparmor(profile):
    profile = Fields(profile, "appArmorProfile")
    kind = profile.take("type")
    profile.end()
    # Where there is no AppArmor, a kubelet refuses pods that ask for it.
    if kind != "Unconfined":
        raise NotKnown(f"AppArmor profile {kind}")
    return {"profile_type": kind}


def _http_probe(probe, ports):
    """(port, path, seconds that an answer may take)"""
    probe = Fields(probe, "probe")
    request = Fields(probe.take("httpGet"), "httpGet")
    port, path = request.take("port"), request.take("path")
    request.end()
    probe.ignore("periodSeconds", "failureThreshold", "initialDelaySeconds", "successThreshold")
    timeout = probe.take("timeoutSeconds", 1)
    probe.end()
    return ports.get(port, port), path, timeout


def _amount(text):
    """Cores or bytes."""
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return int(text.removesuffix(unit)) * factor
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def _resources(resources):
    requests = Fields(resources.take("requests", {}), "requests")
    limits = Fields(resources.take("limits", {}), "limits")
    resources.end()
    settings = {"cpu_shares": max(2, int(_amount(str(requests.take("cpu", "0"))) * 1024))}
    # For the scheduler.
    requests.ignore("memory")
    if "cpu" in limits:
        settings["cpu_period"] = 100_000
        settings["cpu_quota"] = int(_amount(str(limits.take("cpu"))) * 100_000)
    if "memory" in limits:
        settings["memory_limit_in_bytes"] = int(_amount(str(limits.take("memory"))))
    requests.end()
    limits.end()
    return settings

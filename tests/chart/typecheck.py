"""Checks manifests against the types of the Kubernetes API and of the operators that the chart knows.

Each becomes a typed constant of TypeScript: the compiler refuses unknown fields, wrong types and
missing fields that are required.
"""

import json
import os
import tempfile

import chart

# By the group of apiVersion; what is not listed is Kubernetes' own.
_PACKAGES = {
    "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
    "cert-manager.io": "@kubernetes-models/cert-manager",
    "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
}


def _module(manifests):
    imports = {}
    constants = []
    for number, manifest in enumerate(manifests):
        version, kind = manifest["apiVersion"], manifest["kind"]
        package = _PACKAGES.get(version.split("/")[0], "kubernetes-models")
        name = f"{kind}_{''.join(c if c.isalnum() else '_' for c in version)}"
        imports[name] = f'import type {{ I{kind} as {name} }} from "{package}/{version}";'
        constants.append(f"export const m{number}: {name} = {json.dumps(manifest, indent=1)};")
    return "\n".join([*imports.values(), *constants, ""])


def complaints(texts):
    """What the compiler says of {name: [manifest]}; empty when all are right."""
    with tempfile.TemporaryDirectory() as directory:
        os.symlink(os.path.join(chart.TOOLS, "node_modules"),
                   os.path.join(directory, "node_modules"))
        for name, manifests in texts.items():
            with open(os.path.join(directory, name + ".ts"), "w", encoding="utf-8") as file:
                file.write(_module(manifests))
        code, said = chart.run(
            "node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
            "--target", "es2022", "--module", "commonjs", "--moduleResolution", "node",
            *(name + ".ts" for name in texts), cwd=directory)
        if (code == 0) == bool(said):
            raise AssertionError(f"tsc: exit {code}: {said}")
        return said

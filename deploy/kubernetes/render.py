#!/usr/bin/env python3
"""Prints podtap.yaml: the chart with values.yaml, in a namespace of its own, without what only Helm uses.

  HELM=path/to/helm deploy/kubernetes/render.py >deploy/kubernetes/podtap.yaml
"""

import os
import re
import subprocess
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_CHART = os.path.join(_HERE, "..", "..", "helm", "podtap")
_HEAD = """\
# podtap for clusters without Helm; rendered from helm/podtap by render.py. How to install it: docs/install.md
apiVersion: v1
kind: Namespace
metadata:
  name: podtap
  labels:
    # Agents use the node's network and directories of the node.
    pod-security.kubernetes.io/enforce: privileged
"""


def main():
    rendered = subprocess.run(
        [os.environ.get("HELM", "helm"), "template", "podtap", _CHART, "--namespace=podtap",
         "--skip-tests", "-f", os.path.join(_HERE, "values.yaml")],
        check=True, text=True, stdout=subprocess.PIPE).stdout
    rendered = re.sub(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by|# Source):.*\n", "", rendered,
                      flags=re.MULTILINE)
    sys.stdout.write(_HEAD + rendered)


if __name__ == "__main__":
    main()

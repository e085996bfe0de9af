#!/bin/bash
# Builds the fuzzers and runs them one after the other: fuzz.sh BUILD_DIR JOBS SECONDS [TARGET]
#
# New inputs are kept in BUILD_DIR/corpus/TARGET, so that the next run goes on from there. What a
# target ends on is written to BUILD_DIR/found/: it belongs into tests/fuzz/corpus/TARGET, with the
# fix. Fails when any target found something.
set -euo pipefail
cd "$(dirname "$0")/.."
build_dir=$1
jobs=$2
seconds=$3
wanted=${4:-}

run_fuzzer() {
  local target=$1
  mkdir -p "$build_dir/corpus/$target" "$build_dir/found"
  # Memory and time of one input are bounded: an input that takes more is a finding.
  UBSAN_OPTIONS=print_stacktrace=1 "$build_dir/bin/fuzz_$target" \
    -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 \
    -dict=tests/fuzz/http.dict -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$build_dir/found/$target-" \
    "$build_dir/corpus/$target" "tests/fuzz/corpus/$target"
}

scripts/build.sh "$build_dir" "$jobs" -DPODTAP_FUZZ=ON \
  -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_C_COMPILER=clang-14 fuzzers

targets=$(cd tests/fuzz && for source in *_fuzz.cc; do echo "${source%_fuzz.cc}"; done)
case "$wanted" in
  '') ;;
  *)
    grep -qxF -- "$wanted" <<<"$targets" || {
      echo "fuzz: no target '$wanted'; there are:" $targets >&2
      exit 2
    }
    targets=$wanted
    ;;
esac

failed=()
for target in $targets; do
  echo "== fuzz: $target, $seconds s"
  run_fuzzer "$target" || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz: found something: ${failed[*]}; see $build_dir/found"
  exit 1
fi
echo "fuzz: nothing found"

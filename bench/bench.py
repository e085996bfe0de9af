#!/usr/bin/env python3
"""Measures the budgets and prints them as the tables of docs/performance.md.

Needs root: it makes network namespaces and loads BPF programs. What it makes is removed at the end,
also when it fails or is interrupted. An agent taps every named network namespace of the machine, so
other pods' traffic would be measured too: use a machine that does nothing else.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
import traceback

import result
import rows


def busy_percent(seconds=1.0):
    """How much of the processors others take."""
    def times():
        with open("/proc/stat", encoding="ascii") as file:
            numbers = [int(word) for word in file.readline().split()[1:]]
        return sum(numbers), numbers[3] + numbers[4]  # all, idle and waiting for disks
    total, idle = times()
    time.sleep(seconds)
    total_after, idle_after = times()
    return 100 * (1 - (idle_after - idle) / max(total_after - total, 1))


def machine():
    """The machine in general terms."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}, " \
           f"Linux {platform.release().split('-')[0]}"


def measure(names, settings):
    """Results of the named measurements; one that fails leaves the others alone."""
    results = []
    failed = []
    for name in names:
        print(f"# {name}", file=sys.stderr, flush=True)
        try:
            results += rows.ALL[name](settings)
        except Exception:  # whatever it is, the others go on
            failed.append(name)
            traceback.print_exc()
    return results, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=os.environ.get("BENCH_ROWS") or ",".join(rows.ALL),
                        help="measurements, by comma: " + ",".join(rows.ALL))
    parser.add_argument("--runs", type=int, default=int(os.environ.get("BENCH_RUNS") or 5),
                        help="samples of each figure")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    names = options.rows.split(",")
    if unknown := [name for name in names if name not in rows.ALL]:
        parser.error(f"no such row: {', '.join(unknown)}")
    if options.runs < 1:
        parser.error("--runs is at least 1")
    if os.geteuid() != 0:
        parser.error("needs root")
    # Contexts are left, and so cleaned up, on SIGTERM as on SIGINT.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    busy = busy_percent()
    results, failed = measure(names, rows.Settings(runs=options.runs))
    print(f"{machine()}; medians of {options.runs} runs. "
          f"Other work took {busy:.0f} % of the machine when the run began.\n")
    print(result.markdown(results))
    if failed:
        print(f"\nFailed: {', '.join(failed)}.")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine(), "runs": options.runs, "busy_percent": busy,
                       "results": [one.as_json() for one in results]}, file, indent=2,
                      ensure_ascii=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

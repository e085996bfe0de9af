#!/usr/bin/env python3
"""Sums up ctest's JUnit files: names what failed and what was skipped, then "N passed, N failed".

A file that is missing or holds no test counts as a failure, since a suite that ran nothing has shown
nothing. With CI=true in the environment a skipped test is a failure. Exit code 1 on any failure.
"""
import os
import sys
import xml.etree.ElementTree as ElementTree


def read(path):
    """Returns (passed, failed, skipped): a number and two lists of names."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return 0, [f"{path}: no result: {error}"], []
    if not cases:
        return 0, [f"{path}: no test ran"], []
    passed, failed, skipped = 0, [], []
    for case in cases:
        name = case.get("name", "?")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif (skip := case.find("skipped")) is not None:
            # ctest calls a test skipped, too, whose program is not there.
            (skipped if "SKIP_" in skip.get("message", "") else failed).append(name)
        elif case.get("status", "run") == "run":
            passed += 1
        else:
            # Not run, disabled, timed out: whatever is not a pass.
            failed.append(name)
    return passed, failed, skipped


def main(paths, environment):
    passed, failed, skipped = 0, [], []
    for path in paths:
        more_passed, more_failed, more_skipped = read(path)
        passed += more_passed
        failed += more_failed
        skipped += more_skipped
    if skipped and environment.get("CI") == "true":
        failed += [f"{name} (skipped, which is a failure here)" for name in skipped]
        skipped = []
    print()
    for name in skipped:
        print(f"skipped: {name}")
    for name in failed:
        print(f"FAILED: {name}")
    tail = f", {len(skipped)} skipped" if skipped else ""
    print(f"{passed} passed, {len(failed)} failed{tail}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

#!/usr/bin/env python3
"""Runs clang-tidy 14 on what changed and on a share of the rest: check_tidy.py BUILD_DIR JOBS

Changed means: since the branch point from origin/main, or since the commit before. The share is
chosen by a hash of path and commit, so that successive commits go through the whole tree. Without
history every file is checked, as with --all.
"""
import concurrent.futures
import hashlib
import json
import pathlib
import subprocess
import sys

import sources

# One file in so many, besides the changed ones.
SHARE = 6
# Generated code and tests' macros are not ours to mend.
_CHECKED = ("agent", "common", "collector", "cli")


def git(*arguments):
    """Output of a git command, or None when it fails."""
    result = subprocess.run(
        ["git", *arguments], cwd=sources.ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else None


def changed_paths():
    """Paths changed since the branch point, uncommitted ones too; None without history."""
    head = git("rev-parse", "HEAD")
    base = git("merge-base", "origin/main", "HEAD")
    if base is None or base == head:
        base = git("rev-parse", "--verify", "-q", "HEAD~1")
    if head is None or not base:
        return None
    changed = git("diff", "--name-only", base) or ""
    untracked = git("ls-files", "--others", "--exclude-standard") or ""
    return set(changed.split("\n")) | set(untracked.split("\n"))


def users_of(headers, units):
    """Of each header, the source beside it, or else the first unit that includes it."""
    found = set()
    for header in headers:
        twin = str(pathlib.Path(header).with_suffix(".cc"))
        if twin in units:
            found.add(twin)
            continue
        needle = f'#include "{header}"'
        users = (unit for unit in units if needle in (sources.ROOT / unit).read_text("utf-8"))
        found.update([user for user in [next(users, None)] if user])
    return found


def choose(units, changed, commit):
    """The units to check, sorted. `changed` is None for all of them."""
    if changed is None:
        return sorted(units)
    chosen = {unit for unit in units if unit in changed}
    chosen |= users_of(sorted(path for path in changed if path.endswith(".h")), sorted(units))
    for unit in units:
        digest = hashlib.sha256(f"{commit} {unit}".encode()).digest()
        if digest[0] % SHARE == 0:
            chosen.add(unit)
    return sorted(chosen)


def units_of(build_dir):
    """Our translation units in the tree's compile database, relative to the root."""
    database = json.loads((pathlib.Path(build_dir) / "compile_commands.json").read_text("utf-8"))
    units = set()
    for entry in database:
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(sources.ROOT):
            path = path.relative_to(sources.ROOT)
            if path.parts[0] in _CHECKED:
                units.add(str(path))
    return units


def tidy(build_dir, unit):
    """(unit, complaints) of one translation unit."""
    result = subprocess.run(
        [
            "clang-tidy-14",
            "--quiet",
            "-p",
            build_dir,
            # g++'s warnings that clang does not know.
            "--extra-arg=-Wno-unknown-warning-option",
            unit,
        ],
        cwd=sources.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return unit, "" if result.returncode == 0 else result.stdout + result.stderr


def main(arguments):
    everything = "--all" in arguments
    build_dir, jobs = [argument for argument in arguments if argument != "--all"]
    units = units_of(build_dir)
    if not units:
        print(f"{build_dir}: no translation unit of ours in its compile database")
        return 1
    changed = None if everything else changed_paths()
    chosen = choose(units, changed, git("rev-parse", "HEAD") or "")
    print(f"clang-tidy: {len(chosen)} of {len(units)} translation units")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        for unit, complaints in pool.map(lambda unit: tidy(build_dir, unit), chosen):
            if complaints:
                failed += 1
                print(f"-- {unit}\n{complaints}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

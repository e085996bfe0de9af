#!/usr/bin/env python3
"""Every C and C++ file is as clang-format 14 writes it. --fix rewrites them."""
import subprocess
import sys

import sources


def main(arguments):
    paths = [str(path) for path in sources.c_family()]
    if not paths:
        print("no C or C++ file found")
        return 1
    if arguments == ["--fix"]:
        return subprocess.run(["clang-format-14", "-i", *paths], cwd=sources.ROOT).returncode
    wrong = []
    for path in paths:
        formatted = subprocess.run(
            ["clang-format-14", path], cwd=sources.ROOT, capture_output=True, check=True
        )
        if formatted.stdout != (sources.ROOT / path).read_bytes():
            wrong.append(path)
    for path in wrong:
        print(f"{path}: not formatted; run: make format")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

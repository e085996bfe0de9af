#!/usr/bin/env python3
"""What every file keeps: its size, how it opens, and what it must not use."""
import re
import sys

import sources

MAX_LINES = 500
# Prose and licences may be as long as they need.
_COUNTED = {".h", ".c", ".cc", ".py", ".sh", ".proto", ".cmake", ".txt"}
# The clang 14 that reads this code can't parse libstdc++ 12's views; g++ 12 has no <format>.
_FORBIDDEN = [
    (re.compile(r"\bstd::(ranges::)?views\b"), "std::views: clang 14 can't parse it"),
    (re.compile(r"^\s*#\s*include\s*<format>"), "<format>: g++ 12 does not have it"),
]
_COMMENT = re.compile(r"^\s*(//|/\*)")


def check_text(path, text):
    """Complaints about one file, as "path:line: what"."""
    lines = text.splitlines()
    complaints = []
    if path.suffix in _COUNTED and len(lines) > MAX_LINES and path.parts[0] != "LICENSES":
        complaints.append(f"{path}:{len(lines)}: more than {MAX_LINES} lines")
    if not (sources.is_cxx(path) or sources.is_bpf(path)):
        return complaints
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        complaints += [
            f"{path}:{number}: {what}" for pattern, what in _FORBIDDEN if pattern.search(code)
        ]
    if path.suffix == ".h":
        complaints += _check_header(path, lines)
    return complaints


def _check_header(path, lines):
    complaints = []
    opening = [line for line in lines if line.strip() and "SPDX-License-Identifier" not in line]
    if not opening or not _COMMENT.match(opening[0]):
        complaints.append(f"{path}:1: a header opens with a comment that says what it is for")
    once = "#pragma once"
    # The kernel side may be guarded the kernel's way.
    guarded = sources.is_bpf(path) and any(line.startswith("#ifndef ") for line in lines)
    if once not in lines and not guarded:
        complaints.append(f"{path}:1: {once} is missing")
    return complaints


def main():
    complaints = []
    for path in sources.files():
        if path.suffix in _COUNTED:
            complaints += check_text(path, (sources.ROOT / path).read_text(encoding="utf-8"))
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""docs/ledger.md lists every counter of the code, and no other; losses are marked as losses.

The names are a contract with those who read the ledger.
"""
import re
import sys

import sources

DOCUMENT = "docs/ledger.md"
_CHECKED = ("agent", "collector")
# The ways in which counters are listed: CounterValue{.name = "name", ...}, a visitor's or its
# helpers' call, and the rows of the kernel's table, {PT_..., "name", ...}. Each may break over lines.
_COUNTER = re.compile(
    r"(?:CounterValue\{|\b(?:visit|visitor|tally|count|bytes)\(|\{PT_)"
    r"(?:[^\";()]|CounterValue)*"
    r'"([a-z0-9_]+)"([^;]*?)(?:\)\s*;|\}\s*,|\}\s*\)\s*;)'
)
_LOSS = re.compile(r",\s*(\.is_loss\s*=\s*)?true\s*$")
# | `name` | what | loss |
_ROW = re.compile(r"^\| `([a-z0-9_]+)` \|.*\|\s*(loss)?\s*\|\s*$", re.MULTILINE)
_STRING = re.compile(r'"([a-z0-9_]+)"')


def counters(text):
    """Name -> whether it is a loss, of the counters that one source file defines."""
    return {name: bool(_LOSS.search(rest)) for name, rest in _COUNTER.findall(text)}


def documented(text):
    return {name: bool(loss) for name, loss in _ROW.findall(text)}


def check(document, texts):
    """Complaints about the document, given the texts of all sources."""
    rows = documented(document)
    complaints = []
    strings = set()
    for text in texts:
        strings.update(_STRING.findall(text))
        for name, is_loss in counters(text).items():
            if name not in rows:
                complaints.append(f"{DOCUMENT}: `{name}` is not listed")
            elif rows[name] != is_loss:
                complaints.append(f"{DOCUMENT}: `{name}`: loss is {is_loss} in the code")
    # Some names come out of tables, so any string of the code will do here.
    complaints += [f"{DOCUMENT}: `{name}` is in no source" for name in rows if name not in strings]
    return sorted(set(complaints))


def main():
    texts = [
        (sources.ROOT / path).read_text(encoding="utf-8")
        for path in sources.c_family()
        if path.parts[0] in _CHECKED
    ]
    complaints = check((sources.ROOT / DOCUMENT).read_text(encoding="utf-8"), texts)
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

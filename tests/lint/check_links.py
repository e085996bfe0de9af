#!/usr/bin/env python3
"""Links between pages of documentation lead somewhere: to a file, and to a heading of it."""
import os
import re
import sys

import sources

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
# Everything but letters, digits, hyphens and spaces goes when a heading becomes an anchor.
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


def anchors(text):
    """Those of a page's headings, as forges make them."""
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = _LINK.sub(lambda link: link[0][1:link[0].index("]")], heading)
        anchor = _NOT_IN_ANCHORS.sub("", words.lower()).replace(" ", "-")
        number = 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found


def check_page(path, text, read):
    """Complaints about one page; `read(path)` gives a page's text, "" of another file, None of none."""
    complaints = []
    for number, line in enumerate(_without_fences(text), 1):
        for target in _LINK.findall(_CODE.sub("", line)):
            if "://" in target or target.startswith("mailto:"):
                continue
            file, _, anchor = target.partition("#")
            there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            page = text if not file else read(there)
            if page is None:
                complaints.append(f"{path}:{number}: {target}: there is no {there}")
            elif anchor and anchor not in anchors(page):
                complaints.append(f"{path}:{number}: {target}: no heading of {there} is called so")
    return complaints


def _without_fences(text):
    """The lines, those of code blocks empty."""
    return _FENCE.sub(lambda block: "\n" * block[0].count("\n"), text).splitlines()


def _read(path):
    full = sources.ROOT / path
    if not full.exists():
        return None
    return full.read_text(encoding="utf-8") if path.endswith(".md") else ""


def main():
    complaints = []
    for path in sources.files():
        if path.suffix == ".md":
            complaints += check_page(str(path), _read(str(path)), _read)
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

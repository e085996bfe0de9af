"""README.md of the chart: its head, and a table of the values from the comments of values.yaml.

  python3 tests/chart/values_page.py --write     makes it anew
"""

import os
import re
import sys

import chart

_README = os.path.join(chart.CHART, "README.md")
_MARK = "## Values\n"


def rows():
    """(key, default, description) of each value that has a comment, or is no map of values."""
    with open(os.path.join(chart.CHART, "values.yaml"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    path, text, found = [], [], []
    for number, line in enumerate(lines):
        stripped = line.strip()
        depth = (len(line) - len(line.lstrip())) // 2
        if stripped.startswith("# -- "):
            text = [stripped[5:]]
        elif stripped.startswith("#"):
            if text:
                text.append(stripped[2:])
        elif key := re.match(r"([\w-]+): ?(.*)$", stripped):
            path = path[:depth] + [key[1]]
            below = lines[number + 1:number + 2]
            is_map = not key[2] and below and not below[0].lstrip().startswith("- ")
            if text or not is_map:
                default = key[2] or _flow(lines[number + 1:], line)
                if not _is_inside(found, path):
                    found.append((".".join(path), default, " ".join(text)))
            text = []
        else:
            text = []
    return found


def _is_inside(found, path):
    """Whether the value is part of one that is described as a whole."""
    return any(".".join(path).startswith(key + ".") for key, _, _ in found)


def _flow(below, line):
    """What lies deeper than the line, on one line."""
    indent = len(line) - len(line.lstrip())
    block = []
    for one in below:
        if one.strip() and len(one) - len(one.lstrip()) <= indent:
            break
        block.append(one)
    import json
    import yaml
    return json.dumps(yaml.safe_load("\n".join(block))).replace('"', "")


def page():
    with open(_README, encoding="utf-8") as file:
        head = file.read().split(_MARK)[0]
    table = ["| value | default | what |", "|---|---|---|"]
    table += [f"| `{key}` | `{default}` | {text.replace('|', chr(92) + '|')} |"
              for key, default, text in rows()]
    return head + _MARK + "\n".join(table) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    text = page()
    with open(_README, "w", encoding="utf-8") as file:
        file.write(text)

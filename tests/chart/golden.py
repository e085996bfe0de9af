"""What the chart makes of each case of values/, as text under golden/.

default.yaml is whole; of every other case golden/ holds how it differs from that.

  python3 tests/chart/golden.py --write     makes golden/ anew; read the difference before you commit it
"""

import difflib
import os
import sys

import chart

DIRECTORY = os.path.join(chart.HERE, "golden")


def path(case):
    return os.path.join(DIRECTORY, case + (".yaml" if case == "default" else ".diff"))


def render_all():
    """{case: text of its golden file}."""
    texts = {case: chart.without_secrets(chart.template("-f", chart.values_file(case)))
             for case in chart.CASES}
    default = texts["default"].splitlines(keepends=True)
    golden = {}
    for case, text in texts.items():
        if case == "default":
            golden[case] = text
        else:
            golden[case] = "".join(difflib.unified_diff(
                default, text.splitlines(keepends=True), "default", case, n=1))
    return golden


def write():
    os.makedirs(DIRECTORY, exist_ok=True)
    golden = render_all()
    wanted = {os.path.basename(path(case)) for case in golden}
    for stale in set(os.listdir(DIRECTORY)) - wanted:
        os.remove(os.path.join(DIRECTORY, stale))
    for case, text in golden.items():
        with open(path(case), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()

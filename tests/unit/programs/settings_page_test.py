"""docs/configuration.md lists the settings that --help lists, and no other.

`python3 settings_page_test.py --write` puts the tables of the built programs into the page.
"""
import os
import pathlib
import re
import subprocess
import sys
import unittest

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
BIN = os.environ.get("PODTAP_BIN", str(PAGE.parents[1] / "build" / "bin"))
COMMANDS = (("podtap-agent",), ("podtap-collector",), ("podtap", "observe"))
# No settings: they ask for something, or say where the settings are.
_LEFT_OUT = {"--help", "--version", "--config"}
_OPTION = re.compile(r"^  (?:-\w,)?(--[a-z0-9-]+)((?: \S+)*)(?:\s{2,}(\S.*))?$")


def help_text(command):
    return subprocess.run([os.path.join(BIN, command[0]), *command[1:], "--help"],
                          capture_output=True, text=True, timeout=20, check=True).stdout


def settings(text):
    """[flag, value, description] of the settings in a --help."""
    wanted = "Settings:" if "\nSettings:\n" in text else "Options:"
    group = None
    found = []
    for line in text.splitlines():
        if re.match(r"^[A-Z].*:$", line):
            group = line
        elif group == wanted and (match := _OPTION.match(line)):
            found.append([match[1], match[2].strip(), match[3] or ""])
        elif group == wanted and line.startswith("     ") and found:
            found[-1][2] += line.strip()
    return [row for row in found if row[0] not in _LEFT_OUT]


def table(command):
    lines = ["| flag | variable | what, and default |", "|---|---|---|"]
    for flag, value, description in settings(help_text(command)):
        spelled = f"{flag} {value}".strip().replace("|", "\\|")
        variable = "PODTAP_" + flag[2:].upper().replace("-", "_")
        lines.append(f"| `{spelled}` | `{variable}` | {description} |")
    return "\n".join(lines)


def written(page):
    """The page with the tables that belong in it, each behind its heading."""
    for command in COMMANDS:
        heading = re.escape(f"## `{' '.join(command)}`\n")
        page, count = re.subn(rf"({heading})(?:\|.*\n)*", lambda match, command=command:
                              match[1] + table(command) + "\n", page)
        assert count == 1, command
    return page


class SettingsPage(unittest.TestCase):
    def test_it_is_what_help_says(self):
        page = PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, written(page),
                         f"run: PODTAP_BIN={BIN} python3 {pathlib.Path(__file__).name} --write")

    def test_the_tables_hold_settings(self):
        for command in COMMANDS:
            self.assertIn("--log-level", [row[0] for row in settings(help_text(command))], command)

    def test_questions_are_no_settings(self):
        self.assertNotIn("--last", [row[0] for row in settings(help_text(("podtap", "observe")))])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        unittest.main(verbosity=2)

"""The completion scripts of the three programs, in the shells themselves."""
import os
import shutil
import subprocess
import unittest

BIN = os.environ["PODTAP_BIN"]
PROGRAMS = ("podtap", "podtap-agent", "podtap-collector")


def script(program, shell):
    return subprocess.run([os.path.join(BIN, program), "completion", shell], capture_output=True,
                          text=True, timeout=20, check=True).stdout


def complete(program, *words):
    """What bash offers for the last of `words`."""
    function = "_" + program.replace("-", "_")
    driver = (script(program, "bash") +
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); ' + function +
              '; printf "%s\\n" "${COMPREPLY[@]}"')
    result = subprocess.run(["bash", "--norc", "-c", driver, "bash", program, *words],
                            capture_output=True, text=True, timeout=20, check=True)
    assert result.stderr == "", result.stderr
    return [line for line in result.stdout.splitlines() if line]


class Bash(unittest.TestCase):
    def test_flags_commands_and_values(self):
        self.assertEqual(complete("podtap-agent", "--node"), ["--node-name"])
        self.assertEqual(complete("podtap-agent", "--output", ""), ["compact", "json"])
        self.assertEqual(complete("podtap-agent", "-o", "j"), ["json"])
        self.assertEqual(complete("podtap-agent", "--output", "=", "j"), ["json"])
        self.assertEqual(complete("podtap-agent", "--output", "="), ["compact", "json"])
        self.assertEqual(complete("podtap-agent", "--collector", ""), [])
        self.assertEqual(complete("podtap-collector", "--retention-"), ["--retention-bytes"])
        self.assertEqual(complete("podtap", ""), ["observe", "completion", "-h", "--help",
                                                  "--version"])
        self.assertEqual(complete("podtap", "observe", "--from-na"), ["--from-namespace"])
        self.assertEqual(complete("podtap", "--from-p"), [])
        self.assertEqual(complete("podtap", "observe", "--log-level", "d"), ["debug"])
        self.assertEqual(complete("podtap", "completion", "z"), ["zsh"])

    def test_files(self):
        for flag in ("--config", "--tls-ca"):
            self.assertIn("/etc/hosts", complete("podtap-agent", flag, "/etc/host"), flag)

    def test_every_flag_of_help_is_offered(self):
        for program, command in (("podtap", ["observe"]), ("podtap-agent", []),
                                 ("podtap-collector", [])):
            text = subprocess.run([os.path.join(BIN, program), *command, "--help"],
                                  capture_output=True, text=True, timeout=20, check=True).stdout
            flags = [word for line in text.splitlines() if line.startswith("  -")
                     for word in line.split()[0].split(",")]
            self.assertGreater(len(flags), 5)
            self.assertLessEqual(set(flags), set(complete(program, *command, "-")))


class OtherShells(unittest.TestCase):
    def test_scripts_parse(self):
        for shell in ("zsh", "fish"):
            if shutil.which(shell) is None:
                continue
            for program in PROGRAMS:
                with self.subTest(shell=shell, program=program):
                    subprocess.run([shell, "-n"], input=script(program, shell), text=True,
                                   timeout=20, check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)

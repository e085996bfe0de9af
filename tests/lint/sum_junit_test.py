#!/usr/bin/env python3
"""The sum that `make test` ends with counts what did not run as failed."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import sum_junit

CASES = {
    "passed": '<testcase name="passed" status="run"/>',
    "failed": '<testcase name="failed" status="fail"><failure message="no"/></testcase>',
    "skipped": '<testcase name="skipped" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>',
    "no_program": '<testcase name="x" status="notrun"><skipped message="Unable to find executable"/>'
    "</testcase>",
    "disabled": '<testcase name="disabled" status="disabled"/>',
}


class SumTest(unittest.TestCase):
    def sum(self, *files, ci=""):
        """(exit code, last line) for files that hold the named cases; None is a missing file."""
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, names in enumerate(files):
                path = pathlib.Path(folder, f"{number}.xml")
                if names is not None:
                    cases = "".join(CASES[name] for name in names)
                    path.write_text(f"<testsuite>{cases}</testsuite>", encoding="utf-8")
                paths.append(str(path))
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                code = sum_junit.main(paths, {"CI": ci})
            return code, output.getvalue().splitlines()[-1]

    def test_all_pass(self):
        self.assertEqual(self.sum(["passed", "passed"], ["passed"]), (0, "3 passed, 0 failed"))

    def test_one_fails(self):
        self.assertEqual(self.sum(["passed", "failed"], ["passed"]), (1, "2 passed, 1 failed"))

    def test_skipped_is_told(self):
        wanted = (0, "1 passed, 0 failed, 1 skipped")
        self.assertEqual(self.sum(["passed", "skipped"]), wanted)

    def test_skipped_fails_in_ci(self):
        wanted = (1, "1 passed, 1 failed")
        self.assertEqual(self.sum(["passed", "skipped"], ci="true"), wanted)

    def test_missing_program_fails(self):
        self.assertEqual(self.sum(["passed", "no_program"]), (1, "1 passed, 1 failed"))

    def test_disabled_fails(self):
        self.assertEqual(self.sum(["passed", "disabled"]), (1, "1 passed, 1 failed"))

    def test_no_tests_fails(self):
        self.assertEqual(self.sum(["passed"], []), (1, "1 passed, 1 failed"))

    def test_missing_file_fails(self):
        self.assertEqual(self.sum(["passed"], None), (1, "1 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""The checks of this folder find what they are for: bad samples, and good ones beside them."""
import pathlib
import re
import unittest

import check_files
import check_layers
import check_ledger
import check_links
import check_tidy
import sources


def layers(path, *includes):
    text = "// What.\n#pragma once\n" + "".join(f"#include {target}\n" for target in includes)
    return check_layers.check_file(pathlib.PurePosixPath(path), text)


class LayersTest(unittest.TestCase):
    def assert_allowed(self, path, *includes):
        self.assertEqual(layers(path, *includes), [])

    def assert_refused(self, path, include, what="may not include"):
        complaints = layers(path, include)
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn(what, complaints[0])
        self.assertTrue(complaints[0].startswith(f"{path}:3: "), complaints[0])

    def test_every_folder_of_the_tree_is_in_the_table(self):
        for path in sources.c_family():
            if path.parts[0] not in check_layers.UNCHECKED:
                self.assertIsNotNone(check_layers.layer_of(path), path)

    def test_own_folder_and_common(self):
        self.assert_allowed(
            "agent/http/parser.h", '"agent/http/message.h"', '"common/text.h"', "<string>"
        )

    def test_value_header_of_the_stage_before(self):
        self.assert_allowed("agent/pairing/pairer.h", '"agent/http/message.h"')

    def test_another_header_of_the_stage_before(self):
        self.assert_refused("agent/pairing/pairer.h", '"agent/http/parser.h"')

    def test_later_stage(self):
        self.assert_refused("agent/http/parser.cc", '"agent/pairing/exchange.h"')
        self.assert_refused("agent/capture/tap.cc", '"agent/exporter/log.h"')

    def test_angle_brackets_do_not_hide_an_edge(self):
        self.assert_refused("agent/http/parser.cc", "<agent/pairing/exchange.h>")

    def test_common_is_a_leaf(self):
        self.assert_refused("common/text.cc", '"agent/http/message.h"')

    def test_stage_may_not_see_the_composition_root(self):
        self.assert_refused("agent/capture/tap.cc", '"agent/pipeline.h"')

    def test_composition_root_sees_the_stages(self):
        self.assert_allowed(
            "agent/agent.cc", '"agent/http/parser.h"', '"agent/exporter/log.h"', '"agent/agent.h"'
        )

    def test_programs_do_not_see_each_other(self):
        self.assert_refused("cli/main.cc", '"collector/store/store.h"')
        self.assert_refused("collector/main.cc", '"agent/pipeline.h"')
        self.assert_refused("agent/agent.cc", '"collector/store/store.h"')

    def test_store_knows_neither_ingest_nor_query(self):
        self.assert_refused("collector/store/store.cc", '"collector/query/filter.h"')

    def test_record_layout_is_captures_alone(self):
        self.assert_allowed("agent/capture/ring.cc", '"bpf/capture_abi.h"')
        self.assert_refused("agent/reassembly/stream.cc", '"bpf/capture_abi.h"')

    def test_kernel_side_sees_only_itself(self):
        self.assert_allowed("bpf/capture.bpf.c", '"capture_abi.h"', "<bpf/bpf_helpers.h>")
        self.assert_refused("bpf/capture.bpf.c", '"common/text.h"')

    def test_pure_stages(self):
        for target in ("<chrono>", "<thread>", "<iostream>", "<unistd.h>", "<sys/socket.h>",
                       '"spdlog/spdlog.h"', '"common/log.h"', '"common/clock.h"'):
            with self.subTest(target=target):
                self.assert_refused("agent/http/parser.cc", target, "is pure")
        self.assert_allowed("agent/exporter/log.cc", "<chrono>", "<thread>", '"common/log.h"')

    def test_confined_libraries(self):
        self.assert_allowed("agent/discovery/rtnl.cc", "<netlink/netlink.h>")
        self.assert_refused("agent/capture/tap.cc", "<netlink/netlink.h>", "only agent/discovery")
        self.assert_refused("agent/agent.cc", '"capture.skel.h"', "only agent/capture")

    def test_second_includer_of_the_skeleton(self):
        texts = [
            (pathlib.PurePosixPath(f"agent/capture/{name}"), '#include "capture.skel.h"\n')
            for name in ("program.cc", "tap.cc")
        ]
        self.assertEqual(check_layers.check_tree(texts[:1]), [])
        complaints = check_layers.check_tree(texts)
        self.assertEqual(len(complaints), 1)
        self.assertIn("agent/capture/tap.cc", complaints[0])

    def test_path_from_the_root(self):
        self.assert_refused("agent/http/parser.cc", '"message.h"', "from the root")

    def test_unknown_folder(self):
        complaints = layers("agent/newstage/a.h")
        self.assertIn("not in the table", complaints[0])

    def test_tests_are_not_checked(self):
        self.assert_allowed("tests/unit/http/a_test.cc", '"agent/exporter/log.h"', "<thread>")


class FilesTest(unittest.TestCase):
    GOOD_HEADER = "// What it is.\n#pragma once\n"

    def check(self, path, text):
        return check_files.check_text(pathlib.PurePosixPath(path), text)

    def test_good(self):
        self.assertEqual(self.check("common/a.h", self.GOOD_HEADER), [])
        self.assertEqual(self.check("common/a.cc", "int a;\n" * check_files.MAX_LINES), [])

    def test_too_long(self):
        text = "int a;\n" * (check_files.MAX_LINES + 1)
        self.assertIn("more than", self.check("common/a.cc", text)[0])
        self.assertIn("more than", self.check("scripts/a.py", text)[0])

    def test_header_without_comment(self):
        self.assertIn("comment", self.check("common/a.h", "#pragma once\n")[0])

    def test_header_without_guard(self):
        self.assertIn("#pragma once", self.check("common/a.h", "// What.\nint a;\n")[0])

    def test_kernel_header_guard_and_licence_line(self):
        text = "/* SPDX-License-Identifier: GPL-2.0 */\n/* What. */\n#ifndef A_H\n#define A_H\n#endif\n"
        self.assertEqual(self.check("bpf/a.bpf.h", text), [])

    def test_views(self):
        self.assertIn("std::views", self.check("common/a.cc", "auto x = std::views::all;\n")[0])
        self.assertIn("std::views", self.check("common/a.cc", "std::ranges::views::all\n")[0])
        self.assertEqual(self.check("common/a.cc", "// no std::views here\n"), [])

    def test_format_header(self):
        self.assertIn("<format>", self.check("common/a.cc", "#include <format>\n")[0])


class LedgerTest(unittest.TestCase):
    CODE = (
        'visit(CounterValue{.name = "heads", .count = heads});\n'
        'visit(CounterValue{.name = "gaps",\n .count = gaps, .is_loss = true});\n'
        'visit(CounterValue{"torn", torn_, 0, true});\n'
        'visitor("odd", odd.load(), true);\n'
        'tally("late", late);\n'
        '{PT_COUNT_RING_FULL, "full", true},\n'
    )
    DOCUMENT = (
        "| `heads` | in | |\n| `gaps` | holes | loss |\n| `torn` | records | loss |\n"
        "| `odd` | odd | loss |\n| `late` | late | |\n| `full` | ring | loss |\n"
    )

    def test_good(self):
        self.assertEqual(check_ledger.check(self.DOCUMENT, [self.CODE]), [])

    def test_missing_row(self):
        complaints = check_ledger.check(self.DOCUMENT.replace("heads", "tails"), [self.CODE])
        self.assertEqual(len(complaints), 2)
        self.assertIn("`heads` is not listed", complaints[0])
        self.assertIn("`tails` is in no source", complaints[1])

    def test_loss_mark(self):
        for name in ("gaps", "torn", "odd", "full"):
            document = re.sub(rf"(`{name}`.*)loss", r"\1", self.DOCUMENT)
            complaints = check_ledger.check(document, [self.CODE])
            self.assertEqual(complaints, [f"docs/ledger.md: `{name}`: loss is True in the code"])

    def test_names_out_of_tables(self):
        document = self.DOCUMENT + "| `ring_full` | refused | loss |\n"
        code = self.CODE + 'constexpr const char* kNames[] = {"ring_full"};\n'
        self.assertEqual(check_ledger.check(document, [code]), [])


class LinksTest(unittest.TestCase):
    PAGES = {
        "docs/b.md": "# B\n## What `x` is, in short\n## Twice\n## Twice\n```\n# no heading\n```\n",
        "LICENSE": "",
        "docs": "",
    }

    def complaints(self, text):
        return check_links.check_page("docs/a.md", text, self.PAGES.get)

    def test_good(self):
        self.assertEqual(self.complaints("[b](b.md) [l](../LICENSE) [own](#mine)\n# Mine\n"), [])
        self.assertEqual(self.complaints("[x](b.md#what-x-is-in-short) [y](b.md#twice-1)"), [])
        self.assertEqual(self.complaints("[web](https://example.com/x) `[no](link.md)`"), [])
        self.assertEqual(self.complaints("```\n[no](link.md)\n```\n[folder](../docs)"), [])

    def test_no_file(self):
        self.assertEqual(
            self.complaints("\n```\n\n```\n[c](c.md)"),
            ["docs/a.md:5: c.md: there is no docs/c.md"],
        )

    def test_no_heading(self):
        self.assertEqual(len(self.complaints("[b](b.md#no-heading)")), 1)
        self.assertEqual(len(self.complaints("[own](#yours)\n# Mine\n")), 1)


class TidyChoiceTest(unittest.TestCase):
    UNITS = {f"agent/http/unit{number}.cc" for number in range(200)}

    def test_everything_without_history(self):
        self.assertEqual(check_tidy.choose(self.UNITS, None, ""), sorted(self.UNITS))

    def test_changed_units_are_always_chosen(self):
        changed = {"agent/http/unit7.cc", "agent/http/unit8.cc", "README.md"}
        for commit in ("a", "b", "c"):
            chosen = check_tidy.choose(self.UNITS, changed, commit)
            self.assertIn("agent/http/unit7.cc", chosen)
            self.assertIn("agent/http/unit8.cc", chosen)

    def test_share_is_small_and_goes_round(self):
        seen = set()
        for commit in range(60):
            chosen = check_tidy.choose(self.UNITS, set(), str(commit))
            self.assertLess(len(chosen), len(self.UNITS) / 2)
            seen.update(chosen)
        self.assertEqual(seen, self.UNITS)


if __name__ == "__main__":
    unittest.main()

"""Every measurement once, with small numbers: that it works, not what it shows."""

import unittest

import rows
import bench_fleet
from result import Row

setUpModule = bench_fleet.fleet.need_root

SMALL = rows.Settings(runs=1, seconds=1, taps=5, connections=50, idle_seconds=1, samples=5,
                      rates=(100,))


class Smoke(unittest.TestCase):
    def test_every_row(self):
        for name, measure in rows.ALL.items():
            with self.subTest(name):
                results = measure(SMALL)
                bounded = [row for row in results if isinstance(row, Row)]
                self.assertTrue(bounded)
                for row in bounded:
                    self.assertIsNotNone(row.now, row)
                    self.assertGreater(row.now, 0, row)
                if name == "stored":
                    self.assertEqual((bounded[0].now, bounded[0].note), (1, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)

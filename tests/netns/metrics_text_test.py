"""The reader of metrics refuses what is not the format."""

import unittest

import metrics_text

GOOD = """# HELP a_total What a is.
# TYPE a_total counter
a_total{x="q\\"b\\\\n\\nend",y="1"} 3
a_total 4
# HELP h_seconds H.
# TYPE h_seconds histogram
h_seconds_count 3
h_seconds_sum 1.5
h_seconds_bucket{le="0.1"} 1
h_seconds_bucket{le="+Inf"} 3
"""


class MetricsText(unittest.TestCase):
    def test_reads(self):
        families = metrics_text.parse(GOOD)
        self.assertEqual(families["a_total"].value(x='q"b\\n\nend', y="1"), 3)
        self.assertEqual(families["a_total"].total(), 7)
        self.assertEqual(families["h_seconds"].value("_count"), 3)
        self.assertEqual(families["h_seconds"].label_names(), set())

    def test_refuses(self):
        for old, new in (('y="1"', 'y="1'), ('y="1"', 'x="1"'), ('\\"b', '"b'), ("\\\\n", "\\t"),
                         ("a_total 4", "b_total 4"), ("a_total 4", "a_total four"),
                         ("a_total 4", 'a_total{y="1",x="q\\"b\\\\n\\nend"} 4'),
                         ("a_total counter", "a_total gauge"), ("# TYPE a_total counter\n", ""),
                         ('le="0.1"} 1', 'le="0.1"} 4'), ('"+Inf"} 3', '"+Inf"} 2'),
                         ("h_seconds_sum 1.5\n", ""), ('h_seconds_bucket{le="+Inf"} 3\n', ""),
                         (" H.", " "), ("a_total 4\n", "\n")):
            self.assertIn(old, GOOD)
            with self.assertRaises((ValueError, KeyError), msg=(old, new)):
                metrics_text.parse(GOOD.replace(old, new))


if __name__ == "__main__":
    unittest.main(verbosity=2)

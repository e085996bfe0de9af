"""Alerts and dashboards: what they ask for is there, and they say what they should."""

import glob
import json
import os
import re
import tempfile
import unittest

import yaml

import chart

ALERTS = os.path.join(chart.CHART, "alerts", "podtap.yaml")
DASHBOARDS = sorted(glob.glob(os.path.join(chart.CHART, "dashboards", "*.json")))


def promtool(*arguments):
    return chart.run("promtool", *arguments)


def metrics_that_exist():
    """Names that Prometheus knows, from docs/metrics.md, which is held against the programs."""
    names = set()
    with open(os.path.join(chart.ROOT, "docs", "metrics.md"), encoding="utf-8") as file:
        for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", file.read(), re.MULTILINE):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names.update(name + part for part in parts)
    return names


def metrics_of(expression):
    """The metrics that it asks for: what is neither a label nor a function."""
    outside = re.sub(r"\{[^}]*\}|\b(?:by|on) *\([^)]*\)", "", expression)
    return set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b(?! *\()", outside)) - {"group_left"}


def dashboard_queries():
    """(where, expression) of each query, with the dashboards' variables filled in."""
    for path in DASHBOARDS:
        with open(path, encoding="utf-8") as file:
            dashboard = json.load(file)
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "5m")
                yield f"{dashboard['title']}: {panel['title']}", re.sub(r"\$\w+", ".*", expression)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                inside = re.fullmatch(r"label_values\((.*), *\w+\)", variable["query"])[1]
                yield f"{dashboard['title']}: {variable['name']}", re.sub(r"\$\w+", ".*", inside)


class Alerts(unittest.TestCase):
    def test_rules_are_sound(self):
        code, said = promtool("check", "rules", "--lint-fatal", ALERTS)
        self.assertEqual(code, 0, said)

    def test_alerts_fire_when_they_should(self):
        code, said = promtool("test", "rules", os.path.join(chart.HERE, "alerts.test.yaml"))
        self.assertEqual(code, 0, said)

    def test_each_alert_is_tried(self):
        with open(ALERTS, encoding="utf-8") as file:
            alerts = {rule["alert"] for group in yaml.safe_load(file)["groups"]
                      for rule in group["rules"]}
        with open(os.path.join(chart.HERE, "alerts.test.yaml"), encoding="utf-8") as file:
            tried = {case["alertname"] for test in yaml.safe_load(file)["tests"]
                     for case in test["alert_rule_test"] if case.get("exp_alerts")}
        self.assertEqual(alerts, tried)

    def test_metrics_exist(self):
        with open(ALERTS, encoding="utf-8") as file:
            for group in yaml.safe_load(file)["groups"]:
                for rule in group["rules"]:
                    with self.subTest(alert=rule["alert"]):
                        names = metrics_of(rule["expr"])
                        self.assertTrue(names)
                        self.assertEqual(names - metrics_that_exist(), set())

    def test_the_chart_makes_these_rules(self):
        with open(ALERTS, encoding="utf-8") as file:
            alerts = yaml.safe_load(file)
        [rule] = [m for m in chart.objects(chart.template("-f", chart.values_file("monitoring")))
                  if m["kind"] == "PrometheusRule"]
        self.assertEqual(rule["spec"], alerts)


class Dashboards(unittest.TestCase):
    def test_queries_parse_and_name_metrics_that_exist(self):
        queries = list(dashboard_queries())
        self.assertGreater(len(queries), 20)
        exist = metrics_that_exist()
        for where, expression in queries:
            with self.subTest(query=where):
                names = metrics_of(expression)
                self.assertTrue(names)
                self.assertEqual(names - exist, set())
        rules = {"groups": [{"name": "queries", "rules": [
            {"record": f"query:{number}", "expr": expression}
            for number, (_, expression) in enumerate(queries)]}]}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(rules, file)
            file.flush()
            code, said = promtool("check", "rules", file.name)
        self.assertEqual(code, 0, said)

    def test_panels_have_ids_and_places_of_their_own(self):
        for path in DASHBOARDS:
            with self.subTest(dashboard=os.path.basename(path)):
                with open(path, encoding="utf-8") as file:
                    panels = json.load(file)["panels"]
                self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
                taken = set()
                for panel in panels:
                    place = panel["gridPos"]
                    cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                             for y in range(place["y"], place["y"] + place["h"])}
                    self.assertFalse(cells & taken, panel["title"])
                    self.assertLessEqual(place["x"] + place["w"], 24)
                    taken |= cells

    def test_the_chart_makes_them(self):
        [made] = [m for m in chart.objects(chart.template("-f", chart.values_file("monitoring")))
                  if m["metadata"]["name"] == "podtap-dashboards"]
        self.assertEqual(sorted(made["data"]), [os.path.basename(path) for path in DASHBOARDS])
        for path in DASHBOARDS:
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.loads(made["data"][os.path.basename(path)]), json.load(file))


if __name__ == "__main__":
    unittest.main()

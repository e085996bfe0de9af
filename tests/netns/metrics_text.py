"""Strict reading of Prometheus's text format: what /metrics says, or why it can't be read."""

import math
import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|(?=\}))')
_ESCAPE = re.compile(r"\\(.)")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


class Family:
    def __init__(self, name, help_text):
        self.name = name
        self.help = help_text
        self.type = None
        # {(suffix, ((label, value), ...)): number}, labels sorted.
        self.samples = {}

    def label_names(self):
        return {label for _, labels in self.samples for label, _ in labels} - (
            {"le"} if self.type == "histogram" else set())

    def series(self, suffix=""):
        """[(labels as a dict, number)]."""
        return [(dict(labels), number) for (kind, labels), number in self.samples.items()
                if kind == suffix]

    def value(self, suffix="", **labels):
        """The one sample with these labels."""
        return self.samples[(suffix, tuple(sorted(labels.items())))]

    def total(self, suffix="", **labels):
        return sum(number for given, number in self.series(suffix)
                   if labels.items() <= given.items())


def _labels(line, text):
    labels = []
    place = 0
    while place < len(text) - 1:
        match = _LABEL.match(text, place)
        if not match:
            raise ValueError(f"bad labels: {line!r}")
        value = _ESCAPE.sub(lambda escape: {"n": "\n"}.get(escape[1], escape[1]), match[2])
        labels.append((match[1], value))
        place = match.end()
    if len({label for label, _ in labels}) != len(labels):
        raise ValueError(f"a label twice: {line!r}")
    return tuple(sorted(labels))


def _check_histogram(family):
    by_series = {}
    for labels, number in family.series("_bucket"):
        bound = float(labels.pop("le").replace("+Inf", "inf"))
        by_series.setdefault(tuple(sorted(labels.items())), []).append((bound, number))
    for labels, buckets in by_series.items():
        counts = [number for _, number in sorted(buckets)]
        if counts != sorted(counts) or max(bound for bound, _ in buckets) != math.inf:
            raise ValueError(f"{family.name}: buckets of {labels} are not cumulative up to +Inf")
        if counts[-1] != family.samples[("_count", labels)]:
            raise ValueError(f"{family.name}: count of {labels} is not that of +Inf")
        if ("_sum", labels) not in family.samples:
            raise ValueError(f"{family.name}: no sum of {labels}")


def parse(text):
    """{name: Family}. ValueError for anything that is not exactly the format."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    families = {}
    family = None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, help_text = line.split(" ", 3)
            if name in families or not _NAME.fullmatch(name) or not help_text:
                raise ValueError(f"bad help: {line!r}")
            family = families[name] = Family(name, help_text)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if family is None or name != family.name or family.type:
                raise ValueError(f"type without help: {line!r}")
            family.type = kind
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)", line)
        if not match or family is None or not family.type:
            raise ValueError(f"bad line: {line!r}")
        suffix = match[1].removeprefix(family.name)
        if suffix not in _SUFFIXES.get(family.type, ("",)):
            raise ValueError(f"sample outside its family: {line!r}")
        key = (suffix, _labels(line, match[2][1:] if match[2] else ""))
        if key in family.samples:
            raise ValueError(f"series twice: {line!r}")
        family.samples[key] = float(match[3])
    for family in families.values():
        if (family.type == "counter") != family.name.endswith("_total"):
            raise ValueError(f"{family.name} is a {family.type}")
        if family.type == "histogram":
            _check_histogram(family)
    return families

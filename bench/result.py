"""Rows of the table: what is measured, what it must be, what it is."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Row:
    """A budget. `now` is None when the measurement failed; then `note` says why."""
    what: str
    must: float
    aim: float
    now: float
    # How numbers are printed, e.g. "{:.2f} µs".
    form: str = "{:.2f}"
    more_is_better: bool = False
    # What a reader has to know about this figure.
    note: str = ""

    def meets(self, bound):
        if self.now is None:
            return False
        return self.now >= bound if self.more_is_better else self.now <= bound

    @property
    def verdict(self):
        if self.meets(self.aim):
            return "aim met"
        return "must met" if self.meets(self.must) else "MISSED"

    def cells(self):
        now = "failed" if self.now is None else self.form.format(self.now)
        return [self.what, self.form.format(self.must), self.form.format(self.aim), now,
                self.verdict]

    def as_json(self):
        return {**dataclasses.asdict(self), "verdict": self.verdict}


@dataclasses.dataclass(frozen=True)
class Context:
    """A figure that helps to read the rows and has no bound."""
    what: str
    now: str

    def as_json(self):
        return dataclasses.asdict(self)


def ratios(samples, base):
    """Of two lists of one run, sample by sample: the median of the quotients."""
    return statistics.median(sample / other for sample, other in zip(samples, base))


def table(header, lines):
    """A Markdown table whose columns line up."""
    lines = [header, *lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"
            for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def markdown(results):
    """The tables of docs/performance.md."""
    rows = [result for result in results if isinstance(result, Row)]
    beside = [result for result in results if isinstance(result, Context)]
    text = table(["what", "must", "aim", "now", "verdict"], [row.cells() for row in rows])
    notes = [f"- {row.what}: {row.note}" for row in rows if row.note]
    if notes:
        text += "\n\n" + "\n".join(notes)
    if beside:
        text += "\n\nBeside them, from the same run:\n\n"
        text += table(["what", "now"], [[result.what, result.now] for result in beside])
    return text

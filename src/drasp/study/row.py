"""What is known of one model of a study: a row of `results.csv`."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from drasp.core.records import from_json

GENERALISES = 0.9
"""A model generalises if it is right on so many sequences of the longest band; it was trained on the shortest."""


@dataclass(frozen=True)
class Row:
    """One model: a cell of the grid, or a checkpoint of one. What was not measured, or does not apply, is None.

    Attributes:
        cell: the folder of its cell. steps_run: of its training. checkpoint: whether it was not yet trained to the end.
        crasp: whether the literature knows a C-RASP program of the task, for models with its position embedding.
        accuracy_...: share of sequences of a length band on which the model is right. `generalises`: at 101-150 on .9 of them.
        weight_norm: the root of the sum of all squared weights. margin: by how much the model decides, at the scored position of a sequence
            of length 0-50 where it does so most closely, the mean over sequences.
        verdict, ..., match: of the program of the run; match is that of the worst length band, `match_low` the lower end of its interval.
        symbolic_...: of the program of its frontier in symbols alone that matches best, if any is short.
        smallest_...: of the program with the fewest statements that matches as was asked.
        algorithm: a digest of the program of the run but for its numbers, if it is in symbols: the same algorithm, the same digest.
        short_verdict, ...: of the program found with sequences of lengths 0-50 alone, where that was asked; `predicted_...`: on how many
            longer sequences it is right, so many will the model be right on.
        fails, fails_predicted: of the longer sequences how many the model gets wrong, and how many of these the program of short ones;
            rights, rights_predicted: the same of those that the model gets right. fails_longer, rights_longer: how many of each a trivial
            guess calls right, which takes the longer half for failures.
        seconds, memory_mb: of the process that did it, for records alone.
        error: why there is no more.
    """

    cell: str
    task: str
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    norm: str | None = None
    position: str | None = None
    activation: str | None = None
    dropout: float | None = None
    learning_rate: float | None = None
    steps: int | None = None
    seed: int | None = None
    checkpoint: bool = False
    steps_run: int | None = None
    crasp: bool | None = None
    accuracy_0_50: float | None = None
    accuracy_51_100: float | None = None
    accuracy_101_150: float | None = None
    weight_norm: float | None = None
    margin: float | None = None
    verdict: str | None = None
    statements: int | None = None
    opaque: int | None = None
    numbers: int | None = None
    match: float | None = None
    match_low: float | None = None
    symbolic_statements: int | None = None
    symbolic_numbers: int | None = None
    symbolic_match: float | None = None
    smallest_statements: int | None = None
    smallest_opaque: int | None = None
    smallest_match: float | None = None
    algorithm: str | None = None
    short_verdict: str | None = None
    short_statements: int | None = None
    predicted_51_100: float | None = None
    predicted_101_150: float | None = None
    fails: int | None = None
    fails_predicted: int | None = None
    fails_longer: int | None = None
    rights: int | None = None
    rights_predicted: int | None = None
    rights_longer: int | None = None
    error: str | None = None
    seconds: float | None = None
    memory_mb: float | None = None

    @property
    def generalises(self) -> bool | None:
        return None if self.accuracy_101_150 is None else self.accuracy_101_150 >= GENERALISES

    @property
    def learned(self) -> bool:
        """Whether it is right on as many sequences of the shortest band."""
        return self.accuracy_0_50 is not None and self.accuracy_0_50 >= GENERALISES

    @property
    def has_program(self) -> bool:
        """Whether there is a short program in symbols for it."""
        return self.verdict is not None and self.verdict.split()[0] in ("decompiled", "imitated")


VARYING = ("seconds", "memory_mb")
"""The columns that differ from run to run."""
_COLUMNS = [f.name for f in fields(Row)]
COLUMNS = (*_COLUMNS[: _COLUMNS.index("weight_norm")], "generalises", *_COLUMNS[_COLUMNS.index("weight_norm") :])


def table(rows: Iterable[Row]) -> str:
    """`results.csv`: what is None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = (getattr(row, column) for column in COLUMNS)
        writer.writerow(["" if value is None else value for value in values])
    return text.getvalue()


def read_table(text: str) -> tuple[Row, ...]:
    """The rows of a `results.csv`. Raises ValueError where it is none."""
    hints = get_type_hints(Row)
    rows = []
    for held in csv.DictReader(io.StringIO(text)):
        values = {key: _value(hints[key], value) for key, value in held.items() if key != "generalises" and value != ""}
        rows.append(Row(**values))
    return tuple(rows)


def _value(hint: Any, text: str) -> Any:
    kind = next((kind for kind in (bool, int, float) if hint == kind or hint == kind | None), str)
    return text == "True" if kind is bool else kind(text)


def rows_from_json(data: Any) -> tuple[Row, ...]:
    """Raises Damaged where these are no rows."""
    found: tuple[Row, ...] = from_json(tuple[Row, ...], data)
    return found

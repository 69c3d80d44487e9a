"""What may follow where a program counts: a table of dots, a row for each output, a column for each value of the counter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.program import Header
from drasp.view.pictures.drawing import LETTER, Place, picture, text
from drasp.view.words.claims import MayFollow, Sentence, Within
from drasp.view.words.conditions import Constant, Tally
from drasp.view.words.wording import Coefficients, Wording

ACROSS, DOWN, RADIUS = 32.0, 24.0, 6.0  # pixels: from column to column, from row to row, of a dot
BEYOND = 2
"""Values that are shown beyond the last at which something changes."""
MOST_ROWS, MOST_COLUMNS = 24, 24


@dataclass(frozen=True)
class Counter:
    """What may follow by the value of one sum of counts.

    Attributes:
        values: that are shown, from the least on; if `ends`, there are no others on the task's sequences.
        rows: each called something, with those of the values at which it may follow.
    """

    name: str
    values: range
    ends: bool
    rows: tuple[tuple[str, frozenset[int]], ...]


def counter_of(header: Header, sentences: Sequence[Sentence]) -> Counter | None:
    """What the algorithm says of what may follow, where that hangs on one sum of counts, and on the current token at the most."""
    claims = [claim for sentence in sentences for claim in sentence.claims]
    rules = [claim for claim in claims if isinstance(claim, MayFollow)]
    counted = {rule.condition.coefficients for rule in rules if isinstance(rule.condition, Tally)}
    if len(counted) != 1 or not all(isinstance(rule.condition, Tally | Constant) for rule in rules) or len(rules) > MOST_ROWS:
        return None
    (coefficients,) = counted
    values, ends = _values(coefficients, rules, [claim for claim in claims if isinstance(claim, Within)])
    words = Wording(header)
    rows = tuple((_called(rule, words), _allowed(rule, values)) for rule in rules)
    return Counter(words.in_full(coefficients), values, ends, rows) if len(values) <= MOST_COLUMNS else None


def _values(counted: Coefficients, rules: Sequence[MayFollow], within: Sequence[Within]) -> tuple[range, bool]:
    """All that there are, where that is known; else those at which something changes, and some beyond."""
    for claim in within:
        if claim.coefficients == counted:
            return range(claim.lowest, claim.highest + 1), True
    numbers = [rule.condition.number for rule in rules if isinstance(rule.condition, Tally)]
    least = 0 if all(factor > 0 for _, factor in counted) else min(numbers) - BEYOND
    return range(least, max(numbers) + BEYOND + 1), False


def _allowed(rule: MayFollow, values: range) -> frozenset[int]:
    """The values at which its output may follow."""
    if isinstance(rule.condition, Tally):
        met = rule.condition.met_by(np.array(values))
        return frozenset(value for value, yes in zip(values, met, strict=True) if yes)
    assert isinstance(rule.condition, Constant)
    return frozenset(values if rule.condition.value else ())


def _called(rule: MayFollow, words: Wording) -> str:
    output = words.output(rule.output).strip("`")
    return output if rule.after is None else f"{output} after {words.any_of(rule.after)}".replace("`", "")


def counter_picture(counter: Counter) -> str:
    """The SVG: a filled dot where an output may follow, an empty one where it may not."""
    wide = LETTER * max(len(name) for name, _ in counter.rows) + ACROSS
    columns = {value: wide + ACROSS * i for i, value in enumerate(counter.values)}
    parts = [text(Place(x, DOWN / 2), _label(counter, value)) for value, x in columns.items()]
    for row, (name, allowed) in enumerate(counter.rows, 1):
        parts.append(text(Place((wide - ACROSS) / 2, DOWN * (row + 0.5)), name))
        for value, x in columns.items():
            fill = ' fill="currentColor"' if value in allowed else ""
            parts.append(f'<circle cx="{x:.1f}" cy="{DOWN * (row + 0.5):.1f}" r="{RADIUS:.1f}"{fill}/>')
    return picture(parts, wide + ACROSS * (len(columns) - 0.5), DOWN * (len(counter.rows) + 1), said(counter))


def _label(counter: Counter, value: int) -> str:
    """A value; at the ends those beyond it too, where there are such."""
    if counter.ends or value not in (counter.values[0], counter.values[-1]) or (value == 0 == counter.values[0]):
        return str(value)
    return f"≤{value}" if value == counter.values[0] else f"≥{value}"


def said(counter: Counter) -> str:
    """The table as a sentence a row."""
    rows = (f"{name} may follow at {', '.join(_label(counter, v) for v in sorted(allowed)) or 'none'}" for name, allowed in counter.rows)
    return f"By {counter.name}: {'; '.join(rows)}."

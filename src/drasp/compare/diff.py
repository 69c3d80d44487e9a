"""Comparing two programs: the record that users get, and its text."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from drasp.compare.behaviour import Compared, Shown, compared
from drasp.compare.lines import Ground
from drasp.compare.matching import Matching, matching
from drasp.compare.terms import MOST_ENTRIES
from drasp.errors import DraspError
from drasp.ir.labels import label_text
from drasp.ir.nodes import Bilinear
from drasp.ir.operators import Dense
from drasp.ir.program import Program, alive, sides
from drasp.lang.folder import load_program
from drasp.lang.printer import statement_text
from drasp.search.record import load_evidence
from drasp.tasks.protocol import Task, outputs
from drasp.tasks.registry import known_task
from drasp.tasks.user import load_task

WIDTH = 80
BEFORE = 20  # characters shown before two long lines begin to differ
MOST_SAME, MOST_DIFFERENT, MOST_TOKENS = 4, 8, 16  # how many lines of a kind, and tokens of an input, the text shows


@dataclass(frozen=True, eq=False)
class Difference:
    """Two programs compared; as text it is what `drasp diff` prints.

    Attributes:
        a, b: the programs.
        lines: which lines of A and B are the same, and which are not.
        compared: the inputs on which both were run, by kind; none where `lines.equal`.
        task: the name of the task whose sequences are among them, if any.
    """

    a: Program
    b: Program
    lines: Matching
    compared: tuple[Compared, ...]
    task: str | None = None

    @property
    def shortest(self) -> Shown | None:
        """The shortest input found on which the predictions differ; None where none was found."""
        found = [its.shortest for its in self.compared if its.shortest is not None]
        return min(found, key=lambda shown: len(shown.tokens)) if found else None

    @property
    def alike(self) -> bool:
        """Whether the predictions are the same, as far as was seen."""
        return self.shortest is None

    def __str__(self) -> str:
        return "\n".join([self._summary(), *self._lines(), *self._behaviour()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f'<pre style="white-space:pre-wrap">{escape(str(self))}</pre>'

    def _summary(self) -> str:
        if self.lines.equal:
            return "A and B are the same up to names, order and gauge: they predict the same."
        counts = [
            ("the same", self.lines.same),
            ("changed", self.lines.changed),
            ("only in A", self.lines.only_a),
            ("only in B", self.lines.only_b),
        ]
        said = ", ".join(f"{len(its)} {what}" for what, its in counts if its)
        return f"Lines: {said}; {'no input shows a difference' if self.alike else 'A and B predict differently'}."

    def _lines(self) -> Iterator[str]:
        texts_a, texts_b = ({s.name: statement_text(s, its.header) for s in its.statements} for its in (self.a, self.b))
        for x, y in self.lines.same[:MOST_SAME]:
            yield _cut(f"= {x} / {y}: {texts_a[x].partition(' = ')[2]}")
        yield from _more(len(self.lines.same) - MOST_SAME, "= and {} more")
        pairs = [line for x, y in self.lines.changed for line in _changed(texts_a[x], texts_b[y])]
        pairs += [f"- {texts_a[x]}" for x in self.lines.only_a] + [f"+ {texts_b[y]}" for y in self.lines.only_b]
        yield from map(_cut, pairs[:MOST_DIFFERENT])
        yield from _more(len(pairs) - MOST_DIFFERENT, "  and {} more lines that differ")
        for name, its in (("A", self.lines.otherwise_a), ("B", self.lines.otherwise_b)):
            if its:
                yield _cut(f"~ written otherwise in {name}, with the same effect: {', '.join(its)}")

    def _behaviour(self) -> Iterator[str]:
        for its in self.compared:
            count = f"all {its.inputs:,}" if its.alike == its.inputs else f"{its.alike:,} of {its.inputs:,}"
            kind = f"sequences of {self.task}" if its.kind == "task" else f"{'random ' * (its.kind == 'random')}inputs"
            yield f"The same on {count} {kind} of up to {its.longest} tokens."
        if self.shortest is not None:
            yield from _shown("Shortest difference", self.shortest, self.a.header.predicted)
            others = {its.kind: its.shortest for its in self.compared if its.shortest not in (None, self.shortest)}
            for kind, title in (("task", f"Shortest of {self.task}"), ("all", "Shortest without special tokens")):
                if others.get(kind) is not None:
                    yield from _shown(title, others[kind], self.a.header.predicted)
                    return


def _shown(title: str, shown: Shown, names: tuple[str, ...]) -> Iterator[str]:
    tokens = [*shown.tokens]
    if len(tokens) > MOST_TOKENS:
        tokens[MOST_TOKENS // 2 : -MOST_TOKENS // 2] = [f"... {len(tokens) - MOST_TOKENS} more ..."]
    yield _cut(f"{title}: {' '.join(tokens)}" + f" (from position {shown.offset} on)" * (shown.offset > 0))
    where = "" if shown.index == len(shown.tokens) - 1 else f"behind token {shown.index + 1}, {shown.tokens[shown.index]}, "
    yield _cut(f"  {where}{_said(shown.a, shown.b, names)}")


def _changed(a: str, b: str) -> tuple[str, str]:
    """Two lines, of long ones the part from where they begin to differ."""
    name, _, rest = a.partition(" = ")
    others, _, other = b.partition(" = ")
    start = next((place for place, (x, y) in enumerate(zip(rest, other, strict=False)) if x != y), 0) - BEFORE
    if max(len(a), len(b)) > WIDTH - 2 and start > 0:
        rest, other = f"... {rest[start:]}", f"... {other[start:]}"
    return f"- {name} = {rest}", f"+ {others} = {other}"


def _said(a: str | frozenset[str], b: str | frozenset[str], names: tuple[str, ...]) -> str:
    """What both predict; of large sets what they do not share."""
    if isinstance(a, str) or isinstance(b, str):
        return f"A predicts {a}, B predicts {b}"
    large = max(len(a), len(b)) > MOST_TOKENS // 2
    first, second = (f"{{{', '.join(name for name in names if name in its)}}}" for its in ((a - b, b - a) if large else (a, b)))
    return f"A alone predicts {first}, B alone {second}" if large else f"A predicts {first}, B predicts {second}"


def _cut(line: str) -> str:
    """Within the columns of a terminal."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..."


def _more(count: int, text: str) -> list[str]:
    return [text.format(count)] if count > 0 else []


def diff(a: Program | str | os.PathLike[str], b: Program | str | os.PathLike[str], task: Task | str | None = None) -> Difference:
    """Compares two programs: which lines are the same up to names, order and gauge, and where they predict differently.

    Programs that are the same so are equal by construction, but for ties that rounding breaks, and are not run. Others are run on all short
    inputs, on random longer ones, and on the sequences of a task.

    Args:
        a, b: programs, run folders or `.drasp` files.
        task: one with the programs' tokens, or its name, as `load_task` takes it; by default the task that a run folder names, where it is
            one of the suite.

    Raises:
        DraspError: a file cannot be read, or the programs cannot be compared: their tokens, or what they predict, are others; an operator
            is too large; or the task does not fit them.
    """
    first, second = (its if isinstance(its, Program) else load_program(its) for its in (a, b))
    ground = _ground(first, second)
    for program in (first, second):
        _check_sizes(program)
    if task is None:
        found = next((its for its in map(_recorded, (a, b)) if its is not None and _fits(its, first)), None)
    else:
        found = load_task(task) if isinstance(task, str) else task
        if not _fits(found, first):
            raise DraspError(f"task {found.name} is none of these programs': its tokens or what it predicts are others")
    lines = matching(first, second, ground)
    if lines.equal:
        return Difference(first, second, lines, ())
    return Difference(first, second, lines, tuple(compared(first, second, ground, found)), None if found is None else found.name)


def _ground(a: Program, b: Program) -> Ground:
    """What both have in common."""
    if a.header.predict != b.header.predict:
        raise DraspError(f"the programs cannot be compared: A predicts {a.header.predict}, B {b.header.predict}")
    for what, x, y in (("tokens", a.header.vocabulary, b.header.vocabulary), ("outputs", a.header.predicted, b.header.predicted)):
        for name, more, less in (("A", x, y), ("B", y, x)):
            extra = [token for token in more if token not in less]
            if extra:
                raise DraspError(f"the programs cannot be compared: {what} differ, {label_text(extra[0])} is only in {name}")
    return Ground(a.header.vocabulary, a.header.predicted, min(a.header.positions, b.header.positions))


def _check_sizes(program: Program) -> None:
    """Refuses a program whose operators could not be written out."""
    for statement in alive(program.statements):
        if isinstance(statement, Bilinear) and not isinstance(statement.op, Dense):
            rows, columns = sides(statement, program.bases, program.header)
            if rows.size * columns.size > MOST_ENTRIES:
                raise DraspError(f"statement {statement.name} is too large to compare: {rows.size} x {columns.size} numbers")


def _recorded(given: Program | str | os.PathLike[str]) -> Task | None:
    """The task that the evidence in a run folder names, where it is one of the suite."""
    evidence = None if isinstance(given, Program) else load_evidence(Path(given))
    return None if evidence is None else known_task(evidence.settings.get("task"))


def _fits(task: Task, program: Program) -> bool:
    header = program.header
    same = set(task.vocabulary) == set(header.vocabulary) and set(outputs(task)) == set(header.predicted)
    return same and task.predict == header.predict

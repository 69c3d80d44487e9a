"""Programs that say one thing less than another: without a line, a term, an entry or a digit. Whether one means the same is not asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from drasp.ir.formulas import Arithmetic, Formula, Negate, Number
from drasp.ir.nodes import Aggregate, Bilinear, Case, Compute, Statement, addends, with_addends
from drasp.ir.operators import Dense, Except, Operator, Sum, Term
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.ir.program import Program, alive

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Change:
    """What is said less.

    Attributes:
        statement: in which.
        part: what goes, or becomes plainer, and what is left in its place.
    """

    statement: str
    part: tuple[Any, ...]


Shorter = Iterator[tuple[Change, Program]]


def without_a_part(program: Program) -> Shorter:
    """Every program that lacks one line, term, entry, row or member, lines first."""
    for statement in program.statements:
        for name in addends(statement):
            if len(addends(statement)) > 1 or isinstance(statement, Aggregate):
                fewer = tuple(other for other in addends(statement) if other != name)
                yield Change(statement.name, (name,)), _with(program, with_addends(statement, fewer))
    for statement in program.statements:
        yield from _changed(program, statement, _less, _formula_less)


def with_fewer_digits(program: Program) -> Shorter:
    """Every program in which one number is written with fewer digits, the plainest first."""
    for statement in program.statements:
        yield from _changed(program, statement, _plainer, _formula_plainer)


def _changed(
    program: Program,
    statement: Statement,
    of_operator: Callable[[Operator], Iterator[tuple[tuple[Any, ...], Operator]]],
    of_formula: Callable[[Formula], Iterator[tuple[tuple[Any, ...], Formula]]],
) -> Shorter:
    if isinstance(statement, Bilinear) and not isinstance(statement.op, Dense):
        for part, op in of_operator(statement.op):
            yield Change(statement.name, part), _with(program, replace(statement, op=op))
    elif isinstance(statement, Compute):
        for i, formula in enumerate(statement.formulas):
            for part, other in of_formula(formula):
                formulas = _set(statement.formulas, i, other)
                yield Change(statement.name, (i, *part)), _with(program, replace(statement, formulas=formulas))
    elif isinstance(statement, Case):
        for i, (label, formula) in enumerate(statement.branches):
            for part, other in of_formula(formula):
                branches = _set(statement.branches, i, (label, other))
                yield Change(statement.name, (label, *part)), _with(program, replace(statement, branches=branches))


def _with(program: Program, changed: Statement) -> Program:
    statements = [changed if s.name == changed.name else s for s in program.statements]
    return program.with_statements(alive(statements))


def _set(items: Sequence[Kind], place: int, item: Kind) -> tuple[Kind, ...]:
    return (*items[:place], item, *items[place + 1 :])


def _drop(items: Sequence[Kind], place: int) -> tuple[Kind, ...]:
    return (*items[:place], *items[place + 1 :])


def _less(op: Operator) -> Iterator[tuple[tuple[Any, ...], Operator]]:
    """An operator without a term, constant, entry or override."""
    if isinstance(op, Except):
        for i, (label, _) in enumerate(op.overrides):
            rest = _drop(op.overrides, i)
            yield ("override", label), Except(op.base, rest) if rest else op.base
        for part, base in _less(op.base):
            if isinstance(base, Sum):
                yield ("base", *part), replace(op, base=base)
        for i, (label, override) in enumerate(op.overrides):
            for part, other in _less(override):
                if isinstance(other, Sum):
                    yield ("override", label, *part), replace(op, overrides=_set(op.overrides, i, (label, other)))
    elif isinstance(op, Sum):
        for i, term in enumerate(op.terms):
            yield ("term", term.primitive), replace(op, terms=_drop(op.terms, i))
        if op.constant:
            yield ("constant",), replace(op, constant=0.0)
        for i, term in enumerate(op.terms):
            for entry, primitive in _fewer_entries(term.primitive):
                yield ("entry", *entry), replace(op, terms=_set(op.terms, i, replace(term, primitive=primitive)))


def _fewer_entries(primitive: Primitive) -> Iterator[tuple[tuple[Any, ...], Primitive]]:
    """A table, relation or set without one of what it lists; not without all of it."""
    if isinstance(primitive, Entries) and len(primitive.entries) > 1:
        for i, (label, _) in enumerate(primitive.entries):
            yield (label,), replace(primitive, entries=_drop(primitive.entries, i))
    elif isinstance(primitive, Member) and len(primitive.members) > 1:
        for i, member in enumerate(primitive.members):
            yield (member,), replace(primitive, members=_drop(primitive.members, i))
    elif isinstance(primitive, Rows | Relation):
        for i, (row, entries) in enumerate(primitive.rows):
            if len(primitive.rows) > 1:
                yield (row,), replace(primitive, rows=_drop(primitive.rows, i))  # type: ignore[arg-type]
            for j, entry in enumerate(entries if len(entries) > 1 else ()):
                rows = _set(primitive.rows, i, (row, _drop(entries, j)))
                yield (row, entry), replace(primitive, rows=rows)  # type: ignore[arg-type]


def _plainer(op: Operator) -> Iterator[tuple[tuple[Any, ...], Operator]]:
    """An operator with one number plainer."""
    if isinstance(op, Except):
        for part, base in _plainer(op.base):
            if isinstance(base, Sum):
                yield ("base", *part), replace(op, base=base)
        for i, (label, override) in enumerate(op.overrides):
            for part, other in _plainer(override):
                if isinstance(other, Sum):
                    yield ("override", label, *part), replace(op, overrides=_set(op.overrides, i, (label, other)))
    elif isinstance(op, Sum):
        for constant in _rounder(op.constant):
            yield ("constant", constant), replace(op, constant=constant)
        for i, term in enumerate(op.terms):
            for strength in _rounder(term.strength):
                yield ("strength", term.primitive, strength), replace(op, terms=_set(op.terms, i, Term(strength, term.primitive)))
            if isinstance(term.primitive, Entries):
                for j, (label, value) in enumerate(term.primitive.entries):
                    for rounded in _rounder(value):
                        entries = Entries(_set(term.primitive.entries, j, (label, rounded)))
                        yield ("entry", label, rounded), replace(op, terms=_set(op.terms, i, replace(term, primitive=entries)))
            elif isinstance(term.primitive, Rows):
                for j, (row, cells) in enumerate(term.primitive.rows):
                    for k, (label, value) in enumerate(cells):
                        for rounded in _rounder(value):
                            rows = Rows(_set(term.primitive.rows, j, (row, _set(cells, k, (label, rounded)))))
                            yield ("entry", row, label, rounded), replace(op, terms=_set(op.terms, i, replace(term, primitive=rows)))


def _rounder(value: float) -> Iterator[float]:
    """Plainer numbers of about the same size: of fewer significant digits."""
    digits = len(f"{abs(value):.6g}".replace(".", "").strip("0"))
    for fewer in range(1, digits):
        rounded = float(f"{value:.{fewer}g}")
        if rounded not in (0, value):  # "2e+06" has no more digits than one
            yield rounded


def _addends(formula: Formula) -> list[tuple[bool, Formula]]:
    """The parts of a sum, and whether each is taken away."""
    if isinstance(formula, Arithmetic) and formula.operator in ("+", "-"):
        turned = formula.operator == "-"
        return [*_addends(formula.left), *((taken != turned, part) for taken, part in _addends(formula.right))]
    if isinstance(formula, Negate):
        return [(not taken, part) for taken, part in _addends(formula.operand)]
    return [(False, formula)]


def _sum(parts: Sequence[tuple[bool, Formula]]) -> Formula:
    """What is added before what is taken away."""
    ordered = sorted(parts, key=lambda part: part[0])
    taken, total = ordered[0]
    if taken:
        total = Negate(total)
    for taken, part in ordered[1:]:
        total = Arithmetic("-" if taken else "+", total, part)
    return total


def _formula_less(formula: Formula) -> Iterator[tuple[tuple[Any, ...], Formula]]:
    """A sum without one of its parts."""
    parts = _addends(formula)
    for i, (_, part) in enumerate(parts if len(parts) > 1 else ()):
        yield ("addend", part), _sum(_drop(parts, i))


def _formula_plainer(formula: Formula) -> Iterator[tuple[tuple[Any, ...], Formula]]:
    """A sum with one of its numbers plainer; a factor may go altogether."""
    parts = _addends(formula)
    for i, (taken, part) in enumerate(parts):
        for other in _plainer_part(part):
            yield ("addend", part, other), _sum(_set(parts, i, (taken, other)))


def _plainer_part(part: Formula) -> Iterator[Formula]:
    if isinstance(part, Number):
        yield from (Number(value) for value in _rounder(part.value))
    elif isinstance(part, Arithmetic) and part.operator == "*" and isinstance(part.left, Number):
        yield part.right
        yield from (replace(part, left=Number(value)) for value in _rounder(part.left.value))

"""The free numbers of an operator in symbols, in order: its matrix is linear in them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from drasp.ir.operators import Except, Sum, Symbolic, Term
from drasp.ir.primitives.tables import Entries, Rows


def numbers_of(op: Symbolic) -> list[float]:
    """Strengths, table entries and constants that are not 0."""
    if isinstance(op, Except):
        return [*numbers_of(op.base), *(value for _, override in op.overrides for value in numbers_of(override))]
    found = [value for term in op.terms for value in _of_term(term)]
    return [*found, op.constant] if op.constant else found


def with_numbers(op: Symbolic, values: Sequence[float]) -> Symbolic:
    """The operator with other numbers, as many as `numbers_of` it gives."""
    return _filled(op, iter(values))


def _of_term(term: Term) -> list[float]:
    if isinstance(term.primitive, Entries):
        return [term.strength * value for _, value in term.primitive.entries]
    if isinstance(term.primitive, Rows):
        return [term.strength * value for _, cells in term.primitive.rows for _, value in cells]
    return [term.strength]


def _filled(op: Symbolic, values: Iterator[float]) -> Symbolic:
    if isinstance(op, Except):
        base = _sum(op.base, values)
        return Except(base, tuple((label, _sum(override, values)) for label, override in op.overrides))
    return _sum(op, values)


def _sum(op: Sum, values: Iterator[float]) -> Sum:
    terms = tuple(_term(term, values) for term in op.terms)
    return Sum(terms, next(values) if op.constant else 0.0)


def _term(term: Term, values: Iterator[float]) -> Term:
    if isinstance(term.primitive, Entries):
        return Term(1.0, Entries(tuple((label, next(values)) for label, _ in term.primitive.entries)))
    if isinstance(term.primitive, Rows):
        rows = tuple((row, tuple((label, next(values)) for label, _ in cells)) for row, cells in term.primitive.rows)
        return Term(1.0, Rows(rows))
    return replace(term, strength=next(values))

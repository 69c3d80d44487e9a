"""Which lines of two programs are the same."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from drasp.compare.lines import Ground, Lines
from drasp.compare.terms import Terms
from drasp.ir.nodes import Prediction, Project, Select, Statement, addends
from drasp.ir.program import Program, alive


@dataclass(frozen=True)
class Matching:
    """What became of the lines that the predictions depend on, by name.

    Attributes:
        equal: whether the programs are the same up to names, order and gauge.
        same: pairs of a line in A and one in B that do the same with what they read.
        changed: pairs that stand in the same place and do not.
        only_a, only_b: lines that nothing in the other program stands for.
        otherwise_a, otherwise_b: lines with no counterpart of their own, all of whose readers do the same as readers in the other program:
            sums split otherwise, constants that stand elsewhere.
    """

    equal: bool
    same: tuple[tuple[str, str], ...]
    changed: tuple[tuple[str, str], ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    otherwise_a: tuple[str, ...] = ()
    otherwise_b: tuple[str, ...] = ()


def matching(a: Program, b: Program, ground: Ground) -> Matching:
    """Matches the lines from `token` and `pos` on.

    A line that has no counterpart is taken for one of the other program in the same place, if there is one, so that what reads it can be
    matched all the same.
    """
    terms = Terms()
    lines_a, lines_b = Lines(terms, a, ground), Lines(terms, b, ground)
    kept_a, kept_b = alive(a.statements), alive(b.statements)
    for lines, kept in ((lines_a, kept_a), (lines_b, kept_b)):
        for statement in kept:
            lines.read(statement)
    equal = lines_a.numbers["prediction"] == lines_b.numbers["prediction"]
    changed: dict[str, str] = {}
    if not equal:
        found = set(lines_b.numbers.values())
        free = [statement for statement in kept_a if lines_a.numbers[statement.name] not in found]
        lines_b = Lines(terms, b, ground)
        changed = _taken_for(lines_a, lines_b, free, kept_b)
    pairs = _pairs(lines_a.numbers, lines_b.numbers)
    same = tuple(pair for pair in pairs if changed.get(pair[0]) != pair[1])
    sides = [({x for x, _ in pairs}, kept_a, set(changed)), ({y for _, y in pairs}, kept_b, set(changed.values()))]
    rest = [_unmatched(matched, kept, starts) for matched, kept, starts in sides]
    (only_a, otherwise_a), (only_b, otherwise_b) = rest
    return Matching(equal, same, tuple(changed.items()), only_a, only_b, otherwise_a, otherwise_b)


def _taken_for(lines_a: Lines, lines_b: Lines, free: list[Statement], kept_b: Sequence[Statement]) -> dict[str, str]:
    """Reads the lines of B; those like none in A are taken for one of `free` that reads the same, or has their name and readers of the same
    names. By name in A the name in B."""
    changed: dict[str, str] = {}
    readers_a, readers_b = _readers(lines_a.program), _readers(lines_b.program)
    for statement in kept_b:
        lines_b.read(statement)
        if lines_b.numbers[statement.name] in lines_a.numbers.values():
            continue
        place, read = _place(lines_b, statement), readers_b[statement.name]
        alike = [other for other in free if _kind(lines_a, other) == _kind(lines_b, statement)]
        same_place = [other for other in alike if _place(lines_a, other) == place]
        same_name = [other for other in alike if other.name == statement.name and readers_a[other.name] == read]
        chosen = ([other for other in same_place if other in same_name] + same_place + same_name)[:1]
        for other in chosen:
            changed[other.name] = statement.name
            lines_b.take(statement.name, lines_a, other.name)
            free.remove(other)
    return changed


def _readers(program: Program) -> dict[str, set[str]]:
    """By the name of a line the names of those that read it or add it up."""
    found: dict[str, set[str]] = {statement.name: set() for statement in program.statements}
    for statement in program.statements:
        for name in (*(name for read in statement.reads for name in read.variables()), *addends(statement)):
            found.setdefault(name, set()).add(statement.name)
    return found


def _kind(lines: Lines, statement: Statement) -> Hashable:
    """Lines of different kinds never stand for each other."""
    kind = type(statement) if isinstance(statement, Select | Project | Prediction) else Statement
    return kind, lines.columns(statement)


def _place(lines: Lines, statement: Statement) -> Hashable:
    """What a line is, and what it reads and adds up."""
    read = [None if name is None else lines.numbers.get(name, name) for its in statement.reads for name in (its.variable, its.over)]
    return type(statement), tuple(read), tuple(sorted(lines.numbers[name] for name in addends(statement)))


def _pairs(a: Mapping[str, int], b: Mapping[str, int]) -> list[tuple[str, str]]:
    """Lines with the same number; each stands in a pair, if any has its number, and of equal names are pairs where they can be."""
    pairs = [(name, name) for name in a if b.get(name) == a[name]]
    left_a, left_b = ([name for name in its if (name, name) not in pairs] for its in (a, b))
    for name in left_a:
        other = next((its for its in [*left_b, *b] if b[its] == a[name]), None)
        if other is not None:
            pairs.append((name, other))
            left_b = [its for its in left_b if its != other]
    for name in left_b:
        other = next((its for its in a if a[its] == b[name]), None)
        if other is not None:
            pairs.append((other, name))
    order = {name: place for place, name in enumerate(a)}
    return sorted(pairs, key=lambda pair: order[pair[0]])


def _unmatched(matched: set[str], kept: Sequence[Statement], changed: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the lines that have no counterpart those that stand for something of their own, and those that are part of what is matched."""
    standing: set[str] = {"prediction"} - matched
    for statement in reversed(kept):
        if statement.name in standing or statement.name in changed:
            read = {variable for its in statement.reads for variable in its.variables()}
            standing |= {name for name in (*read, *addends(statement)) if name not in matched}
    left = [statement.name for statement in kept if statement.name not in matched]
    return tuple(name for name in left if name in standing), tuple(name for name in left if name not in standing)

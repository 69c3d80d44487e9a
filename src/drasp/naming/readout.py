"""The readout named: what stands between the last averages and the prediction, MLP and norms included, as a few linear threshold functions.

Each output that is not constant becomes one form of the averages' coordinates, where needed with the current token or by current token; or,
where an average fetches a position, of how far that is from the current one, modulo a small number. The form stands for the model's own
readout: it is right wherever the dense program is on the task, and chosen by how often it is off it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np

from drasp.ir.formulas import Arithmetic, Coordinate, Formula, Negate, Number, Read
from drasp.ir.labels import Label
from drasp.ir.nodes import ONE_READ, POS, TOKEN, Aggregate, Case, Compare, Compute, Prediction, Project, Statement
from drasp.ir.operators import Sum, Term
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.tables import Entries
from drasp.ir.primitives.tables import Rows as TableRows
from drasp.ir.program import Program, alive, feeds_attention
from drasp.ir.size import size
from drasp.naming.copies import by_token, copies
from drasp.naming.judged import Judging, agreement
from drasp.naming.linear import Form, Labelled, fit_form, tolerable
from drasp.naming.pieces import Rewrite, Target
from drasp.naming.rows import Rows, rows_of
from drasp.naming.tuning import ReadoutTuning


def target(tuning: ReadoutTuning) -> Target:
    """A readout, whose closeness is its agreement with the one it replaces off the task's distribution."""
    return Target("readout", "agreement", tuning.least_agreement, at_least=True)


@dataclass(frozen=True)
class Named:
    """A program with its readout named.

    Attributes:
        agreement: see `agreement`.
        statements: those that stand for the readout.
    """

    program: Program
    agreement: float
    statements: tuple[str, ...]


def readout_reads(program: Program) -> tuple[str, ...]:
    """The averages of tokens that the readout reads.

    What else it reads, but the current token and positions, is left out: a readout that needs it has no name here, and one that does not is
    found by its match.
    """
    return _averages_read(program, "token")


def _averages_read(program: Program, kind: str) -> tuple[str, ...]:
    readout = _readout(program)
    read = [v for s in program.statements if s.name in readout for r in s.reads for v in r.variables()]
    averages = (v for v in read if isinstance(program.by_name.get(v), Aggregate) and program.bases[v].kind == kind)
    return tuple(dict.fromkeys(averages))


def _readout(program: Program) -> frozenset[str]:
    """The statements of the readout: projections, and what is computed for them alone."""
    feeding = feeds_attention(program)
    return frozenset(
        s.name
        for s in program.statements
        if isinstance(s, Project) or (s.name in program.bases and s.name not in feeding and not isinstance(s, Aggregate))
    )


More = Iterable[tuple[Judging, ReadoutTuning]]
"""The same sequences of the task with others off it, and how forms are fitted to them; asked for one by one, if they are wanted by then."""


def name_readout(dense: Program, named: Program, judging: Judging, tuning: ReadoutTuning, more: More = ()) -> Iterator[Named]:
    """Programs like `named` but with the readout of `dense` in symbols, those with the fewest numbers first.

    Args:
        dense: the program whose predictions are to be kept.
        named: the same statements before the readout, with whatever selectors are named by now.
        judging: with the predictions of `dense`.
        more: what forms are to be fitted to, too.
    """
    reads = readout_reads(dense)
    real = rows_of(named, reads, judging.each(judging.real, named), tuning)
    for statements in (by_token(real), *copies(real, dense.header, tuning)):
        if statements:
            program = with_readout(named, statements)
            yield Named(program, agreement(program, judging), tuple(s.name for s in statements))
    one_only = dense.header.predict == "next-token"
    groups, exact = (_groups(real, one_only, noise) for noise in (tuning.form.noise, 0.0))
    if not 0 < len(groups) <= tuning.classes_at_most:
        return

    def forms(judging: Judging, tuning: ReadoutTuning) -> Iterator[Named]:
        fitting = _Fitting(named, groups, real, _off(named, reads, judging, tuning), tuning, partial(judging.spend, tuning.fit_work))
        for assemble in (_ordered, _line, _line_with_token, _line_by_token):
            yield from _formed(assemble(fitting), judging)
        if len(groups) < len(exact) <= tuning.classes_at_most:  # what seldom differs may yet be meant to
            yield from _formed(_line(replace(fitting, groups=exact)), judging)

    yield from forms(judging, tuning)
    for others in more:
        yield from forms(*others)
    for compares in _compared(named, _averages_read(dense, "position"), tuning):
        marked = named.with_statements([*named.statements[:-1], *compares, named.statements[-1]])
        names = [c.name for c in compares]
        real = rows_of(marked, reads, judging.each(judging.real, marked), tuning, names)
        fitting = _Fitting(
            named, groups, real, _off(marked, reads, judging, tuning, names), tuning, partial(judging.spend, tuning.fit_work)
        )
        yield from _formed(_line_with_token(replace(fitting, compares=compares)), judging)


def _off(named: Program, reads: Sequence[str], judging: Judging, tuning: ReadoutTuning, compared: Sequence[str] = ()) -> Rows:
    """Some positions off the task."""
    off = rows_of(named, reads, judging.each(judging.off, named), tuning, compared)
    return off.part(off.some(tuning.off_rows))


def _formed(program: Program | None, judging: Judging) -> Iterator[Named]:
    if program is not None:
        yield Named(program, agreement(program, judging), tuple(sorted(_readout(program))))


def shortest(readouts: Sequence[Named], tuning: ReadoutTuning) -> Named:
    """The shortest of those without opaque statements, if any, that agree best off the distribution."""
    wanted = min(max(found.agreement for found in readouts) - tuning.form.agreement_lost, tuning.least_agreement)

    def worth(found: Named) -> tuple[int, int]:
        counted = size(found.program)
        return counted.opaque, 2 * counted.statements + counted.numbers

    return min((found for found in readouts if found.agreement >= wanted), key=worth)


def readout_rewrite(program: Program, named: Named, tuning: ReadoutTuning) -> Rewrite:
    """The program with the named readout instead of its own, behind its own attention."""
    statements = [s for s in named.program.statements if s.name in named.statements]
    own = averages_for_attention(program)
    averages = {s.name: s.value for s in named.program.statements if isinstance(s, Aggregate) and s.name not in own}
    kept = [replace(s, value=averages.get(s.name, s.value)) if isinstance(s, Aggregate) else s for s in program.statements]
    return Rewrite(target(tuning), with_readout(program.with_statements(kept), statements), named.statements, named.agreement)


def averages_for_attention(program: Program) -> list[str]:
    """The averages that attention depends on."""
    feeding = feeds_attention(program)
    return [s.name for s in program.statements if isinstance(s, Aggregate) and s.name in feeding]


def _compared(named: Program, averages: Sequence[str], tuning: ReadoutTuning) -> Iterator[list[Compare]]:
    """For each small modulus the comparisons that tell how far the current position is from those that are fetched."""
    for modulo in tuning.moduli if averages else ():
        names, here = _fresh(named), Index("row", modulo=modulo)
        alike = [(average, Comparison(here, "==", Index("column", r, modulo))) for average, r in product(averages, range(modulo))]
        yield [Compare(next(names), POS, Read(average), Sum((Term(1.0, same),))) for average, same in alike]


def with_readout(named: Program, statements: Sequence[Statement]) -> Program:
    """The program with other statements for its readout, their projections summed."""
    readout = _readout(named)
    kept = [s for s in named.statements if s.name not in readout and not isinstance(s, Prediction)]
    prediction = Prediction(tuple(s.name for s in statements if isinstance(s, Project)))
    return named.with_statements(alive([*kept, *statements, prediction]))


@dataclass(frozen=True)
class _Group:
    """Outputs that are predicted together, and those that are predicted just where these are not."""

    together: tuple[int, ...]
    otherwise: tuple[int, ...]

    def entries(self, outputs: Sequence[str]) -> tuple[tuple[Label, float], ...]:
        """What 1 of the group's form adds to the logits."""
        signs = {**dict.fromkeys(self.together, 1.0), **dict.fromkeys(self.otherwise, -1.0)}
        return tuple((outputs[c], signs[c]) for c in sorted(signs))


def _groups(real: Rows, one_only: bool, noise: float) -> list[_Group]:
    """The outputs that are not constant, by when they are predicted; of two that are alternatives one form serves both.

    Args:
        noise: the share of the rarer value that may be the model's errors.
    """
    outputs, counts = real.outputs, real.counts
    left = [c for c in range(outputs.shape[1]) if outputs[:, c].any()]
    if not one_only:
        left = [c for c in left if not outputs[:, c].all()]
    groups = []
    while left:
        first = outputs[:, left[0]]
        few = noise * min(counts[first].sum(), counts[~first].sum())
        together = tuple(c for c in left if counts[outputs[:, c] != first].sum() <= few)
        otherwise = tuple(c for c in left if counts[outputs[:, c] == first].sum() <= few)
        groups.append(_Group(together, otherwise))
        left = [c for c in left if c not in together + otherwise]
    return groups


@dataclass(frozen=True)
class _Fitting:
    """What forms are fitted to.

    Attributes:
        named: the program whose readout they are to be.
        groups: of outputs; there is one form for each.
        real, off: positions of the task and off it.
        compares: comparisons of positions, which forms may speak of.
    """

    named: Program
    groups: Sequence[_Group]
    real: Rows
    off: Rows
    tuning: ReadoutTuning
    check_time: Callable[[], None]
    compares: Sequence[Compare] = field(default=())

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.named.header.vocabulary

    @property
    def predicted(self) -> tuple[str, ...]:
        return self.named.header.predicted

    @property
    def coordinates(self) -> list[Coordinate]:
        """Those of the averages, and the comparisons."""
        averages = [Coordinate(Read(name), token) for name in self.real.averages for token in self.vocabulary]
        return averages + [Coordinate(Read(compare.name), 0) for compare in self.compares]

    @property
    def always(self) -> tuple[tuple[Label, float], ...]:
        """The outputs that are predicted everywhere."""
        return tuple((token, 1.0) for c, token in enumerate(self.predicted) if self.real.outputs[:, c].all())

    def goes_without(self, group: _Group) -> bool:
        """Whether a group needs no form of its own: of next tokens it is the one that is predicted where no other's form is positive. Its
        logit is 0 then, as is that of what is never predicted, of which it must be the first.
        """
        never = np.flatnonzero(~self.real.outputs.any(0))
        alone = len(group.together) == 1 and not group.otherwise
        return self.named.header.predict == "next-token" and alone and not (never < group.together[0]).any()

    def names(self) -> Iterator[str]:
        return (name for name in _fresh(self.named) if name not in self.real.marks)


def _ordered(fitting: _Fitting) -> Program | None:
    """The program whose readout is one form for three classes, as of a sign: one is predicted where it is large, one where it is small,
    and the third between.
    """
    groups = [g for g in fitting.groups if len(g.together) == 1 and not g.otherwise]
    if len(groups) != 3 or len(fitting.groups) != 3 or fitting.named.header.predict != "next-token":
        return None
    for low, between, high in ((0, 1, 2), (1, 0, 2), (0, 2, 1)):
        classes = (groups[low].together[0], groups[between].together[0], groups[high].together[0])
        rows = tolerable(_in_order(fitting.real, fitting.coordinates, classes), fitting.tuning.form)
        off = _in_order(fitting.off, fitting.coordinates, classes)
        form = None if rows is None else fit_form(rows, off, fitting.tuning.form, fitting.check_time)
        if form is not None and form.coefficients[-1] > 0:
            names = [fitting.predicted[c] for c in classes]
            whole = replace(form, coefficients=form.coefficients[:-1])
            line = Compute(next(fitting.names()), (_formula(whole, fitting.coordinates),))
            constant = Entries(((names[1], float(form.coefficients[-1])),))
            middle = Project(f"logits_{line.name}_between", ONE_READ, Sum((Term(1.0, constant),)))
            return with_readout(fitting.named, [*_projected(line, [((names[0], -1.0), (names[2], 1.0))]), middle])
    return None


def _in_order(rows: Rows, coordinates: Sequence[Coordinate], classes: tuple[int, int, int]) -> Labelled:
    """What must be positive for three classes to lie in order: the last coefficient is how far the middle one reaches to both sides."""
    low, between, high = (rows.outputs[:, c] for c in classes)
    features = rows.features(coordinates)
    reach = features[:, -1:]
    kinds = [(high, 1, -1), (low, -1, -1), (between, 1, 1), (between, -1, 1)]
    parts = [np.concatenate([sign * features[where], side * reach[where]], 1) for where, sign, side in kinds]
    counts = np.concatenate([rows.counts[where] for where, *_ in kinds])
    return Labelled(np.concatenate(parts), np.ones(len(counts), dtype=bool), counts)


def _line(fitting: _Fitting, more: Sequence[Coordinate] = ()) -> Program | None:
    """The program whose readout is one line with one form a group: of averages and comparisons, and of `more`."""
    coordinates = [*fitting.coordinates, *more]
    real = [(g, tolerable(_labelled(g, fitting.real, coordinates), fitting.tuning.form)) for g in fitting.groups]
    formed, left = [(g, rows) for g, rows in real if rows is not None], [g for g, rows in real if rows is None]
    if not formed or len(left) > 1 or not all(map(fitting.goes_without, left)):
        return None
    formulas = [_fit(group, rows, fitting, coordinates) for group, rows in formed]
    if None in formulas:
        return None
    entries = [group.entries(fitting.predicted) for group, _ in formed]
    if fitting.always:
        formulas, entries = [*formulas, Number(1.0)], [*entries, fitting.always]
    line = Compute(next(fitting.names()), tuple(f for f in formulas if f is not None))
    return with_readout(fitting.named, [*fitting.compares, *_projected(line, entries)])


def _line_with_token(fitting: _Fitting) -> Program | None:
    """As `_line`, of the current token too."""
    return _line(fitting, [Coordinate(TOKEN, token) for token in fitting.vocabulary])


def _line_by_token(fitting: _Fitting) -> Program | None:
    """The program whose readout has for each group a form of its own for each current token."""
    names = fitting.names()
    statements: list[Statement] = []
    for group in fitting.groups:
        branches = _branches(group, fitting)
        if branches is None:
            return None
        statements += _projected(Case(next(names), TOKEN, branches), [group.entries(fitting.predicted)])
    if fitting.always:
        statements.append(Project(next(names), ONE_READ, Sum((Term(1.0, Entries(fitting.always)),))))
    return with_readout(fitting.named, statements)


def _projected(statement: Compute | Case, entries: Sequence[tuple[tuple[Label, float], ...]]) -> tuple[Statement, Project]:
    """A variable, and the projection of each of its coordinates to the outputs."""
    return statement, Project(f"logits_{statement.name}", Read(statement.name), Sum((Term(1.0, TableRows(tuple(enumerate(entries)))),)))


def _branches(group: _Group, fitting: _Fitting) -> tuple[tuple[Label, Formula], ...] | None:
    """For each token that occurs the form of the positions at which it stands."""
    branches: list[tuple[Label, Formula]] = []
    for token in np.unique(fitting.real.tokens):
        real, off = (rows.part(rows.tokens == token) for rows in (fitting.real, fitting.off))
        truth = real.outputs[:, group.together[0]]
        if truth.all() or not truth.any():
            branches.append((fitting.vocabulary[token], Number(1.0 if truth.all() else -1.0)))
            continue
        rows = tolerable(_labelled(group, real, fitting.coordinates), fitting.tuning.form)
        formula = _fit(group, rows, replace(fitting, off=off), fitting.coordinates)
        if formula is None:
            return None
        branches.append((fitting.vocabulary[token], formula))
    return tuple(branches)


def _labelled(group: _Group, rows: Rows, coordinates: Sequence[Coordinate]) -> Labelled:
    return Labelled(rows.features(coordinates), rows.outputs[:, group.together[0]], rows.counts)


def _fit(group: _Group, real: Labelled | None, fitting: _Fitting, coordinates: Sequence[Coordinate]) -> Formula | None:
    if real is None:
        return None
    form = fit_form(real, _labelled(group, fitting.off, coordinates), fitting.tuning.form, fitting.check_time)
    return None if form is None else _formula(form, coordinates)


def _formula(form: Form, coordinates: Sequence[Coordinate]) -> Formula:
    """The form as it is written: positive terms first; the last coefficient is that of the constant."""
    terms: list[tuple[float, Formula | None]] = [*zip(form.coefficients.tolist(), [*coordinates, None], strict=True)]
    terms = [term for term in terms if term[0]]
    first = next((term for term in terms if term[0] > 0), terms[0])
    rest = [term for term in terms if term is not first]
    formula = _term(abs(first[0]), first[1])
    if first[0] < 0:
        formula = Negate(formula)
    for coefficient, coordinate in rest:
        formula = Arithmetic("+" if coefficient > 0 else "-", formula, _term(abs(coefficient), coordinate))
    return formula


def _term(coefficient: float, coordinate: Formula | None) -> Formula:
    if coordinate is None:
        return Number(coefficient)
    return coordinate if coefficient == 1 else Arithmetic("*", Number(coefficient), coordinate)


def _fresh(program: Program) -> Iterator[str]:
    number = 0
    taken = {s.name for s in program.statements}
    while True:
        number += 1
        if f"r{number}" not in taken:
            yield f"r{number}"

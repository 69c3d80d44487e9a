"""The readout named: what stands between the last averages and the prediction, MLP and norms included, as a few linear sign forms.

Each output that is not constant becomes one form of the averages' coordinates, where needed with the current token or by current token; or,
where an average fetches a position, of how far that is from the current one, modulo a small number. The form stands for the model's own
readout: it is right wherever the dense program is on the task, and chosen by how often it is off it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from drasp.ir.formulas import Arithmetic, Coordinate, Formula, Negate, Number, Read
from drasp.ir.labels import SPECIAL_TOKEN, Label
from drasp.ir.nodes import ONE_READ, POS, TOKEN, Aggregate, Case, Compare, Compute, Prediction, Project, Statement
from drasp.ir.operators import Except, Sum, Term
from drasp.ir.primitives.comparison import COMPARISONS, Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.tables import Entries, Relation, Rows
from drasp.ir.program import Header, Program, alive, feeds_attention
from drasp.measure import predictions
from drasp.naming.linear import Form, Labelled, fit_form, separable
from drasp.run.reference import evaluate
from drasp.tasks.protocol import Sample

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
STEEPNESS = 100.0  # of a rule's logit: a hundredth of a share beyond the threshold outweighs all that is copied
OFF_ROWS = 1500
CLASSES_AT_MOST = 6  # outputs that are not constant; with more the readout is no matter of a few sign forms
CONCENTRATED = 0.5  # mean weight of the most attended key above which an average is a copy, not a count
MODULI = (2, 3, 4)
LEAK = 5e-4  # what a concentrated average is rounded to: less is a leak of attention, and no information


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


@dataclass(frozen=True)
class Judged:
    """Sequences, and what the program to be named predicts at their scored positions: booleans (scored positions, vocabulary)."""

    sample: Sample
    predicted: np.ndarray


def judged(program: Program, sample: Sample, model: np.ndarray | None = None) -> Judged:
    """Sequences with what a program predicts; where `model` says what its model predicts at the scored positions, in the same form as
    `Judged.predicted`, the positions at which they differ are scored no more.
    """
    predicted = _predicted(program, sample)
    if model is None:
        return Judged(sample, predicted)
    same = (predicted == model).all(1)
    scored = sample.scored.copy()
    scored[sample.scored] = same
    return Judged(sample._replace(scored=scored), predicted[same])


@dataclass(frozen=True)
class _Rows:
    """Positions at which something is predicted.

    Attributes:
        vocabulary: the tokens, in id order.
        tokens: (n), the current token.  averages: for each average its coordinates (n, vocabulary).
        marks: for each comparison of positions its value (n).
        scale: (n), which makes counts of shares: the smallest share that matters becomes 1.
        outputs: (n, vocabulary) booleans: whether each token is predicted.
    """

    vocabulary: tuple[str, ...]
    tokens: np.ndarray
    averages: dict[str, np.ndarray]
    marks: dict[str, np.ndarray]
    scale: np.ndarray
    outputs: np.ndarray

    def features(self, coordinates: Sequence[Coordinate]) -> np.ndarray:
        """The value of each coordinate and the constant 1, as counts: (n, coordinates + 1)."""
        columns = [self._column(coordinate) for coordinate in coordinates]
        return np.stack([*columns, np.ones(len(self.tokens))], 1) * self.scale[:, None]

    def _column(self, coordinate: Coordinate) -> np.ndarray:
        name = coordinate.read.variable
        if name in self.marks:
            return self.marks[name]
        index = self.vocabulary.index(str(coordinate.label))
        return self.tokens == index if name == "token" else self.averages[name][:, index]

    def some(self, most: int) -> np.ndarray:
        """The indices of some rows, from the first to the last."""
        return np.linspace(0, len(self.tokens) - 1, min(most, len(self.tokens))).astype(int)

    def part(self, where: np.ndarray) -> "_Rows":
        averages = {name: values[where] for name, values in self.averages.items()}
        marks = {name: values[where] for name, values in self.marks.items()}
        return _Rows(self.vocabulary, self.tokens[where], averages, marks, self.scale[where], self.outputs[where])


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


def name_readout(
    dense: Program, named: Program, real: Sequence[Judged], off: Sequence[Judged], check_time: Callable[[], None] = lambda: None
) -> Iterator[Named]:
    """Programs like `named` but with the readout of `dense` in sign forms, those with the fewest numbers first.

    Args:
        dense: the program whose predictions are to be kept.
        named: the same statements before the readout, with whatever selectors are named by now.
        real, off: sequences of the task, and others, with the predictions of `dense`.
        check_time: called now and then; may raise to stop.
    """
    reads = readout_reads(dense)
    task_rows, other_rows = _rows(named, reads, real), _rows(named, reads, off)
    other_rows = other_rows.part(other_rows.some(OFF_ROWS))
    whole: list[list[Statement]] = [_by_token(task_rows), *_copies(task_rows, dense.header)]
    for statements in whole:
        if statements:
            program = with_readout(named, statements)
            yield Named(program, agreement(program, real, off), tuple(s.name for s in statements))
    groups = _groups(task_rows.outputs, dense.header.predict == "next-token")
    if not 0 < len(groups) <= CLASSES_AT_MOST:
        return
    for with_token, by_token in ((False, False), (True, False), (False, True)):
        formed = _assemble(named, groups, task_rows, other_rows, check_time, with_token, by_token)
        if formed is not None:
            yield Named(formed, agreement(formed, real, off), tuple(sorted(_readout(formed))))
    for compares in _compared(named, _averages_read(dense, "position")):
        marked = named.with_statements([*named.statements[:-1], *compares, named.statements[-1]])
        task_rows, other_rows = (_rows(marked, reads, parts, [c.name for c in compares]) for parts in (real, off))
        formed = _assemble(named, groups, task_rows, other_rows.part(other_rows.some(OFF_ROWS)), check_time, True, False, compares)
        if formed is not None:
            yield Named(formed, agreement(formed, real, off), tuple(sorted(_readout(formed))))


def _compared(named: Program, averages: Sequence[str]) -> Iterator[list[Compare]]:
    """For each small modulus the comparisons that tell how far the current position is from those that are fetched."""
    for modulo in MODULI if averages else ():
        names, here = _fresh(named), Index("row", modulo=modulo)
        alike = [(average, Comparison(here, "==", Index("column", r, modulo))) for average, r in product(averages, range(modulo))]
        yield [Compare(next(names), POS, Read(average), Sum((Term(1.0, same),))) for average, same in alike]


def _by_token(rows: _Rows) -> list[Statement]:
    """What the current token alone decides; empty where it does not."""
    relation = []
    for token in np.unique(rows.tokens):
        outputs = rows.outputs[rows.tokens == token]
        if (outputs != outputs[0]).any():
            return []
        if outputs[0].any():
            relation.append((rows.vocabulary[token], tuple(rows.vocabulary[c] for c in np.flatnonzero(outputs[0]))))
    return [Project("logits1", TOKEN, Sum((Term(1.0, Relation(tuple(relation))),)))] if relation else []


def _copies(rows: _Rows, header: Header) -> Iterator[list[Statement]]:
    """The token with the largest share is predicted, or the largest but for the current token; nothing where there are several averages.

    What is no copy is told either by the special token that has the largest share instead, or by a rule on how much share the current
    token has, or those before or after it.
    """
    if len(rows.averages) != 1:
        return
    ((average, shares),) = rows.averages.items()
    predicted = rows.outputs.argmax(1)
    same = Comparison(Index("column"), "==", Index("row"))
    for never_itself in (False, True):
        if never_itself and (predicted == rows.tokens).any():
            return
        others = np.where(np.arange(shares.shape[1]) == rows.tokens[:, None], -1, shares) if never_itself else shares
        largest = others.argmax(1)
        rest = [Project("logits3", TOKEN, Sum((Term(-1.0, same),)))] if never_itself else []
        exceptions = tuple(_exceptions(rows, largest, predicted))
        copied = Sum((Term(1.0, same),))
        yield [Project("logits1", Read(average), Except(copied, exceptions) if exceptions else copied), *rest]
        wrong = np.bincount(predicted[largest != predicted], minlength=len(rows.vocabulary))
        if wrong.any():
            yield [*_ruled(rows, average, shares, int(wrong.argmax()), header), *rest]


def _exceptions(rows: _Rows, largest: np.ndarray, predicted: np.ndarray) -> Iterator[tuple[Label, Sum]]:
    """The special tokens that stand for another when they have the largest share."""
    for token in np.unique(largest):
        name = rows.vocabulary[token]
        counts = np.bincount(predicted[largest == token], minlength=len(rows.vocabulary))
        if SPECIAL_TOKEN.fullmatch(name) and counts.argmax() != token and 2 * counts.max() > counts.sum():
            yield name, Sum((Term(1.0, _output(rows.vocabulary[counts.argmax()])),))


def _ruled(rows: _Rows, average: str, shares: np.ndarray, other: int, header: Header) -> list[Statement]:
    """Copies, and one output told by a rule."""
    truth = rows.outputs[:, other]
    never = [t for t in np.unique(rows.tokens) if SPECIAL_TOKEN.fullmatch(rows.vocabulary[t]) and not truth[rows.tokens == t].any()]
    ordinary = ~np.isin(rows.tokens, never)
    stump = _best_stump(rows.tokens[ordinary], shares[ordinary], truth[ordinary], header)
    label = rows.vocabulary[other]
    slope = STEEPNESS if stump.above else -STEEPNESS
    related = Sum((Term(1.0, Comparison(Index("column"), stump.relation, Index("row"))),))
    overrides = tuple((rows.vocabulary[t], Sum((), 0.0 if stump.above else 1.0)) for t in never)
    copied = Term(1.0, Comparison(Index("column"), "==", Index("row")))
    return [
        Compare("r1", TOKEN, Read(average), Except(related, overrides) if overrides else related),
        Project("logits1", Read(average), Sum((copied, Term(round(-slope * stump.threshold, 2), _output(label))))),
        Project("logits2", Read("r1"), Sum((Term(1.0, Rows(((0, ((label, slope),)),))),))),
    ]


@dataclass(frozen=True)
class _Stump:
    """A rule: the share of the tokens that stand in a relation to the current one is above, or below, a threshold."""

    relation: str
    threshold: float
    above: bool
    right: float


def _best_stump(tokens: np.ndarray, shares: np.ndarray, truth: np.ndarray, header: Header) -> _Stump:
    """The rule that is right most often; of equals the one in the middle."""
    places = np.arange(shares.shape[1], dtype=float) if header.order is None else header.axis(header.built_in["token"]).ranks
    best = _Stump("==", 0.5, True, -1.0)
    for relation in ("==",) if header.order is None else ("==", "<", "<=", ">", ">="):
        share = (shares * COMPARISONS[relation](places[None, :], places[tokens][:, None])).sum(1)
        right = [((share > threshold) == truth).mean() for threshold in THRESHOLDS]
        for above, values in ((True, np.array(right)), (False, 1 - np.array(right))):
            top = np.flatnonzero(values >= values.max() - 1e-9)
            if values.max() > best.right:
                best = _Stump(relation, THRESHOLDS[top[len(top) // 2]], above, float(values.max()))
    return best


def _output(token: str) -> Comparison:
    return Comparison(Index("column"), "==", token)


def with_readout(named: Program, statements: Sequence[Statement]) -> Program:
    """The program with other statements for its readout, their projections summed."""
    readout = _readout(named)
    kept = [s for s in named.statements if s.name not in readout and not isinstance(s, Prediction)]
    prediction = Prediction(tuple(s.name for s in statements if isinstance(s, Project)))
    return named.with_statements(alive([*kept, *statements, prediction]))


def agreement(program: Program, real: Sequence[Judged], off: Sequence[Judged]) -> float:
    """The share of scored positions off the task at which a program predicts as judged, of the outputs that vary on it."""
    varying = np.concatenate([part.predicted for part in real])
    varies = varying.any(0) & ~varying.all(0)
    same = [(_predicted(program, part.sample) == part.predicted)[:, varies].all(1) for part in off]
    return float(np.concatenate(same).mean())


def _predicted(program: Program, sample: Sample) -> np.ndarray:
    """(scored positions, vocabulary): whether each token is predicted."""
    return as_sets(evaluate(program, sample.token_ids, sample.position_ids).logits[sample.scored], program)


def as_sets(logits: np.ndarray, program: Program) -> np.ndarray:
    """What logits (n, vocabulary) predict, as booleans (n, vocabulary)."""
    found = predictions(logits, program.header.predict)
    return found if found.ndim == 2 else found[:, None] == np.arange(len(program.header.vocabulary))


def _rows(named: Program, reads: Sequence[str], parts_judged: Sequence[Judged], compared: Sequence[str] = ()) -> _Rows:
    """Every scored position, equal ones once.

    Args:
        reads: averages of tokens.  compared: comparisons of positions.
    """
    parts = []
    for part in parts_judged:
        sample, target = part.sample, part.predicted
        scored = sample.scored
        trace = evaluate(named, sample.token_ids, sample.position_ids)
        values = np.stack([_clean(trace.values[name][scored], trace.attention[name]) for name in reads], 1) if reads else None
        tokens = sample.token_ids[scored]
        marks = np.stack([trace.values[name][scored][:, 0].round(2) for name in compared], 1) if compared else np.zeros((len(tokens), 0))
        parts.append((tokens, np.zeros((len(tokens), 0, target.shape[1])) if values is None else values, marks, target))
    tokens, values, marks, target = (np.concatenate([part[i] for part in parts]) for i in range(4))
    key = np.concatenate([tokens[:, None], values.reshape(len(tokens), -1).round(6), marks, target], 1)
    _, kept = np.unique(key, axis=0, return_index=True)
    tokens, values, marks, target = tokens[kept], values[kept], marks[kept], target[kept]
    smallest = np.where(values > LEAK, values, 1).min((1, 2), initial=1)
    averages = {name: values[:, i] for i, name in enumerate(reads)}
    marked = {name: marks[:, i] for i, name in enumerate(compared)}
    return _Rows(named.header.vocabulary, tokens, averages, marked, 1 / smallest, target.astype(bool))


def _clean(values: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Shares without the leaks of an attention that picks one key."""
    if attention.max(-1).mean() < CONCENTRATED:
        return values
    return np.where(values.max(-1, keepdims=True) > 1 - 10 * LEAK, values.round(2), values)


@dataclass(frozen=True)
class _Group:
    """Outputs that are predicted together, and those that are predicted just where these are not."""

    together: tuple[int, ...]
    otherwise: tuple[int, ...]

    def entries(self, vocabulary: Sequence[str]) -> tuple[tuple[Label, float], ...]:
        """What 1 of the group's form adds to the logits."""
        signs = {**dict.fromkeys(self.together, 1.0), **dict.fromkeys(self.otherwise, -1.0)}
        return tuple((vocabulary[c], signs[c]) for c in sorted(signs))


def _groups(outputs: np.ndarray, one_only: bool) -> list[_Group]:
    """The outputs that are not constant, by when they are predicted; of two that are alternatives one form serves both."""
    left = [c for c in range(outputs.shape[1]) if outputs[:, c].any()]
    if not one_only:
        left = [c for c in left if not outputs[:, c].all()]
    groups = []
    while left:
        first = outputs[:, left[0]]
        together = tuple(c for c in left if (outputs[:, c] == first).all())
        otherwise = tuple(c for c in left if (outputs[:, c] != first).all())
        groups.append(_Group(together, otherwise))
        left = [c for c in left if c not in together + otherwise]
    return groups


def _assemble(
    named: Program,
    groups: Sequence[_Group],
    real: _Rows,
    off: _Rows,
    check_time: Callable[[], None],
    with_token: bool,
    by_token: bool,
    compares: Sequence[Compare] = (),
) -> Program | None:
    """The program whose readout is one form a group: of averages and comparisons, of the current token too, or for each token its own."""
    vocabulary = named.header.vocabulary
    coordinates = [Coordinate(Read(name), token) for name in real.averages for token in vocabulary]
    coordinates += [Coordinate(Read(compare.name), 0) for compare in compares]
    if with_token:
        coordinates += [Coordinate(TOKEN, token) for token in vocabulary]
    names = (name for name in _fresh(named) if name not in real.marks)
    statements: list[Statement] = [*compares]
    always = tuple((vocabulary[c], 1.0) for c in range(len(vocabulary)) if real.outputs[:, c].all())
    if by_token:
        for group in groups:
            branches = _branches(group, real, off, check_time, coordinates, vocabulary)
            if branches is None:
                return None
            statements += _projected(Case(next(names), TOKEN, branches), [group.entries(vocabulary)])
        if always:
            statements.append(Project(next(names), ONE_READ, Sum((Term(1.0, Entries(always)),))))
    else:
        if not all(separable(_labelled(group, real, coordinates)) for group in groups):
            return None
        formulas = [_fit(group, real, off, check_time, coordinates) for group in groups]
        if None in formulas:
            return None
        entries = [group.entries(vocabulary) for group in groups]
        constant = ([Number(1.0)], [always]) if always else ([], [])
        statements += _projected(
            Compute(next(names), tuple(f for f in (*formulas, *constant[0]) if f is not None)), [*entries, *constant[1]]
        )
    return with_readout(named, statements)


def _projected(statement: Compute | Case, entries: Sequence[tuple[tuple[Label, float], ...]]) -> tuple[Statement, Project]:
    """A variable, and the projection of each of its coordinates to the outputs."""
    return statement, Project(f"logits_{statement.name}", Read(statement.name), Sum((Term(1.0, Rows(tuple(enumerate(entries)))),)))


def _branches(
    group: _Group,
    real: _Rows,
    off: _Rows,
    check_time: Callable[[], None],
    coordinates: Sequence[Coordinate],
    vocabulary: Sequence[str],
) -> tuple[tuple[Label, Formula], ...] | None:
    """For each token that occurs the form of the positions at which it stands."""
    branches: list[tuple[Label, Formula]] = []
    for token in np.unique(real.tokens):
        here = real.part(real.tokens == token)
        truth = here.outputs[:, group.together[0]]
        if truth.all() or not truth.any():
            branches.append((vocabulary[token], Number(1.0 if truth.all() else -1.0)))
            continue
        formula = _fit(group, here, off.part(off.tokens == token), check_time, coordinates)
        if formula is None:
            return None
        branches.append((vocabulary[token], formula))
    return tuple(branches)


def _labelled(group: _Group, rows: _Rows, coordinates: Sequence[Coordinate]) -> Labelled:
    return Labelled(rows.features(coordinates), rows.outputs[:, group.together[0]])


def _fit(group: _Group, real: _Rows, off: _Rows, check_time: Callable[[], None], coordinates: Sequence[Coordinate]) -> Formula | None:
    form = fit_form(_labelled(group, real, coordinates), _labelled(group, off, coordinates), check_time)
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

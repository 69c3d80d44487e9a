"""Attention named: a head's scores as a few predicates and graded terms, by regression on its attention.

A head is named as a whole: what its selectors prefer one by one may cancel.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.axis import Axis
from drasp.ir.basis import ONE, Basis
from drasp.ir.labels import Label
from drasp.ir.nodes import ONE_READ, POS, TOKEN, Aggregate, Read, Select
from drasp.ir.operators import Dense, Except, Operator, Sum, Symbolic, Term
from drasp.ir.primitives import candidates
from drasp.ir.primitives.index import COLUMN
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.place import First
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.record import Asked, Group
from drasp.ir.primitives.tables import Entries, Rows
from drasp.ir.program import Header, Program, feeds_attention
from drasp.learn.evaluation import alike, predictions
from drasp.naming.regression import Choices, selected
from drasp.naming.samples import Samples
from drasp.naming.tuning import AttentionTuning
from drasp.run.numpy_fast import OneHot, evaluate
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class _RowOnly:
    """Graded terms for one query token alone; they are written as an override of that row."""

    row: str
    terms: tuple[Term, ...]

    def matrix(self, rows: Axis, columns: Axis) -> np.ndarray:
        """As that of a primitive."""
        here = rows.ids == rows.index(self.row)
        return here[:, None] * Sum(self.terms).matrix(rows, columns)

    def numbers(self) -> int:
        """As that of a primitive."""
        return len(self.terms)


@dataclass(frozen=True)
class Feature:
    """One term that a head's scores may have: between a query and a key variable."""

    query: Read
    key: Read
    primitive: Primitive | _RowOnly


@dataclass(frozen=True)
class Queries:
    """Rows of attention.

    Attributes:
        weights: (queries, keys), the head's attention.  seen: (queries, keys), the keys up to each query.
        query_values: for each variable (queries, size), or the hot indices (queries) of a one-hot one.
        key_values: for each variable (queries, keys, size), or the hot indices (queries, keys).
    """

    weights: np.ndarray
    seen: np.ndarray
    query_values: Mapping[Read, np.ndarray]
    key_values: Mapping[Read, np.ndarray]


@dataclass(frozen=True)
class Head:
    """The attention of a program under some selectors, and the program that reads its averages."""

    program: Program
    selectors: tuple[str, ...]
    reader: Program


@dataclass(frozen=True)
class NamedHead:
    """Selectors that stand for a head's.

    Attributes:
        selects: named after `stem`; none for the uniform average.
        total_variation: mean distance between its attention and the head's, 0 to 1.
    """

    selects: tuple[Select, ...]
    total_variation: float


def name_head(program: Program, selectors: tuple[str, ...], samples: Samples, tuning: AttentionTuning) -> list[NamedHead]:
    """Ever closer descriptions of the attention that a program has under `selectors`: from the uniform average on, each with more terms."""
    features = list(_features(program, selectors, tuning))
    rows = _queries(Head(program, selectors, program), samples, {read for f in features for read in (f.query, f.key)}, tuning)
    if rows is None:
        return [NamedHead((), 0.0)]
    return describe(program, features, rows, f"s{selectors[0][1:]}_" if selectors else "s", _how(samples, tuning))


@dataclass(frozen=True)
class How:
    """How attention is looked at.

    Attributes:
        rng: draws the queries.
        spend: told of the work that is done; may raise to stop.
    """

    tuning: AttentionTuning
    rng: np.random.Generator
    spend: Callable[[float], None]


def _how(samples: Samples, tuning: AttentionTuning) -> How:
    return How(tuning, samples.rng, samples.spend)


def describe(program: Program, features: Sequence[Feature], rows: Queries, stem: str, how: How) -> list[NamedHead]:
    """Ever closer descriptions of rows of attention, made of some features: from the uniform average on, each with more terms.

    Args:
        stem: of the selectors' names.
    """
    tuning = how.tuning
    columns = _columns(program, features, rows, how.spend)
    choices = Choices(rows.weights, rows.seen)
    found = [NamedHead((), _total_variation(np.zeros_like(rows.weights), rows))]
    costs = np.array([feature.primitive.numbers() for feature in features])
    for strengths in selected(choices, columns, costs, tuning.regression):
        how.spend(len(features))  # each was looked at
        terms = _short([(features[i], columns[i].astype(np.float64), s) for i, s in strengths.items()], rows, tuning)
        selects = _selects(stem, [(f, s) for f, _, s in terms])
        found.append(NamedHead(selects, _total_variation(_scores(program, selects, rows), rows)))
        if found[-1].total_variation <= tuning.near:
            break
    return found


def distance(head: Head, selects: Sequence[Select], samples: Samples, tuning: AttentionTuning) -> float:
    """Total variation between the head's attention and that under `selects`, where its averages matter to its reader."""
    rows = _queries(head, samples, {read for s in selects for read in s.reads}, tuning)
    return 0.0 if rows is None else _total_variation(_scores(head.program, selects, rows), rows)


def described_by(program: Program, selects: Sequence[Select], rows: Queries) -> float:
    """Total variation between some rows of attention and what selectors make of them."""
    return _total_variation(_scores(program, selects, rows), rows)


def _scores(program: Program, selects: Sequence[Select], rows: Queries) -> np.ndarray:
    return sum((_column(program, s.query, s.key, s.op, rows) for s in selects), np.zeros_like(rows.weights))


def _queries(head: Head, samples: Samples, reads: set[Read], tuning: AttentionTuning) -> Queries | None:
    """Attention rows drawn from the samples; None where no query sees more than one key.

    Where only the output of the reader reads the head's averages: those of scored positions at whose current token they can change its
    prediction; else all, also where they change none.

    Args:
        reads: the variables whose values are wanted.
    """
    program, reader, few = head.program, head.reader, samples.few
    averages = [s.name for s in program.statements if isinstance(s, Aggregate) and s.selectors == head.selectors]
    heads = [s for s in reader.statements if isinstance(s, Aggregate) and s.name in averages]
    inner = any(found.name in feeds_attention(reader) for found in heads)
    tokens = None if inner else _where_it_matters(reader, heads, samples)
    places = []
    for sample in few:
        where = sample.real(program.header.bidirectional) if tokens is None else sample.scored & np.isin(sample.token_ids, tokens)
        places.append(Attention(sample, averages[0], where))
    return attention_rows(program, places, reads, _how(samples, tuning))


@dataclass(frozen=True)
class Attention:
    """Sequences, what a head attends to in them, and the queries that count, booleans (batch, time).

    Attributes:
        attention: (batch, time, time); or the average of the program that attends so.
    """

    sample: Sample
    attention: np.ndarray | str
    where: np.ndarray


OUT = Read("prediction")
"""What may be predicted, in the place of a key."""


def attention_rows(program: Program, given: Sequence[Attention], reads: Collection[Read], how: How) -> Queries | None:
    """Some rows of a head's attention, with the values that variables of a program have there; None where no query sees more than one key.

    Args:
        reads: the variables whose values are wanted.
    """
    symbols = program.header.symbols
    length = max(part.sample.token_ids.shape[1] for part in given)
    weights, seen = [], []
    query_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    key_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    share = how.tuning.queries // len(given) + 1
    for part in given:
        sample = part.sample
        bidirectional = program.header.bidirectional
        places = np.argwhere(part.where & (bidirectional | (np.arange(part.where.shape[1]) > 0)))
        if not len(places):
            continue
        rare = places[~np.isin(sample.token_ids[tuple(places.T)], symbols)]
        chosen = [places[how.rng.permutation(len(places))[:share]], rare[how.rng.permutation(len(rare))[: share // how.tuning.rare]]]
        batch, query = np.concatenate(chosen).T
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        how.spend(len(program.statements))
        keys = sample.token_ids.shape[1]
        padding = ((0, 0), (0, length - keys))
        attention = trace.attention[part.attention] if isinstance(part.attention, str) else part.attention
        weights.append(np.pad(attention[batch, query], padding))
        real = sample.real(True)[batch] if bidirectional else np.arange(keys) <= query[:, None]
        seen.append(np.pad(real, padding))
        for read in reads:
            vector = trace.vectors[read.variable]
            value = vector.ids if isinstance(vector, OneHot) and vector.scale is None else trace.value(read.variable)
            query_values[read].append(value[batch, query])
            key_values[read].append(np.pad(value[batch], (*padding, *[(0, 0)] * (value.ndim - 2))))
    if not weights:
        return None
    return Queries(
        np.concatenate(weights),
        np.concatenate(seen),
        {read: np.concatenate(values) for read, values in query_values.items()},
        {read: np.concatenate(values) for read, values in key_values.items()},
    )


def _where_it_matters(program: Program, heads: Sequence[Aggregate], samples: Samples) -> np.ndarray | None:
    """The current tokens at which another value of the averages, their mean, changes a prediction; None where it changes none."""
    found = []
    for sample in samples.few:
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        means = {head.name: trace.values[head.name][sample.scored].mean(0) for head in heads}
        other = evaluate(program, sample.token_ids, sample.position_ids, constants=means)
        samples.spend(2 * len(program.statements))
        before, after = (predictions(t.logits[sample.scored], program.header.predict) for t in (trace, other))
        changed = ~alike(before, after)
        found.append(sample.token_ids[sample.scored][changed & (np.nonzero(sample.scored)[1] > 0)])
    tokens = np.unique(np.concatenate(found))
    return tokens if len(tokens) else None


def _features(program: Program, selectors: tuple[str, ...], tuning: AttentionTuning) -> Iterator[Feature]:
    """Every term that the head may be made of: between a variable that its queries read, or none, and one that its keys read."""
    selects = [s for s in (program.by_name[name] for name in selectors) if isinstance(s, Select)]
    queries = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.query.variable))
    keys = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.key.variable))
    yield from features_between(program, queries, keys, tuning)


def features_between(program: Program, queries: Iterable[Read], keys: Iterable[Read], tuning: AttentionTuning) -> Iterator[Feature]:
    """Every term between one of some variables and one of others, or of a key alone."""
    header, queries = program.header, list(queries)
    for key in keys:
        for of_key in candidates(_asked("key", header, ONE, _basis(program, key), tuning)):
            yield Feature(ONE_READ, key, of_key)
        for query in queries:
            for of_pair in _of_pairs(header, _basis(program, query), _basis(program, key), tuning):
                yield Feature(query, key, of_pair)


def _basis(program: Program, read: Read) -> Basis:
    return program.header.output if read == OUT else program.bases[read.variable]


def _sources(program: Program, variable: str) -> Iterator[str]:
    """The one-hot variables and averages that a variable is computed from, position by position; it may be one itself."""
    if variable in ("token", "pos") or isinstance(program.by_name.get(variable), Aggregate):
        yield variable
    elif variable != "one":
        for read in program.by_name[variable].reads:
            yield from _sources(program, read.variable)


def _of_pairs(header: Header, query: Basis, key: Basis, tuning: AttentionTuning) -> Iterator[Primitive | _RowOnly]:
    if (query.kind, key.kind) == ("token", "output"):
        yield from candidates(_asked("query and key", header, query, key, tuning))
    if query != key or query.kind not in ("token", "position"):
        return
    yield from candidates(_asked("query and key", header, query, key, tuning))
    others = tuple(token for token in header.vocabulary if token not in (header.order or ()))
    if query.kind == "token" and header.order is not None and others:
        last = Term(-float(query.size), Member(COLUMN, others))  # what has no place in the order comes after all that has
        for token in others:
            yield _RowOnly(token, (Term(1.0, First()), last))


def _asked(group: Group, header: Header, query: Basis, key: Basis, tuning: AttentionTuning) -> Asked:
    return Asked(group, header.axis(query), header.axis(key), tuning.moduli, tuning.shifts, tuning.small_vocabulary)


def _columns(program: Program, features: Sequence[Feature], rows: Queries, spend: Callable[[float], None]) -> np.ndarray:
    """The scores of every feature for every query and key: (features, queries, keys)."""
    found = np.empty((len(features), *rows.weights.shape), dtype=np.float32)
    places: dict[tuple[Read, Read], list[int]] = {}
    for place, feature in enumerate(features):
        places.setdefault((feature.query, feature.key), []).append(place)
    for (query, key), group in places.items():
        spend(len(group))
        matrices = np.stack([_matrix(program, query, key, features[place].primitive) for place in group]).astype(np.float32)
        left, right = rows.query_values[query], rows.key_values[key]
        of_query = matrices[:, left] if left.ndim == 1 else left.astype(np.float32) @ matrices  # (group, queries, coordinates of the key)
        if right.ndim == 2:
            found[group] = np.take_along_axis(of_query, right[None], 2)
        else:
            found[group] = np.einsum("nkv,gnv->gnk", right.astype(np.float32), of_query, optimize=True)
    return found


def _column(program: Program, query: Read, key: Read, op: Primitive | _RowOnly | Operator, rows: Queries) -> np.ndarray:
    """The scores of an operator for every query and key: (queries, keys)."""
    matrix = _matrix(program, query, key, op)
    left = rows.query_values[query]
    left = matrix[left] if left.ndim == 1 else left @ matrix
    right = rows.key_values[key]
    return np.take_along_axis(left, right, 1) if right.ndim == 2 else np.einsum("nv,nkv->nk", left, right, optimize=True)


def _matrix(program: Program, query: Read, key: Read, op: Primitive | _RowOnly | Operator) -> np.ndarray:
    """(coordinates of the query, coordinates of the key)."""
    assert not isinstance(op, Dense)
    bases = [_basis(program, read) for read in (query, key)]
    rows_axis, columns_axis = map(program.header.axis, bases)
    return np.broadcast_to(op.matrix(rows_axis, columns_axis), tuple(basis.size for basis in bases)).astype(np.float64)


def _attention(scores: np.ndarray, rows: Queries) -> np.ndarray:
    masked = np.where(rows.seen, scores, -np.inf)
    attention = np.exp(masked - masked.max(1, keepdims=True))
    return attention / attention.sum(1, keepdims=True)


def _total_variation(scores: np.ndarray, rows: Queries) -> float:
    return float(np.abs(_attention(scores, rows) - rows.weights).sum(1).mean() / 2)


Weighted = tuple[Feature, np.ndarray, float]


def _short(terms: list[Weighted], rows: Queries, tuning: AttentionTuning) -> list[Weighted]:
    """Terms dropped and strengths rounded as long as the attention hardly moves."""

    def distance(candidate: list[Weighted]) -> float:
        return _total_variation(sum((s * column for _, column, s in candidate), np.zeros_like(rows.weights)), rows)

    for i, (feature, column, _) in enumerate(terms * 2):  # the least cross entropy is not quite the least distance
        i %= len(terms)
        options = [[*terms[:i], (feature, column, terms[i][2] * factor), *terms[i + 1 :]] for factor in tuning.factors]
        terms = min(options, key=distance)
    allowed = distance(terms) + tuning.transport
    for term in sorted(terms, key=lambda t: abs(t[2])):
        fewer = [t for t in terms if t is not term]
        if distance(fewer) <= allowed - tuning.transport / 2:
            terms = fewer
    for i, (feature, column, strength) in enumerate(terms):
        for step in tuning.grids:
            rounded = round(strength / step) * step
            candidate = [*terms[:i], (feature, column, round(rounded, 3)), *terms[i + 1 :]]
            if rounded and distance(candidate) <= allowed:
                terms = candidate
                break
    return terms


def _selects(stem: str, terms: Sequence[tuple[Feature, float]]) -> tuple[Select, ...]:
    """One selector for each pair of variables; entries of one table stand together. What the key alone decides stands with what query and
    key decide, where the query is a token or a position.
    """
    grouped: dict[tuple[Read, Read], list[tuple[Primitive | _RowOnly, float]]] = {}
    for feature, strength in terms:
        grouped.setdefault((feature.query, feature.key), []).append((feature.primitive, strength))
    for query, key in [pair for pair in grouped if pair[0] in (TOKEN, POS) and (ONE_READ, pair[1]) in grouped]:
        if (alone := grouped.pop((ONE_READ, key), None)) is not None:
            grouped[query, key] += _in_sets(alone)
    return tuple(Select(f"{stem}{i}", query, key, _merged(parts)) for i, ((query, key), parts) in enumerate(grouped.items()))


def _in_sets(parts: Sequence[tuple[Primitive | _RowOnly, float]]) -> list[tuple[Primitive | _RowOnly, float]]:
    """The entries of a table by keys as sets of keys with the same strength."""
    keys: dict[float, list[Label]] = {}
    for primitive, strength in parts:
        if isinstance(primitive, Entries):
            keys.setdefault(strength, []).append(primitive.entries[0][0])
    rest = [(primitive, strength) for primitive, strength in parts if not isinstance(primitive, Entries)]
    return [*rest, *((Member(COLUMN, tuple(labels)), strength) for strength, labels in keys.items())]


def _merged(parts: Sequence[tuple[Primitive | _RowOnly, float]]) -> Symbolic:
    terms: list[Term] = []
    entries: dict[Label, float] = {}
    table: dict[Label, dict[Label, float]] = {}
    overrides: dict[Label, list[Term]] = {}
    for primitive, strength in parts:
        if isinstance(primitive, Entries):
            entries[primitive.entries[0][0]] = strength
        elif isinstance(primitive, Rows):
            ((row, ((column, _),)),) = primitive.rows
            table.setdefault(row, {})[column] = strength
        elif isinstance(primitive, _RowOnly):
            overrides.setdefault(primitive.row, []).extend(Term(round(strength * t.strength, 2), t.primitive) for t in primitive.terms)
        else:
            terms.append(Term(strength, primitive))
    if entries:
        terms.append(Term(1.0, Entries(tuple(entries.items()))))
    if table:
        terms.append(Term(1.0, Rows(tuple((row, tuple(cells.items())) for row, cells in table.items()))))
    base = Sum(tuple(terms))
    return Except(base, tuple((row, Sum(tuple(added))) for row, added in overrides.items())) if overrides else base

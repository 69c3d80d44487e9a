"""Attention named: a head's scores as a few predicates and graded terms, by regression on its log-attention.

A head is named as a whole: what its selectors prefer one by one may cancel. The scores that count are those of the log-attention with
each query's mean taken away, which fixes the gauge (a constant per query row); keys that are attended to weigh more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.basis import Basis
from drasp.ir.nodes import ONE_READ, Aggregate, Read, Select
from drasp.ir.operators import (
    SPECIAL_TOKEN,
    Axis,
    Comparison,
    Dense,
    Difference,
    Entries,
    Except,
    First,
    Index,
    Label,
    Last,
    Log,
    Member,
    Nearest,
    Operator,
    Primitive,
    Rows,
    Sum,
    Symbolic,
    Term,
)
from drasp.ir.program import Header, Program, feeds_attention
from drasp.learn.evaluation import predictions
from drasp.run.numpy_fast import OneHot, evaluate
from drasp.tasks.protocol import Sample

QUERIES = 400
RARE = 4  # one query more at a special token for every so many: such tokens often follow a rule of their own
KEY_WEIGHT = 0.3  # of all keys together, beside the weight of those attended to
DEEPEST = 12.0  # log-attention below the best key's that still tells a difference
TERMS_AT_MOST, ENOUGH, GAIN = 6, 0.995, 0.003
TRANSPORT = 0.01  # of total variation that dropping or rounding a term may add
NEWTON_STEPS, STEP_AT_MOST = 40, 3.0
RIDGE = 1e-6  # keeps the strength of an attention that is all but hard from growing without end
FACTORS = (1.0, 0.7, 0.85, 1.2, 1.5, 2.0)
SMALL_VOCABULARY = 10  # symbols, up to which each pair of tokens is a term of its own
SHIFTS, MODULI = range(9), (2, 3, 4)
SIDE: tuple[Index, Index] = (Index("row"), Index("column"))


@dataclass(frozen=True)
class _RowOnly:
    """Graded terms for one query token alone; they are written as an override of that row."""

    row: str
    terms: tuple[Term, ...]

    def matrix(self, rows: Axis, columns: Axis) -> np.ndarray:
        """As that of a primitive."""
        here = rows.ids == rows.index(self.row)
        return here[:, None] * Sum(self.terms).matrix(rows, columns)


@dataclass(frozen=True)
class _Feature:
    """One term that a head's scores may have: between a query and a key variable."""

    query: Read
    key: Read
    primitive: Primitive | _RowOnly


@dataclass(frozen=True)
class _Queries:
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
class NamedHead:
    """Selectors that stand for a head's.

    Attributes:
        selects: named after `stem`; none for the uniform average.
        total_variation: mean distance between its attention and the head's, 0 to 1.
    """

    selects: tuple[Select, ...]
    total_variation: float

    @property
    def numbers(self) -> int:
        return sum(s.op.numbers() for s in self.selects if not isinstance(s.op, Dense))


def name_head(program: Program, selectors: tuple[str, ...], samples: Sequence[Sample], rng: np.random.Generator) -> list[NamedHead]:
    """Ever closer descriptions of the attention that a program has under `selectors`: from the uniform average on, each with more terms."""
    features = list(_features(program, selectors))
    rows = _queries(program, selectors, samples, rng, program, {read for f in features for read in (f.query, f.key)})
    if rows is None:
        return [NamedHead((), 0.0)]
    columns = [_column(program, f.query, f.key, f.primitive, rows) for f in features]
    target = np.log(np.maximum(rows.weights, rows.weights.max(1, keepdims=True) * np.exp(-DEEPEST)))
    key_weights = np.where(rows.seen, rows.weights + KEY_WEIGHT / rows.seen.sum(1, keepdims=True), 0)
    flat = np.stack([_centred(column, key_weights) for column in (target, *columns)])
    gram = flat @ flat.T
    stem = f"s{selectors[0][1:]}_" if selectors else "s"
    found = [NamedHead((), _total_variation(np.zeros_like(target), rows))]
    for chosen in _greedy(gram):
        start = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], gram[chosen, 0], rcond=None)[0]
        strengths = _closest(np.stack([columns[c - 1] for c in chosen], -1), start, rows)
        terms = _short([(features[c - 1], columns[c - 1], s) for c, s in zip(chosen, strengths, strict=True)], rows)
        selects = _selects(stem, [(f, s) for f, _, s in terms])
        found.append(NamedHead(selects, _total_variation(_scores(program, selects, rows), rows)))
    return found


def distance(
    program: Program,
    selectors: tuple[str, ...],
    selects: Sequence[Select],
    named: Program,
    samples: Sequence[Sample],
    rng: np.random.Generator,
) -> float:
    """Total variation between the attention under `selectors` and that under `selects`, where the averages matter to `named`."""
    rows = _queries(program, selectors, samples, rng, named, {read for s in selects for read in s.reads})
    return 0.0 if rows is None else _total_variation(_scores(program, selects, rows), rows)


def _scores(program: Program, selects: Sequence[Select], rows: _Queries) -> np.ndarray:
    return sum((_column(program, s.query, s.key, s.op, rows) for s in selects), np.zeros_like(rows.weights))


def _queries(
    program: Program, selectors: tuple[str, ...], samples: Sequence[Sample], rng: np.random.Generator, reader: Program, reads: set[Read]
) -> _Queries | None:
    """Attention rows drawn from the samples; None where no query sees more than one key.

    Where only the output of `reader` reads the head's averages: those of scored positions at whose current token they can change its
    prediction; else all, also where they change none.

    Args:
        reads: the variables whose values are wanted.
    """
    averages = [s.name for s in program.statements if isinstance(s, Aggregate) and s.selectors == selectors]
    heads = [s for s in reader.statements if isinstance(s, Aggregate) and s.name in averages]
    inner = any(head.name in feeds_attention(reader) for head in heads)
    tokens = None if inner else _where_it_matters(reader, heads, samples)
    symbols = [i for i, token in enumerate(program.header.vocabulary) if not SPECIAL_TOKEN.fullmatch(token)]
    length = max(sample.token_ids.shape[1] for sample in samples)
    weights, seen = [], []
    query_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    key_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    share = QUERIES // len(samples) + 1
    for sample in samples:
        real = sample.scored[:, ::-1].cumsum(1)[:, ::-1] > 0 if tokens is None else sample.scored & np.isin(sample.token_ids, tokens)
        places = np.argwhere(real & (np.arange(real.shape[1]) > 0))
        if not len(places):
            continue
        rare = places[~np.isin(sample.token_ids[tuple(places.T)], symbols)]
        chosen = [places[rng.permutation(len(places))[:share]], rare[rng.permutation(len(rare))[: share // RARE]]]
        batch, query = np.concatenate(chosen).T
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        keys = sample.token_ids.shape[1]
        padding = ((0, 0), (0, length - keys))
        weights.append(np.pad(trace.attention[averages[0]][batch, query], padding))
        seen.append(np.pad(np.arange(keys) <= query[:, None], padding))
        for read in reads:
            vector = trace.vectors[read.variable]
            value = vector.ids if isinstance(vector, OneHot) and vector.scale is None else trace.value(read.variable)
            query_values[read].append(value[batch, query])
            key_values[read].append(np.pad(value[batch], (*padding, *[(0, 0)] * (value.ndim - 2))))
    if not weights:
        return None
    return _Queries(
        np.concatenate(weights),
        np.concatenate(seen),
        {read: np.concatenate(values) for read, values in query_values.items()},
        {read: np.concatenate(values) for read, values in key_values.items()},
    )


def _where_it_matters(program: Program, heads: Sequence[Aggregate], samples: Sequence[Sample]) -> np.ndarray | None:
    """The current tokens at which another value of the averages, their mean, changes a prediction; None where it changes none."""
    found = []
    for sample in samples:
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        means = {head.name: trace.values[head.name][sample.scored].mean(0) for head in heads}
        other = evaluate(program, sample.token_ids, sample.position_ids, constants=means)
        before, after = (predictions(t.logits[sample.scored], program.header.predict) for t in (trace, other))
        changed = (before != after).reshape(len(before), -1).any(1)
        found.append(sample.token_ids[sample.scored][changed & (np.nonzero(sample.scored)[1] > 0)])
    tokens = np.unique(np.concatenate(found))
    return tokens if len(tokens) else None


def _features(program: Program, selectors: tuple[str, ...]) -> Iterator[_Feature]:
    """Every term that the head may be made of: between a variable that its queries read, or none, and one that its keys read."""
    header, bases = program.header, program.bases
    selects = [s for s in (program.by_name[name] for name in selectors) if isinstance(s, Select)]
    queries = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.query.variable))
    keys = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.key.variable))
    for key in keys:
        for of_key in _of_keys(header, bases[key.variable]):
            yield _Feature(ONE_READ, key, of_key)
        for query in queries:
            for of_pair in _of_pairs(header, bases[query.variable], bases[key.variable]):
                yield _Feature(query, key, of_pair)


def _sources(program: Program, variable: str) -> Iterator[str]:
    """The one-hot variables and averages that a variable is computed from, position by position; it may be one itself."""
    if variable in ("token", "pos") or isinstance(program.by_name.get(variable), Aggregate):
        yield variable
    elif variable != "one":
        for read in program.by_name[variable].reads:
            yield from _sources(program, read.variable)


def _of_keys(header: Header, basis: Basis) -> Iterator[Primitive]:
    if basis.kind == "token":
        symbols = header.vocabulary if len(header.vocabulary) <= SMALL_VOCABULARY + 4 else header.vocabulary[-4:]
        for token in symbols:
            yield Entries(((token, 1.0),))
    elif basis.kind == "position":
        yield Last()


def _of_pairs(header: Header, query: Basis, key: Basis) -> Iterator[Primitive | _RowOnly]:
    if query != key or query.kind not in ("token", "position"):
        return
    row, column = SIDE
    if query.kind == "position":
        for shift in SHIFTS:
            yield Comparison(column, "==", Index("row", -shift))
        for modulo in MODULI:
            for remainder in range(modulo):
                yield Comparison(Index("column", 0, modulo), "==", Index("row", -remainder, modulo))
        yield Log(Difference("row"))
        return
    yield Comparison(column, "==", row)
    if len(header.vocabulary) <= SMALL_VOCABULARY + 4:
        for first in header.vocabulary:
            for second in header.vocabulary:
                yield Rows(((first, ((second, 1.0),)),))
    if header.order is not None:
        for relation in ("<", "<=", ">", ">="):
            yield Comparison(column, relation, row)
            if "=" not in relation:
                yield Nearest(Comparison(column, relation, row))
        for shift in (1, -1):
            yield Comparison(column, "==", Index("row", shift))
        yield Log(Difference("row"))
        yield Log(Difference("column"))
        others = tuple(token for token in header.vocabulary if token not in header.order)
        last = Term(-float(query.size), Member(column, others))  # what has no place in the order comes after all that has
        for token in others:
            yield _RowOnly(token, (Term(1.0, First()), last))


def _column(program: Program, query: Read, key: Read, op: Primitive | _RowOnly | Operator, rows: _Queries) -> np.ndarray:
    """The scores of an operator, or of one primitive, for every query and key: (queries, keys)."""
    assert not isinstance(op, Dense)
    bases = [program.bases[read.variable] for read in (query, key)]
    rows_axis, columns_axis = map(program.header.axis, bases)
    matrix = np.broadcast_to(op.matrix(rows_axis, columns_axis), tuple(basis.size for basis in bases)).astype(np.float64)
    left = rows.query_values[query]
    left = matrix[left] if left.ndim == 1 else left @ matrix
    right = rows.key_values[key]
    return np.take_along_axis(left, right, 1) if right.ndim == 2 else np.einsum("nv,nkv->nk", left, right)


def _centred(column: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A column with each query's weighted mean taken away, times the root of the weights: (queries * keys)."""
    mean = (column * weights).sum(1, keepdims=True) / weights.sum(1, keepdims=True)
    return ((column - mean) * np.sqrt(weights)).ravel()


def _greedy(gram: np.ndarray) -> Iterator[list[int]]:
    """Ever more columns that explain column 0 best, until they explain enough or a further one adds too little."""
    chosen: list[int] = []
    total, explained = float(gram[0, 0]), 0.0
    while len(chosen) < TERMS_AT_MOST and explained < ENOUGH * total and total > 0:
        best, best_explained = 0, explained
        for candidate in range(1, len(gram)):
            if candidate in chosen or gram[candidate, candidate] <= 1e-9:
                continue
            columns = [*chosen, candidate]
            strengths = np.linalg.lstsq(gram[np.ix_(columns, columns)], gram[columns, 0], rcond=None)[0]
            now = float(strengths @ gram[columns, 0])
            if now > best_explained + 1e-12:
                best, best_explained = candidate, now
        if best_explained - explained < GAIN * total:
            return
        chosen.append(best)
        explained = best_explained
        yield list(chosen)


def _closest(columns: np.ndarray, start: np.ndarray, rows: _Queries) -> np.ndarray:
    """The strengths whose attention has the least cross entropy to the head's, by Newton's method: it is convex in them.

    `columns` is (queries, keys, terms). A regression on logarithms finds the terms; what it finds of strengths far from 0 is too small.
    """
    strengths = start
    for _ in range(NEWTON_STEPS):
        attention = _attention(columns @ strengths, rows)
        mean = np.einsum("nk,nkt->nt", attention, columns)
        gradient = (np.einsum("nk,nkt->t", rows.weights, columns) - mean.sum(0)) / len(mean)
        spread = (np.einsum("nk,nks,nkt->st", attention, columns, columns) - mean.T @ mean) / len(mean)
        step = np.linalg.solve(spread + RIDGE * np.eye(len(strengths)), gradient - RIDGE * strengths)
        step *= min(1.0, STEP_AT_MOST / max(np.abs(step).max(), 1e-12))
        strengths = strengths + step
        if np.abs(step).max() < 1e-4:
            break
    return strengths


def _attention(scores: np.ndarray, rows: _Queries) -> np.ndarray:
    masked = np.where(rows.seen, scores, -np.inf)
    attention = np.exp(masked - masked.max(1, keepdims=True))
    return attention / attention.sum(1, keepdims=True)


def _total_variation(scores: np.ndarray, rows: _Queries) -> float:
    return float(np.abs(_attention(scores, rows) - rows.weights).sum(1).mean() / 2)


Weighted = tuple[_Feature, np.ndarray, float]


def _short(terms: list[Weighted], rows: _Queries) -> list[Weighted]:
    """Terms dropped and strengths rounded as long as the attention hardly moves."""

    def distance(candidate: list[Weighted]) -> float:
        return _total_variation(sum((s * column for _, column, s in candidate), np.zeros_like(rows.weights)), rows)

    for i, (feature, column, _) in enumerate(terms * 2):  # the least cross entropy is not quite the least distance
        i %= len(terms)
        options = [[*terms[:i], (feature, column, terms[i][2] * factor), *terms[i + 1 :]] for factor in FACTORS]
        terms = min(options, key=distance)
    allowed = distance(terms) + TRANSPORT
    for term in sorted(terms, key=lambda t: abs(t[2])):
        fewer = [t for t in terms if t is not term]
        if distance(fewer) <= allowed - TRANSPORT / 2:
            terms = fewer
    for i, (feature, column, strength) in enumerate(terms):
        for step in (5.0, 1.0, 0.5, 0.1, 0.01):
            rounded = round(strength / step) * step
            candidate = [*terms[:i], (feature, column, round(rounded, 2)), *terms[i + 1 :]]
            if rounded and distance(candidate) <= allowed:
                terms = candidate
                break
    return terms


def _selects(stem: str, terms: Sequence[tuple[_Feature, float]]) -> tuple[Select, ...]:
    """One selector for each pair of variables; entries of one table stand together."""
    grouped: dict[tuple[Read, Read], list[tuple[Primitive | _RowOnly, float]]] = {}
    for feature, strength in terms:
        grouped.setdefault((feature.query, feature.key), []).append((feature.primitive, strength))
    return tuple(Select(f"{stem}{i}", query, key, _merged(parts)) for i, ((query, key), parts) in enumerate(grouped.items()))


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

"""Attention named: a head's scores as a few predicates and graded terms, by regression on its log-attention.

A head is named as a whole: what its selectors prefer one by one may cancel. The scores that count are those of the log-attention with
each query's mean taken away, which fixes the gauge (a constant per query row); keys that are attended to weigh more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.axis import Axis
from drasp.ir.basis import ONE, Basis
from drasp.ir.labels import Label, symbol_ids
from drasp.ir.nodes import ONE_READ, Aggregate, Read, Select
from drasp.ir.operators import Dense, Except, Operator, Sum, Symbolic, Term
from drasp.ir.primitives import candidates
from drasp.ir.primitives.index import COLUMN
from drasp.ir.primitives.member import Member
from drasp.ir.primitives.place import First
from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.record import Asked, Group
from drasp.ir.primitives.tables import Entries, Rows
from drasp.ir.program import Header, Program, feeds_attention
from drasp.learn.evaluation import predictions
from drasp.naming.samples import Samples
from drasp.naming.tuning import AttentionTuning
from drasp.run.numpy_fast import OneHot, evaluate


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
    columns = []
    for feature in features:
        columns.append(_column(program, feature.query, feature.key, feature.primitive, rows))
        samples.spend(1)
    target = np.log(np.maximum(rows.weights, rows.weights.max(1, keepdims=True) * np.exp(-tuning.deepest)))
    key_weights = np.where(rows.seen, rows.weights + tuning.key_weight / rows.seen.sum(1, keepdims=True), 0)
    flat = np.stack([_centred(column, key_weights) for column in (target, *columns)])
    gram = flat @ flat.T
    stem = f"s{selectors[0][1:]}_" if selectors else "s"
    found = [NamedHead((), _total_variation(np.zeros_like(target), rows))]
    for chosen in _orthogonal_matching_pursuit(gram, tuning):
        samples.spend(len(features))  # each was looked at
        start = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], gram[chosen, 0], rcond=None)[0]
        strengths = _closest(np.stack([columns[c - 1] for c in chosen], -1), start, rows, tuning)
        terms = _short([(features[c - 1], columns[c - 1], s) for c, s in zip(chosen, strengths, strict=True)], rows, tuning)
        selects = _selects(stem, [(f, s) for f, _, s in terms])
        found.append(NamedHead(selects, _total_variation(_scores(program, selects, rows), rows)))
    return found


def distance(head: Head, selects: Sequence[Select], samples: Samples, tuning: AttentionTuning) -> float:
    """Total variation between the head's attention and that under `selects`, where its averages matter to its reader."""
    rows = _queries(head, samples, {read for s in selects for read in s.reads}, tuning)
    return 0.0 if rows is None else _total_variation(_scores(head.program, selects, rows), rows)


def _scores(program: Program, selects: Sequence[Select], rows: _Queries) -> np.ndarray:
    return sum((_column(program, s.query, s.key, s.op, rows) for s in selects), np.zeros_like(rows.weights))


def _queries(head: Head, samples: Samples, reads: set[Read], tuning: AttentionTuning) -> _Queries | None:
    """Attention rows drawn from the samples; None where no query sees more than one key.

    Where only the output of the reader reads the head's averages: those of scored positions at whose current token they can change its
    prediction; else all, also where they change none.

    Args:
        reads: the variables whose values are wanted.
    """
    program, reader, few, rng = head.program, head.reader, samples.few, samples.rng
    averages = [s.name for s in program.statements if isinstance(s, Aggregate) and s.selectors == head.selectors]
    heads = [s for s in reader.statements if isinstance(s, Aggregate) and s.name in averages]
    inner = any(found.name in feeds_attention(reader) for found in heads)
    tokens = None if inner else _where_it_matters(reader, heads, samples)
    symbols = symbol_ids(program.header.vocabulary)
    length = max(sample.token_ids.shape[1] for sample in few)
    weights, seen = [], []
    query_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    key_values: dict[Read, list[np.ndarray]] = {r: [] for r in reads}
    share = tuning.queries // len(few) + 1
    for sample in few:
        real = sample.scored[:, ::-1].cumsum(1)[:, ::-1] > 0 if tokens is None else sample.scored & np.isin(sample.token_ids, tokens)
        places = np.argwhere(real & (np.arange(real.shape[1]) > 0))
        if not len(places):
            continue
        rare = places[~np.isin(sample.token_ids[tuple(places.T)], symbols)]
        chosen = [places[rng.permutation(len(places))[:share]], rare[rng.permutation(len(rare))[: share // tuning.rare]]]
        batch, query = np.concatenate(chosen).T
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        samples.spend(len(program.statements))
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


def _where_it_matters(program: Program, heads: Sequence[Aggregate], samples: Samples) -> np.ndarray | None:
    """The current tokens at which another value of the averages, their mean, changes a prediction; None where it changes none."""
    found = []
    for sample in samples.few:
        trace = evaluate(program, sample.token_ids, sample.position_ids)
        means = {head.name: trace.values[head.name][sample.scored].mean(0) for head in heads}
        other = evaluate(program, sample.token_ids, sample.position_ids, constants=means)
        samples.spend(2 * len(program.statements))
        before, after = (predictions(t.logits[sample.scored], program.header.predict) for t in (trace, other))
        changed = (before != after).reshape(len(before), -1).any(1)
        found.append(sample.token_ids[sample.scored][changed & (np.nonzero(sample.scored)[1] > 0)])
    tokens = np.unique(np.concatenate(found))
    return tokens if len(tokens) else None


def _features(program: Program, selectors: tuple[str, ...], tuning: AttentionTuning) -> Iterator[_Feature]:
    """Every term that the head may be made of: between a variable that its queries read, or none, and one that its keys read."""
    header, bases = program.header, program.bases
    selects = [s for s in (program.by_name[name] for name in selectors) if isinstance(s, Select)]
    queries = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.query.variable))
    keys = dict.fromkeys(Read(source) for s in selects for source in _sources(program, s.key.variable))
    for key in keys:
        for of_key in candidates(_asked("key", header, ONE, bases[key.variable], tuning)):
            yield _Feature(ONE_READ, key, of_key)
        for query in queries:
            for of_pair in _of_pairs(header, bases[query.variable], bases[key.variable], tuning):
                yield _Feature(query, key, of_pair)


def _sources(program: Program, variable: str) -> Iterator[str]:
    """The one-hot variables and averages that a variable is computed from, position by position; it may be one itself."""
    if variable in ("token", "pos") or isinstance(program.by_name.get(variable), Aggregate):
        yield variable
    elif variable != "one":
        for read in program.by_name[variable].reads:
            yield from _sources(program, read.variable)


def _of_pairs(header: Header, query: Basis, key: Basis, tuning: AttentionTuning) -> Iterator[Primitive | _RowOnly]:
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


def _orthogonal_matching_pursuit(gram: np.ndarray, tuning: AttentionTuning) -> Iterator[list[int]]:
    """Ever more columns that explain column 0 best, until they explain enough or a further one adds too little.

    After each choice the strengths of all are fitted anew (Pati, Rezaiifar and Krishnaprasad 1993); chosen is the column with which they
    explain the most, not the one most like what is left.

    Args:
        gram: (columns, columns), their products with each other.
    """
    chosen: list[int] = []
    total, explained = float(gram[0, 0]), 0.0
    while len(chosen) < tuning.terms and explained < tuning.enough * total and total > 0:
        best, best_explained = 0, explained
        for candidate in range(1, len(gram)):
            if candidate in chosen or gram[candidate, candidate] <= 1e-9:
                continue
            columns = [*chosen, candidate]
            strengths = np.linalg.lstsq(gram[np.ix_(columns, columns)], gram[columns, 0], rcond=None)[0]
            now = float(strengths @ gram[columns, 0])
            if now > best_explained + 1e-12:
                best, best_explained = candidate, now
        if best_explained - explained < tuning.gain * total:
            return
        chosen.append(best)
        explained = best_explained
        yield list(chosen)


def _closest(columns: np.ndarray, start: np.ndarray, rows: _Queries, tuning: AttentionTuning) -> np.ndarray:
    """The strengths whose attention has the least cross entropy to the head's, by Newton's method: it is convex in them.

    `columns` is (queries, keys, terms). A regression on logarithms finds the terms; what it finds of strengths far from 0 is too small.
    """
    strengths = start
    for _ in range(tuning.newton_steps):
        attention = _attention(columns @ strengths, rows)
        mean = np.einsum("nk,nkt->nt", attention, columns)
        gradient = (np.einsum("nk,nkt->t", rows.weights, columns) - mean.sum(0)) / len(mean)
        spread = (np.einsum("nk,nks,nkt->st", attention, columns, columns) - mean.T @ mean) / len(mean)
        step = np.linalg.solve(spread + tuning.ridge * np.eye(len(strengths)), gradient - tuning.ridge * strengths)
        step *= min(1.0, tuning.step_at_most / max(np.abs(step).max(), 1e-12))
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


def _short(terms: list[Weighted], rows: _Queries, tuning: AttentionTuning) -> list[Weighted]:
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

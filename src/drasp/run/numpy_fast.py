"""The fast interpreter, in NumPy: what everything is measured with. It means what `drasp.run.meaning` says, and is tested against it.

A variable known to be one-hot is kept as the index of its hot coordinate, so that a product with a matrix is a lookup; and attention is
worked out in blocks that fit in the processor's cache, without the keys that a causal block does not see.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from drasp.core.parallel import go_on
from drasp.errors import DraspError
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.formulas import ARITHMETIC, FUNCTIONS, TESTS, Apply, Arithmetic, Coordinate, Formula, Number, Test, divide
from drasp.ir.labels import Label
from drasp.ir.nodes import (
    BUILT_IN,
    Aggregate,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Read,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.norms import NORMS
from drasp.ir.program import Header, Program, feeds_attention

Array = np.ndarray[Any, Any]

PAIRS_PER_BLOCK = 1 << 15  # of query and key: a quarter of a megabyte in double precision
QUERIES_PER_BLOCK = 32
LARGEST_VARIABLE = 1 << 28  # numbers, of one sequence
LEAST_ODDS = 1e-30
COUNTED_FROM = 16  # coordinates of a one-hot value: summing weights by coordinate is then faster than a product of matrices


@dataclass(frozen=True)
class OneHot:
    """A variable with one coordinate that is not zero.

    Attributes:
        ids: (batch, time), the index of that coordinate.
        size: how many coordinates there are.
        scale: (batch, time), its value; None where it is 1 everywhere.
    """

    ids: Array
    size: int
    scale: Array | None = None

    def __getitem__(self, place: tuple[slice, slice]) -> "OneHot":
        """Some sequences, some positions, as of an array."""
        return OneHot(self.ids[place], self.size, None if self.scale is None else self.scale[place])


Vector = OneHot | Array


def dense(vector: Vector, dtype: Any) -> Array:
    """All coordinates of a variable: (batch, time, size)."""
    if not isinstance(vector, OneHot):
        return vector
    full = np.zeros((*vector.ids.shape, vector.size), dtype)
    np.put_along_axis(full, vector.ids[..., None], 1 if vector.scale is None else vector.scale[..., None], axis=-1)
    return full


def times_matrix(vector: Vector, matrix: Array) -> Array:
    """`x A`: (batch, time, columns)."""
    if not isinstance(vector, OneHot):
        return (vector.reshape(-1, vector.shape[-1]) @ matrix).reshape(*vector.shape[:-1], matrix.shape[1])
    rows = matrix.take(vector.ids, axis=0)
    return rows if vector.scale is None else rows * vector.scale[..., None]


def bilinear(first: Vector, matrix: Array, second: Vector) -> Array:
    """`x A y`, position by position: (batch, time)."""
    if isinstance(second, OneHot):
        if isinstance(first, OneHot):
            product = matrix[first.ids, second.ids]
            product = product if first.scale is None else product * first.scale
        else:
            product = (first * matrix.T.take(second.ids, axis=0)).sum(-1)
        return product if second.scale is None else product * second.scale
    return (times_matrix(first, matrix) * second).sum(-1)


class Scores:
    """`x_i A y_j` for every query i and key j: what can be multiplied beforehand is, the rest is done block by block."""

    def __init__(self, query: Vector, matrix: Array, key: Vector) -> None:
        self.query, self.matrix, self.key = query, matrix, key
        self.constant = isinstance(query, OneHot) and query.size == 1 and query.scale is None
        if self.constant or not isinstance(key, OneHot):
            self.by_coordinate = times_matrix(key, matrix.T).swapaxes(1, 2)  # (batch, query coordinates, keys)
        elif not isinstance(query, OneHot):
            self.by_key_coordinate = query @ matrix
        self.odds = None  # by query and key coordinate, where these say all
        if isinstance(query, OneHot) and isinstance(key, OneHot) and query.scale is None and key.scale is None and not self.constant:
            self.odds = np.exp(matrix - matrix.max(1, keepdims=True))

    def odds_block(self, rows: slice, queries: slice, keys: slice) -> Array:
        """exp(scores), up to a factor for each query; only where there are `odds`."""
        assert self.odds is not None
        assert isinstance(self.query, OneHot)
        assert isinstance(self.key, OneHot)
        return _looked_up(self.odds, self.query.ids[rows, queries], self.key.ids[rows, keys])

    def block(self, rows: slice, queries: slice, keys: slice) -> Array:
        """(batch, queries, keys), or (batch, 1, keys) where the query is the constant `one`."""
        query, key = self.query[rows, queries], self.key[rows, keys]
        if self.constant:
            return self.by_coordinate[rows, :, keys]
        if not isinstance(key, OneHot):
            if not isinstance(query, OneHot):
                return query @ self.by_coordinate[rows, :, keys]
            found = self.by_coordinate[rows, :, keys][np.arange(len(query.ids))[:, None], query.ids]
        elif isinstance(query, OneHot):
            found = _looked_up(self.matrix, query.ids, key.ids)
        else:
            found = np.take_along_axis(self.by_key_coordinate[rows, queries], key.ids[:, None, :], axis=2)
        if isinstance(query, OneHot) and query.scale is not None:
            found *= query.scale[:, :, None]
        if isinstance(key, OneHot) and key.scale is not None:
            found *= key.scale[:, None, :]
        return found


def _looked_up(matrix: Array, query_ids: Array, key_ids: Array) -> Array:
    return matrix.ravel().take((query_ids * matrix.shape[1])[:, :, None] + key_ids[:, None, :])


def weigh(weights: Array, value: Vector) -> Array:
    """`sum_j w_ij y_j`: (batch, queries, size) for weights (batch, queries, keys)."""
    if not isinstance(value, OneHot):
        return weights @ value
    if value.scale is not None:
        weights = weights * value.scale[:, None, :]
    queries = weights.shape[1]
    rows = np.arange(queries)[:, None] * value.size
    result = np.empty((len(weights), queries, value.size), weights.dtype)
    for out, row, ids in zip(result, weights, value.ids, strict=True):
        out[...] = np.bincount((rows + ids).ravel(), row.ravel(), out.size).reshape(out.shape)
    return result


def harden(vector: Vector) -> OneHot:
    """One-hot of the largest coordinate, the first of equals."""
    if isinstance(vector, OneHot):
        if vector.scale is None:
            return vector
        vector = dense(vector, vector.scale.dtype)
    return OneHot(vector.argmax(-1), vector.shape[-1])


def sharpen(vector: Array, power: float) -> Array:
    """The n-th power of each coordinate, renormalised to sum 1."""
    positive = np.maximum(vector, 0)
    powers = divide(positive, positive.max(-1, keepdims=True)) ** power
    return divide(powers, powers.sum(-1, keepdims=True))


def outer(first: Vector, second: Vector, dtype: Any) -> Vector:
    """The product of each coordinate with each."""
    if isinstance(first, OneHot) and isinstance(second, OneHot) and first.scale is None and second.scale is None:
        return OneHot(first.ids * second.size + second.ids, first.size * second.size)
    product = dense(first, dtype)[..., :, None] * dense(second, dtype)[..., None, :]
    return product.reshape(*product.shape[:2], product.shape[2] * product.shape[3])


def softmax(total: Array, first: int | None, padding: Array | None = None) -> Array:
    """Attention (batch, queries, keys) from summed scores, which are overwritten; `first` as in `hide_future`, `padding` (batch, queries,
    keys) as of `padding_keys`.
    """
    hide_future(total, first, -np.inf)
    if padding is not None:
        np.copyto(total, -np.inf, where=padding)
    total -= total.max(-1, keepdims=True)
    np.exp(total, out=total)
    total /= total.sum(-1, keepdims=True)
    return total


def taken(vectors: Mapping[str, Vector], read: Read, dtype: Any) -> Vector:
    """What a statement takes: a variable, divided by another one if it says so."""
    vector = vectors[read.variable]
    if read.over is None:
        return vector
    scalar = dense(vectors[read.over], dtype)[..., 0]
    if not isinstance(vector, OneHot):
        return divide(vector, scalar[..., None])
    return OneHot(vector.ids, vector.size, divide(np.ones_like(scalar) if vector.scale is None else vector.scale, scalar))


def hide_future(total: Array, first: int | None, hidden: float) -> None:
    """The queries stand at the keys from `first` on, and each sees the keys up to itself; all keys where `first` is None."""
    if first is not None:
        places = np.arange(total.shape[1])
        np.copyto(total[:, :, first:], hidden, where=places[:, None] < places)


def padding_keys(header: Header, token_ids: Array) -> Array | None:
    """Which keys a query does not see because they are padding, (batch, time, time) booleans; None where none is hidden."""
    if header.pad is None:
        return None
    real = token_ids != header.vocabulary.index(header.pad)
    if real.all():
        return None
    others = real.any(1, keepdims=True) if header.bidirectional else np.logical_or.accumulate(real, axis=1)
    return np.broadcast_to(~real[:, None, :], (*real.shape, real.shape[1])) & others[:, :, None]


@dataclass(frozen=True)
class Trace:
    """Everything a program computes on a batch.

    Attributes:
        vectors: each variable, built-in ones included, as the interpreter holds it.
        attention: for each aggregate its weights, (batch, time, time).
        projections: for each projection what it adds to the logits, (batch, time, outputs).
        logits: (batch, time, outputs).
    """

    vectors: Mapping[str, Vector]
    attention: Mapping[str, Array]
    projections: Mapping[str, Array]
    logits: Array

    @cached_property
    def values(self) -> dict[str, Array]:
        """The variables that statements assign: (batch, time, size) each."""
        return {name: self.value(name) for name in self.vectors if name not in BUILT_IN}

    def value(self, name: str) -> Array:
        """Any variable, also a built-in one: (batch, time, size)."""
        return dense(self.vectors[name], self.logits.dtype)

    def taken(self, read: Read) -> Vector:
        """What a statement takes that reads so."""
        return taken(self.vectors, read, self.logits.dtype)


def evaluate(
    program: Program,
    token_ids: Array,
    position_ids: Array | None = None,
    *,
    dtype: Any = np.float64,
    constants: Mapping[str, Array] | None = None,
) -> Trace:
    """Runs a program and keeps everything.

    Args:
        program: what to run.
        token_ids: integers (batch, time).
        position_ids: integers (batch, time); 0..time-1 by default.
        dtype: the floating-point type of the whole computation.
        constants: statement name -> the vector that its variable or projection has instead, at every position, or one vector for
            each, (batch, time, size). A selector named here is left out, whatever its vector.

    Raises:
        DraspError: ids of the wrong shape or out of range.
    """
    run = _Run(program, token_ids, position_ids, dtype, constants or {}, keep=True)
    with np.errstate(all="ignore"):  # what is too large is infinite: that is no error of the program
        total = run.logits()
    return Trace(run.vectors, {name: run.attention[key] for name, key in run.attends.items()}, run.projections, total)


def logits(
    program: Program,
    token_ids: Array,
    position_ids: Array | None = None,
    *,
    dtype: Any = np.float64,
    constants: Mapping[str, Array] | None = None,
    scored: Array | None = None,
) -> Array:
    """What `evaluate` gives as logits, (batch, time, outputs), in less memory.

    With `scored`, booleans (batch, time), those there: (scored positions, outputs). What no attention reads is computed there alone.
    """
    with np.errstate(all="ignore"):
        return _Run(program, token_ids, position_ids, dtype, constants or {}, keep=False).logits(scored)


def _checked_ids(ids: Array, limit: int, what: str) -> Array:
    array = np.asarray(ids)
    if array.ndim != 2 or array.shape[1] == 0 or not np.issubdtype(array.dtype, np.integer):
        raise DraspError(f"{what} ids must be integers of shape (batch, time), not {array.dtype} of shape {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < limit):
        raise DraspError(f"{what} ids must lie in 0..{limit - 1}, not {array.min()}..{array.max()}")
    return array.astype(np.intp)


class _Run:
    """One evaluation: statement after statement, each variable (batch, time, size)."""

    def __init__(
        self, program: Program, token_ids: Array, position_ids: Array | None, dtype: Any, constants: Mapping[str, Array], keep: bool
    ) -> None:
        tokens = _checked_ids(token_ids, len(program.header.vocabulary), "token")
        if position_ids is None:
            position_ids = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        positions = _checked_ids(position_ids, program.header.positions, "position")
        if positions.shape != tokens.shape:
            raise DraspError(f"token ids have shape {tokens.shape}, position ids {positions.shape}: they must be the same")
        self._check_room(program, tokens.shape[-1])
        self.program = program
        self.shape = tokens.shape
        self.dtype = np.dtype(dtype)
        self.constants = constants
        self.keep = keep
        self.scored: Array | None = None
        self.padding = padding_keys(program.header, tokens)
        self.vectors: dict[str, Vector] = {
            "token": OneHot(tokens, len(program.header.vocabulary)),
            "pos": OneHot(positions, program.header.positions),
            "one": OneHot(np.zeros_like(tokens), 1),
        }
        uses = Counter(s.selectors for s in program.statements if isinstance(s, Aggregate))
        self.shared = {selectors for selectors, count in uses.items() if count > 1}
        self.attends: dict[str, tuple[str, ...]] = {}
        self.attention: dict[tuple[str, ...], Array] = {}
        self.projections: dict[str, Array] = {}

    def _check_room(self, program: Program, time: int) -> None:
        """Raises DraspError where a variable has too many coordinates to be kept: positions and pairs may be as many as a text says."""
        name, size = max(((name, basis.size) for name, basis in program.bases.items() if name != "pos"), key=lambda each: each[1])
        if time * size > LARGEST_VARIABLE:
            raise DraspError(
                f"statement {name}: it has {size} coordinates, {8e-9 * time * size:.1f} GB for {time} tokens: "
                f"{8e-9 * LARGEST_VARIABLE:.1f} GB at the most"
            )

    def logits(self, scored: Array | None = None) -> Array:
        feeding = feeds_attention(self.program)

        def read_where_scored(statement: Statement) -> bool:
            return not isinstance(statement, Select | Aggregate) and statement.name not in feeding

        statements = self.program.statements if scored is None else sorted(self.program.statements, key=read_where_scored)
        last = {} if self.keep else _last_use(self.program, statements)
        for statement in statements:
            go_on()
            name = statement.name
            if scored is not None and self.scored is None and read_where_scored(statement):
                self._leave_unscored(scored)
            if isinstance(statement, Prediction):
                total = np.zeros((*self.shape, len(self.program.header.predicted)), self.dtype)
                for projection in statement.logits:
                    total += self.projections[projection]
                return total if scored is None else total[:, 0]
            if isinstance(statement, Select):
                continue
            if isinstance(statement, Project):
                self.projections[name] = self._constant(name) if name in self.constants else self._project(statement)
            else:
                self.vectors[name] = self._constant(name) if name in self.constants else self._variable(statement)
            for done in last.get(name, ()):
                self.vectors.pop(done, None)
                self.attention.pop(done, None)
        raise AssertionError("a program ends with its prediction")

    def _leave_unscored(self, scored: Array) -> None:
        """From here on the scored positions are sequences of length one."""
        self.scored = scored
        self.shape = (int(scored.sum()), 1)
        for name, vector in self.vectors.items():
            if isinstance(vector, OneHot):
                scale = None if vector.scale is None else vector.scale[scored][:, None]
                self.vectors[name] = OneHot(vector.ids[scored][:, None], vector.size, scale)
            else:
                self.vectors[name] = vector[scored][:, None]

    def _constant(self, name: str) -> Array:
        vector = np.asarray(self.constants[name], self.dtype)
        if vector.ndim == 3 and self.scored is not None:
            vector = vector[self.scored][:, None]
        return np.broadcast_to(vector, (*self.shape, vector.shape[-1]))

    def _read(self, read: Read) -> Vector:
        return taken(self.vectors, read, self.dtype)

    def _matrix(self, name: str) -> Array:
        """The operator of a statement."""
        return self.program.matrix(name).astype(self.dtype, copy=False)

    def _tensor(self, name: str) -> Array:
        return self.program.operators[name].astype(self.dtype, copy=False)

    def _project(self, statement: Project) -> Array:
        return times_matrix(self._read(statement.input), self._matrix(statement.name))

    def _variable(self, statement: Statement) -> Vector:
        if isinstance(statement, Aggregate):
            return self._aggregate(statement)
        if isinstance(statement, Norm):
            return self._norm(statement)
        if isinstance(statement, Mlp):
            return self._mlp(statement)
        if isinstance(statement, Table):
            return times_matrix(self._read(statement.input), self._matrix(statement.name))
        if isinstance(statement, Harden):
            return harden(self._read(statement.input))
        if isinstance(statement, Sharpen):
            return sharpen(dense(self._read(statement.input), self.dtype), statement.power)
        if isinstance(statement, Pair):
            return outer(self._read(statement.first), self._read(statement.second), self.dtype)
        if isinstance(statement, Compare):
            first, second = self._read(statement.first), self._read(statement.second)
            return bilinear(first, self._matrix(statement.name), second)[..., None]
        if isinstance(statement, Compute):
            return np.stack([self._formula(f) for f in statement.formulas], axis=-1)
        assert isinstance(statement, Case)
        total = np.zeros(self.shape, self.dtype)
        for label, formula in statement.branches:
            total += self._coordinate(statement.input, label) * self._formula(formula)
        return total[..., None]

    def _aggregate(self, statement: Aggregate) -> Array:
        value, key = self._read(statement.value), statement.selectors
        if not isinstance(value, OneHot) or value.size < COUNTED_FROM:
            value = dense(value, self.dtype)
        selectors = tuple(s for s in key if s not in self.constants)
        self.attends[statement.name] = key
        weights = self._kept_attention(key, selectors)
        if not selectors and self.padding is None:
            return self._uniform(dense(value, self.dtype))
        result = np.empty((*self.shape, self.program.bases[statement.name].size), self.dtype)
        for rows, queries, keys in self._blocks():
            result[rows, queries] = weigh(weights(rows, queries, keys), value[rows, keys])
        return result

    def _kept_attention(self, key: tuple[str, ...], selectors: Sequence[str]) -> Callable[..., Array]:
        """As `_attention`, computed as a whole and once where it is kept or other aggregates have the same."""
        kept = self.attention.get(key)
        if kept is None:
            weights = self._attention(selectors)
            if not (self.keep or key in self.shared):
                return weights
            kept = self.attention[key] = np.zeros((*self.shape, self.shape[1]), self.dtype)
            for block in self._blocks():
                kept[block] = weights(*block)
        return lambda *block: kept[block]

    def _blocks(self) -> Iterator[tuple[slice, slice, slice]]:
        """Which sequences, which queries, and the keys that these see."""
        batch, time = self.shape
        step = time if self.program.header.bidirectional else QUERIES_PER_BLOCK
        for first in range(0, time, step):
            last = min(time, first + step)
            together = max(1, PAIRS_PER_BLOCK // ((last - first) * last))
            for row in range(0, batch, together):
                yield slice(row, min(batch, row + together)), slice(first, last), slice(last)

    def _uniform(self, value: Array) -> Array:
        if self.program.header.bidirectional:
            return np.broadcast_to(value.mean(1, keepdims=True), value.shape)
        total = value.cumsum(1)
        total /= np.arange(1, value.shape[1] + 1, dtype=self.dtype)[:, None]
        return total

    def _attention(self, selectors: Sequence[str]) -> Callable[[slice, slice, slice], Array]:
        """What gives the weights of a block: (batch, queries, keys)."""
        parts = []
        for name in selectors:
            select = self.program.by_name[name]
            assert isinstance(select, Select)
            parts.append(Scores(self._read(select.query), self._matrix(name), self._read(select.key)))

        by_odds = bool(parts) and all(part.odds is not None for part in parts)

        def weights(rows: slice, queries: slice, keys: slice) -> Array:
            first = None if self.program.header.bidirectional else queries.start
            if by_odds:
                total = parts[0].odds_block(rows, queries, keys)
                for part in parts[1:]:
                    total *= part.odds_block(rows, queries, keys)
                hide_future(total, first, 0)
                if self.padding is not None:
                    np.copyto(total, 0, where=self.padding[rows, queries, keys])
                sums = total.sum(-1, keepdims=True)
                if sums.min() > LEAST_ODDS:  # else what a query sees may be lost beside what it would have preferred
                    total /= sums
                    return total
            total = np.zeros((rows.stop - rows.start, queries.stop - queries.start, keys.stop), self.dtype)
            for part in parts:
                total += part.block(rows, queries, keys)
            return softmax(total, first, None if self.padding is None else self.padding[rows, queries, keys])

        return weights

    def _norm(self, statement: Norm) -> Array:
        """sqrt(z G z + eps), block by block of G."""
        inputs = [self._read(r) for r in statement.inputs]
        matrix = self._matrix(statement.name)
        ends = np.cumsum([self.program.bases[r.variable].size for r in statement.inputs])
        blocks = [np.split(rows, ends[:-1], axis=1) for rows in np.split(matrix, ends[:-1])]
        total = np.zeros(self.shape, self.dtype)
        for i, first in enumerate(inputs):
            go_on()
            total += bilinear(first, blocks[i][i], first)
            for j in range(i):
                total += bilinear(first, blocks[i][j] + blocks[j][i].T, inputs[j])
        eps = self.program.norm_eps(statement)
        return np.sqrt(np.maximum(total, 0) + self.dtype.type(eps))[..., None]

    def _mlp(self, statement: Mlp) -> Array:
        op = statement.op
        total = sum(times_matrix(self._read(r), self._tensor(f"{op}.in.{i}")) for i, r in enumerate(statement.inputs))
        normed = self._normed(statement, np.asarray(total))
        hidden = normed @ self._tensor(f"{op}.w_in") + self._tensor(f"{op}.b_in")
        act = ACTIVATIONS[statement.act].compute
        if f"{op}.w_gate" in self.program.operators:
            hidden = act(normed @ self._tensor(f"{op}.w_gate") + self._tensor(f"{op}.b_gate")) * hidden
        else:
            hidden = act(hidden)
        return hidden @ self._tensor(f"{op}.w_out") + self._tensor(f"{op}.b_out")

    def _normed(self, statement: Mlp, total: Array) -> Array:
        op, kind = statement.op, NORMS[statement.norm]
        if kind.centred:
            total = total - np.mean(total, axis=-1, keepdims=True)
        if not kind.scaled:
            return total
        if f"{op}.sigma" in self.program.operators:
            sigma = self._tensor(f"{op}.sigma")
        else:
            sigma = np.sqrt(np.square(total).mean(-1, keepdims=True) + self._tensor(f"{op}.eps"))
        return divide(total, sigma) * self._tensor(f"{op}.gain") + self._tensor(f"{op}.shift")

    def _coordinate(self, read: Read, label: Label) -> Array:
        vector = self._read(read)
        index = self.program.header.axis(self.program.bases[read.variable]).index(label)
        if not isinstance(vector, OneHot):
            return vector[..., index]
        hot = (vector.ids == index).astype(self.dtype)
        return hot if vector.scale is None else hot * vector.scale

    def _formula(self, formula: Formula) -> Array:
        """A formula at every position: (batch, time)."""
        if isinstance(formula, Number):
            return np.full(self.shape, formula.value, self.dtype)
        if isinstance(formula, Coordinate):
            return self._coordinate(formula.read, formula.label)
        if isinstance(formula, Test):
            axis = self.program.header.axis(self.program.bases[formula.read.variable])
            indices = [axis.index(label) for label in formula.labels]
            return TESTS[formula.name].compute(dense(self._read(formula.read), self.dtype), *indices).astype(self.dtype)
        if isinstance(formula, Apply):
            return FUNCTIONS[formula.function].compute(*map(self._formula, formula.arguments))
        if isinstance(formula, Arithmetic):
            return ARITHMETIC[formula.operator](self._formula(formula.left), self._formula(formula.right))
        return -self._formula(formula.operand)


def _last_use(program: Program, statements: Sequence[Statement]) -> dict[str, list[Any]]:
    """After which of the statements, in the order they are run, each variable, and each attention (by its selectors), is needed no more."""
    last: dict[Any, str] = {}
    for statement in statements:
        reads = list(statement.reads)
        if isinstance(statement, Aggregate):
            last[statement.selectors] = statement.name
            for selector in statement.selectors:
                reads += program.by_name[selector].reads
        for read in reads:
            last.update((variable, statement.name) for variable in read.variables())
    done: dict[str, list[Any]] = {}
    for key, name in last.items():
        done.setdefault(name, []).append(key)
    return done

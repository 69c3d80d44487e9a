"""Readouts that need no fit: what the current token alone decides, and what is copied from one average."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.labels import Label, is_special
from drasp.ir.nodes import TOKEN, Compare, Project, Read, Statement
from drasp.ir.operators import Except, Sum, Term
from drasp.ir.primitives.comparison import COMPARISONS, Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.tables import Relation
from drasp.ir.primitives.tables import Rows as TableRows
from drasp.ir.program import Header
from drasp.naming.rows import Rows
from drasp.naming.tuning import ReadoutTuning


def by_token(rows: Rows) -> list[Statement]:
    """What the current token alone decides; empty where it does not."""
    relation = []
    for token in np.unique(rows.tokens):
        outputs = rows.outputs[rows.tokens == token]
        if (outputs != outputs[0]).any():
            return []
        if outputs[0].any():
            relation.append((rows.vocabulary[token], tuple(rows.predicted[c] for c in np.flatnonzero(outputs[0]))))
    return [Project("logits1", TOKEN, Sum((Term(1.0, Relation(tuple(relation))),)))] if relation else []


def copies(rows: Rows, header: Header, tuning: ReadoutTuning) -> Iterator[list[Statement]]:
    """The token with the largest share is predicted, or the largest but for the current token.

    Nothing where there are several averages, or where what is predicted is no token.

    What is no copy is told either by the special token that has the largest share instead, or by a rule on how much share the current
    token has, or those before or after it.
    """
    if len(rows.averages) != 1 or rows.predicted != rows.vocabulary:
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
            yield [*_ruled(rows, int(wrong.argmax()), header, tuning), *rest]


def _exceptions(rows: Rows, largest: np.ndarray, predicted: np.ndarray) -> Iterator[tuple[Label, Sum]]:
    """The special tokens that stand for another when they have the largest share."""
    for token in np.unique(largest):
        name = rows.vocabulary[token]
        counts = np.bincount(predicted[largest == token], minlength=len(rows.vocabulary))
        if is_special(name) and counts.argmax() != token and 2 * counts.max() > counts.sum():
            yield name, Sum((Term(1.0, _output(rows.vocabulary[counts.argmax()])),))


def _ruled(rows: Rows, other: int, header: Header, tuning: ReadoutTuning) -> list[Statement]:
    """Copies, and one output told by a rule."""
    (average,) = rows.averages
    truth = rows.outputs[:, other]
    never = [t for t in np.unique(rows.tokens) if is_special(rows.vocabulary[t]) and not truth[rows.tokens == t].any()]
    ordinary = ~np.isin(rows.tokens, never)
    step = tuning.threshold_step
    thresholds = [round(step * i, 2) for i in range(1, round(1 / step))]
    stump = _best_stump(rows.part(ordinary), truth[ordinary], header, thresholds)
    label = rows.vocabulary[other]
    slope = tuning.steepness if stump.above else -tuning.steepness
    related = Sum((Term(1.0, Comparison(Index("column"), stump.relation, Index("row"))),))
    overrides = tuple((rows.vocabulary[t], Sum((), 0.0 if stump.above else 1.0)) for t in never)
    copied = Term(1.0, Comparison(Index("column"), "==", Index("row")))
    return [
        Compare("r1", TOKEN, Read(average), Except(related, overrides) if overrides else related),
        Project("logits1", Read(average), Sum((copied, Term(round(-slope * stump.threshold, 2), _output(label))))),
        Project("logits2", Read("r1"), Sum((Term(1.0, TableRows(((0, ((label, slope),)),))),))),
    ]


@dataclass(frozen=True)
class _Stump:
    """A rule: the share of the tokens that stand in a relation to the current one is above, or below, a threshold."""

    relation: str
    threshold: float
    above: bool
    right: float


def _best_stump(rows: Rows, truth: np.ndarray, header: Header, thresholds: Sequence[float]) -> _Stump:
    """The rule that is right most often; of equals the one in the middle."""
    tokens, (shares,) = rows.tokens, rows.averages.values()
    places = np.arange(shares.shape[1], dtype=float) if header.order is None else header.axis(header.built_in["token"]).ranks
    best = _Stump("==", 0.5, True, -1.0)
    for relation in ("==",) if header.order is None else ("==", "<", "<=", ">", ">="):
        share = (shares * COMPARISONS[relation](places[None, :], places[tokens][:, None])).sum(1)
        right = [((share > threshold) == truth).mean() for threshold in thresholds]
        for above, values in ((True, np.array(right)), (False, 1 - np.array(right))):
            top = np.flatnonzero(values >= values.max() - 1e-9)
            if values.max() > best.right:
                best = _Stump(relation, thresholds[top[len(top) // 2]], above, float(values.max()))
    return best


def _output(token: str) -> Comparison:
    return Comparison(Index("column"), "==", token)

"""Softmax regression by forward selection: a distribution over a few choices explained by ever more terms.

The choices are the keys of a query (attention) or the tokens that may be predicted (a readout); a term gives each choice a score, and
its strength is fitted. The term that is added next is the one that the score test finds worth most (Rao 1948), then all strengths are
fitted anew, by Newton's method: the cross entropy is convex in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.naming.tuning import RegressionTuning

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Choices:
    """What is to be explained.

    Attributes:
        wanted: (rows, choices), distributions; 0 where a choice is not open.
        open: (rows, choices), booleans.
    """

    wanted: Array
    open: Array

    def chosen(self, scores: Array) -> Array:
        """The softmax of some scores over the open choices, (rows, choices)."""
        masked = np.where(self.open, scores, -np.inf)
        weights = np.exp(masked - masked.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def excess(self, scores: Array) -> float:
        """The mean Kullback-Leibler divergence from what is wanted, in nats."""
        found = self.chosen(scores)
        ratio = np.where(self.wanted > 0, np.log(np.maximum(self.wanted, 1e-30) / np.maximum(found, 1e-30)), 0)
        return float((self.wanted * ratio).sum(1).mean())

    def total_variation(self, scores: Array) -> float:
        """The mean distance to what is wanted, from 0 to 1."""
        return float(np.abs(self.chosen(scores) - self.wanted).sum(1).mean() / 2)


Strengths = dict[int, float]
"""Of the terms chosen so far, by their index."""


def scores_of(strengths: Strengths, terms: Array) -> Array:
    """The summed scores (rows, choices) of some of the terms (terms, rows, choices)."""
    total = np.zeros(terms.shape[1:])
    for term, strength in strengths.items():
        total += strength * terms[term]
    return total


def selected(choices: Choices, terms: Array, costs: Array, tuning: RegressionTuning) -> Iterator[Strengths]:
    """Ever more terms with their strengths, from the first on, until they explain enough or a further one adds too little. None where
    there is no term.

    Args:
        terms: (terms, rows, choices), what each gives each choice.
        costs: (terms), the numbers of each besides its strength: of two terms worth about the same the plainer is taken.
    """
    if not len(terms):
        return
    strengths: Strengths = {}
    spread = _spread(choices.open / choices.open.sum(1, keepdims=True), terms)
    least = before = choices.excess(np.zeros(choices.wanted.shape))
    while len(strengths) < tuning.terms and before > tuning.enough:
        tried = []
        for term in _most_promising(choices, terms, costs, spread, strengths, tuning):
            fitted = fit(choices, terms, {**strengths, term: 0.0}, tuning)
            tried.append((choices.excess(scores_of(fitted, terms)) * (1 + tuning.number_cost * costs[term]), fitted))
        if not tried:
            return
        _, strengths = min(tried, key=lambda pair: pair[0])
        after = choices.excess(scores_of(strengths, terms))
        if before - after < tuning.gain * least:
            return
        before = after
        yield dict(strengths)


def fit(choices: Choices, terms: Array, start: Strengths, tuning: RegressionTuning) -> Strengths:
    """The strengths of the least cross entropy, from `start` on."""
    names, columns = list(start), np.stack([terms[term] for term in start], -1).astype(np.float64)
    strengths = np.array([start[name] for name in names])
    for _ in range(tuning.newton_steps):
        found = choices.chosen(columns @ strengths)
        mean = np.einsum("nk,nkt->nt", found, columns)
        gradient = np.einsum("nk,nkt->t", choices.wanted, columns) - mean.sum(0)
        curvature = np.einsum("nk,nks,nkt->st", found, columns, columns, optimize=True) - mean.T @ mean
        gradient, curvature = gradient / len(mean), curvature / len(mean)
        step = np.linalg.solve(curvature + tuning.ridge * np.eye(len(names)), gradient - tuning.ridge * strengths)
        step *= min(1.0, tuning.step_at_most / max(np.abs(step).max(), 1e-12))
        strengths = strengths + step
        if np.abs(step).max() < tuning.step_at_least:
            break
    return dict(zip(names, strengths.tolist(), strict=True))


def _spread(found: Array, terms: Array) -> Array:
    """The variance of each term under distributions (rows, choices), summed over the rows: (terms)."""
    flat = terms.reshape(len(terms), -1)
    squares = (flat**2) @ found.ravel().astype(flat.dtype)
    means = np.einsum("tnk,nk->tn", terms, found.astype(terms.dtype))
    return squares - (means**2).sum(1)


def _most_promising(
    choices: Choices, terms: Array, costs: Array, spread: Array, strengths: Strengths, tuning: RegressionTuning
) -> Sequence[int]:
    """The terms that the score test finds worth most beside those chosen: the square of the gradient over the curvature that is left."""
    found = choices.chosen(scores_of(strengths, terms))
    flat = terms.reshape(len(terms), -1)
    gradient = flat @ (choices.wanted - found).ravel().astype(flat.dtype)
    curvature = _spread(found, terms) + tuning.floor * spread
    if strengths:
        names = list(strengths)
        means = np.einsum("tnk,nk->tn", terms, found.astype(terms.dtype))
        weighted = (terms[names] * found.astype(terms.dtype)).reshape(len(names), -1)
        shared = flat @ weighted.T - means @ means[names].T
        own = shared[names] + np.diag(tuning.floor * spread[names])
        curvature = curvature - np.einsum("ts,ts->t", shared, np.linalg.lstsq(own, shared.T, rcond=1e-9)[0].T)
    usable = (spread > 1e-9) & (curvature > tuning.floor / 2 * spread)
    usable[list(strengths)] = False
    worth = np.where(usable, gradient**2 / np.where(usable, curvature, 1), 0) / (1 + tuning.number_cost * costs)
    order = np.argsort(-worth, kind="stable")[: tuning.tried]
    return [int(term) for term in order if worth[term] > 0]

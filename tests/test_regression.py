"""Softmax regression by forward selection: planted terms are found again with their strengths, and nothing beside them."""

import numpy as np
import pytest

from drasp.naming.regression import Choices, fit, scores_of, selected
from drasp.naming.tuning import RegressionTuning

TUNING = RegressionTuning()


def some_terms(count=12, rows=300, choices=8):
    """Terms that each prefer some of the choices, and which choices are open: those up to the row's own, as under a causal mask."""
    rng = np.random.default_rng(0)
    opened = np.arange(choices) <= rng.integers(1, choices, rows)[:, None]
    return (rng.random((count, rows, choices)) < 0.4).astype(np.float32), opened


def softmax_of(scores, opened):
    return Choices(opened / opened.sum(1, keepdims=True), opened).chosen(scores)


@pytest.mark.parametrize("planted", [{3: 4.0}, {0: 2.0, 7: -3.0}, {1: 6.0, 4: 1.5, 9: -1.0}])
def test_planted_terms_are_found_with_their_strengths_and_no_others(planted):
    terms, opened = some_terms()
    choices = Choices(softmax_of(scores_of(planted, terms), opened), opened)
    *fewer, found = selected(choices, terms, np.ones(len(terms)), TUNING)
    assert [len(each) for each in (*fewer, found)] == list(range(1, len(planted) + 1))
    assert found == pytest.approx(planted, abs=0.05)
    assert choices.excess(scores_of(found, terms)) < TUNING.enough
    assert choices.total_variation(scores_of(found, terms)) < 0.01


def test_nothing_is_selected_where_no_choice_is_preferred():
    terms, opened = some_terms()
    choices = Choices(softmax_of(np.zeros(opened.shape), opened), opened)
    assert list(selected(choices, terms, np.ones(len(terms)), TUNING)) == []


def test_what_the_terms_do_not_explain_is_not_sought_on_and_on():
    """Beside the planted term there is noise: a term too many takes less away than `gain`."""
    terms, opened = some_terms()
    noise = np.random.default_rng(1).normal(0, 0.5, opened.shape)
    choices = Choices(softmax_of(scores_of({3: 4.0}, terms) + noise, opened), opened)
    found = list(selected(choices, terms, np.ones(len(terms)), TUNING))
    assert list(found[0]) == [3]
    assert len(found) < TUNING.terms


def test_of_two_terms_worth_the_same_the_plainer_is_taken():
    terms, opened = some_terms()
    terms[5] = terms[3]
    costs = np.ones(len(terms))
    costs[3] = 3
    (found,) = selected(Choices(softmax_of(4.0 * terms[3], opened), opened), terms, costs, TUNING)
    assert list(found) == [5]


def test_a_term_that_breaks_a_tie_between_equal_keys_is_found():
    """Attention to the keys that hold the query's token, but not to the query itself, which holds it too."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 3, (200, 12))
    query = rng.integers(4, 12, 200)
    opened = np.arange(12) <= query[:, None]
    same = tokens == np.take_along_axis(tokens, query[:, None], 1)
    here = np.arange(12) == query[:, None]
    before = np.arange(12) == query[:, None] - 1
    terms = np.stack([before, here, same, rng.random(same.shape) < 0.5]).astype(np.float32)
    choices = Choices(softmax_of(6.0 * same - 6.0 * here, opened), opened)
    *_, found = selected(choices, terms, np.ones(len(terms)), TUNING)
    assert found == pytest.approx({2: 6.0, 1: -6.0}, abs=0.2)
    assert choices.total_variation(scores_of(found, terms)) < 0.01


def test_a_strength_that_decides_all_stays_finite():
    terms, opened = some_terms(count=1)
    preferred = terms[0] * opened
    wanted = np.where(preferred.any(1, keepdims=True), preferred, opened).astype(float)
    choices = Choices(wanted / wanted.sum(1, keepdims=True), opened)
    strength = fit(choices, terms, {0: 0.0}, TUNING)[0]
    assert 5 < strength < 100
    assert choices.total_variation(scores_of({0: strength}, terms)) < 0.01


def test_attention_that_reads_nothing_has_no_term():
    """As that of heads of which the search left no selector between variables."""
    weights = np.full((3, 2), 0.5)
    assert list(selected(Choices(weights, weights > 0), np.zeros((0, 3, 2), dtype=np.float32), np.zeros(0), TUNING)) == []

"""How the component search goes about what it tries: stage by stage under a rising price, then several edges at once."""

from types import SimpleNamespace

import pytest
import torch
from drasp.passes.components import FAILURES, PRICES, TRIED_ALONE, Stage, State, _anneal, _attempts
from drasp.passes.prune import SearchSettings

SETTINGS = SearchSettings("margins", threshold=0.95, hopeless=0.1)


def state(edges):
    return State((torch.arange(len(PRICES) + 1) < edges).float(), torch.zeros(1))


class Components:
    """Every stage turns one more edge off; `matches` says how well what is left matches, and what a refit adds."""

    def __init__(self, matches, gain=0.0):
        self.matches, self.gain = matches, gain
        self.settings = SETTINGS
        self.context = SimpleNamespace(report=lambda trying, program: None)
        self.judged, self.refitted = [], []

    def start(self):
        return state(len(PRICES) + 1)

    def stage(self, last, price):
        return Stage(state(sum(last.state.kept) - 1), last.odds)

    def standing(self, stage):
        edges = sum(stage.state.kept)
        self.judged.append(edges)
        return stage.state, self.matches.get(edges, 0.0)

    def refit(self, found, match):
        self.refitted.append(sum(found.kept))
        return found, match + self.gain


@pytest.fixture
def edges():
    return len(PRICES) + 1


def kept(components, stages):
    return [sum(found.kept) for found in _anneal(components, stages)]


def test_it_goes_on_while_match_holds(edges):
    components = Components(dict.fromkeys(range(edges), 0.99))
    assert kept(components, []) == list(range(edges - 1, 0, -1))
    assert not components.refitted


def test_what_falls_short_is_refitted(edges):
    components = Components(dict.fromkeys(range(edges), 0.93), gain=0.03)
    assert kept(components, []) == list(range(edges - 1, 0, -1))
    assert components.refitted == components.judged


def test_it_ends_where_stages_in_a_row_fail(edges):
    components = Components({edges - 1: 0.99, edges - 3: 0.99})
    assert kept(components, []) == [edges - 1, edges - 3]
    assert components.judged == list(range(edges - 1, edges - 4 - FAILURES, -1))


def test_of_the_stages_that_are_known_only_the_last_that_holds_is_judged_again(edges):
    stages = []
    kept(Components(dict.fromkeys(range(edges - 4, edges), 0.99)), stages)
    components = Components(dict.fromkeys(range(edges - 3, edges), 0.99))
    assert len(stages) == 4 + FAILURES
    assert kept(components, stages) == [edges - 3]
    assert components.judged == list(range(edges - 4 - FAILURES, edges - 2))
    assert len(stages) == 4 + FAILURES


def test_a_stage_that_was_fitted_in_vain_is_only_fitted_again_where_that_is_promising(edges):
    stages = [Stage(state(edges - 1), torch.zeros(1), state(edges - 1)), Stage(state(edges - 2), torch.zeros(1), state(edges - 2))]
    components = Components({edges - 1: 0.9, edges - 2: 0.5}, gain=0.06)
    assert kept(components, stages)[0] == edges - 1
    assert components.refitted[0] == edges - 1


def test_as_many_edges_at_once_as_failed_are_not_tried_again():
    order = [(edge,) for edge in range(12)]
    assert [len(removals) for removals in _attempts(order, [])] == [6, 3] + [1] * TRIED_ALONE
    assert [len(removals) for removals in _attempts(order, [order[:4]])] == [3] + [1] * TRIED_ALONE
    assert list(_attempts(order, [order[:3], [(0,)]])) == [[(edge,)] for edge in range(1, 1 + TRIED_ALONE)]

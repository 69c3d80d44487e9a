"""How the search goes about what it tries, whatever a state is: removing in chunks, fitting in rounds."""

from dataclasses import replace

from drasp.passes.prune import SMALLER_STEPS, SWEEP_FAILURES, SearchSettings, in_chunks, in_rounds

SETTINGS = SearchSettings("margins", threshold=0.95, rate=0.01, rounds=3, hopeless=0.1)


def removing(needed, tried):
    """`without` and `keeps` on sets of numbers, of which some are needed."""

    def without(current, items):
        smaller = current - set(items)
        return smaller if len(smaller) < len(current) else None

    def keeps(smaller):
        tried.append(smaller)
        return needed <= smaller

    return without, keeps


def test_all_that_is_not_needed_goes():
    everything, needed = frozenset(range(20)), frozenset({3, 11, 17})
    assert in_chunks(everything, range(20), *removing(needed, [])) == needed


def test_much_goes_at_once():
    tried = []
    assert in_chunks(frozenset(range(100)), range(100), *removing(frozenset(), tried)) == frozenset()
    assert len(tried) <= 3


def test_where_nothing_can_go_there_is_none_and_it_is_not_tried_for_ever():
    tried = []
    assert in_chunks(frozenset(range(100)), range(100), *removing(frozenset(range(100)), tried)) is None
    assert len(tried) <= SWEEP_FAILURES + 6  # chunks of 50, 25, 12, 6, 3 and 1


def test_what_makes_nothing_simpler_is_no_failure():
    everything = frozenset(range(2))
    assert in_chunks(everything, [*range(5, 50), 1], *removing(frozenset({0}), [])) == frozenset({0})


def fitting(results, log):
    """`fit` that gives one state after the other, and `match` of a state: the state itself."""
    left = iter(results)

    def fit(state, round_, rate):
        log.append((state, round_, rate))
        return next(left)

    return fit, lambda state, at_least: state


def test_rounds_end_where_match_holds():
    log = []
    assert in_rounds(0.5, 0.5, *fitting([0.9, 0.96], log), SETTINGS) == (0.96, 0.96)
    assert log == [(0.5, 0, 0.01), (0.9, 1, 0.01)]


def test_what_a_fit_makes_worse_is_fitted_anew_with_smaller_steps():
    log = []
    assert in_rounds(0.94, 0.94, *fitting([0.9, 0.951], log), SETTINGS) == (0.951, 0.951)
    assert log == [(0.94, 0, 0.01), (0.94, 1, 0.01 * SMALLER_STEPS)]


def test_what_no_fit_makes_better_stays_as_it_was():
    assert in_rounds(0.94, 0.94, *fitting([0.9, 0.91], []), SETTINGS) == (0.94, 0.94)


def test_rounds_end_where_there_is_no_hope():
    log = []
    in_rounds(0.5, 0.5, *fitting([0.6], log), SETTINGS)  # more than 0.1 is missing
    in_rounds(0.5, 0.5, *fitting([0.9, 0.91], log), SETTINGS)  # 0.01 a round is too little for 0.04 in one round more
    assert len(log) == 3
    in_rounds(0.9, 0.9, *fitting([0.91], log), replace(SETTINGS, hopeless_refitted=0.02))  # more than 0.02 is missing after a refit
    assert len(log) == 4

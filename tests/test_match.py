"""The pools of the search: which sequences they hold, how candidates are matched on them, and what is fitted."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.journal import Journal
from drasp.learn.match import Matcher
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Study, draw_few, draw_pools, margins
from drasp.learn.trial import Trial
from drasp.learn.tuning import PoolTuning
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.tasks.registry import get_task
from driving import use_threads

COUNT = 240
DRAWN = PoolTuning(fitted_short=8, fitted_long=COUNT, selected=8, verified=8, long_batch=50)
TUNING = PoolTuning(fitted_short=64, fitted_long=64, selected=400, verified=600, select_batch=20, verify_batch=50)


def study_of(name):
    transformer = load_transformer(ZOO / name)
    return Study(transformer, get_task(name), TorchTransformer(transformer))


@pytest.fixture(scope="module", params=["D2", "bin_majority"])  # one predicts sets of tokens, the other the next token
def drawn(request):
    """The task, all of some sequences, and those of them that are kept."""
    study = study_of(request.param)
    every, kept = (
        draw_pools(study, (1, 40), 3, how, Budget.of_seconds(), Journal()).long for how in (replace(DRAWN, low_margin_share=1), DRAWN)
    )
    return study.task, every, kept


def least(task, batch):
    """For each sequence of a batch, the least margin by which the model decides."""
    found = margins(batch.model_logits, batch.model_logits, task).amin(-1)
    return torch.full((batch.sequences,), torch.inf).scatter_reduce(0, batch.rows, found, "amin")


def test_the_closest_are_kept_and_of_the_rest_a_part_that_stands_for_it(drawn):
    task, every, kept = drawn
    ranked = torch.cat([least(task, batch) for batch in every]).sort().values
    assert len(ranked) == COUNT
    own = {weight: torch.cat([least(task, b) for b in kept if b.weight == weight]).sort().values for weight in (1, DRAWN.rest_every)}
    torch.testing.assert_close(own[1], ranked[: COUNT // DRAWN.low_margin_share])
    torch.testing.assert_close(own[DRAWN.rest_every], ranked[COUNT // DRAWN.low_margin_share :: DRAWN.rest_every])
    assert sum(batch.weight * batch.sequences for batch in kept) == COUNT


def test_what_is_kept_has_the_models_own_answers(drawn):
    _, every, kept = drawn
    answers = {sequence: logits for batch in every for sequence, logits in answered(batch)}
    for batch in kept:
        for sequence, logits in answered(batch):
            torch.testing.assert_close(logits, answers[sequence])


def answered(batch):
    """Each sequence of a batch, its first position and its tokens as far as they are scored, and the model's logits for it."""
    for row in range(batch.sequences):
        last = int(batch.scored[row].nonzero().max())
        yield (int(batch.position_ids[row, 0]), *batch.token_ids[row, : last + 1].tolist()), batch.model_logits[batch.rows == row]


def sequences(batches):
    return [sequence for batch in batches for sequence, _ in answered(batch)]


def test_every_pool_has_a_generator_of_its_own():
    study = study_of("bin_majority")
    first, second = (draw_pools(study, (0, 60), 3, replace(DRAWN, selected=count), Budget.of_seconds(), Journal()) for count in (8, 12))
    for name in ("short", "long", "verify"):
        assert sequences(getattr(first, name)) == sequences(getattr(second, name))
    assert sequences(first.select) != sequences(second.select)
    assert not {*sequences(first.short)} & {*sequences(first.long)}


@pytest.mark.parametrize("threads", [1, 4])
def test_to_label_a_pool_is_charged_by_the_batch_and_ends_with_the_budget(monkeypatch, threads):
    use_threads(monkeypatch, threads)
    study = study_of("bin_majority")
    batches = 1 + 1 + 5 + 2 + 2  # 24 to see what one costs, 8 short, 240 long, 8 of each of two bands twice
    budget = Budget.of_work(1e6, BudgetTuning(pace=1))
    draw_pools(study, (0, 60), 3, DRAWN, budget, Journal())
    assert budget.spent() == study.work * batches
    draw_pools(study, (0, 60), 3, DRAWN, Budget.of_work(1e3 * study.work * batches, BudgetTuning(pace=1)), Journal())
    budget = Budget.of_work(study.work * 3, BudgetTuning(pace=1))
    with pytest.raises(OutOfBudget):
        draw_pools(study, (0, 60), 3, DRAWN, budget, Journal())
    assert budget.spent() == study.work * 3


def test_as_many_are_drawn_again_by_a_run_that_goes_on_however_fast_it_is_now(tmp_path):
    study, pools = study_of("bin_majority"), []
    for work in (20 * study.work, 1e6):
        journal = Journal(tmp_path / "journal", "run")
        pools.append(draw_pools(study, (0, 60), 3, DRAWN, Budget.of_work(work, BudgetTuning(pace=1)), journal))
    whole = draw_pools(study, (0, 60), 3, DRAWN, Budget.of_seconds(), Journal())
    for name in ("short", "long", "select", "verify"):
        first, second, every = (sequences(getattr(found, name)) for found in (*pools, whole))
        assert first == second
        assert len(first) < len(every)


@pytest.mark.parametrize(("budget", "count"), [(Budget.of_seconds(), 5), (Budget.of_seconds(0), 1), (Budget.of_work(1), 1)])
def test_without_a_budget_for_pools_some_sequences_are_drawn_but_one_in_any_case(budget, count):
    few = draw_few(study_of("bin_majority"), (0, 20), 0, PoolTuning(fallback=5), budget)
    assert sum(batch.sequences for batch in few) == count
    assert all(len(batch.model_logits) == int(batch.scored.sum()) for batch in few)


@pytest.fixture(scope="module")
def oracle():
    study = study_of("bin_majority")
    return Oracle(study, draw_pools(study, (0, 150), 0, TUNING, Budget.of_seconds(), Journal()), 0, TUNING, Journal())


@dataclass(frozen=True)
class Logits:
    """A candidate by its logits."""

    of: object
    digest: str = "some logits"


def match(matcher, logits, at_least=0.0, pool="select", work=1, budget=None):
    return matcher.match(Trial(Logits(logits), "", at_least, pool), lambda: logits, work, budget or Budget.of_seconds())


def other(logits):
    """Logits that predict something else everywhere."""
    return logits.roll(1, -1)


def test_what_is_kept_of_each_band_stands_for_all_that_were_drawn(oracle):
    pools = oracle.pools
    for pool, count, rest in (
        (pools.select, TUNING.selected, TUNING.rest_every),
        (pools.verify, TUNING.verified, TUNING.verified_rest_every),
    ):
        assert {batch.weight for batch in pool} == {1, rest}
        for band in range(pools.bands):
            assert sum(batch.weight * batch.sequences for batch in pool if batch.band == band) == count


@pytest.mark.parametrize("pool", ["select", "verify"])
def test_match_counts_what_a_sequence_stands_for(oracle, pool):
    batches, band = getattr(oracle.pools, pool), 1
    drawn = sum(batch.weight * batch.sequences for batch in batches if batch.band == band)
    missed = next(batch for batch in batches if batch.band == band and batch.weight > 1)

    def logits(batch):
        return other(batch.model_logits) if batch is missed else batch.model_logits

    assert match(Matcher(oracle), logits, pool=pool) == pytest.approx(1 - missed.weight * missed.sequences / drawn)


def test_match_is_that_of_the_worst_band(oracle):
    batches = oracle.pools.select
    missed = [next(batch for batch in batches if batch.band == band and batch.weight == 1) for band in (0, 2)]
    missed += [batch for batch in batches if batch.band == 2 and batch.weight > 1][:1]

    def logits(batch):
        return other(batch.model_logits) if any(batch is m for m in missed) else batch.model_logits

    wrong = sum(batch.weight * batch.sequences for batch in missed[1:])
    assert match(Matcher(oracle), logits) == pytest.approx(1 - wrong / TUNING.selected)


@pytest.mark.parametrize(("name", "changed"), [("D2", torch.neg), ("unique_copy", other)])
def test_a_sequence_matches_where_all_of_its_predictions_are_the_models(name, changed):
    study = study_of(name)
    oracle = Oracle(study, draw_pools(study, (2, 9), 0, DRAWN, Budget.of_seconds(), Journal()), 0, DRAWN, Journal())
    batch = oracle.pools.select[0]
    logits = batch.model_logits.clone()
    assert oracle.matches(logits, batch).all()
    assert (batch.rows == 0).sum() > 1
    logits[0] = changed(logits[0])
    assert oracle.matches(logits, batch).tolist() == [False] + [True] * (batch.sequences - 1)


def test_what_falls_short_does_so_soon(oracle):
    matcher, batches = Matcher(oracle), oracle.pools.select
    hard = batches[-1]
    match(matcher, lambda batch: other(batch.model_logits) if batch is hard else batch.model_logits)
    tried = []

    def logits(batch):
        tried.append(batch)
        return other(batch.model_logits) if batch is hard else batch.model_logits

    assert match(matcher, logits, at_least=1.0) < 1
    assert tried[0] is hard
    assert len(tried) < len(batches)


def test_a_count_that_stopped_does_not_change_the_order(oracle):
    matcher = Matcher(oracle)
    assert order(matcher, oracle) == [*range(len(oracle.pools.select))]
    hard = oracle.pools.select[-1]
    match(matcher, lambda batch: other(batch.model_logits) if batch is hard else batch.model_logits)
    assert match(matcher, lambda batch: other(batch.model_logits), at_least=0.9) < 0.9
    assert order(matcher, oracle) == [len(oracle.pools.select) - 1, *range(len(oracle.pools.select) - 1)]


def order(matcher, oracle):
    """In which order the batches are tried next."""
    tried = []

    def logits(batch):
        tried.append(next(place for place, b in enumerate(oracle.pools.select) if b is batch))
        return batch.model_logits

    with pytest.MonkeyPatch.context() as patch:
        use_threads(patch, 1)
        match(matcher, logits)
    return tried


@pytest.mark.parametrize("at_least", [0.0, 0.95])
def test_as_much_work_is_charged_however_many_threads_there_are(monkeypatch, oracle, at_least):
    missed = oracle.pools.select[4:]
    found = []
    for threads in (1, 2, 4):
        use_threads(monkeypatch, threads)
        budget = Budget.of_work(1e6, BudgetTuning(pace=1))
        share = match(
            Matcher(oracle),
            lambda batch: other(batch.model_logits) if any(batch is m for m in missed) else batch.model_logits,
            at_least,
            work=7,
            budget=budget,
        )
        found.append((share, budget.spent()))
    assert found[0] == found[1] == found[2]
    assert (found[0][1] == 7 * len(oracle.pools.select)) == (at_least == 0)


def test_a_count_ends_with_the_budget(oracle):
    budget = Budget.of_work(7 * 3, BudgetTuning(pace=1))
    with pytest.raises(OutOfBudget):
        match(Matcher(oracle), lambda batch: batch.model_logits, work=7, budget=budget)
    assert budget.spent() == 7 * 3


def test_a_match_that_is_known_is_not_counted_again_and_neither_is_the_order(tmp_path, oracle):
    hard = oracle.pools.select[-1]

    def logits(batch):
        return other(batch.model_logits) if batch is hard else batch.model_logits

    match_then = match(Matcher(replace(oracle, journal=Journal(tmp_path / "journal"))), logits)
    again = Matcher(replace(oracle, journal=Journal(tmp_path / "journal")))
    assert again.match(Trial(Logits(None), ""), lambda: pytest.fail("it is known"), 1, Budget.of_seconds()) == match_then
    assert order(again, oracle)[0] == len(oracle.pools.select) - 1


def test_margins_ask_for_no_more_than_the_model_has_or_than_is_safe(oracle):
    batch = oracle.short[0]
    loss = oracle.loss(batch.model_logits, batch, "margins")
    assert not loss.any()
    assert not oracle.loss(5 * batch.model_logits, batch, "margins").any()
    assert (oracle.loss(other(batch.model_logits), batch, "margins") > 0).all()


@pytest.mark.parametrize("name", ["D2", "bin_majority"])
def test_soft_targets_are_the_models_probabilities_and_hard_ones_its_predictions(name):
    study = study_of(name)
    oracle = Oracle(study, draw_pools(study, (1, 20), 0, DRAWN, Budget.of_seconds(), Journal()), 0, DRAWN, Journal())
    batch = oracle.short[0]

    def loss(logits, targets):
        return float(oracle.loss(logits, batch, targets).mean())

    exact, surer = batch.model_logits, 3 * batch.model_logits
    assert loss(exact, "soft") < loss(surer, "soft")
    assert loss(exact, "soft") < loss(exact / 3, "soft")
    assert loss(surer, "hard") < loss(exact, "hard") < loss(exact / 3, "hard")
    assert loss(other(exact), "soft") > loss(exact, "soft")
    assert loss(other(exact), "hard") > loss(exact, "hard")


def test_the_batches_of_a_step_are_short_and_of_all_lengths(oracle):
    for targets, short, long in (("hard", 2, 1), ("soft", 1, 1), ("margins", 1, 4)):
        drawn = oracle.draw(np.random.default_rng(0), targets, long)
        assert [any(b is s for s in oracle.short) for b in drawn] == [True] * short + [False] * long
        assert all(any(b is wide for wide in oracle.long) for b in drawn[short:])


def test_the_margin_of_a_set_is_that_of_each_token():
    logits = torch.tensor([[2.0, -3.0], [-1.0, 0.5]])
    model = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    torch.testing.assert_close(margins(logits, model, get_task("D2")), torch.tensor([[2.0, -3.0], [1.0, 0.5]]))


def test_the_margin_of_a_next_token_is_over_the_best_other():
    logits = torch.tensor([[2.0, 5.0, 1.0]])
    model = torch.tensor([[9.0, 0.0, 0.0]])
    torch.testing.assert_close(margins(logits, model, get_task("bin_majority")), torch.tensor([[-3.0]]))


def test_match_is_that_of_the_worst_band_or_the_mean_of_all():
    study = study_of("bin_majority")
    pools = draw_pools(study, (0, 150), 3, replace(DRAWN, selected=60), Budget.of_seconds(), Journal())
    oracle = Oracle(study, pools, 3, DRAWN, Journal())

    def wrong_beyond_the_first(batch):
        return batch.model_logits if batch.band == 0 else torch.roll(batch.model_logits, 1, 1)

    def match(over, at_least=0.0):
        trial = Trial(SimpleNamespace(digest=""), "", at_least, over=over)
        return Matcher(oracle).match(trial, lambda: wrong_beyond_the_first, 1, Budget.of_seconds())

    bands = len({batch.band for batch in pools.select})
    assert bands == 3
    assert match("worst") == 0
    assert match("all") == pytest.approx(1 / bands)
    assert match("all", 0.9) < 0.9

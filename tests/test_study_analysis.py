"""What the models of a study say together."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, pearsonr

from drasp.lang.parser import parse
from drasp.study.algorithm import algorithm
from drasp.study.analysis import auc, balanced, by_tasks, counts, prediction, rankings, trainings
from drasp.study.literature import in_crasp
from drasp.study.row import Row, read_table, table
from drasp.tasks.registry import task_names

HEAD = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 20\npredict next-token-set\n\n'
SHARES = '{name} = aggregate(s=[], v=token)\nl = project(inp={name}, op={{"a": {{"a": {number}}}}})\nprediction = sigmoid(l)\n'


def row(task: str, right: float, verdict: str = "pruned", **more) -> Row:
    return Row(cell=f"{task}-{right}-{verdict}", task=task, accuracy_101_150=right, verdict=verdict, **more)


ROWS = [
    row("a", 1.0, "decompiled", statements=4, accuracy_0_50=1.0),
    row("a", 0.95, "imitated below", statements=6, accuracy_0_50=1.0),
    row("b", 0.9, "pruned", statements=18, accuracy_0_50=0.99),
    row("b", 0.89, "decompiled", statements=9, accuracy_0_50=0.98),
    row("c", 0.1, "not decompiled", statements=200, accuracy_0_50=1.0),
    row("c", 0.2, "pruned", statements=12, accuracy_0_50=0.7),
]


def test_a_model_generalises_from_nine_in_ten_on():
    assert [r.generalises for r in ROWS] == [True, True, True, False, False, False]
    assert row("a", 1.0).generalises
    assert Row(cell="x", task="a").generalises is None


def test_models_are_counted_by_whether_they_generalise_and_have_a_program():
    found = counts(ROWS)
    assert (found.both, found.generalise_only, found.program_only, found.neither) == (2, 1, 1, 2)


def test_checkpoints_and_failures_are_no_models_of_their_own():
    more = [row("a", 1.0, checkpoint=True), row("a", 1.0, error="it failed"), Row(cell="x", task="a")]
    assert counts([*ROWS, *more]) == counts(ROWS)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_that_of_the_rank_test(seed):
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.4
    expected = mannwhitneyu(scores[positive], scores[~positive]).statistic / (positive.sum() * (~positive).sum())
    assert auc(scores, positive) == pytest.approx(expected)


def test_auc_of_too_few_is_not_told():
    assert auc(np.array([1.0, 2, 3]), np.array([True, False, False])) is None


def test_no_program_ranks_below_any_and_fewer_statements_above_more():
    program = rankings(ROWS)[0]
    # 4, 6, none generalise; 9, none, none do not.
    assert program.auc.value == pytest.approx((3 + 3 + 0 + 0.5 * 2) / 9)
    assert program.auc.low <= program.auc.value <= program.auc.high
    assert program.points[0] == (0, 0)
    assert program.points[-1] == (1, 1)


def test_a_predictor_is_rated_where_it_is_known():
    assert {r.predictor.name: r.models for r in rankings(ROWS)}["accuracy at 0-50"] == 6
    assert "margin at 0-50" not in {r.predictor.name for r in rankings(ROWS)}


def test_what_short_programs_foretell():
    counted = {"fails": 10, "fails_predicted": 8, "fails_longer": 5, "rights": 20, "rights_predicted": 10, "rights_longer": 10}
    said = [(0.9, 1.0), (0.2, 0.1), (0.4, 0.5)]
    rows = [row("a", truth, predicted_101_150=p, accuracy_0_50=0.8 + truth / 10, **counted) for p, truth in said]
    found = prediction([*rows, row("b", 1.0, predicted_101_150=1.0, accuracy_0_50=1.0, fails=0, rights=30)])
    predicted, right = [0.9, 0.2, 0.4, 1.0], [1.0, 0.1, 0.5, 1.0]
    assert found.correlation.value == pytest.approx(pearsonr(predicted, right).statistic)
    assert found.error == pytest.approx(0.075)
    assert (found.models, found.judged) == (4, 3)
    assert found.balanced.value == pytest.approx((0.8 + 0.5) / 2)
    assert found.longer.value == pytest.approx(0.5)
    assert prediction(ROWS) is None


def test_balanced_accuracy():
    assert balanced((8, 10), (10, 20)) == pytest.approx(0.65)


def test_tasks_are_summed_up_in_the_order_of_the_grid():
    first, *_ = found = by_tasks(ROWS)
    assert [summary.task for summary in found] == ["a", "b", "c"]
    assert (first.models, first.generalise, first.programs, first.both, first.statements) == (2, 2, 2, 2, (4, 6))


def test_along_the_training_what_counts_is_from_when_on_it_holds():
    looked = [(10, 0.0, "pruned"), (20, 0.95, "decompiled"), (30, 0.5, "pruned"), (40, 1.0, "pruned"), (50, 1.0, "decompiled")]
    rows = [Row("x", "a", checkpoint=s < 50, steps_run=s, accuracy_101_150=a, verdict=v, statements=3) for s, a, v in looked]
    (found,) = trainings([*rows, row("b", 1.0, steps_run=5)])
    assert (found.looked, found.solved, found.program) == (5, 40, 50)


def test_an_algorithm_is_all_but_names_and_the_size_of_numbers():
    def of(**given):
        return algorithm(parse(HEAD + SHARES.format(**given)))

    assert of(name="a1", number="2") == of(name="share", number="3.5")
    assert of(name="a1", number="2") != of(name="a1", number="-2")


def test_the_literature_speaks_of_tasks_of_the_suite():
    from drasp.study.literature import C_RASP

    assert set(C_RASP) <= set(task_names())
    assert (in_crasp("tomita4", "learned"), in_crasp("tomita4", "none"), in_crasp("tomita4", "rotary")) == (True, False, None)
    assert in_crasp("count", "learned") is None


def test_the_table_is_read_as_it_was_written():
    rows = (ROWS[0], Row(cell="x", task="012_0_2", error='it failed, "so"', checkpoint=True, crasp=False, layers=2, dropout=0.1))
    assert read_table(table(rows)) == rows

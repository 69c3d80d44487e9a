"""Linear threshold functions and readouts: planted ones are found again, and what cannot be one is not called one."""

from dataclasses import replace

import numpy as np
import pytest

from drasp.core.budget import Budget, OutOfBudget
from drasp.ir.formulas import Read
from drasp.ir.nodes import Aggregate, Compare, Prediction, Project
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.ir.size import size
from drasp.lang.parser import parse
from drasp.learn.evaluation import predictions
from drasp.naming.judged import Judging, agreement, judged
from drasp.naming.linear import Labelled, fit_form, tolerable
from drasp.naming.readout import name_readout
from drasp.naming.tuning import FormTuning, ReadoutTuning
from drasp.run.numpy_fast import logits
from drasp.tasks.protocol import Sample

VOCABULARY = ("a", "b", "c", "<bos>", "<sep>", "<eos>", "<pad>")


def _once(features, truth):
    return Labelled(features, truth, np.ones(len(features)))


def _labelled(rng, coefficients, rows):
    counts = rng.integers(0, 40, (rows, len(coefficients))).astype(float)
    return _once(counts, counts @ coefficients > 0)


@pytest.mark.parametrize("coefficients", [(2, -2, -1), (3, 0, -5), (1, 1, -1), (-4, 7, 0)])
def test_a_planted_form_is_found_again(coefficients):
    rng = np.random.default_rng(0)
    wanted = np.array(coefficients, dtype=float)
    found = fit_form(_labelled(rng, wanted, 4000), _labelled(rng, wanted, 500), FormTuning())
    assert found is not None
    assert found.agreement >= 0.98
    scale = wanted[wanted != 0][0] / found.coefficients[wanted != 0][0]
    assert np.abs(found.coefficients * scale - wanted).max() <= 0.5


def test_what_no_form_separates_gets_none():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 10, (500, 2)).astype(float)
    labelled = _once(counts, counts[:, 0] % 2 == 0)
    assert fit_form(labelled, labelled, FormTuning()) is None


def test_a_form_agrees_off_the_task_where_the_task_leaves_a_choice():
    """On the task two features are the same; off it only the first decides."""
    rng = np.random.default_rng(0)
    x = rng.integers(-20, 20, 800).astype(float)
    real = _once(np.stack([x, x, np.ones(800)], 1), x > 0)
    y = rng.integers(-20, 20, 800).astype(float)
    off = _once(np.stack([x, y, np.ones(800)], 1), x > 0)
    found = fit_form(real, off, FormTuning())
    assert found is not None
    assert found.agreement >= 0.98
    assert found.coefficients[1] == 0


@pytest.mark.parametrize(("errors", "bears"), [(3, True), (20, False)])
def test_what_the_model_gets_wrong_is_counted_in_positions(errors, bears):
    """Four different rows, of which one contradicts another: a quarter of the rows, but few of the positions that they stand for."""
    features = np.array([[1.0, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]])
    real = Labelled(features, np.array([False, False, True, False]), np.array([100, 100, 100, errors]))
    kept = tolerable(real, FormTuning())
    assert (kept is not None) == bears
    if kept is not None:
        assert kept.counts.tolist() == [100, 100, 100]
        assert fit_form(kept, kept, FormTuning()) is not None


def _samples(seed, count=6):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        shares = rng.dirichlet(np.ones(3), 40)
        tokens = np.stack([rng.choice(3, 24, p=share) for share in shares])
        tokens = np.concatenate([np.full((40, 1), 3), tokens], 1)
        samples.append(Sample(tokens, np.broadcast_to(np.arange(25), tokens.shape), rng.random(tokens.shape) < 0.3))
    return samples


def _dense(matrix_of_average, matrix_of_token=None):
    statements = [Aggregate("a1", (), Read("token")), Project("logits1", Read("a1"), Dense("B1"))]
    tensors = {"B1": matrix_of_average}
    if matrix_of_token is not None:
        statements.append(Project("logits2", Read("token"), Dense("B2")))
        tensors["B2"] = matrix_of_token
    prediction = Prediction(tuple(s.name for s in statements[1:]))
    return Program(Header(VOCABULARY, 30, "next-token-set"), (*statements, prediction), tensors)


def _judged(dense):
    return Judging(*([judged(dense, sample) for sample in _samples(seed)] for seed in (0, 1)))


def test_a_readout_of_an_average_becomes_one_line_of_forms():
    matrix = np.full((7, 7), -1.0)
    matrix[:4, 0] = (2.03, -1.98, 0, 1.01)  # a iff 2a + bos > 2b
    matrix[:4, 1] = (-2.03, 1.98, 0, -1.01)  # b iff not
    dense = _dense(matrix)
    found = list(name_readout(dense, dense, _judged(dense), ReadoutTuning()))
    assert found
    best = max(found, key=lambda named: named.agreement)
    assert best.agreement >= 0.97
    counted = size(best.program)
    assert counted.opaque == 0
    assert counted.numbers <= 12
    fresh = [judged(dense, sample) for sample in _samples(2)]
    assert agreement(best.program, Judging(fresh, fresh)) >= 0.97


def test_three_classes_in_order_become_one_form():
    """`c` where there are as many a as b, by one share in twenty; a program that reads a sign off a sum of counts."""
    text = (
        'drasp 1\nvocabulary "a" "b" "c" <bos> <sep> <eos> <pad>\npositions 30\npredict next-token\n\n'
        'a1 = aggregate(s=[], v=token)\nm1 = 20*a1["a"] - 20*a1["b"]\n'
        'logits1 = project(inp=m1, op={0: {"a": 1, "b": -1}})\nlogits2 = project(op={"c": 1})\nprediction = softmax(logits1 + logits2)\n'
    )
    given = parse(text)
    judging = Judging(*([judged(given, sample) for sample in _samples(seed)] for seed in (0, 1)))
    found = list(name_readout(given, given, judging, ReadoutTuning()))
    best = max(found, key=lambda named: named.agreement)
    assert best.agreement >= 0.97
    assert size(best.program).numbers <= 7
    assert sum(isinstance(s, Project) for s in best.program.statements) == 2


def test_outputs_that_are_seldom_both_predicted_are_no_alternatives_for_certain():
    matrix = np.full((7, 7), -1.0)
    matrix[:4, 0] = (2.03, -1.98, 0, 1.01)  # a iff 2a + bos > 2b
    matrix[:4, 1] = (-2.03, 1.98, 0, 0.51)  # b iff 2b + bos / 2 > 2a: both where a and b are as many
    dense = _dense(matrix)
    *merged, last = name_readout(dense, dense, _judged(dense), ReadoutTuning(form=FormTuning(noise=0.4)))
    assert max(named.agreement for named in merged) < 0.9
    assert last.agreement >= 0.97


def test_what_a_readout_takes_is_counted_and_it_stops_in_the_middle():
    dense, budget = _dense(np.eye(7)), Budget.of_work(10)
    judging = replace(_judged(dense), spend=budget.spend)
    with pytest.raises(OutOfBudget):
        next(name_readout(dense, dense, judging, ReadoutTuning()))
    assert 10 <= budget.spent() < 10 + len(dense.statements)
    with pytest.raises(OutOfBudget):
        agreement(dense, replace(judging, spend=Budget.of_work(10).spend))


def test_a_readout_of_the_current_token_becomes_a_relation():
    table = np.full((7, 7), -3.0)
    table[0, [0, 1]] = table[1, 1] = table[2, [2, 5]] = table[3, 0] = 2.5
    dense = _dense(np.full((7, 7), -0.1), table)
    named = next(iter(name_readout(dense, dense, _judged(dense), ReadoutTuning())))
    text = parse(
        'drasp 1\nvocabulary "a" "b" "c" <bos> <sep> <eos> <pad>\npositions 30\npredict next-token-set\n\n'
        'logits1 = project(inp=token, op={"a": {"a", "b"}, "b": {"b"}, "c": {"c", <eos>}, <bos>: {"a"}})\n'
        "prediction = sigmoid(logits1)\n"
    )
    sample = _samples(3)[0]
    mine, wanted = (predictions(logits(p, sample.token_ids, sample.position_ids), "next-token-set") for p in (named.program, text))
    assert (mine == wanted)[sample.scored].all()
    assert size(named.program).numbers == 7  # six pairs and the strength


def test_a_position_that_decides_nothing_is_left_out_of_the_readout():
    statements = (
        Aggregate("a1", (), Read("token")),
        Project("logits1", Read("a1"), Dense("B1")),
        Project("logits2", Read("pos"), Dense("B2")),
        Prediction(("logits1", "logits2")),
    )
    slight = np.random.default_rng(5).normal(0, 1e-4, (30, 7))
    dense = Program(Header(VOCABULARY, 30, "next-token"), statements, {"B1": 5 * np.eye(7), "B2": slight})
    named = next(iter(name_readout(dense, dense, _judged(dense), ReadoutTuning())))
    assert named.agreement >= 0.95  # it does decide between equal shares
    assert [s.name for s in named.program.statements] == ["a1", "logits1", "prediction"]
    assert size(named.program).opaque == 0


FAR_FROM_BOS = """drasp 1
vocabulary "a" "b" "c" <bos> <sep> <eos> <pad>
positions 60
predict next-token-set

s1 = select(k=token, op={<bos>: 20})
a1 = aggregate(s=s1, v=pos)
m1 = compare(pos, a1, op=RULE)
logits1 = project(inp=token, op=4*{"a": {"b"}, "b": {"a"}, "c": {"a"}, <bos>: {"a"}} - 2)
logits2 = project(inp=m1, op={0: {<eos>: 5}})
logits3 = project(op={<eos>: -2})
prediction = sigmoid(logits1 + logits2 + logits3)
"""


def _at_any_offset(seed):
    rng = np.random.default_rng(seed)
    return [s._replace(position_ids=s.position_ids + rng.integers(0, 35, (len(s.token_ids), 1))) for s in _samples(seed)]


@pytest.mark.parametrize("rule", ["(x % 4 == y % 4)", "(x % 3 == (y + 2) % 3)"])
def test_a_readout_of_the_distance_to_a_position_becomes_a_comparison_modulo_a_number(rule):
    planted = parse(FAR_FROM_BOS.replace("RULE", rule))
    judging = Judging(*([judged(planted, sample) for sample in _at_any_offset(seed)] for seed in (0, 1)))
    found = [named for named in name_readout(planted, planted, judging, ReadoutTuning()) if named.agreement == 1]
    assert found
    comparisons = [s for s in found[0].program.statements if isinstance(s, Compare)]
    assert [s.op for s in comparisons] == [planted.by_name["m1"].op]


def test_a_readout_of_the_distance_itself_has_no_name():
    planted = parse(FAR_FROM_BOS.replace("RULE", "(x > y + 9)"))
    judging = Judging(*([judged(planted, sample) for sample in _at_any_offset(seed)] for seed in (0, 1)))
    assert list(name_readout(planted, planted, judging, ReadoutTuning())) == []

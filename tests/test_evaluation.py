"""Match, intervals, bands, baselines and leave-one-out ablation, against numbers worked out by hand."""

import json

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.core.intervals import Share, bands
from drasp.errors import TaskError
from drasp.evidence.lines import leave_one_out
from drasp.learn.evaluation import Examinee, by_the_model, draw, predictor, task_bands, trivial
from drasp.program import parse
from drasp.tasks.registry import get_task
from drasp.tasks.user import load_task

MAJORITY = """drasp 1
vocabulary "0" "1" <bos> <sep> <eos> <pad>
positions 154
predict next-token

a1 = aggregate(s=[], v=token)
logits1 = project(inp=a1, op=8*(out == inp))
logits2 = project(op={"0": 4, "1": 4})
prediction = softmax(logits1 + logits2)
"""


def test_bands_are_cut_to_the_lengths():
    assert bands((0, 150)) == [(0, 50), (51, 100), (101, 150)]
    assert bands((10, 60)) == [(10, 50), (51, 60)]
    assert bands((60, 90)) == [(60, 90)]
    assert bands((0, 200)) == [(0, 50), (51, 100), (101, 200)]


def test_a_band_in_which_the_task_has_no_sequence_is_left_out(judged):
    program, _, _ = judged
    assert task_bands(get_task("D2"), (0, 51)) == [(0, 50)]  # no word of it has an odd length
    assert task_bands(get_task("D2"), (0, 52)) == [(0, 50), (51, 52)]
    with pytest.raises(TaskError, match="no sequence of a length in 3-3"):
        task_bands(get_task("D2"), (3, 3))
    assert draw(Examinee(get_task("D2"), program.logits, (49, 51)), 60, np.random.default_rng(0)).bands == ((49, 50),)


def test_the_wilson_interval_is_the_textbook_one():
    share = Share.of((0, 50), 90, 100)
    assert (round(share.low, 4), round(share.high, 4)) == (0.8256, 0.9448)
    assert Share.of((0, 50), 100, 100).high == 1.0


@pytest.fixture(scope="module")
def judged():
    """The hand-written majority program, with itself as the model."""
    task, program = get_task("bin_majority"), parse(MAJORITY)
    return program, draw(Examinee(task, program.logits, (0, 150)), 600, np.random.default_rng(0)), task


def test_a_program_matches_itself_everywhere_and_solves_its_task(judged):
    program, fresh, _ = judged
    predicted = predictor(program, fresh)
    match = fresh.match(predicted)
    assert [share.sequences for share in match.bands] == [200, 200, 200]
    assert match.all.accuracy == fresh.accuracy(predicted).all.accuracy == fresh.accuracy(by_the_model).all.accuracy == 1.0


def test_a_program_with_two_tokens_swapped_is_always_wrong(judged):
    _, fresh, _ = judged
    swapped = parse(MAJORITY.replace("8*(out == inp)", '8*{"0": {"1"}, "1": {"0"}}'))
    assert fresh.match(predictor(swapped, fresh)).all.accuracy == 0.0


def test_each_line_costs_what_it_is_worth(judged):
    program, fresh, _ = judged
    costs = {line.statement: line for line in leave_one_out(program, fresh, Budget.of_seconds())}
    assert set(costs) == {"a1", "logits1", "logits2"}
    assert costs["a1"].match < 0.7
    assert (costs["logits2"].match, costs["logits2"].stays) == (1.0, 1.0)


def test_the_predictions_that_stay_without_a_line_are_counted_one_by_one():
    text = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

a1 = aggregate(s=[], v=token)
logits1 = project(inp=a1, op={"a": {"b": 2}, "b": {"b": -2}, <bos>: {"b": -1}})
logits2 = project(inp=token, op={"a": {"a": 1}})
prediction = sigmoid(logits1 + logits2)
"""
    program = parse(text)
    fresh = draw(Examinee(get_task("D2"), program.logits, (20, 50)), 60, np.random.default_rng(0))
    costs = {line.statement: line for line in leave_one_out(program, fresh, Budget.of_seconds())}
    mean = np.concatenate([chunk.sample.token_ids[chunk.sample.scored] == 0 for chunk in fresh.chunks]).mean()
    ablated = parse(text.replace('inp=token, op={"a": {"a": 1}}', f'op={{"a": {mean}}}'))
    own, without = predictor(program, fresh), predictor(ablated, fresh)
    expected = np.concatenate([(own(chunk) == without(chunk)).all(1) for chunk in fresh.chunks]).mean()
    assert costs["logits2"].match == 0.0
    assert 0.2 < costs["logits2"].stays < 0.8
    assert costs["logits2"].stays == pytest.approx(expected, abs=1e-6)


def test_a_constant_is_left_out_as_its_mean_is_the_constant(judged):
    always = parse(MAJORITY.replace('{"0": 4, "1": 4}', '{"1": 40}'))
    fresh = draw(Examinee(get_task("bin_majority"), always.logits, (0, 150)), 150, np.random.default_rng(0))
    costs = {line.statement: line.match for line in leave_one_out(always, fresh, Budget.of_seconds())}
    assert costs["a1"] == 1.0
    assert costs["logits2"] < 0.7


def test_the_true_answers_of_a_file_are_read_off_the_whole_sequence(tmp_path):
    """Though nothing behind the last scored position is judged."""
    special = ["<bos>", "<sep>", "<eos>", "<pad>"]
    logits = parse(MAJORITY).logits
    for predict, extra in (("next-token", {}), ("next-token-set", {"sets": [["1"], ["0", "1"]]})):
        header = {"vocabulary": ["0", "1", *special], "predict": predict, "positions": 8}
        line = {"tokens": ["<bos>", "0", "<sep>", "1", "<eos>"], "scored": [1, 2], **extra}
        (tmp_path / "own.jsonl").write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
        (chunk,) = draw(Examinee(load_task(str(tmp_path / "own.jsonl")), logits, (0, 150)), 3, np.random.default_rng(0)).chunks
        assert chunk.sample.token_ids.shape == (1, 3)  # it has a single sequence, which is counted once
        if predict == "next-token":
            assert chunk.truth.tolist() == [3, 1]
        else:
            assert chunk.truth.nonzero()[1].tolist() == [1, 0, 1]


def test_the_best_constant_is_right_about_half_of_the_time(judged):
    program, fresh, task = judged
    fitting = draw(Examinee(task, program.logits, (0, 150)), 300, np.random.default_rng(1))
    found = {name: fresh.match(guess) for name, guess in trivial(fitting).items()}
    assert 0.4 < found["constant"].all.accuracy < 0.6
    assert found["current_token"].all.accuracy == found["constant"].all.accuracy  # only <sep> is scored

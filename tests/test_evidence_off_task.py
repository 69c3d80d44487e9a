"""Off the task: what is changed in a sequence, and how often program and model then agree."""

import numpy as np

from drasp.core.budget import Budget
from drasp.evidence.off_task import edited, off_task, random_symbols
from drasp.learn.evaluation import Examinee
from drasp.program import parse
from drasp.tasks.registry import get_task
from test_evaluation import MAJORITY

SWAPPED = MAJORITY.replace("8*(out == inp)", '8*{"0": {"1"}, "1": {"0"}}')


def _measured(program, model, task, sequences=300):
    examinee = Examinee(task, parse(model).logits, (0, 150))
    return off_task(parse(program), examinee, (sequences, sequences // 4), np.random.default_rng(0), Budget.of_seconds())


def test_a_program_agrees_with_itself_everywhere():
    found = _measured(MAJORITY, MAJORITY, get_task("bin_majority"))
    for kind in ("random_strings", "one_token_edits"):
        assert getattr(found, kind).positions.accuracy == getattr(found, kind).sequences.all.accuracy == 1.0
        assert getattr(found, kind).baseline.constant.positions.accuracy < 0.7
        assert [band.lengths for band in getattr(found, kind).sequences.bands] == [(0, 50), (51, 100), (101, 150)]


def test_the_opposite_program_agrees_where_the_bits_are_tied_alone():
    found = _measured(SWAPPED, MAJORITY, get_task("bin_majority")).random_strings.positions
    assert found.accuracy < 0.2
    assert found.low < found.accuracy < found.high


def test_random_strings_keep_special_tokens_positions_and_what_is_scored():
    sample = get_task("sort").sample(np.random.default_rng(0), 50, (0, 60))
    changed = random_symbols(sample, np.arange(150), np.random.default_rng(1))
    special = sample.token_ids >= 150
    assert np.array_equal(changed.token_ids[special], sample.token_ids[special])
    assert np.mean(changed.token_ids[~special] == sample.token_ids[~special]) < 0.05
    assert changed.position_ids is sample.position_ids
    assert changed.scored is sample.scored


def test_an_edit_changes_one_symbol_and_only_what_comes_after_is_scored():
    sample = get_task("D2").sample(np.random.default_rng(0), 200, (2, 60))
    changed = edited(sample, np.arange(2), np.random.default_rng(1))
    differs = changed.token_ids != sample.token_ids
    assert (differs.sum(1) == 1).all()
    assert (sample.token_ids[differs] < 2).all()
    assert not (changed.scored & (np.cumsum(differs, axis=1) == 0)).any()
    assert np.array_equal(changed.scored[:, -1], sample.scored[:, -1])
    assert changed.scored.any(1).all()


def test_where_nothing_can_be_edited_there_is_no_such_evidence():
    assert len(edited(get_task("D2").sample(np.random.default_rng(0), 5, (0, 0)), np.arange(2), np.random.default_rng(1)).token_ids) == 0
    program = """drasp 1
vocabulary "a" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

logits1 = project(op={"a": 1, <eos>: 1})
prediction = sigmoid(logits1)
"""
    found = _measured(program, program, get_task("aastar"))
    assert found.one_token_edits is None
    assert found.random_strings.positions.accuracy == 1.0

"""The model's mistakes, with programs in the model's place whose mistakes are known."""

import numpy as np
import pytest

from drasp.evidence.kind import Measured, NotMeasured
from drasp.evidence.mistakes import MistakesTuning, mistakes
from drasp.learn.evaluation import Examinee, draw, predictor, trivial
from drasp.program import parse
from drasp.tasks.registry import get_task
from test_evaluation import MAJORITY

ALWAYS_0 = """drasp 1
vocabulary "0" "1" <bos> <sep> <eos> <pad>
positions 154
predict next-token

logits1 = project(op={"0": 1})
prediction = softmax(logits1)
"""


def measured(program, model, sequences=300):
    """What match leaves, of a program with another in the model's place."""
    examinee, program = Examinee(get_task("bin_majority"), parse(model).logits, (0, 150)), parse(program)
    fresh, fitting = (draw(examinee, n, np.random.default_rng(n)) for n in (sequences, 100))
    return Measured(fresh, predictor(program, fresh), trivial(fitting))


def _found(program, model, sequences=300):
    return mistakes(measured(program, model, sequences), MistakesTuning())


def test_a_model_that_is_always_right_has_no_mistakes():
    assert _found(ALWAYS_0, MAJORITY) is None


@pytest.mark.parametrize(("program", "share"), [(ALWAYS_0, 1.0), (MAJORITY, 0.0)])
def test_the_share_of_the_mistakes_that_the_program_makes_too(program, share):
    found = _found(program, ALWAYS_0)
    assert 100 < found.same.all.sequences < 200  # the model is wrong where 1 is commoner
    assert found.same.all.accuracy == found.program_wrong.all.accuracy == share
    assert found.same.all.low <= share <= found.same.all.high
    assert found.baseline.constant.accuracy == 1.0  # the model is that constant


def test_a_handful_of_mistakes_is_no_evidence():
    with pytest.raises(NotMeasured, match=r"the model gets \d+ of the sequences wrong; fewer than 20 are no evidence"):
        _found(ALWAYS_0, ALWAYS_0, 15)

"""Match where the model is right, with programs in the model's place that are right on a known part."""

import numpy as np
import pytest

from drasp.evidence.kind import Measured, NotMeasured
from drasp.evidence.right import RightTuning, right
from drasp.learn.evaluation import Examinee, draw, predictor, trivial
from drasp.program import parse
from drasp.tasks.registry import get_task
from test_evaluation import MAJORITY
from test_evidence_mistakes import ALWAYS_0


def _found(program, model, sequences=300):
    examinee, program = Examinee(get_task("bin_majority"), parse(model).logits, (0, 150)), parse(program)
    fresh, fitting = (draw(examinee, n, np.random.default_rng(n)) for n in (sequences, 100))
    return right(Measured(fresh, predictor(program, fresh), trivial(fitting)), RightTuning())


def test_only_what_the_model_gets_right_counts():
    found = _found(MAJORITY, ALWAYS_0)  # the program is right everywhere, the model where 0 is commoner
    assert 100 < found.all.sequences < 200
    assert found.all.accuracy == 1.0
    assert _found(ALWAYS_0, ALWAYS_0).all == found.all


def test_what_the_program_misses_there_is_missed():
    assert 0.3 < _found(ALWAYS_0, MAJORITY).all.accuracy < 0.7


def test_a_model_that_is_seldom_right_gives_no_evidence():
    with pytest.raises(NotMeasured, match="of the sequences right; fewer than 100 are no evidence"):
        _found(ALWAYS_0, ALWAYS_0, sequences=100)

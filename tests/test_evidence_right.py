"""Match where the model is right, with programs in the model's place that are right on a known part."""

import pytest

from drasp.evidence.kind import NotMeasured
from drasp.evidence.right import RightTuning, right
from test_evaluation import MAJORITY
from test_evidence_mistakes import ALWAYS_0, measured


def _found(program, model, sequences=300):
    return right(measured(program, model, sequences), RightTuning())


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

"""A readout that only has a name behind the named attention: what made up for the attention's blur is pruned first."""

import numpy as np
import pytest
import torch
from drasp.passes.context import make_context
from drasp.passes.pools import Subject
from drasp.passes.prune import SearchSettings

from drasp.ir.nodes import Aggregate, Mlp, Prediction, Project, Read, Select
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.ir.size import size
from drasp.passes.name import name, name_whole
from drasp.run.gated import Executor
from drasp.tasks.registry import get_task

POSITIONS = 152
SETTINGS = SearchSettings("margins", 0.98)


@pytest.fixture(scope="module")
def program():
    """No third "0" after two: by a blurred look at the previous token, and an MLP that is also averaged over all positions."""
    task = get_task("tomita4")
    zero, one = task.vocabulary.index("0"), task.vocabulary.index("1")
    current, previous = np.zeros((6, 4)), np.zeros((6, 4))
    current[:] = [-1, 1, 1, -1]  # the first coordinate minus the second is above zero where both tokens are "0"
    current[one] = [-3, 3, 1, -1]
    previous[zero] = [2, -2, 0, 0]
    mlp = {"in.0": current, "in.1": previous, "gain": np.ones(4), "shift": np.zeros(4), "eps": np.array(1e-5)}
    mlp |= {"w_in": 5 * np.eye(4)[:, :1], "b_in": np.zeros(1), "w_out": np.eye(4)[:1], "b_out": np.zeros(4)}
    allowed = np.full(6, -3.0)
    allowed[[zero, one, task.vocabulary.index("<eos>")]] = 1, 3, 3
    readout = np.zeros((4, 6))
    readout[0, zero] = -1
    statements = (
        Select("s0", Read("pos"), Read("pos"), Dense("A0")),
        Aggregate("a0", ("s0",), Read("token")),
        Mlp("m0", (Read("token"), Read("a0")), "M0"),
        Aggregate("a1", (), Read("m0")),
        Project("logits0", Read("token"), Dense("B0")),
        Project("logits1", Read("m0"), Dense("B1")),
        Project("logits2", Read("a1"), Dense("B2")),
        Prediction(("logits0", "logits1", "logits2")),
    )
    blur = np.random.default_rng(0).normal(0, 0.3, (POSITIONS, POSITIONS))
    operators = {"A0": 7 * np.eye(POSITIONS, k=-1) + blur, "B0": np.tile(allowed, (6, 1)), "B1": readout, "B2": 0.05 * readout}
    operators |= {f"M0.{part}": array for part, array in mlp.items()}
    return Program(Header(task.vocabulary, POSITIONS, task.predict), statements, operators)


@pytest.fixture(scope="module")
def context(program):
    """The program is its own model."""
    executor = Executor(program)
    cpu, candidates = torch.device("cpu"), []
    found = make_context(
        Subject(get_task("tomita4"), executor.scored_logits, cpu), (0, 40), 0, lambda *told: None, lambda: None, candidates.append
    )
    yield found
    assert not candidates  # what is pruned behind a name is no program of the model's own attention


def test_what_is_in_the_way_of_a_name_is_pruned_behind_the_named_attention(program, context):
    partly, whole = name(program, context, SETTINGS)
    assert size(partly.program).opaque > 0
    assert size(whole.program).opaque == 0
    assert context.match(whole.program, context.verify) > 0.99
    attention, readout = whole.pieces
    assert [attention.kind, readout.kind] == ["attention", "readout"]
    assert 0.001 < attention.closeness < 0.05  # to the blurred attention, not to its own
    assert readout.closeness > 0.98


def test_all_or_nothing_finds_it_too(program, context):
    assert size(name_whole(program, context, SETTINGS).program).opaque == 0

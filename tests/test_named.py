"""A readout that only has a name behind the named attention: what made up for the attention's blur is pruned first."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.ir.nodes import Aggregate, Mlp, Prediction, Project, Read, Select
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.ir.size import size
from drasp.learn.match import Matcher
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Study, draw_pools
from drasp.learn.trial import Found, Trial
from drasp.learn.tuning import PoolTuning, RefitTuning
from drasp.naming.attention import NamedHead
from drasp.naming.heads import head_choices
from drasp.naming.heads import target as attention_target
from drasp.naming.named import NamingAim, named, named_whole
from drasp.naming.pieces import Piece
from drasp.naming.readout import target as readout_target
from drasp.naming.samples import random_strings
from drasp.naming.tuning import HeadTuning, ReadoutTuning, SampleTuning
from drasp.passes.aim import Aim
from drasp.passes.eliminate import eliminate
from drasp.run.gated import Executor
from drasp.tasks.protocol import Sample
from drasp.tasks.registry import get_task

POSITIONS = 152
AIM = Aim(0.98, RefitTuning())
BUDGET = Budget.of_seconds()


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
def oracle(program):
    """The program is its own model."""
    model = SimpleNamespace(scored_logits=Executor(program).scored_logits, device=torch.device("cpu"))
    study = Study(SimpleNamespace(blocks=(None,), heads=1, bidirectional=False), get_task("tomita4"), model)
    pools = draw_pools(study, (0, 40), 0, PoolTuning(), BUDGET, Journal())
    return Oracle(study, pools, 0, PoolTuning(), Journal())


def measured(trial, oracle):
    executor = Executor(trial.candidate)
    return Matcher(oracle).match(
        trial, lambda: lambda batch: executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored), 1, BUDGET
    )


def answered(steps, oracle):
    """What a pass returns; what it found on the way, its trials measured; and how much of that before the first piece with the readout."""
    found, before, answer = [], None, None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value, found, before
        answer = measured(step, oracle) if isinstance(step, Trial) else 0.0
        if isinstance(step, Found):
            found.append(step.what)
        elif step.trying == "the readout named alone" and before is None:
            before = len(found)


def naming_aim(oracle, pruned):
    """Prunes as the search does; what is left goes to `pruned`."""

    def pruning(program):
        pruned.append((yield from eliminate(program, oracle, AIM, BUDGET)))
        return pruned[-1]

    return NamingAim(AIM.threshold, pruning)


def test_what_is_in_the_way_of_a_name_is_pruned_behind_the_named_attention(program, oracle):
    pruned = []
    result, (partly, first, whole), before = answered(named(program, oracle, naming_aim(oracle, pruned), BUDGET), oracle)
    assert result is whole
    assert (first.program, first.pieces, before) == (whole.program, (), 2)  # time may be up while its pieces are measured
    assert size(partly.program).opaque > 0
    assert size(whole.program).opaque == 0
    assert measured(Trial(whole.program, "", pool="verify"), oracle) > 0.99
    attention, readout = whole.pieces
    assert [attention.target.name, readout.target.name] == ["attention", "readout"]
    assert 0.001 < attention.closeness < 0.05  # to the blurred attention, not to its own
    assert readout.closeness > 0.98
    selects = [s for s in pruned[0].statements if isinstance(s, Select)]
    assert selects
    assert not any(isinstance(s.op, Dense) for s in selects)  # what was named stays so while the rest is pruned
    assert len(pruned[0].statements) < len(program.statements)
    result, (first, whole), before = answered(named(pruned[0], oracle, naming_aim(oracle, []), BUDGET), oracle)
    assert result is whole
    assert len(whole.pieces) == 2
    assert (first.program, first.pieces, before) == (whole.program, (), 1)


def test_all_or_nothing_finds_it_too(program, oracle):
    whole, found, _ = answered(named_whole(program, oracle, naming_aim(oracle, []), BUDGET), oracle)
    assert size(whole.program).opaque == 0
    assert [naming.program for naming in found] == [whole.program]


def test_what_has_no_limit_is_named_by_the_closest_that_will_do():
    heads = [NamedHead((), distance) for distance in (0.4, 0.04, 0.01)]
    preferred = [chosen[("s0",)].total_variation for _, chosen in head_choices({("s0",): heads}, HeadTuning())]
    assert preferred == [0.04, 0.01, 0.4]  # within 0.05, within 0.02, then what is left from the closest on
    closest = [chosen[("s0",)].total_variation for _, chosen in head_choices({("s0",): heads}, HeadTuning(tolerances=()))]
    assert closest == [0.01, 0.04, 0.4]


@pytest.mark.parametrize(
    ("target", "closeness", "behaviour"),
    [
        (attention_target(HeadTuning()), 0.051, True),
        (attention_target(HeadTuning()), 0.049, False),
        (readout_target(ReadoutTuning()), 0.949, True),
        (readout_target(ReadoutTuning()), 0.951, False),
    ],
)
def test_beyond_its_limit_a_name_describes_behaviour_only(target, closeness, behaviour):
    piece = Piece(target, ("s1",), closeness, 0.99)
    assert piece.behaviour_only is behaviour
    written = piece.as_json({"s1": "s2"})
    assert written[target.closeness] == closeness
    assert written["statements"] == ["s2"]


def test_symbols_are_what_is_not_written_as_special_wherever_they_stand():
    assert Header(("<bos>", "a", "<pad>", "b", "."), 9, "next-token", pad=".").symbols.tolist() == [1, 3]


def test_strings_off_the_task_have_symbols_alone(program):
    task = get_task("tomita4").sample(np.random.default_rng(0), 50, (0, 150))
    found = list(random_strings(program, [task], SampleTuning(), np.random.default_rng(0)))
    assert [sample.token_ids.shape for sample in found] == [(60, 9), (60, 21), (60, 51), (60, 101)]
    for sample in found:
        assert set(np.unique(sample.token_ids[:, 1:])) <= set(program.header.symbols)
        assert sample.scored[:, -1].all()


def test_strings_off_a_task_that_starts_at_position_0_do_so_too_and_are_no_longer_than_its_own(program):
    tokens = np.zeros((9, 30), dtype=int)
    given = Sample(tokens, np.arange(30) + tokens, tokens == 0)
    found = list(random_strings(program, [given], SampleTuning(), np.random.default_rng(0)))
    assert [sample.token_ids.shape for sample in found] == [(60, 9), (60, 21)]
    assert all((sample.position_ids[:, 0] == 0).all() for sample in found)

"""Interchanges: exact programs change as their models do; a program that reads a variable wrongly does not."""

from dataclasses import replace

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.evidence.interchange import InterchangeTuning, groups, interchange
from drasp.evidence.kind import Bench, NotMeasured, Question
from drasp.ir.nodes import Project
from drasp.ir.program import Header
from drasp.lang.parser import parse
from drasp.learn.pools import Study
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.rewrite.lift import lift
from drasp.rewrite.simplify import simplify
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import random_transformer
from test_evaluation import MAJORITY
from test_evidence_language import D2


def _measured(program, model, task="D2", lengths=(4, 12), pairs=200, drawn=1000):
    question = Question(Study(model, get_task(task), TorchTransformer(model)), Settings(lengths=lengths))
    return interchange(Bench(program, question, Budget.of_seconds(), pairs), InterchangeTuning(drawn=drawn))


def _lifted(model):
    task = get_task("D2")
    return simplify(lift(model, Header(task.vocabulary, 152, task.predict)))


@pytest.fixture(scope="module")
def exact():
    model = random_transformer(layers=2, heads=1, seed=0, positions=152)
    return _lifted(model), model


def test_an_exact_program_changes_as_the_model_does(exact):
    found = _measured(*exact)
    stands_for = [[(part.kind, part.layer, part.head) for part in variable.stands_for] for variable in found.variables]
    assert stands_for == [[("head", 0, 0)], [("mlp", 0, None)], [("head", 1, 0)], [("mlp", 1, None)]]
    for variable in found.variables:
        part = variable.stands_for[0]
        head = part.kind == "head"
        assert (part.total_variation if head else part.distance) < 1e-4
        assert variable.faithful
        for swap in ("value", "reading")[: 1 + head]:
            assert getattr(variable, swap).all.agreement == 1.0
            assert getattr(variable, swap).changed.agreement == 1.0
            assert getattr(variable, swap).changed.pairs > 10
            assert getattr(variable, swap).baseline.unmoved < 1.0


def test_a_variable_that_is_read_the_wrong_way_round_is_not_faithful(exact):
    program, model = exact
    averages = groups(program)[2]
    turned = {s.op.name: -program.matrix(s.name) for s in program.statements if isinstance(s, Project) and s.input.variable in averages}
    assert turned
    wrong = program.with_statements(program.statements, {**program.operators, **turned})
    found = _measured(wrong, model).variables[2]
    assert found.faithful is False
    assert found.value.changed.agreement < 0.8


D3 = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

s1 = select(q=token, k=token, op={"a": {<bos>: 1.2}})
a1 = aggregate(s=s1, v=token)
m1 = [a1["b"] - 5*a1["a"] + token["b"] + 2, 3*a1["a"] - a1["b"] - token["b"] - token[<bos>]]
logits1 = project(inp=m1, op={0: {"a": 1}, 1: {"b": 1, <eos>: -1}})
prediction = sigmoid(logits1)
"""


def test_where_the_query_decides_what_is_read_the_swap_of_the_reading_tells():
    model = load_transformer(ZOO / "D3")
    (swapped,) = _measured(parse(D3), model, "D3", (10, 60), 500).variables
    assert swapped.value.changed.agreement < 0.8  # what an `a` reads beside a `b`: no input leads there
    assert swapped.reading.changed.agreement > 0.94
    assert swapped.faithful
    (swapped,) = _measured(parse(D3.replace("5*a1", "4*a1")), model, "D3", (10, 60), 500).variables
    assert swapped.faithful is False


def test_one_average_can_stand_for_several_heads():
    """The program has one head of twice the weight, the model two heads alike, and beside them one that is something else."""
    model = random_transformer(layers=1, heads=4, seed=1, positions=152)
    (block,) = model.blocks
    weights = ("w_query", "w_key", "w_value", "b_query", "b_key", "b_value", "w_head_out")
    twice, once = ({name: getattr(block, name)[heads] for name in weights} for heads in ([0, 1, 1], [0, 1]))
    once["w_head_out"] = once["w_head_out"] * np.array([1, 2])[:, None, None]
    program = _lifted(replace(model, blocks=(replace(block, **once),)))
    found = _measured(program, replace(model, blocks=(replace(block, **twice),))).variables
    assert [[part.head for part in variable.stands_for] for variable in found] == [[0], [1, 2], [None]]
    assert all(variable.faithful for variable in found)


def test_the_readout_is_swapped_with_the_whole_input_where_nothing_bypasses_it():
    model = load_transformer(ZOO / "D2")
    found = _measured(parse(D2), model)
    assert (found.readout, found.no_component) == (("m1",), ())
    beside = D2.replace("sigmoid(logits1)", "sigmoid(logits1 + logits2)").replace(
        "prediction =", "logits2 = project(inp=a1, op=(out == inp))\nprediction ="
    )
    found = _measured(parse(beside), model)
    assert (found.readout, found.no_component) == ((), ("m1",))


def test_averages_are_told_apart_by_their_attention_and_under_uniform_attention_by_their_depth():
    program = parse(
        MAJORITY.replace(
            "logits1",
            "s1 = select(q=pos, k=pos, op=9*(k == q - 1))\na2 = aggregate(s=[], v=pos)\na3 = aggregate(s=[], v=a1)\n"
            "a4 = aggregate(s=s1, v=token)\na5 = aggregate(s=s1, v=a1)\nlogits1",
            1,
        )
    )
    assert groups(program) == [("a1", "a2"), ("a3",), ("a4", "a5")]


def test_no_two_sequences_alike_give_no_evidence():
    with pytest.raises(NotMeasured, match="no two sequences have the same scored positions"):
        _measured(parse(MAJORITY), load_transformer(ZOO / "bin_majority"), "bin_majority", (0, 150), 4, drawn=4)

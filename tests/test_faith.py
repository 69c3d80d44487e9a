"""Whether a program says what a model's heads do: the model's attention patched, averages swapped in both."""

from dataclasses import replace

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.ir.nodes import Aggregate
from drasp.lang.parser import parse
from drasp.learn.circuit import Edges
from drasp.learn.values import attended
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.model.frozen import FrozenTransformer
from drasp.model.wiring import Sender
from drasp.naming.judged import Swap, run
from drasp.naming.tuning import NamesTuning
from drasp.passes.faith import Faith
from drasp.tasks.registry import get_task
from planted import AIM, oracle_of
from test_evidence_language import D2

HEAD = {"a1": [Sender("head", 0, 0)]}


@pytest.fixture(scope="module")
def faith():
    transformer = load_transformer(ZOO / "D2")
    oracle, budget = oracle_of(TorchTransformer(transformer), get_task("D2"), transformer=transformer), Budget.of_seconds()
    edges, sequences = Edges(oracle, AIM.circuit.unit_floor, budget), attended(oracle, NamesTuning().values, budget)
    return Faith(edges, FrozenTransformer(transformer, oracle.device), sequences, oracle.pools.select, budget)


def test_the_bundled_program_is_what_the_model_does(faith):
    assert faith.patched_match(parse(D2), HEAD) > 0.99
    assert faith.swap_match(parse(D2), HEAD) > 0.99


def test_averages_that_are_read_in_another_way_are_told(faith):
    deeper = parse(D2.replace("3*a1[<bos>]", "5*a1[<bos>]"))  # opens three brackets
    assert faith.patched_match(deeper, HEAD) > 0.99
    assert faith.swap_match(deeper, HEAD) < 0.9


def test_attention_that_is_not_the_models_is_told(faith):
    other = D2.replace("a1 = aggregate(s=[]", 's1 = select(k=token, op={"a": 3})\na1 = aggregate(s=s1')
    assert any(isinstance(s, Aggregate) and s.selectors for s in parse(other).statements)
    assert faith.patched_match(parse(other), HEAD) < 0.5


def test_a_swap_takes_values_from_the_other_sequences_and_nothing_else(faith):
    program = parse(D2)
    judged = faith.swaps(program, HEAD, "value")
    assert judged
    for part in judged:
        assert part.swap is not None
        assert (part.swap.other.scored | ~part.sample.scored).all()
        swapped, own, other = (run(program, *what) for what in ((part.sample, part.swap), (part.sample,), (part.swap.other,)))
        assert np.array_equal(swapped.values["a1"], other.values["a1"])
        assert np.array_equal(swapped.value("token"), own.value("token"))
    unknown = replace(judged[0].swap, averages=("elsewhere",))
    assert np.array_equal(run(program, judged[0].sample, unknown).logits, run(program, judged[0].sample).logits)
    assert isinstance(unknown, Swap)


def test_a_tie_that_rounding_breaks_is_told(faith):
    assert faith.steady(parse(D2))
    tied = D2.replace('2*a1["a"] - 2*a1["b"] - a1[<bos>]', "0.3*a1[<bos>] - 0.1*a1[<bos>] - 0.1*a1[<bos>] - 0.1*a1[<bos>]")
    assert tied != D2
    assert not faith.steady(parse(tied))

"""Attention: exact programs name their models'; what looks elsewhere, or leaves out a head that matters, does not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from drasp.core.budget import Budget
from drasp.core.intervals import Share
from drasp.core.records import from_json, to_json
from drasp.core.threads import one_thread
from drasp.evidence.attention import Attention, AttentionTuning, _drawn, attention, holds, not_the_models, stand_for
from drasp.evidence.kind import Bench, Question
from drasp.ir.nodes import Select
from drasp.ir.program import Header
from drasp.lang.parser import parse
from drasp.learn.pools import Study
from drasp.model.forward import TorchTransformer
from drasp.model.wiring import Sender
from drasp.rewrite.lift import lift
from drasp.rewrite.simplify import simplify
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import random_transformer

TABLE = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

logits1 = project(inp=token, op=(out == inp))
prediction = sigmoid(logits1)
"""
HEAD_WEIGHTS = ("w_query", "w_key", "w_value", "b_query", "b_key", "b_value", "w_head_out")


def _bench(program, model, sequences=60, lengths=(4, 12)):
    question = Question(Study(model, get_task("D2"), TorchTransformer(model)), Settings(lengths=lengths))
    return Bench(program, question, Budget.of_seconds(), sequences)


def _measured(program, model):
    with one_thread(True):
        return attention(_bench(program, model), AttentionTuning())


def _lifted(model):
    task = get_task("D2")
    return simplify(lift(model, Header(task.vocabulary, 152, task.predict)))


def _with_heads(model, heads):
    """Only some of the heads of a model of one layer, in this order."""
    (block,) = model.blocks
    return replace(model, blocks=(replace(block, **{name: getattr(block, name)[heads] for name in HEAD_WEIGHTS}),))


@pytest.fixture(scope="module")
def exact():
    model = random_transformer(layers=2, heads=1, seed=0, positions=152)
    return _lifted(model), model


def test_the_attention_of_an_exact_program_is_the_models(exact):
    found = _measured(*exact)
    assert [each.heads for each in found.attentions] == [((0, 0),), ((1, 0),)]
    assert found.faithful
    assert not_the_models(found) == ""
    for each in found.attentions:
        assert each.close
        assert each.total_variation < 1e-3
        assert each.patched.accuracy == found.together.accuracy == 1.0
    assert from_json(Attention, json.loads(json.dumps(to_json(found)))) == found


def test_an_attention_that_looks_elsewhere_is_not_and_the_line_is_named(exact):
    program, model = exact
    second = _measured(program, model).attentions[1]
    turned = {s.op.name: -program.matrix(s.name) for s in program.statements if isinstance(s, Select) and s.name in second.selectors}
    wrong = program.with_statements(program.statements, {**program.operators, **turned})
    found = _measured(wrong, model)
    assert [each.faithful for each in found.attentions] == [True, False]
    assert not found.attentions[1].close
    assert not found.faithful
    assert f"that of {', '.join(second.averages)} ({'+'.join(second.selectors)}) is not (for head" in not_the_models(found)


def test_one_attention_stands_for_all_heads_that_are_alike():
    model = _with_heads(random_transformer(layers=1, heads=4, seed=1, positions=152), [0, 1, 1])
    found = _measured(_lifted(model), model)
    assert found.attentions[0].heads == ((0, 0),)
    assert {head for each in found.attentions[1:] for head in each.heads} == {(0, 1), (0, 2)}
    assert found.faithful


def test_a_head_that_matters_and_is_not_named_makes_it_unfaithful():
    model = random_transformer(layers=1, heads=2, seed=1, positions=152)
    found = _measured(_lifted(_with_heads(model, [1])), model)
    assert [(each.heads, each.faithful) for each in found.attentions] == [(((0, 1),), True)]
    assert not found.faithful
    assert not_the_models(found).startswith("not all of the model's attention is in the program: all of it in place, other heads ablated, ")


def test_heads_that_no_attention_is_near_to_may_attend_as_the_closest():
    """Two heads that do the same together, one of them less sharply."""
    one = _with_heads(random_transformer(layers=1, heads=2, seed=1, positions=152), [1])
    program, two = _lifted(one), _with_heads(one, [0, 0])
    (block,) = two.blocks
    softer = np.array([1, 0.5])[:, None, None] * block.w_key
    two = replace(two, blocks=(replace(block, w_key=softer, w_head_out=block.w_head_out / 2),))
    found = _measured(program, two)
    assert found.attentions[0].heads == ((0, 0),)
    assert found.rest == "attend as the closest"
    assert found.together.accuracy > 0.5


@pytest.mark.parametrize("matters", [True, False])
def test_without_attention_it_is_faithful_where_no_head_matters(matters):
    model = random_transformer(layers=1, heads=2, seed=0, positions=152)
    if not matters:
        model = replace(model, blocks=(replace(model.blocks[0], w_head_out=0 * model.blocks[0].w_head_out),))
    found = _measured(parse(TABLE), model)
    assert found.attentions == ()
    assert found.faithful is not matters


A, B, C = (Sender("head", 0, head) for head in range(3))


@pytest.mark.parametrize(
    ("distances", "own", "owner"),
    [
        ({("s",): {A: 0.01, B: 0.04, C: 0.3}}, {("s",): (A, B)}, {A: ("s",), B: ("s",)}),  # all that it is close to
        ({("s",): {A: 0.2, B: 0.1}}, {("s",): (B,)}, {B: ("s",)}),  # else the closest
        ({("s",): {A: 0.02, B: 0.03}, (): {A: 0.01, B: 0.4}}, {("s",): (B,), (): (A,)}, {A: (), B: ("s",)}),  # a head goes to the closest
        ({("s",): {A: 0.2, B: 0.9}, (): {A: 0.0, B: 0.9}}, {("s",): (A,), (): (A,)}, {A: ()}),  # one that is left without is tried alone
    ],
)
def test_what_an_attention_stands_for(distances, own, owner):
    assert stand_for(distances, 0.05) == (own, owner)


def test_a_standard_error_is_given_to_few_sequences():
    assert [holds(Share.of((0, 50), right, 100), 0.99) for right in (100, 98, 97)] == [True, True, False]
    assert [holds(Share.of((0, 50), right, 10_000), 0.99) for right in (9_891, 9_888)] == [True, False]


def test_long_sequences_come_in_chunks_that_fit_in_memory(exact):
    drawn = list(_drawn(_bench(*exact, lengths=(4, 150)), AttentionTuning(pairs=1 << 18), 4))
    assert sum(len(chunk.sample.scored) for chunk in drawn) == 60
    assert {chunk.band for chunk in drawn} == {0, 1, 2}
    assert all(4 * s.scored.size * s.scored.shape[1] <= 1 << 18 for s in (chunk.sample for chunk in drawn) if len(s.scored) > 1)


def test_what_stands_first_is_no_matter_of_attention():
    """A head without which the first position alone is predicted otherwise: there it is a function of the token."""
    model = random_transformer(layers=1, heads=1, seed=0, positions=152)
    with one_thread(True):
        found = attention(_bench(parse(TABLE), model, lengths=(0, 0)), AttentionTuning())
    assert found.faithful


def test_attention_that_changes_nothing_that_counts_is_free():
    """D2 scores every position; the first sees one key alone, so that sequences of one token tell nothing of attention."""
    model = random_transformer(layers=1, heads=1, seed=0, positions=152)
    with one_thread(True):
        found = attention(_bench(_lifted(model), model, lengths=(0, 0)), AttentionTuning())
    assert found.faithful
    assert np.isclose(found.attentions[0].total_variation, 0.0)

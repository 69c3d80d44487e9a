"""Heads described from the model's own attention, layer by layer; and a readout named as a sum of projections."""

from dataclasses import replace

import numpy as np

from drasp.core.budget import Budget
from drasp.ir.nodes import ONE_READ
from drasp.ir.program import Header, Program
from drasp.lang.parser import parse
from drasp.learn.trial import Doing
from drasp.learn.tuning import ValueTuning
from drasp.learn.values import Source, attended
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.model.wiring import Sender
from drasp.naming.attention import How
from drasp.naming.inside import Inside, Seen, describe_heads
from drasp.naming.judged import Judged, Judging, as_sets
from drasp.naming.logits import Answered, logit_readouts
from drasp.naming.tuning import AttentionTuning, InsideTuning, LogitTuning
from drasp.run.numpy_fast import evaluate
from drasp.tasks.protocol import Sample
from drasp.tasks.registry import get_task
from driving import drive
from planted import oracle_of

HEADER = 'drasp 1\nvocabulary "a" "b" "c" <bos> <sep> <eos> <pad>\npositions 40\npredict next-token\n\n'
FIRST, SECOND = Sender("head", 0, 0), Sender("head", 0, 1)
ABOVE = Sender("head", 1, 0)


def how(spend=lambda work: None):
    return How(AttentionTuning(), np.random.default_rng(0), spend)


def samples(count=6):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        tokens = np.concatenate([np.full((20, 1), 3), rng.integers(0, 3, (20, 16))], 1)
        found.append(Sample(tokens, rng.integers(0, 23, (20, 1)) + np.arange(17), np.ones(tokens.shape, bool)))
    return found


def seen(program: Program, averages: dict[Sender, str]) -> list[Seen]:
    """Sequences with the attention of a program under some of its averages, as if it were a model's."""
    found = []
    for sample in samples():
        attention = evaluate(program, sample.token_ids, sample.position_ids).attention
        found.append(Seen(sample, {head: attention[name] for head, name in averages.items()}))
    return found


def described(
    program: Program, averages: dict[Sender, str], needed: list[Source], layers: int = 1, heads: int = 2, near: float | None = 0.05
):
    inside = Inside(program.header, layers, heads, InsideTuning())
    steps = list(describe_heads(inside, seen(program, averages), needed, near, how()))
    assert all(isinstance(step, Doing) for step in steps)
    return inside


def test_a_key_that_all_queries_look_at_is_said_once():
    program = parse(
        HEADER
        + """s1 = select(k=token, op={"a": 3, <bos>: -12})
a1 = aggregate(s=s1, v=token)
logits1 = project(inp=a1, op=(out == inp))
prediction = softmax(logits1)
"""
    )
    inside = described(program, {FIRST: "a1"}, [Source((FIRST,), "token")], heads=1, near=0.02)
    assert [s.query for s in inside.chosen[FIRST].selects] == [ONE_READ]
    assert inside.chosen[FIRST].selects[0].op.numbers() == 2


LINES = """s1 = select(q=pos, k=pos, op=12*(k == q - 1))
s2 = select(k=token, op={"b": 3})
a1 = aggregate(s=s1, v=token)
a2 = aggregate(s=s2, v=token)
a3 = aggregate(s=[], v=token)
s3 = select(q=token, k=a1, op=8*(k == q))
a4 = aggregate(s=s3, v=token)
logits1 = project(inp=a1, op=(out == inp))
logits2 = project(inp=a2, op=(out == inp))
logits3 = project(inp=a3, op=(out == inp))
logits4 = project(inp=a4, op=(out == inp))
prediction = softmax(logits1 + logits2 + logits3 + logits4)
"""
PROGRAM = parse(HEADER + LINES)


def texts(head):
    return [(select.query.variable, select.key.variable, [term.primitive for term in select.op.terms]) for select in head.selects]


def planted(name):
    line = PROGRAM.by_name[name]
    return line.query.variable, line.key.variable, [term.primitive for term in line.op.terms]


def test_each_head_that_is_needed_gets_the_shortest_description_that_is_near():
    inside = described(PROGRAM, {FIRST: "a1", SECOND: "a3"}, [Source((FIRST,), "token"), Source((SECOND,), "token")])
    assert texts(inside.chosen[FIRST]) == [planted("s1")]
    assert inside.chosen[SECOND].selects == ()
    program = inside.program([Source((FIRST,), "token"), Source((SECOND,), "pos")])
    assert [s.name for s in program.statements][-1] == "prediction"
    assert {"a_0_0t", "a_0_1p"} <= set(program.by_name)


def test_a_head_that_nothing_needs_is_not_described():
    assert set(described(PROGRAM, {FIRST: "a1", SECOND: "a2"}, [Source((SECOND,), "token")]).chosen) == {SECOND}


def test_heads_that_attend_alike_share_a_description_and_their_averages():
    inside = described(PROGRAM, {FIRST: "a2", SECOND: "a2"}, [Source((FIRST,), "token"), Source((SECOND,), "token")])
    assert inside.chosen[SECOND].selects is inside.chosen[FIRST].selects
    program = inside.program([Source((FIRST,), "token"), Source((SECOND,), "token")])
    assert [s.name for s in program.statements] == ["s0_0_0", "a_0_0t", "logits0", "logits", "prediction"]


def test_a_head_above_is_described_over_the_averages_of_those_below():
    heads = {FIRST: "a1", ABOVE: "a4"}
    inside = described(PROGRAM, heads, [Source((ABOVE,), "token")], layers=2, heads=1)
    ((query, key, primitives),) = texts(inside.chosen[ABOVE])
    assert (query, key, primitives) == ("token", "a_0_0t", planted("s3")[2])
    program = inside.program([Source((ABOVE,), "token"), Source((ABOVE, FIRST), "token")])
    assert program.by_name["a_1_0_0_0t"].value.variable == "a_0_0t"
    averages = inside.averages()
    assert {name: averages[name] for name in ("a_0_0t", "a_1_0t", "a_1_0_0_0t")} == {
        "a_0_0t": [FIRST],
        "a_1_0t": [ABOVE],
        "a_1_0_0_0t": [ABOVE],
    }
    for part in seen(PROGRAM, heads)[:1]:
        found = evaluate(program, part.sample.token_ids, part.sample.position_ids).attention["a_1_0t"]
        assert np.abs(found - part.attention[ABOVE]).sum(-1).mean() / 2 < 0.05


def test_nearer_descriptions_are_longer_and_where_none_changes_that_is_said():
    both = parse(
        HEADER + LINES.replace("a1 = aggregate(s=s1,", "a1 = aggregate(s=s1+s2,").replace("op=12*(k == q - 1)", "op=2*(k == q - 1)")
    )
    parts, needed = seen(both, {FIRST: "a1"}), [Source((FIRST,), "token")]
    inside, found = Inside(both.header, 1, 1, InsideTuning()), []
    for near in (1.0, 0.02, 0.02):
        new, _, _ = drive(describe_heads(inside, parts, needed, near, how()), lambda trial: 0.0)
        found.append((len(inside.chosen[FIRST].selects), new))
    assert found == [(0, True), (2, True), (2, False)]


def test_the_head_of_a_bundled_model_that_counts_is_uniform():
    transformer = load_transformer(ZOO / "bin_majority")
    oracle = oracle_of(TorchTransformer(transformer), get_task("bin_majority"), transformer=transformer)
    parts = attended(oracle, ValueTuning(short_every=1, long_every=1), Budget.of_seconds())
    arrays = [
        Seen(
            Sample(*(part.numpy() for part in (p.batch.token_ids, p.batch.position_ids, p.batch.scored))),
            {head: weights.numpy() for head, weights in p.attention.items()},
        )
        for p in parts
    ]
    inside = Inside(Header(oracle.task.vocabulary, transformer.positions, oracle.task.predict), 1, 1, InsideTuning())
    list(describe_heads(inside, arrays, [Source((FIRST,), "token")], 0.05, how()))
    assert inside.chosen[FIRST].selects == ()
    assert inside.chosen[FIRST].total_variation < 0.05


READOUT = """a_0_0t = aggregate(s=[], v=token)
logits1 = project(inp=a_0_0t, op=8*(out == inp))
logits2 = project(inp=token, op={"c": {"a": 4}})
prediction = softmax(logits1 + logits2)
"""


def test_logits_that_are_a_sum_of_projections_are_found_again():
    program = parse(HEADER + READOUT)
    answered = []
    for sample in samples():
        logits = evaluate(program, sample.token_ids, sample.position_ids).logits[sample.scored]
        weights = np.exp(logits - logits.max(1, keepdims=True))
        answered.append(Answered(sample, weights / weights.sum(1, keepdims=True)))
    judged = [Judged(a.sample, as_sets(a.probabilities, program.header.predict)) for a in answered]
    blank = parse(HEADER + "a_0_0t = aggregate(s=[], v=token)\nlogits0 = project(inp=a_0_0t, op=0)\nprediction = softmax(logits0)\n")
    first, *_, best = logit_readouts(blank, answered, Judging(judged, judged), how(), LogitTuning())
    assert len(first.statements) == 1
    assert best.agreement > 0.99 > first.agreement
    found = {best.program.by_name[name].input.variable: best.program.by_name[name].op for name in best.statements}
    expected = {"a_0_0t": program.by_name["logits1"].op, "token": program.by_name["logits2"].op}
    assert {read: [term.primitive for term in op.terms] for read, op in found.items()} == {
        read: [replace(term.primitive, rows=(("c", (("a", 4.0),)),)) if read == "token" else term.primitive for term in op.terms]
        for read, op in expected.items()
    }


def test_what_the_key_alone_decides_stands_with_what_query_and_key_decide():
    text = (
        HEADER + 's1 = select(q=token, k=token, op={"a": {"b": 5}})\ns2 = select(k=token, op={"c": -3})\na1 = aggregate(s=s1+s2, v=token)\n'
    )
    program = parse(text + "logits1 = project(inp=a1, op=(out == inp))\nprediction = softmax(logits1)\n")
    found = described(program, {FIRST: "a1"}, [Source((FIRST,), "token")], heads=1, near=0.02).chosen[FIRST]
    assert found.total_variation < 0.01
    (select,) = found.selects
    tokens = program.header.axis(program.bases["token"])
    assert np.allclose(select.op.matrix(tokens, tokens), program.matrix("s1") + program.matrix("s2"), atol=0.5)


def test_the_last_description_is_exact():
    """Strengths too small to be worth a term: what a count decides that must be right to one in a hundred takes them all the same."""
    text = HEADER + 's1 = select(q=token, k=token, op={"a": {"b": 0.04, "c": -0.02}, "b": {"a": 0.03}})\na1 = aggregate(s=s1, v=token)\n'
    program = parse(text + "logits1 = project(inp=a1, op=(out == inp))\nprediction = softmax(logits1)\n")
    needed = [Source((FIRST,), "token")]
    rough, exact = (described(program, {FIRST: "a1"}, needed, heads=1, near=near) for near in (0.02, None))
    assert rough.chosen[FIRST].selects == ()
    assert exact.chosen[FIRST].total_variation < 0.001
    assert len(exact.chosen[FIRST].selects) == 1  # one table by pairs, none by keys beside it

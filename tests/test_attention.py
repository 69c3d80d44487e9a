"""Attention named: planted heads are found again, from what they attend to."""

from pathlib import Path

import numpy as np
import pytest

from drasp.core.budget import Budget, OutOfBudget
from drasp.lang.parser import parse
from drasp.naming.attention import Head, distance, name_head
from drasp.naming.judged import Judging
from drasp.naming.samples import Samples
from drasp.naming.tuning import AttentionTuning
from drasp.tasks.protocol import Sample

HEADER = 'drasp 1\nvocabulary "a" "b" "c" <bos> <sep> <eos> <pad>\npositions 60\npredict next-token-set\norder "a".."c"\n\n'


def _samples(seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(8):
        tokens = np.concatenate([np.full((30, 1), 3), rng.integers(0, 3, (30, 20))], 1)
        offsets = rng.integers(0, 39, (30, 1))
        samples.append(Sample(tokens, offsets + np.arange(21), np.ones(tokens.shape, bool)))
    return _drawn(samples)


def _drawn(samples, spend=lambda work: None):
    return Samples(samples, Judging([], [], spend), np.random.default_rng(0))


def _program(*selects):
    lines = [f"s{i} = {select}" for i, select in enumerate(selects)]
    names = "+".join(f"s{i}" for i in range(len(selects)))
    return parse(
        HEADER
        + "\n".join(
            [
                *lines,
                f"a1 = aggregate(s={names}, v=token)",
                "logits1 = project(inp=a1, op=(out == inp) - 0.4)",
                "prediction = sigmoid(logits1)",
            ]
        )
        + "\n"
    )


def _numbers(head):
    return sum(select.op.numbers() for select in head.selects)


@pytest.mark.parametrize(
    "selects",
    [
        ("select(q=pos, k=pos, op=12*(k == q - 1))",),
        ("select(q=pos, k=pos, op=9*(k == q - 3))",),
        ("select(q=pos, k=pos, op=6*(k % 2 == q % 2))",),
        ("select(k=pos, op=last)",),
        ('select(k=token, op={"b": 3, <bos>: -4})',),
        ("select(q=token, k=token, op=5*(k == q))",),
        ('select(q=token, k=token, op={"a": {"b": 4}})',),
        ("select(q=token, k=token, op=4*(k == q))", 'select(k=token, op={"c": 2})'),
        ("select(q=pos, k=pos, op=-1.5*log(q - k))",),
        ("select(q=token, k=token, op=6*(k == q))", "select(q=pos, k=pos, op=-6*(k == q))"),  # the query itself would be one of them
    ],
)
def test_a_planted_head_is_found_again(selects):
    program = _program(*selects)
    names = tuple(f"s{i}" for i in range(len(selects)))
    found = name_head(program, names, _samples(), AttentionTuning())
    best = min((head for head in found if head.total_variation <= 0.02), key=_numbers)
    assert _numbers(best) <= sum(program.by_name[name].op.numbers() for name in names) + 1
    planted = {(s.query.variable, s.key.variable) for s in (program.by_name[name] for name in names)}
    with_queries = {key for query, key in planted if query != "one"}
    expected = {(query, key) for query, key in planted if query != "one" or key not in with_queries}  # what keys decide stands with pairs
    assert {(s.query.variable, s.key.variable) for s in best.selects} == expected


def test_what_a_head_takes_is_counted_and_it_stops_in_the_middle():
    program, tuning = _program("select(q=pos, k=pos, op=12*(k == q - 1))"), AttentionTuning()
    samples, statements = _samples().few, len(program.statements)

    def spent(work, take):
        budget = Budget.of_work(work)
        try:
            take(_drawn(samples, budget.spend))
        except OutOfBudget:
            return budget.spent(), True
        return budget.spent(), False

    def name(drawn):
        name_head(program, ("s0",), drawn, tuning)

    def measure(drawn):
        distance(Head(program, ("s0",), program), program.statements[:1], drawn, tuning)

    runs = 3 * len(samples) * statements  # once for the attention, twice for where it matters
    assert spent(np.inf, measure) == (runs, False)
    assert spent(np.inf, name) > (runs, False)
    for take in (name, measure):
        work, stopped = spent(statements, take)
        assert stopped
        assert work <= 3 * statements


def test_a_uniform_head_needs_no_selector():
    program = _program('select(k=token, op={"b": 0.001})')
    found = name_head(program, ("s0",), _samples(), AttentionTuning())
    assert found[0].selects == ()
    assert found[0].total_variation <= 0.001


def test_each_description_is_as_close_as_it_says():
    program = _program("select(q=pos, k=pos, op=12*(k == q - 1))", 'select(k=token, op={"b": 3})')
    found = name_head(program, ("s0", "s1"), _samples(), AttentionTuning())
    assert found[0].total_variation > found[-1].total_variation
    assert found[-1].total_variation <= 0.02


def test_attention_that_never_sees_a_second_key_is_the_uniform_one():
    program = parse((Path(__file__).parent.parent / "examples" / "tomita4.drasp").read_text(encoding="utf-8"))
    bos = np.full((3, 1), program.header.vocabulary.index("<bos>"))
    (head,) = name_head(program, ("s1",), _drawn([Sample(bos, np.zeros_like(bos), bos >= 0)]), AttentionTuning())
    assert (head.selects, head.total_variation) == ((), 0.0)


def test_the_distance_to_selectors_that_read_another_average():
    """As when two averages that became the same were merged."""
    lines = """s1 = select(q=pos, k=pos, op=12*(k == q - 1))
a1 = aggregate(s=s1, v=token)
s2 = select(q=pos, k=pos, op=12*(k == q - 1))
a2 = aggregate(s=s2, v=token)
s3 = select(q=token, k=a1, op=5*(k == q))
a3 = aggregate(s=s3, v=token)
s4 = select(q=token, k=a2, op=5*(k == q))
logits1 = project(inp=a3, op=(out == inp) - 0.4)
logits2 = project(inp=a2, op=(out == inp))
prediction = sigmoid(logits1 + logits2)
"""
    program = parse(HEADER + lines)
    other = program.by_name["s4"]
    head = Head(program, ("s3",), program)
    assert distance(head, (other,), _samples(), AttentionTuning()) <= 0.001
    assert distance(head, (), _samples(), AttentionTuning()) > 0.2

"""What a model's heads move, its own attention given: the frozen model, the circuit that is left, the averages that its output reads."""

from dataclasses import replace

import pytest
import torch

from drasp.core.budget import Budget, OutOfBudget
from drasp.lang.parser import parse
from drasp.learn.adam import Schedule
from drasp.learn.circuit import Edges
from drasp.learn.strengths import fit_attention
from drasp.learn.tuning import CircuitTuning, ValueTuning
from drasp.learn.values import Patched, Source, attended, sources, value_circuit
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.model.frozen import FrozenTransformer
from drasp.model.wiring import Receiver, Sender
from drasp.naming.tuning import NamesTuning
from drasp.tasks.registry import get_task
from planted import POSITIONS, oracle_of, transformer_oracle
from small_models import random_transformer

BUDGET = Budget.of_seconds()
TUNING = ValueTuning(short_every=1, long_every=1)
LAYERS, HEADS = 2, 2
CURRENT, AVERAGED = Source((), "token"), Source((Sender("head", 0, 0),), "token")


@pytest.fixture(scope="module")
def oracle():
    return transformer_oracle(random_transformer(LAYERS, HEADS, 0, positions=POSITIONS))


@pytest.fixture(scope="module")
def edges(oracle):
    return Edges(oracle, CircuitTuning().unit_floor, BUDGET)


def frozen_logits(oracle, circuit, part, attention=None):
    """Those of a circuit where each head attends as it does in the model, or as is said."""
    frozen, batch = FrozenTransformer(oracle.study.transformer), part.batch
    frozen.attention = attention or part.attention
    live, _ = frozen.live(circuit.kept)
    return frozen.logits(batch.token_ids, batch.position_ids, batch.scored, circuit.multipliers, circuit.constants, live)


def test_with_its_own_attention_given_it_is_the_model(oracle, edges):
    for part in attended(oracle, TUNING, BUDGET):
        torch.testing.assert_close(frozen_logits(oracle, edges.whole, part), part.batch.model_logits, atol=1e-4, rtol=1e-4)


def test_edges_to_queries_and_keys_do_nothing_and_other_attention_does(oracle, edges):
    part = attended(oracle, TUNING, BUDGET)[0]
    multipliers = edges.whole.multipliers.clone()
    multipliers[[i for i, (receiver, _) in enumerate(edges.wired.edges) if receiver.kind in ("query", "key")]] = 0
    found = frozen_logits(oracle, replace(edges.whole, multipliers=multipliers), part)
    torch.testing.assert_close(found, part.batch.model_logits, atol=1e-4, rtol=1e-4)
    turned = {**part.attention, Sender("head", 0, 0): part.attention[Sender("head", 0, 1)]}
    assert (frozen_logits(oracle, edges.whole, part, turned) - part.batch.model_logits).abs().max() > 0.01


def circuit_of(edges, *reads):
    """A circuit of some edges, each a receiver and a sender."""
    multipliers = torch.zeros_like(edges.whole.multipliers)
    multipliers[[edges.wired.edges.index(pair) for pair in reads]] = 1
    return replace(edges.whole, multipliers=multipliers)


def test_the_sources_of_a_circuit_are_what_its_output_reads_through_heads_and_mlps(edges):
    token, pos, mlp, output = Sender("token"), Sender("pos"), Sender("mlp", 1), Receiver("output", LAYERS)
    first, second, idle = Sender("head", 0, 1), Sender("head", 1, 0), Sender("head", 0, 0)
    circuit = circuit_of(
        edges,
        (output, mlp),
        (output, token),
        (Receiver("mlp", 1), second),
        (Receiver("mlp", 1), token),
        (Receiver("value", 1, 0), first),
        (Receiver("value", 1, 0), pos),
        (Receiver("value", 0, 1), token),
        (Receiver("value", 0, 0), pos),  # which nothing reads
        (Receiver("query", 1, 0), idle),
    )
    assert set(sources(circuit)) == {Source((), "token"), Source((second, first), "token"), Source((second,), "pos")}
    assert sources(circuit_of(edges)) == ()


def planted_model():
    """Two heads, of which one adds nothing, and an MLP that adds nothing: what is left to read are the current token and one average."""
    model = random_transformer(1, 2, 0, positions=POSITIONS)
    block = model.blocks[0]
    out = block.w_head_out.copy()
    out[1] = 0
    mlp = replace(block.mlp, w_out=0 * block.mlp.w_out, b_out=0 * block.mlp.b_out)
    block = replace(block, w_head_out=out, mlp=mlp)
    return replace(model, blocks=(block,), position_embedding=0 * model.position_embedding)


def test_what_adds_nothing_is_not_in_the_circuit_and_match_is_kept():
    oracle = transformer_oracle(planted_model())
    edges = Edges(oracle, CircuitTuning().unit_floor, BUDGET)
    parts = attended(oracle, TUNING, BUDGET)
    circuit = value_circuit(edges, parts, 1.0, TUNING, BUDGET)
    assert {AVERAGED} <= set(sources(circuit)) <= {AVERAGED, CURRENT}
    for part in parts:
        assert oracle.matches(frozen_logits(oracle, circuit, part), part.batch).all()
    looser = value_circuit(edges, parts, 0.5, TUNING, BUDGET)
    assert looser.edges <= circuit.edges


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("D2", {AVERAGED}, {AVERAGED, CURRENT}), ("abcde", {CURRENT}, {CURRENT}), ("tomita2", {CURRENT}, {CURRENT})],
)
def test_the_output_of_a_bundled_model_reads_what_its_program_reads(name, least, most):
    transformer = load_transformer(ZOO / name)
    oracle = oracle_of(TorchTransformer(transformer), get_task(name), transformer=transformer)
    edges = Edges(oracle, CircuitTuning().unit_floor, BUDGET)
    found = sources(value_circuit(edges, attended(oracle, TUNING, BUDGET), 0.99, TUNING, BUDGET))
    assert least <= set(found) <= most


def attending(select=None):
    """A program that averages tokens under one selector, or uniformly."""
    header = 'drasp 1\nvocabulary "0" "1" <bos> <sep> <eos> <pad>\npositions 152\npredict next-token-set\n'
    lines = [f"s1 = {select}"] if select else []
    lines += [f"a1 = aggregate(s={'s1' if select else '[]'}, v=token)", "logits1 = project(inp=a1, op=(out == inp))"]
    return parse(header + "\n".join([*lines, "prediction = sigmoid(logits1)", ""]))


@pytest.fixture(scope="module")
def looking_back():
    """The bundled model that looks at the token before; its sequences, and the model with a program's attention in place of its own."""
    transformer = load_transformer(ZOO / "tomita4")
    oracle = oracle_of(TorchTransformer(transformer), get_task("tomita4"), transformer=transformer)
    edges = Edges(oracle, CircuitTuning().unit_floor, BUDGET)

    def patched(*selectors):
        return Patched(edges.whole, oracle, FrozenTransformer(transformer), {Sender("head", 0, 0): selectors})

    return attended(oracle, TUNING, BUDGET), patched


def test_a_model_decides_alike_with_the_attention_that_is_its_own(looking_back):
    parts, patched = looking_back
    before = attending("select(q=pos, k=pos, op=9*(k == q - 1))")
    assert patched("s1").match(before, parts, BUDGET) > 0.95
    assert patched().match(attending(), parts, BUDGET) < 0.5
    with pytest.raises(OutOfBudget):
        patched("s1").match(before, parts, Budget.of_work(1))


def test_the_strengths_of_a_head_are_fitted_in_the_model(looking_back):
    parts, patched = looking_back
    program = attending("select(q=pos, k=pos, op=0.8*(k == q - 1))")
    how = NamesTuning().fit
    fitted = fit_attention(program, patched("s1"), parts, Schedule(replace(how, rate=0.3), 0.3, 0), 3, BUDGET)
    assert patched("s1").match(program, parts, BUDGET) < 0.8 < 0.95 < patched("s1").match(fitted, parts, BUDGET)
    assert [s.name for s in fitted.statements] == [s.name for s in program.statements]
    with pytest.raises(OutOfBudget):
        fit_attention(attending("select(k=pos, op=last)"), patched("s1"), parts, Schedule(how, how.rate, 0), 3, Budget.of_work(20))


def test_it_stops_in_the_middle(edges, oracle):
    parts = attended(oracle, TUNING, BUDGET)
    budget = Budget.of_work(10 * edges.whole.edges)
    with pytest.raises(OutOfBudget):
        value_circuit(edges, parts, 0.9, TUNING, budget)
    assert budget.spent() < 12 * edges.whole.edges
    with pytest.raises(OutOfBudget):
        attended(oracle, TUNING, Budget.of_work(1))

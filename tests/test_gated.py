"""The torch executor computes what the language means, and its mask what `ablate` makes of them."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from drasp.ir.nodes import Select
from drasp.rewrite.ablate import Ablation, ablate
from drasp.rewrite.lift import lift
from drasp.run.gated import AblationPoint, Executor, Mask, ablation_points, read_elsewhere
from drasp.run.numpy_fast import logits
from small_models import header, random_tokens, random_transformer
from strategies import inputs, meant_logits, programs

moderate = st.integers(-40, 40).map(lambda n: n / 8)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_computes_what_the_program_means(data):
    program = data.draw(programs(moderate))
    token_ids, position_ids = data.draw(inputs(program))
    expected = meant_logits(program, token_ids, position_ids)
    scale = max(1.0, float(np.abs(expected).max()))
    assume(np.isfinite(expected).all() and scale < 1e6)
    found = Executor(program, dtype=torch.float64).logits(torch.from_numpy(token_ids), torch.from_numpy(position_ids)).numpy()
    assert np.abs(found - expected).max() <= 1e-10 * scale


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_scored_logits_are_the_logits_of_the_scored_positions(data):
    program = data.draw(programs(moderate))
    token_ids, position_ids = (torch.from_numpy(x) for x in data.draw(inputs(program)))
    marks = st.lists(st.booleans(), min_size=token_ids.numel(), max_size=token_ids.numel())
    scored = torch.tensor(data.draw(marks)).view(token_ids.shape)
    scored[:, : data.draw(st.integers(0, token_ids.shape[1]))] = False
    executor = Executor(program, dtype=torch.float64)
    expected = executor.logits(token_ids, position_ids)[scored]
    scale = max([1.0, *expected.abs().flatten().tolist()])
    assume(np.isfinite(scale) and scale < 1e6)
    found = executor.scored_logits(token_ids, position_ids, scored)
    assert found.shape == expected.shape
    assert ((found - expected).abs() <= 1e-10 * scale).all()


@pytest.mark.parametrize("layers", [1, 2])
def test_what_no_other_position_reads_is_computed_from_the_first_scored_one_on(layers):
    model = random_transformer(layers, 2, 0)
    program = lift(model, header(model))
    executor = Executor(program, dtype=torch.float64)
    token_ids, position_ids = (torch.from_numpy(x) for x in random_tokens(model, seed=3))
    scored = torch.zeros_like(token_ids, dtype=torch.bool)
    scored[:, -2:] = True
    every = ablation_points(program)
    rng = np.random.default_rng(layers)
    multipliers = torch.from_numpy(rng.uniform(0.5, 1.5, (len(token_ids), len(every))))
    mask = Mask({point: i for i, point in enumerate(every)}, multipliers, constants={"prediction": torch.ones(model.vocabulary_size)})
    expected = executor.logits(token_ids, position_ids, mask)[scored]
    assert torch.allclose(executor.scored_logits(token_ids, position_ids, scored, mask), expected, rtol=1e-9, atol=1e-9)
    last = layers - 1
    assert f"m{last}" not in read_elsewhere(program)
    assert all(f"m{layer}" in read_elsewhere(program) for layer in range(last))


@pytest.mark.parametrize("layers", [1, 2])
def test_single_precision_agrees_with_the_interpreter_to_1e_5(layers):
    model = random_transformer(layers=layers, heads=2, seed=layers)
    program = lift(model, header(model))
    token_ids, position_ids = random_tokens(model, seed=3)
    expected = logits(program, token_ids, position_ids)
    found = Executor(program).logits(torch.from_numpy(token_ids), torch.from_numpy(position_ids)).numpy()
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("seed", range(6))
def test_a_baked_program_computes_what_the_masked_knobs_compute(seed):
    model = random_transformer(layers=1 + seed % 2, heads=1 + seed % 2, seed=seed)
    program = lift(model, header(model))
    executor = Executor(program, dtype=torch.float64)
    rng = np.random.default_rng(seed)
    every = [s for s in ablation_points(program) if s.part != "division"]
    multipliers = {point: float(rng.choice([0.0, 1.0, 0.7])) for point in every}
    means = {}

    def observe(point, value, ids):
        statement = program.by_name[point.statement]
        if point.part in ("line", "input") and not isinstance(statement, Select):
            means[point] = rng.normal(size=value.shape[-1])

    token_ids, position_ids = (torch.from_numpy(x) for x in random_tokens(model, seed=seed))
    executor.logits(token_ids, position_ids, observe=observe)
    mask = Mask(
        {point: i for i, point in enumerate(every)},
        torch.tensor([multipliers[s] for s in every], dtype=torch.float64),
        {point: torch.from_numpy(value) for point, value in means.items()},
    )
    masked = executor.logits(token_ids, position_ids, mask).numpy()
    ablated = ablate(program, Ablation(multipliers, means))
    found = logits(ablated, token_ids.numpy(), position_ids.numpy())
    # Means are vectors in the factor of a norm's Gram matrix, which the executor and `ablate` share.
    assert np.abs(found - masked).max() <= 1e-8 * max(1.0, np.abs(masked).max())


def test_a_divisor_that_is_off_becomes_its_stand_in():
    model = random_transformer(layers=1, heads=1, seed=5)
    program = lift(model, header(model))
    rng = np.random.default_rng(0)
    token_ids, position_ids = random_tokens(model, seed=1)
    off = [s for s in ablation_points(program) if s.part == "division"]
    sizes = {"token": model.vocabulary_size, "pos": model.positions}
    means = {}
    for point in off:
        read = program.by_name[point.statement].reads[point.slot]
        size = 1 if point.statement.startswith("logits") else sizes.get(read.variable, 1)
        means[point] = rng.uniform(0.5, 2, size=size)
    mask = Mask(
        {point: i for i, point in enumerate(off)},
        torch.zeros(len(off), dtype=torch.float64),
        {point: torch.from_numpy(value) for point, value in means.items()},
    )
    masked = Executor(program, dtype=torch.float64).logits(torch.from_numpy(token_ids), torch.from_numpy(position_ids), mask).numpy()
    ablated = ablate(program, Ablation(dict.fromkeys(off, 0.0), means))
    assert not any(read.over for statement in ablated.statements for read in statement.reads)
    assert np.abs(logits(ablated, token_ids, position_ids) - masked).max() <= 1e-9 * max(1.0, np.abs(masked).max())


def test_every_site_is_listed_once():
    model = random_transformer(layers=1, heads=1, seed=0)
    found = ablation_points(lift(model, header(model)))
    assert len(found) == len(set(found))
    assert {AblationPoint("s0_0_0", "line"), AblationPoint("m0", "input", 2), AblationPoint("logits0", "division", 0)} <= set(found)

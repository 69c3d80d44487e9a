"""Every part that a Transformer may have: model, lifted program and circuit compute the same, whatever it is made of."""

from itertools import product

import numpy as np
import pytest
import torch

from drasp.errors import UnsupportedModelError
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.program import Header
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.model.forward import forward
from drasp.model.frozen import FrozenTransformer
from drasp.model.parts.positions import sinusoidal
from drasp.model.transformer import Block, FeedForward, LayerNorm, Norm, RMSNorm, Rotary, Transformer
from drasp.model.wired import WiredTransformer
from drasp.model.wiring import full_wiring, live_senders
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify
from drasp.run.gated import Executor
from drasp.run.meaning import meaning
from drasp.run.numpy_fast import logits
from small_models import random_parts, random_tokens

CHOICES = {
    "norm": ("layer", "rms", "none"),
    "order": ("pre", "post", "parallel"),
    "final": (True, False),
    "mlp": (*ACTIVATIONS, "silu gated", None),
    "position": ("learned", "sinusoidal", "none", "rotary", "rotary interleaved"),
    "attention": ("causal", "bidirectional", "padded"),
    "biases": (True, False),
    "outputs": (None, 3),
}


def pairwise(choices: dict[str, tuple]) -> list[dict]:
    """Combinations in which every two choices of two parts stand together at least once."""
    names = list(choices)
    missing = {(a, x, b, y) for i, a in enumerate(names) for b in names[i + 1 :] for x, y in product(choices[a], choices[b])}
    rng, found = np.random.default_rng(0), []

    def new(combination: dict) -> set:
        return {(a, combination[a], b, combination[b]) for i, a in enumerate(names) for b in names[i + 1 :]} & missing

    while missing:
        drawn = [{name: choices[name][rng.integers(len(choices[name]))] for name in names} for _ in range(50)]
        best = max(drawn, key=lambda combination: len(new(combination)))
        if new(best):
            missing -= new(best)
            found.append(best)
    return found


COMBINATIONS = pairwise(CHOICES)


def header_of(model: Transformer) -> Header:
    letters = tuple("abcdefghij"[: model.vocabulary_size])
    pad = None if model.padding is None else letters[model.padding]
    outputs = None if model.outputs == model.vocabulary_size else ("x", "y", "z")
    return Header(letters, model.positions, "next-token", bidirectional=model.bidirectional, pad=pad, outputs=outputs)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("parts", COMBINATIONS, ids=lambda parts: " ".join(str(value) for value in parts.values()))
def test_the_lift_is_an_identity_for_every_two_parts(parts: dict, layers: int) -> None:
    model = random_parts(layers, seed=len(str(parts)), **parts)
    token_ids, position_ids = random_tokens(model, 0, batch=3, time=7)
    expected = forward(model, token_ids, position_ids, torch.float64).numpy()
    scale = max(1.0, np.abs(expected).max())
    program = lift(model, header_of(model))
    assert np.abs(logits(program, token_ids, position_ids) - expected).max() <= 1e-9 * scale
    assert np.abs(logits(simplify(program), token_ids, position_ids) - expected).max() <= 1e-9 * scale
    assert model.rotary or len(program.statements) <= expanded_statements(full_wiring(model))
    tensors = torch.from_numpy(token_ids), torch.from_numpy(position_ids)
    assert np.abs(Executor(program, dtype=torch.float64).logits(*tensors).numpy() - expected).max() <= 1e-9 * scale


@pytest.mark.parametrize("parts", COMBINATIONS[:12], ids=lambda parts: " ".join(str(value) for value in parts.values()))
def test_a_random_circuit_computes_what_its_lifted_program_computes(parts: dict) -> None:
    model = random_parts(2, seed=1, **parts)
    wired = WiredTransformer(model)
    rng = np.random.default_rng(0)
    multipliers = torch.from_numpy(rng.uniform(0.5, 1.5, len(wired.edges)) * (rng.random(len(wired.edges)) < 0.7)).float()
    constants = wired.biases + torch.from_numpy(rng.normal(size=wired.biases.shape)).float()
    token_ids, position_ids = random_tokens(model, 0, batch=3, time=7)
    scored = rng.random(token_ids.shape) < 0.4
    scored[0, -1] = True
    live, _ = wired.live((multipliers != 0).tolist())
    tensors = [torch.from_numpy(array) for array in (token_ids, position_ids, scored)]
    found = wired.logits(*tensors, multipliers, constants, live).numpy()
    expected = logits(lift(model, header_of(model), wired.wiring(multipliers, constants)), token_ids, position_ids)[scored]
    assert np.abs(found - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("parts", COMBINATIONS[:12], ids=lambda parts: " ".join(str(value) for value in parts.values()))
def test_whole_and_with_its_attention_given_it_is_the_model(parts: dict) -> None:
    from drasp.model.forward import TorchTransformer

    model = random_parts(2, seed=2, **parts)
    token_ids, position_ids = map(torch.from_numpy, random_tokens(model, 0, batch=3, time=7))
    scored = torch.zeros(token_ids.shape, dtype=torch.bool)
    scored[:, 3:] = True
    oracle, wired, frozen = TorchTransformer(model), WiredTransformer(model), FrozenTransformer(model)
    frozen.attention = oracle.attention(token_ids, position_ids)
    expected = oracle.scored_logits(token_ids, position_ids, scored)
    for circuit in (wired, frozen):
        whole = torch.ones(len(wired.edges)), wired.biases, live_senders(full_wiring(model))
        found = circuit.logits(token_ids, position_ids, scored, *whole)
        assert (found - expected).abs().max() <= 1e-3 * max(1.0, float(expected.abs().max()))
    means = wired.means([(token_ids, position_ids, scored)])
    assert means.shape == (len(wired.edges), model.width)
    assert means.isfinite().all()


def test_padding_is_never_attended_to() -> None:
    model = random_parts(2, seed=0, attention="padded")
    token_ids = np.array([[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]])
    whole, cut = forward(model, token_ids, dtype=torch.float64), forward(model, token_ids[:1, :3], dtype=torch.float64)
    torch.testing.assert_close(whole[:1, :3], cut)
    program = lift(model, header_of(model))
    assert not meaning(program, token_ids[0].tolist(), range(5))["a0_0_0"][:, 0].any()


def test_what_a_bidirectional_model_reads_is_what_comes_after_too() -> None:
    model = random_parts(1, seed=0, attention="bidirectional")
    token_ids = np.array([[1, 2, 3, 4]])
    changed = np.array([[1, 2, 3, 5]])
    assert (forward(model, token_ids)[0, 0] - forward(model, changed)[0, 0]).abs().max() > 1e-3


def test_a_sinusoidal_table_is_that_of_the_paper() -> None:
    table = sinusoidal(4, 6)
    np.testing.assert_allclose(table[3, :4], [np.sin(3), np.cos(3), np.sin(3 / 10000 ** (1 / 3)), np.cos(3 / 10000 ** (1 / 3))])


def test_rotary_scores_hang_on_the_distance_alone() -> None:
    model = random_parts(1, seed=0, position="rotary")
    token_ids = np.array([[1, 2, 3, 4]])
    first, later = (forward(model, token_ids, np.arange(4)[None] + offset, torch.float64) for offset in (0, 9))
    torch.testing.assert_close(first, later)


def one_block(**changes: object) -> dict:
    width, heads = 4, 2
    weights = {name: np.ones((heads, width, 2)) for name in ("w_query", "w_key", "w_value")}
    return {**weights, "w_head_out": np.ones((heads, 2, width)), **changes}


@pytest.mark.parametrize(
    ("changes", "block", "message"),
    [
        ({"unembedding": np.ones((3, 5))}, {}, r"the unembedding has shape \(3, 5\), expected 4 x any"),
        ({"positions": 0}, {}, "it is not said how many there are: give positions="),
        ({"blocks": ()}, {}, "there is no layer"),
        ({"padding": 1}, {}, "padding is 1, not the id of a token of a model with bidirectional attention"),
        ({"rotary": Rotary(3)}, {}, "rotary turns 3 of the 2 coordinates of a head of layer 0"),
        ({"unembedding_bias": np.ones(4)}, {}, r"the bias of the unembedding has shape \(4,\), expected 5"),
        ({}, {"b_key": np.ones(4)}, r"b_key of layer 0 has shape \(4,\), expected 2 x 2"),
        ({}, {"w_value": np.full((2, 4, 2), np.nan)}, "w_value of layer 0 holds NaN"),
        ({}, {"order": "before"}, "the order of layer 0 is 'before', not pre, post or parallel"),
        ({}, {"mlp": FeedForward(np.ones((4, 3)), np.ones((3, 4)), activation="tanh")}, "the activation of the MLP of layer 0 is 'tanh'"),
        ({}, {"norm_mlp": LayerNorm(np.ones(3))}, r"the gain of norm_mlp of layer 0 has shape \(3,\), expected 4"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_it_is_said_what(changes: dict, block: dict, message: str) -> None:
    given = {"token_embedding": np.ones((6, 4)), "unembedding": np.ones((4, 5)), "blocks": (Block(**one_block(**block)),), "positions": 9}
    with pytest.raises(UnsupportedModelError, match=message):
        Transformer(**given | changes)


def test_a_description_is_filled_from_tensors_and_what_is_left_out_is_nothing() -> None:
    block = Block(**{name: torch.tensor(value) for name, value in one_block().items()}, norm_attention=RMSNorm([1.0] * 4))
    model = Transformer(torch.ones(6, 4), torch.ones(4, 3).half(), (block,), positions=9)
    assert (model.vocabulary_size, model.outputs, model.width, model.heads, model.positions) == (6, 3, 4, 2, 9)
    assert not model.blocks[0].b_query.any()
    assert model.unembedding.dtype == np.float64
    assert type(model.norm_final) is Norm
    assert len(model.sha256) == 64
    other = Transformer(torch.ones(6, 4), 2 * torch.ones(4, 3), (block,), positions=9)
    assert other.sha256 != model.sha256


@pytest.mark.parametrize(("mlp", "norm", "version"), [("gelu", "layer", 1), ("relu", "layer", 2), ("gelu", "rms", 2)])
def test_a_program_says_what_its_mlp_is_made_of_and_needs_a_newer_format_for_that(mlp: str, norm: str, version: int) -> None:
    model = random_parts(1, seed=0, mlp=mlp, norm=norm)
    program = lift(model, header_of(model))
    text = print_program(program)
    assert text.startswith(f"drasp {version}\n")
    assert (", act=relu" in text) == (mlp == "relu")
    assert (", norm=rms" in text) == (norm == "rms")
    assert parse(text, program.operators) == program

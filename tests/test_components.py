"""The component level: a wired Transformer computes what its lifted program computes, and only what the output needs is kept."""

import numpy as np
import pytest
import torch

from drasp.model.forward import forward
from drasp.model.wired import WiredTransformer
from drasp.model.wiring import Receiver, Sender, full_wiring, live_senders
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify
from drasp.run.numpy_fast import logits
from small_models import header, random_tokens, random_transformer


def _tensors(token_ids, position_ids):
    scored = np.zeros(token_ids.shape, dtype=bool)
    scored[:, token_ids.shape[1] // 2 :: 2] = True
    scored[0, -2] = True
    return torch.from_numpy(token_ids), torch.from_numpy(position_ids), torch.from_numpy(scored)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_a_random_wiring_computes_what_its_lifted_program_computes(layers, heads, seed):
    model = random_transformer(layers, heads, seed)
    wired = WiredTransformer(model)
    rng = np.random.default_rng(seed)
    multipliers = torch.from_numpy(rng.uniform(0.5, 1.5, len(wired.edges)) * (rng.random(len(wired.edges)) < 0.6)).float()
    constants = wired.biases + torch.from_numpy(rng.normal(size=wired.biases.shape)).float()
    token_ids, position_ids, scored = _tensors(*random_tokens(model, seed))
    live, _ = wired.live((multipliers != 0).tolist())
    found = wired.logits(token_ids, position_ids, scored, multipliers, constants, live)
    wiring = wired.wiring(multipliers, constants)
    program = lift(model, header(model), wiring)
    assert len(program.statements) <= expanded_statements(wiring)
    for lifted in (program, simplify(program)):
        expected = logits(lifted, token_ids.numpy(), position_ids.numpy())[scored.numpy()]
        assert np.abs(found.numpy() - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("layers", "heads"), [(1, 2), (2, 1)])
def test_multipliers_by_sequence_are_those_of_each_sequence(layers, heads):
    model = random_transformer(layers, heads, 0)
    wired = WiredTransformer(model)
    token_ids, position_ids, scored = _tensors(*random_tokens(model, 0))
    rng = np.random.default_rng(0)
    gates = torch.from_numpy(rng.random((len(token_ids), len(wired.edges)))).float()
    constants = wired.biases + torch.from_numpy(rng.normal(size=(len(token_ids), *wired.biases.shape))).float()
    live = live_senders(full_wiring(model))
    together = wired.logits(token_ids, position_ids, scored, gates, constants, live)
    alone = [
        wired.logits(token_ids[i : i + 1], position_ids[i : i + 1], scored[i : i + 1], gates[i], constants[i], live)
        for i in range(len(token_ids))
    ]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_all_edges_are_the_model_itself():
    model = random_transformer(2, 2, 0)
    wired = WiredTransformer(model)
    token_ids, position_ids, scored = _tensors(*random_tokens(model, 0))
    found = wired.logits(token_ids, position_ids, scored, torch.ones(len(wired.edges)), wired.biases, live_senders(full_wiring(model)))
    assert torch.allclose(found, forward(model, token_ids, position_ids)[scored], atol=1e-4)


def test_an_edge_into_what_nobody_reads_is_not_reached():
    wired = WiredTransformer(random_transformer(2, 1, 0))
    kept = [edge in ((Receiver("output", 2), Sender("head", 0, 0)), (Receiver("mlp", 0), Sender("token"))) for edge in wired.edges]
    live, reached = wired.live(kept)
    assert live == {Sender("head", 0, 0)}
    assert [edge for edge, r in zip(wired.edges, reached, strict=True) if r] == [(Receiver("output", 2), Sender("head", 0, 0))]


def test_the_mean_of_an_edge_is_that_of_its_source_where_it_is_read():
    model = random_transformer(1, 1, 0)
    wired = WiredTransformer(model)
    token_ids, position_ids, scored = _tensors(*random_tokens(model, 0))
    means = dict(zip(wired.edges, wired.means([(token_ids, position_ids, scored)]), strict=True))
    embedded = torch.from_numpy(model.token_embedding).float()[token_ids]
    assert torch.allclose(means[Receiver("output", 1), Sender("token")], embedded[scored].mean(0), atol=1e-5)
    last = int(scored[0].nonzero().max())
    assert torch.allclose(means[Receiver("query", 0, 0), Sender("token")], embedded[:, : last + 1].mean((0, 1)), atol=1e-5)

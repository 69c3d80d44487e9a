"""The lifted program computes exactly what the model computes."""

import numpy as np
import pytest
import torch

from drasp.errors import UnsupportedModelError
from drasp.ir.program import Header
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import forward
from drasp.model.wiring import full_wiring
from drasp.rewrite.lift import expanded_statements, lift
from drasp.rewrite.simplify import simplify
from drasp.run.numpy_fast import logits
from small_models import header, random_tokens, random_transformer


def _difference(model, program, token_ids, position_ids):
    expected = forward(model, token_ids, position_ids, dtype=torch.float64).numpy()
    return np.abs(logits(program, token_ids, position_ids) - expected).max()


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_random_weights_tokens_offsets_and_padding_agree_to_1e_9(layers, heads, seed):
    model = random_transformer(layers, heads, seed)
    program = lift(model, header(model))
    token_ids, position_ids = random_tokens(model, seed)
    assert _difference(model, program, token_ids, position_ids) <= 1e-9
    assert _difference(model, simplify(program), token_ids, position_ids) <= 1e-9
    assert len(program.statements) <= expanded_statements(full_wiring(model))


@pytest.mark.parametrize("name", ["bce_D2", "bce_D3", "bce_012_0_2", "bce_tomita4"])
def test_the_papers_models_agree_to_1e_9(reference_models, name):
    (folder,) = reference_models.glob(f"{name}-*")
    model = load_transformer(folder)
    token_ids, position_ids = random_tokens(model, seed=0, batch=8, time=40)
    vocabulary = (*(f"t{i}" for i in range(model.vocabulary_size - 4)), "<bos>", "<sep>", "<eos>", "<pad>")
    program = lift(model, Header(vocabulary, model.positions, "next-token-set"))
    assert _difference(model, program, token_ids, position_ids) <= 1e-9


def test_a_vocabulary_of_the_wrong_size_is_refused():
    model = random_transformer(1, 1, 0)
    with pytest.raises(UnsupportedModelError, match="the model has 6 tokens, the task's vocabulary has 5"):
        lift(model, Header(("a", "<bos>", "<sep>", "<eos>", "<pad>"), model.positions, "next-token-set"))

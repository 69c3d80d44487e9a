"""Models as `drasp.decompile` takes them: by name, by folder, from memory."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from drasp.errors import DraspError, UnsupportedModelError
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.fit import fitted
from drasp.model.forward import forward
from drasp.model.given import as_transformer
from drasp.model.told import Told, told_by
from drasp.model.transformer import Transformer
from drasp.search.decompile import decompile
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import random_tokens, random_transformer


class HookedTransformer(torch.nn.Module):
    """Stands for TransformerLens's: the same settings, the same names and shapes in `state_dict()`. LayerNorms folded where asked for."""

    def __init__(self, model: Transformer, folded: bool = False, **changes: object) -> None:
        super().__init__()
        self.model = model
        self.added = 0.0  # how often the bias of the unembedding is added to what the model computes
        heads, width, head = model.blocks[0].w_query.shape
        self.cfg = SimpleNamespace(
            n_layers=len(model.blocks),
            d_model=width,
            n_ctx=model.positions,
            d_head=head,
            n_heads=heads,
            d_mlp=model.blocks[0].mlp.w_in.shape[1],
            d_vocab=model.vocabulary_size,
            d_vocab_out=model.vocabulary_size,
            act_fn="gelu_new",
            normalization_type="LNPre" if folded else "LN",
            positional_embedding_type="standard",
            attention_dir="causal",
            attn_only=False,
            gated_mlp=False,
            use_attn_scale=True,
            attn_scale=head**0.5,
            eps=model.norm_final.eps,
        )
        vars(self.cfg).update(changes)
        self.arrays: dict[str, np.ndarray] = {"embed.W_E": model.token_embedding, "pos_embed.W_pos": model.position_embedding}
        for i, block in enumerate(model.blocks):
            norms = {"ln1": block.norm_attention, "ln2": block.norm_mlp}
            parts = {"attn.W_Q": block.w_query, "attn.W_K": block.w_key, "attn.W_V": block.w_value, "mlp.W_in": block.mlp.w_in}
            biases = {"attn.W_Q": block.b_query, "attn.W_K": block.b_key, "attn.W_V": block.b_value, "mlp.W_in": block.mlp.b_in}
            for name, matrix in parts.items():
                norm = norms["ln2" if name == "mlp.W_in" else "ln1"]
                self._add(f"blocks.{i}.{name}", matrix, biases[name], norm, folded)
            for name, norm in () if folded else norms.items():
                self._norm(f"blocks.{i}.{name}", norm)
            self.arrays |= {f"blocks.{i}.attn.W_O": block.w_head_out, f"blocks.{i}.attn.b_O": block.b_head_out}
            self.arrays |= {f"blocks.{i}.mlp.W_out": block.mlp.w_out, f"blocks.{i}.mlp.b_out": block.mlp.b_out}
            self.arrays |= {f"blocks.{i}.attn.mask": np.tri(model.positions), f"blocks.{i}.attn.IGNORE": np.array(-np.inf)}
        self._add("unembed.W_U", model.unembedding, np.zeros(model.vocabulary_size), model.norm_final, folded)
        if not folded:
            self._norm("ln_final", model.norm_final)

    def _add(self, name: str, matrix: np.ndarray, bias: np.ndarray, norm: Any, folded: bool) -> None:
        if folded:  # what TransformerLens does: gain and shift into the weights, then the weights centred
            bias = bias + norm.shift @ matrix
            matrix = norm.gain[:, None] * matrix
            matrix = matrix - matrix.mean(axis=-2, keepdims=True)
        self.arrays[name] = matrix
        self.arrays[name.replace("W_", "b_")] = bias

    def _norm(self, name: str, norm: Any) -> None:
        self.arrays |= {f"{name}.w": norm.gain, f"{name}.b": norm.shift}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {name: torch.tensor(array) for name, array in self.arrays.items()}

    def parameters(self) -> Iterator[torch.Tensor]:
        return iter(self.state_dict().values())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return forward(self.model, tokens, dtype=torch.float64) + torch.tensor(self.arrays["unembed.b_U"] * self.added)


@pytest.mark.parametrize("folded", [False, True], ids=("unfolded", "folded"))
@pytest.mark.parametrize("vocabulary", [6, 14])
def test_a_hooked_transformer_is_taken_with_its_layer_norms_folded_or_not(folded: bool, vocabulary: int) -> None:
    model = random_transformer(2, 2, 0, vocabulary=vocabulary)
    found = as_transformer(HookedTransformer(model, folded))
    tokens, positions = random_tokens(model, 0)
    difference = forward(found, tokens, positions, torch.float64) - forward(model, tokens, positions, torch.float64)
    assert difference.abs().max() < 1e-9
    assert len(found.sha256) == 64


def test_the_bias_of_an_unembedding_is_kept() -> None:
    model = random_transformer(1, 2, 0)
    hooked = HookedTransformer(model)
    hooked.arrays["unembed.b_U"], hooked.added = np.arange(6.0), 1.0
    tokens, positions = random_tokens(model, 0)
    difference = forward(as_transformer(hooked), tokens, positions, torch.float64) - forward(model, tokens, positions, torch.float64)
    torch.testing.assert_close(difference, torch.arange(6.0).double().expand_as(difference))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"normalization_type": "L2"}, "normalization_type is 'L2', not 'LN' or 'LNPre'"),
        ({"act_fn": "solu_ln"}, "act_fn is 'solu_ln', not one of gelu_new"),
        ({"positional_embedding_type": "alibi"}, "positional_embedding_type is 'alibi'"),
        ({"use_local_attn": True, "num_experts": 2}, "num_experts is 2, which a model that drasp takes has not; use_local_attn is true"),
        ({"n_key_value_heads": 1}, "tensor blocks.0.attn._W_K is missing"),
        ({"d_vocab_out": 3}, r"tensor unembed.W_U has shape \(8, 6\), expected \(8, 3\)"),
        ({"d_mlp": 5}, r"tensor blocks.0.mlp.W_in has shape \(8, 32\), expected \(8, 5\)"),
        ({"n_layers": 2}, "tensor blocks.1.attn.W_Q is missing"),
        ({"n_layers": 0}, "n_layers is 0, not a positive integer"),
        ({"attn_scale": 1.0}, "its own forward pass is not that of the model .* from the output on it differs"),
    ],
    ids=str,
)
def test_a_hooked_transformer_of_other_settings_is_refused_with_the_reasons(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"HookedTransformer: .*{reason}"):
        as_transformer(HookedTransformer(random_transformer(1, 2, 0), **changes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_hooked_transformer_of_transformer_lens_gives_the_same_logits() -> None:
    lens = pytest.importorskip(
        "transformer_lens", reason="TransformerLens is not installed (before version 4, which has no HookedTransformer)"
    )
    if not hasattr(lens, "HookedTransformer"):
        pytest.skip("this TransformerLens has no HookedTransformer")
    sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 20, "d_head": 8, "n_heads": 2, "d_mlp": 64, "d_vocab": 40}
    config = lens.HookedTransformerConfig(**sizes, act_fn="gelu_new", normalization_type="LN", seed=0, dtype=torch.float64)
    plain, folded = lens.HookedTransformer(copy.deepcopy(config)), lens.HookedTransformer(copy.deepcopy(config))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + name.endswith(".w"))
    folded.load_and_process_state_dict({name: tensor.clone() for name, tensor in plain.state_dict().items()})
    tokens = torch.randint(0, 40, (4, 15), generator=generator)
    for model in (plain, folded):
        with torch.no_grad():
            expected = model(tokens, prepend_bos=False)
        assert (forward(as_transformer(model), tokens, None, torch.float64) - expected).abs().max() < 1e-9


def test_a_hugging_face_model_in_memory_is_taken() -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel.from_pretrained(ZOO / "D2")
    found, expected = as_transformer(model), load_transformer(ZOO / "D2")
    np.testing.assert_array_equal(found.token_embedding, expected.token_embedding)


def test_a_bundled_name_and_a_folder_are_taken() -> None:
    assert as_transformer("D2").sha256 == as_transformer(ZOO / "D2").sha256
    model = random_transformer(1, 1, 0)
    assert as_transformer(model) is model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (3, "int is no model that drasp knows"),
        (torch.nn.Linear(2, 2), "Linear is no model that drasp knows"),
        ("nope", "no such model"),
    ],
)
def test_what_is_no_model_is_refused(model: Any, message: str) -> None:
    with pytest.raises(DraspError, match=message):
        as_transformer(model)


def test_a_task_that_is_not_the_models_is_refused_before_the_search() -> None:
    with pytest.raises(DraspError, match=r"task sort has 154 tokens, the model has 6: is it the right task\?"):
        decompile("D2", "sort", Settings(time=10))
    with pytest.raises(DraspError, match="there is no task 'D22'"):
        decompile("D2", "D22")
    with pytest.raises(DraspError, match="task D2 needs 152 positions, it has 20"):
        fitted(random_transformer(1, 1, 0), get_task("D2"), (0, 150), "it", Told())


def test_models_are_taken_without_importing_their_libraries() -> None:
    code = "import sys, drasp.model.given; sys.exit(bool({'torch', 'transformers', 'transformer_lens'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_embedding_made_a_multiple_of_64_fits_a_task_of_the_suite() -> None:
    model, task = fitted(random_transformer(1, 1, 0, vocabulary=64, positions=160), get_task("D2"), (0, 20), "it", Told())
    assert model.vocabulary_size == model.outputs == len(task.vocabulary)
    with pytest.raises(DraspError, match="task D2 has 6 tokens, it has 8"):
        fitted(random_transformer(1, 1, 0, vocabulary=8, positions=160), get_task("D2"), (0, 20), "it", Told())


def test_special_tokens_that_the_configuration_has_elsewhere_are_refused(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((ZOO / "D2" / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    for changes in ({"bos_token_id": 1}, {"eos_token_id": 3}, {"pad_token_id": 0}):
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(DraspError, match=r"task D2 has the token <.*> as id .*, the model as id .*, as config.json says"):
            decompile(tmp_path, "D2")
    (tmp_path / "config.json").write_text(json.dumps(config | {"pad_token_id": -1, "bos_token_id": [1]}))
    assert told_by(tmp_path, 6).ids == {"<eos>": 4}

"""Every way in: folders and objects of Hugging Face, TransformerLens, nanoGPT and minGPT; and what is not what it seems is refused."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from drasp.errors import DraspError, UnsupportedModelError
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import forward
from drasp.model.given import as_transformer
from drasp.model.told import told_by

REPOSITORY = Path(__file__).resolve().parent.parent

transformers = pytest.importorskip("transformers")

GPT2 = {"vocab_size": 11, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
SIZES = {"vocab_size": 11, "max_position_embeddings": 16, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
NEOX = SIZES | {"intermediate_size": 12, "rotary_pct": 0.5}
LLAMA = SIZES | {"intermediate_size": 12, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4}


def hugging_face(kind: str, **changes: object) -> nn.Module:
    """A tiny model with weights far from where training begins, so that every part of it matters."""
    config = {
        "gpt2": lambda: transformers.GPT2Config(**GPT2 | changes),
        "neox": lambda: transformers.GPTNeoXConfig(**NEOX | changes),
        "llama": lambda: transformers.LlamaConfig(**LLAMA | changes),
    }[kind]()
    model = transformers.AutoModelForCausalLM.from_config(config)
    return randomised(model)


def randomised(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            ones = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + ones)
    return model.eval()


TOKENS = torch.randint(0, 11, (3, 12), generator=torch.Generator().manual_seed(1))


def difference(model: nn.Module, found: object) -> float:
    with torch.no_grad():
        expected = model(TOKENS)
    expected = getattr(expected, "logits", expected)
    mine = forward(found, TOKENS, dtype=torch.float64)
    return float((expected - mine).abs().max() / mine.abs().max())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),
        ("gpt2", {"activation_function": "relu", "tie_word_embeddings": False}),
        ("gpt2", {"activation_function": "gelu", "scale_attn_by_inverse_layer_idx": True}),
        ("neox", {}),
        ("neox", {"use_parallel_residual": False, "rotary_pct": 1.0, "hidden_act": "relu"}),
        ("neox", {"attention_bias": False, "tie_word_embeddings": True}),
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 1}),
        ("llama", {"rope_theta": 100.0, "head_dim": 2, "rms_norm_eps": 0.01}),
    ],
    ids=str,
)
def test_a_model_of_hugging_face_is_the_same_from_memory_and_from_its_folder(tmp_path: Path, kind: str, changes: dict) -> None:
    model = hugging_face(kind, **changes)
    model.save_pretrained(tmp_path)
    for found in (as_transformer(model), load_transformer(tmp_path)):
        assert difference(model, found) <= 1e-5


def saved(folder: Path, config: dict, state: dict) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["gpt2", "neox", "llama"])
def test_special_tokens_tell_nothing_where_the_configuration_has_what_it_has_for_any_model(tmp_path: Path, kind: str) -> None:
    for given, expected in (({}, {}), ({"bos_token_id": 7, "eos_token_id": 8}, {"<bos>": 7, "<eos>": 8})):
        model = hugging_face(kind, **given)
        model.save_pretrained(tmp_path)
        assert told_by(model, 11).ids == told_by(tmp_path, 11).ids == expected


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.transformer."])
def test_what_wrappers_put_before_names_is_read_over(tmp_path: Path, prefix: str) -> None:
    model = hugging_face("gpt2")
    state = {prefix + name.removeprefix("transformer."): tensor for name, tensor in model.transformer.state_dict().items()}
    assert difference(model, load_transformer(saved(tmp_path, model.config.to_dict(), state))) <= 1e-5


@pytest.mark.parametrize("kept", ["lm_head.weight", "transformer.wte.weight"])
def test_either_of_two_tied_tensors_will_do_and_two_that_differ_are_refused(tmp_path: Path, kept: str) -> None:
    model = hugging_face("gpt2")
    other = {"lm_head.weight", "transformer.wte.weight"} - {kept}
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in other}
    assert difference(model, load_transformer(saved(tmp_path, model.config.to_dict(), state))) <= 1e-5
    state[other.pop()] = 2 * state[kept]
    with pytest.raises(UnsupportedModelError, match=r"tensors wte.weight and lm_head.weight differ, though .* tied"):
        load_transformer(saved(tmp_path, model.config.to_dict(), state))


def test_weights_over_several_files_are_read(tmp_path: Path) -> None:
    model = hugging_face("llama")
    model.save_pretrained(tmp_path, max_shard_size="2KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert difference(model, load_transformer(tmp_path)) <= 1e-5
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(DraspError, match=r"model-00002-of-.*missing"):
        load_transformer(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["MyGPT"]}, r'architectures is \["MyGPT"\], not GPT2LMHeadModel'),
        ({"auto_map": {"AutoModel": "mine.MyGPT"}}, "auto_map names code of its own"),
        ({"model_type": "mamba"}, 'model_type is "mamba", not one of "gpt2", "gpt_neox", "llama"'),
        ({"activation_function": "tanh"}, 'activation_function is "tanh", not one of'),
    ],
    ids=str,
)
def test_a_folder_that_names_another_class_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    model = hugging_face("gpt2")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(UnsupportedModelError, match=message):
        load_transformer(tmp_path)


def test_rotary_positions_of_another_type_are_refused(tmp_path: Path) -> None:
    hugging_face("llama", rope_scaling={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match='the type of rotary positions is "linear", not default'):
        load_transformer(tmp_path)


# The same weights, and another model.


class Doubled(transformers.GPT2LMHeadModel):
    """A subclass whose forward pass is its own."""

    def forward(self, *args: object, **named: object) -> object:
        found = super().forward(*args, **named)
        found.logits = found.logits**2
        return found


class Renamed(transformers.GPT2LMHeadModel):
    """A subclass that computes the same."""


def _subclass(model: nn.Module) -> nn.Module:
    model.__class__ = Doubled
    return model


def _activation(model: nn.Module) -> nn.Module:
    model.transformer.h[1].mlp.act = nn.ReLU()
    return model


def _norm(model: nn.Module) -> nn.Module:
    norm = nn.RMSNorm(8)
    norm.register_parameter("bias", nn.Parameter(model.transformer.h[0].ln_2.bias.data))
    norm.weight.data = model.transformer.h[0].ln_2.weight.data
    model.transformer.h[0].ln_2 = norm
    return model


def _no_positions(model: nn.Module) -> nn.Module:
    class Zero(nn.Embedding):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return 0 * super().forward(ids)

    model.transformer.wpe.__class__ = Zero
    return model


def _hook(model: nn.Module) -> nn.Module:
    model.transformer.h[1].attn.register_forward_hook(lambda module, args, output: (0 * output[0], *output[1:]))
    return model


def _layer_hook(model: nn.Module) -> nn.Module:
    model.transformer.h[0].register_forward_hook(lambda module, args, output: output * 2 if torch.is_tensor(output) else (output[0] * 2,))
    return model


def _eps(model: nn.Module) -> nn.Module:
    model.transformer.ln_f.eps = 0.1
    return model


def _scale(model: nn.Module) -> nn.Module:
    for block in model.transformer.h:
        block.attn.scaling = 1.0
        block.attn.scale_attn_weights = False
    return model


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_subclass, "the output"),
        (_activation, "the MLP of layer 1"),
        (_norm, "the MLP of layer 0"),
        (_no_positions, "the embedding"),
        (_hook, "the attention of layer 1"),
        (_layer_hook, "the end of layer 0"),
        (_eps, "the final norm"),
        (_scale, "the attention of layer 0"),
    ],
)
def test_a_model_that_computes_something_else_is_refused_and_it_is_said_where_that_begins(change: Callable, where: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"its own forward pass is not that of .*: from {where} on it differs"):
        as_transformer(change(hugging_face("gpt2")))


def test_a_model_is_left_as_it_was_and_one_of_another_name_that_computes_the_same_is_taken() -> None:
    model = hugging_face("gpt2")
    model.__class__ = Renamed
    model.train()
    model.transformer.h[0].eval()
    as_transformer(model)
    assert [model.training, *(block.training for block in model.transformer.h)] == [True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_any_precision_is_the_same_within_it(dtype: torch.dtype) -> None:
    as_transformer(hugging_face("llama").to(dtype))
    with pytest.raises(UnsupportedModelError, match="the MLP of layer 1"):
        as_transformer(_activation(hugging_face("gpt2").to(dtype)))


def test_what_is_around_a_model_is_taken_off() -> None:
    model = hugging_face("gpt2")
    assert difference(model, as_transformer(nn.DataParallel(model))) <= 1e-5


# nanoGPT and minGPT.


class Attention(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
        self.n_head = 2
        self.register_buffer("bias", torch.ones(1, 1, 16, 16).tril())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        return self.c_proj(F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width: int, bias: bool, act: nn.Module) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.attn = Attention(width, bias)
        first, last = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
        self.mlp = nn.ModuleDict({"c_fc": first, "c_proj": last})
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](self.act(self.mlp["c_fc"](self.ln_2(x))))


class GPT(nn.Module):
    """As nanoGPT's; it gives the logits of the last position, and no loss."""

    def __init__(self, bias: bool, act: nn.Module) -> None:
        super().__init__()
        self.config = SimpleNamespace(block_size=16, vocab_size=11, n_layer=2, n_head=2, n_embd=8, dropout=0.1, bias=bias)
        layers = nn.ModuleList(Layer(8, bias, act) for _ in range(2))
        parts = {"wte": nn.Embedding(11, 8), "wpe": nn.Embedding(16, 8), "h": layers, "ln_f": nn.LayerNorm(8, bias=bias)}
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(8, 11, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        randomised(self)

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, None]:
        x = self.transformer["wte"](ids) + self.transformer["wpe"](torch.arange(ids.shape[1]))
        for layer in self.transformer["h"]:
            x = layer(x)
        return self.lm_head(self.transformer["ln_f"](x)[:, [-1]]), None


@pytest.mark.parametrize("bias", [True, False])
def test_a_nano_gpt_is_taken_from_memory_and_from_a_folder(tmp_path: Path, bias: bool) -> None:
    model = GPT(bias, nn.GELU())
    state = {f"_orig_mod.{name}": tensor for name, tensor in model.state_dict().items()}
    for found in (as_transformer(model), load_transformer(saved(tmp_path, vars(model.config), state))):
        with torch.no_grad():
            expected = model(TOKENS)[0]
        torch.testing.assert_close(forward(found, TOKENS)[:, -1:], expected, atol=1e-4, rtol=1e-4)


def test_a_nano_gpt_with_another_activation_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"GPT: its own forward pass is not that of .*: from the end of layer 0 on it differs"):
        as_transformer(GPT(True, nn.ReLU()))


def test_the_names_of_min_gpt_are_read(tmp_path: Path) -> None:
    nano = GPT(True, nn.GELU())
    state = {"pos_emb": nano.transformer["wpe"].weight[None], "tok_emb.weight": nano.transformer["wte"].weight}
    state |= {"head.weight": nano.lm_head.weight, **{f"ln_f.{k}": v for k, v in nano.transformer["ln_f"].state_dict().items()}}
    for i, layer in enumerate(nano.transformer["h"]):
        for name, module in {"ln1": layer.ln_1, "ln2": layer.ln_2, "attn.proj": layer.attn.c_proj}.items():
            state |= {f"blocks.{i}.{name}.{part}": tensor for part, tensor in module.state_dict().items()}
        for part in ("weight", "bias"):
            names = ("query", "key", "value")
            mixed = zip(names, getattr(layer.attn.c_attn, part).chunk(3), strict=True)
            state |= {f"blocks.{i}.attn.{name}.{part}": tensor for name, tensor in mixed}
            state[f"blocks.{i}.mlp.0.{part}"] = getattr(layer.mlp["c_fc"], part)
            state[f"blocks.{i}.mlp.2.{part}"] = getattr(layer.mlp["c_proj"], part)
        state[f"blocks.{i}.attn.mask"] = torch.ones(1, 1, 16, 16).tril()
    config = {"vocab_size": 11, "block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 8}
    found = load_transformer(saved(tmp_path, config, {name: tensor.detach() for name, tensor in state.items()}))
    torch.testing.assert_close(forward(found, TOKENS)[:, -1:], nano(TOKENS)[0].detach(), atol=1e-4, rtol=1e-4)


# TransformerLens.

LENS = {"n_layers": 1, "d_model": 8, "n_heads": 2, "d_head": 4, "n_ctx": 16, "d_vocab": 11, "d_vocab_out": 3, "d_mlp": 12, "eps": 1e-5}
LENS |= {"act_fn": "relu", "normalization_type": None, "positional_embedding_type": "standard", "attention_dir": "causal"}


def lens_state(config: dict) -> Iterator[tuple[str, torch.Tensor]]:
    from drasp.model.loaders.transformer_lens import TRANSFORMER_LENS

    generator = torch.Generator().manual_seed(0)
    for name, shape in TRANSFORMER_LENS.shapes(config).items():
        yield name, torch.randn(shape, generator=generator)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attn_only": True, "normalization_type": "LN", "act_fn": None, "d_mlp": None},
        {"normalization_type": "RMSPre", "gated_mlp": True, "act_fn": "silu", "positional_embedding_type": "rotary", "rotary_dim": 4},
        {"attention_dir": "bidirectional", "pad_token_id": 1, "use_attn_scale": False},
        {"n_key_value_heads": 1, "parallel_attn_mlp": True, "normalization_type": "LNPre", "d_vocab_out": -1},
    ],
    ids=str,
)
def test_a_folder_of_transformer_lens_is_read(tmp_path: Path, changes: dict) -> None:
    config = LENS | changes
    found = load_transformer(saved(tmp_path, config, dict(lens_state(config))))
    assert forward(found, TOKENS).shape == (3, 12, 11 if config["d_vocab_out"] == -1 else 3)
    block = found.blocks[0]
    assert (block.mlp is None) == (config.get("attn_only", False))
    assert block.scale == (1.0 if config.get("use_attn_scale") is False else 0.5)
    assert found.padding == config.get("pad_token_id")


def test_the_models_of_other_people_are_read() -> None:
    folder = Path(os.environ.get("DRASP_EXTERNAL_MODELS") or REPOSITORY.parent / "shared" / "external") / "cumsum_sign"
    if not folder.is_dir():
        pytest.skip("the models of other people are not here")
    ids = np.random.default_rng(0).integers(0, 11, (200, 20))
    truth = np.sign(np.where(ids <= 5, ids, ids - 11).cumsum(1)) + 1
    assert (forward(load_transformer(folder), ids).argmax(-1).numpy() == truth).mean() > 0.998


def test_tensors_of_other_names_give_one_reason(tmp_path: Path) -> None:
    model = hugging_face("gpt2")
    state = {f"net.{name}": tensor for name, tensor in model.transformer.state_dict().items()}
    with pytest.raises(UnsupportedModelError) as caught:
        load_transformer(saved(tmp_path, model.config.to_dict(), state))
    assert str(caught.value).endswith(
        "its tensors have other names than those of a GPT-2: net.h.0.attn.c_attn.bias, net.h.0.attn.c_attn.weight, "
        "net.h.0.attn.c_proj.bias, ..., not wte.weight, wpe.weight, h.0.ln_1.weight, ..."
    )


def test_what_else_training_leaves_is_told_from_a_model(tmp_path: Path) -> None:
    for step in (500, 1000):
        hugging_face("gpt2").save_pretrained(tmp_path / f"checkpoint-{step}")
    with pytest.raises(DraspError, match="a folder of models; give one of them: checkpoint-1000, checkpoint-500"):
        load_transformer(tmp_path)
    with pytest.raises(DraspError, match=r"a file; expected a folder with config.json"):
        load_transformer(tmp_path / "checkpoint-500" / "model.safetensors")
    (tmp_path / "checkpoint-500" / "adapter_config.json").write_text("{}")
    with pytest.raises(DraspError, match=r"an adapter, which only changes another model; .* merge_and_unload"):
        load_transformer(tmp_path / "checkpoint-500")
    adapted = type("PeftModelForCausalLM", (nn.Linear,), {})(1, 1)
    with pytest.raises(DraspError, match="an adapter around a model: give drasp what its merge_and_unload"):
        as_transformer(adapted)


def test_a_model_without_numbers_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"tensor transformer.wte.weight cannot be read as numbers: .*meta"):
        as_transformer(hugging_face("gpt2").to("meta"))


def test_a_model_is_compared_in_its_own_precision_whatever_its_caller_has_set() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        as_transformer(hugging_face("gpt2"))

"""Loading a GPT-2 and running it."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from drasp.errors import DraspError, UnsupportedModelError
from drasp.model.bundled import ZOO, resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer, forward
from drasp.model.loaders.gpt2 import expected_shapes
from drasp.model.memory import from_hf

CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 7,
    "n_positions": 12,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "activation_function": "gelu_new",
}


def random_weights(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights far from initialisation, so that every bias, gain and shift matters."""
    rng = np.random.default_rng(seed)
    shapes = expected_shapes(config)
    del shapes["lm_head.weight"]
    return {
        f"transformer.{name}": (rng.normal(0, 0.5, shape) + name.endswith("ln_f.weight")).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_model(folder: Path, config: dict, weights: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def some_input(vocabulary: int, positions: int, batch: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens at random offsets; the last two places are padding, which repeats the last position."""
    rng = np.random.default_rng(1)
    time = min(positions - 2, 40)
    steps = np.minimum(np.arange(time), time - 3)
    return rng.integers(0, vocabulary, (batch, time)), steps + rng.integers(0, positions - time + 3, (batch, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"n_inner": 20},
        {"n_head": 4, "n_layer": 3, "layer_norm_epsilon": 0.01},
        {"reorder_and_upcast_attn": True},
        {"activation_function": "gelu_pytorch_tanh"},
        {"activation_function": "gelu_fast"},
        {"activation_function": "gelu_accurate"},
        {"activation_function": "gelu_python_tanh"},
        {"tie_word_embeddings": False},
    ],
    ids=str,
)
def test_the_forward_pass_equals_transformers(tmp_path: Path, changes: dict) -> None:
    transformers = pytest.importorskip("transformers")
    special = {"bos_token_id": 1, "eos_token_id": 2}
    config = CONFIG | changes
    weights = random_weights(config)
    if "tie_word_embeddings" in changes:
        weights["lm_head.weight"] = np.random.default_rng(2).normal(size=(7, 8)).astype(np.float32)
    write_model(tmp_path, config | special, weights)
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    tokens, positions = some_input(7, 12)
    loaded, in_memory = load_transformer(tmp_path), from_hf(model)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        with torch.no_grad():
            expected = model.to(dtype)(torch.tensor(tokens), position_ids=torch.tensor(positions)).logits
        for transformer in (loaded, in_memory):
            assert (forward(transformer, tokens, positions, dtype) - expected).abs().max() <= tolerance


def test_a_reference_model_loads_and_equals_transformers(reference_model: Path) -> None:
    transformer = load_transformer(reference_model)
    tokens, positions = some_input(transformer.vocabulary_size, transformer.positions)
    logits = forward(transformer, tokens, positions, torch.float64)
    assert logits.shape == (*tokens.shape, transformer.vocabulary_size)
    transformers = pytest.importorskip("transformers")
    model = transformers.GPT2LMHeadModel.from_pretrained(reference_model).eval().double()
    with torch.no_grad():
        expected = model(torch.tensor(tokens), position_ids=torch.tensor(positions)).logits
    assert (logits - expected).abs().max() <= 1e-9


def test_the_description_has_the_documented_shapes(tmp_path: Path) -> None:
    transformer = load_transformer(write_model(tmp_path, CONFIG | {"n_inner": 20}, random_weights(CONFIG | {"n_inner": 20})))
    block = transformer.blocks[1]
    assert (transformer.vocabulary_size, transformer.positions, transformer.width, transformer.heads) == (7, 12, 8, 2)
    assert transformer.token_embedding.dtype == np.float64
    assert transformer.unembedding.shape == (8, 7)
    assert block.scale == 0.5
    assert block.w_query.shape == block.w_key.shape == block.w_value.shape == (2, 8, 4)
    assert block.b_query.shape == block.b_key.shape == block.b_value.shape == (2, 4)
    assert block.w_head_out.shape == (2, 4, 8)
    assert block.mlp.w_in.shape == (8, 20)
    assert block.mlp.w_out.shape == (20, 8)
    assert len(transformer.sha256) == 64


def test_attention_is_causal_and_positions_start_at_zero(tmp_path: Path) -> None:
    run = TorchTransformer(load_transformer(write_model(tmp_path, CONFIG, random_weights(CONFIG))))
    tokens, _ = some_input(7, 12)
    changed = tokens.copy()
    changed[:, -1] = (tokens[:, -1] + 1) % 7
    assert torch.equal(run(tokens), run(tokens, np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape).copy()))
    torch.testing.assert_close(run(tokens)[:, :-1], run(changed)[:, :-1])


@pytest.mark.parametrize("layers", [1, 2])
def test_scored_positions_alone_have_the_logits_that_they_have_among_all(tmp_path: Path, layers: int) -> None:
    config = CONFIG | {"n_layer": layers}
    run = TorchTransformer(load_transformer(write_model(tmp_path, config, random_weights(config))), torch.float64)
    rng = torch.Generator().manual_seed(0)
    token_ids = torch.randint(7, (5, 9), generator=rng)
    position_ids = torch.arange(9).expand(5, 9) + torch.randint(3, (5, 1), generator=rng)
    scored = torch.rand(5, 9, generator=rng) < 0.4
    torch.testing.assert_close(run.scored_logits(token_ids, position_ids, scored), run(token_ids, position_ids)[scored])


def test_names_without_prefix_and_stored_masks_make_no_difference(tmp_path: Path) -> None:
    weights = random_weights(CONFIG)
    plain = {name.removeprefix("transformer."): array for name, array in weights.items()}
    plain["h.0.attn.bias"] = np.ones((1, 1, 12, 12), dtype=bool)
    plain["h.1.attn.masked_bias"] = np.array(-1e4, dtype=np.float32)
    first = load_transformer(write_model(tmp_path / "first", CONFIG, weights))
    second = load_transformer(write_model(tmp_path / "second", CONFIG, plain))
    tokens, positions = some_input(7, 12)
    assert torch.equal(forward(first, tokens, positions), forward(second, tokens, positions))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import save_file as save_torch

    write_model(tmp_path, CONFIG, {})
    weights = {name: torch.tensor(array).to(dtype) for name, array in random_weights(CONFIG).items()}
    save_torch(weights, tmp_path / "model.safetensors")
    expected = weights["transformer.wte.weight"].double().numpy()
    np.testing.assert_array_equal(load_transformer(tmp_path).token_embedding, expected)


def test_every_reason_is_listed_at_once(tmp_path: Path) -> None:
    config = CONFIG | {"n_head": 3, "activation_function": "tanh", "add_cross_attention": True, "n_layer": 0}
    with pytest.raises(UnsupportedModelError) as caught:
        load_transformer(write_model(tmp_path, config, random_weights(CONFIG)))
    for reason in (
        "n_embd 8 is not divisible by n_head 3",
        'activation_function is "tanh"',
        "add_cross",
        "n_layer is 0",
    ):
        assert reason in str(caught.value)
    weights = random_weights(CONFIG)
    del weights["transformer.ln_f.bias"]
    weights["transformer.wpe.weight"][3, 4] = np.nan
    weights["transformer.h.1.mlp.c_fc.bias"] = np.zeros(31, dtype=np.float32)
    weights["transformer.h.2.ln_1.bias"] = np.zeros(8, dtype=np.float32)
    with pytest.raises(UnsupportedModelError) as caught:
        load_transformer(write_model(tmp_path, CONFIG, weights))
    for reason in (
        "tensor ln_f.bias is missing",
        "tensor wpe.weight holds NaN or infinite numbers",
        "tensor h.1.mlp.c_fc.bias has shape (31,), expected (32,)",
        "tensor h.2.ln_1.bias is no part of a GPT-2",
    ):
        assert reason in str(caught.value)


def test_a_nan_that_signals_is_one_like_any_other(tmp_path: Path) -> None:
    weights = random_weights(CONFIG)
    weights["transformer.wpe.weight"].view(np.uint32)[3, 4] = 0x7FA00000
    with pytest.raises(UnsupportedModelError, match=r"tensor wpe\.weight holds NaN"):
        load_transformer(write_model(tmp_path, CONFIG, weights))


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _renamed_pickle(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"wte.weight": [1.0]}))


def _renamed_torch_file(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))


def _sharded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")


def _config(name: str, value: str) -> Callable[[Path], object]:
    """Sets something in the configuration to a text that may be no number that Python can write."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | {name: "here"}
        (folder / "config.json").write_text(json.dumps(config).replace('"here"', value))

    return change


def _integer_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["transformer.wte.weight"] = np.zeros((7, 8), dtype=np.int64)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json", "missing"),
        (lambda folder: (folder / "config.json").write_text("{nope"), "config.json", "not JSON"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json", "not JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json", "expected a JSON object"),
        (lambda folder: (folder / "config.json").write_text("{}"), "", "model_type is null"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors", "missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors", "cut short"),
        (lambda folder: (folder / "model.safetensors").write_text("version 1 of something else"), "model.safetensors", "cut short"),
        (_truncate, "model.safetensors", "cut short"),
        (_only_a_pickle, "pytorch_model.bin", "drasp convert pytorch_model.bin --config config.json --out DIR"),
        (_renamed_pickle, "model.safetensors", "never opens pickles"),
        (_renamed_torch_file, "model.safetensors", "never opens pickles"),
        (_sharded, "model.safetensors.index.json", "weight_map"),
        (_integer_weights, "model.safetensors", "has type I64"),
        (_config("n_layer", "9" * 5_000), "config.json", "not JSON: Exceeds the limit"),
        (_config("n_layer", "[" * 2_000 + "]" * 2_000), "config.json", "not JSON: maximum recursion depth"),
        (_config("n_layer", "1000000000"), "", "n_layer is 1000000000, but there are only 29 tensors"),
        (_config("n_embd", "1000000000000"), "", "tensor wte.weight has shape (7, 8), expected (7, 1000000000000)"),
        (_config("layer_norm_epsilon", "1" + "0" * 400), "", "layer_norm_epsilon is 1000"),
        (_config("activation_function", '["relu"]'), "", 'activation_function is ["relu"], not one of'),
        (_config("architectures", "3"), "", "architectures is 3, not GPT2LMHeadModel"),
        (_config("model_type", f'"{"x" * 100_000}"'), "", 'model_type is "xxx'),
    ],
)
def test_a_damaged_folder_gets_one_clear_line(tmp_path: Path, damage: Callable[[Path], object], file: str, message: str) -> None:
    damage(write_model(tmp_path, CONFIG, random_weights(CONFIG)))
    with pytest.raises(DraspError) as caught:
        load_transformer(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize("begins", [b"\x80", b"PK"])
def test_a_header_may_begin_with_the_bytes_of_a_pickle(tmp_path: Path, begins: bytes) -> None:
    write_model(tmp_path, CONFIG, random_weights(CONFIG))
    expected = load_transformer(tmp_path)
    file = tmp_path / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    longer = length + (int.from_bytes(begins, "little") - length) % 256 ** len(begins)
    file.write_bytes(longer.to_bytes(8, "little") + data[8 : 8 + length].ljust(longer) + data[8 + length :])
    assert file.read_bytes().startswith(begins)
    assert (load_transformer(tmp_path).unembedding == expected.unembedding).all()


def test_other_names_of_settings_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    names = {
        "n_embd": "hidden_size",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
        "n_positions": "max_position_embeddings",
    }
    write_model(tmp_path, {names.get(name, name): value for name, value in CONFIG.items()}, random_weights(CONFIG))
    (tmp_path / "config.json").write_text("\ufeff" + (tmp_path / "config.json").read_text(), encoding="utf-8")
    assert load_transformer(tmp_path).positions == CONFIG["n_positions"]
    (tmp_path / "task.json").write_text('\ufeff{"task": "D2"}', encoding="utf-8")
    assert resolve_model(str(tmp_path))[1] == "D2"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DraspError, match="nowhere: no such model folder"):
        load_transformer(tmp_path / "nowhere")


def test_loading_imports_no_torch() -> None:
    code = "import sys, drasp.model.checkpoint, drasp.model.bundled; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["D2", "bin_majority"])
def test_a_bundled_model_is_found_by_name_and_loads(name: str) -> None:
    folder, task = resolve_model(name)
    assert (folder, task) == (ZOO / name, name)
    load_transformer(folder)


def test_a_path_comes_before_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "D2").mkdir()
    assert resolve_model("D2") == (Path("D2"), None)
    (tmp_path / "D2" / "task.json").write_text('{"task": "tomita1"}')
    assert resolve_model("D2") == (Path("D2"), "tomita1")
    (tmp_path / "D2" / "task.json").write_text("[]")
    with pytest.raises(DraspError, match=r"task\.json: expected"):
        resolve_model("D2")


def test_an_unknown_model_lists_the_bundled_ones() -> None:
    with pytest.raises(DraspError, match=r"no such model; give a model folder or one of the bundled models: .*D2, .*bin_majority"):
        resolve_model("nope")

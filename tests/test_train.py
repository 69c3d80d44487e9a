"""Training: what it writes, that it learns, and that an interrupted run ends as an unbroken one does."""

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import drasp.train
from drasp.cli import main
from drasp.errors import DraspError, RunFolderError, TaskError
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import forward
from drasp.model.trainable import Architecture, Trainable
from drasp.tasks.protocol import Sample
from drasp.train import TrainSettings, train

TINY = TrainSettings(width=8, heads=2, lengths=(0, 10), steps=40, batch=8)
SPECIAL = ("<bos>", "<sep>", "<eos>", "<pad>")


class FirstLetter:
    """Next-token: the first letter of two, after `<sep>`."""

    name = "first_letter"
    vocabulary = ("a", "b", *SPECIAL)
    predict = "next-token"
    positions = 154

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        sizes = rng.integers(max(lengths[0], 1), lengths[1] + 1, (count, 1))
        place = np.arange(lengths[1] + 3)[None]
        tokens = rng.integers(0, 2, (count, place.size))
        tokens[:, 0] = 2
        tokens = np.where(place == sizes + 1, 3, np.where(place == sizes + 2, tokens[:, 1:2], np.where(place > sizes + 2, 5, tokens)))
        positions = np.minimum(place, sizes + 2) + rng.integers(0, 151 - sizes)
        return Sample(tokens, positions, place == sizes + 1)

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        return np.repeat(token_ids[:, 1:2], token_ids.shape[1], axis=1)


class Alternating(FirstLetter):
    """Next-token-set: (ab)*."""

    name = "alternating"
    predict = "next-token-set"

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        sizes = 2 * rng.integers((lengths[0] + 1) // 2, lengths[1] // 2 + 1, (count, 1))
        place = np.arange(lengths[1] + 2)[None]
        tokens = np.where(place == 0, 2, np.where(place <= sizes, (place - 1) % 2, np.where(place == sizes + 1, 4, 5)))
        return Sample(tokens, np.minimum(place, sizes + 1) + rng.integers(0, 151 - sizes), place <= sizes)

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        may_follow = np.zeros((6, 6), dtype=bool)
        may_follow[0, 1] = may_follow[1:3, 0] = may_follow[1:3, 4] = True
        return may_follow[token_ids]


@pytest.fixture(autouse=True)
def _quick_and_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drasp.train, "EVIDENCE_SEQUENCES", 50)
    monkeypatch.setattr(drasp.train, "CHECK_SEQUENCES", 50)


@pytest.mark.parametrize("task", [FirstLetter(), Alternating()], ids=lambda task: task.name)
def test_transformers_and_drasp_load_what_was_trained(tmp_path: Path, task: FirstLetter) -> None:
    train(task, tmp_path / "out", TINY)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors", "task.json"]
    ours = load_transformer(tmp_path / "out")
    sample = task.sample(np.random.default_rng(0), 20, (0, 150))
    logits = forward(ours, sample.token_ids, sample.position_ids)
    assert (ours.vocabulary_size, ours.positions, ours.width, ours.heads) == (6, 154, 8, 2)
    transformers = pytest.importorskip("transformers")
    model, loading = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loading.values())
    with torch.no_grad():
        expected = model.eval()(torch.tensor(sample.token_ids), position_ids=torch.tensor(sample.position_ids)).logits
    assert (logits - expected).abs().max() <= 1e-4


@pytest.mark.parametrize(
    "parts",
    [
        {"norm": "rms"},
        {"norm": "none"},
        {"position": "none"},
        {"position": "rotary", "activation": "silu"},
        {"activation": "relu"},
        {"norm": "none", "position": "rotary", "activation": "gelu_exact", "layers": 2},
    ],
    ids=lambda parts: "-".join(map(str, parts.values())),
)
def test_a_folder_of_other_parts_is_the_model_that_was_trained(tmp_path: Path, parts: dict[str, object]) -> None:
    architecture = replace(Architecture(vocabulary=6, positions=154, layers=1, heads=2, width=8), **parts)
    model, sample = Trainable(architecture, seed=0).double(), FirstLetter().sample(np.random.default_rng(0), 20, (0, 150))
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(generator=torch.Generator().manual_seed(p.numel()))
    (tmp_path / "config.json").write_text(json.dumps(model.config()))
    save_file(model.weights(), tmp_path / "model.safetensors")
    ids, positions = torch.tensor(sample.token_ids), torch.tensor(sample.position_ids)
    expected = model(ids, positions, torch.ones_like(ids, dtype=torch.bool)).detach().view(*ids.shape, -1)
    logits = forward(load_transformer(tmp_path), sample.token_ids, sample.position_ids, torch.float64)
    assert (logits - expected).abs().max() <= 1e-9 * expected.abs().max()


def test_other_parts_are_asked_for_by_name(tmp_path: Path) -> None:
    record = train(FirstLetter(), tmp_path / "out", replace(TINY, norm="rms", position="rotary", activation="relu"))
    assert "--norm rms --position rotary --activation relu" in record["command"]
    (block,) = load_transformer(tmp_path / "out").blocks
    assert (block.norm_mlp.name, block.mlp.activation, load_transformer(tmp_path / "out").rotary.dimensions) == ("rms", "relu", 4)


def test_it_learns_and_stops_when_perfect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drasp.train, "PERFECT_CHECKS", 2)
    settings = TrainSettings(width=8, lengths=(0, 10), steps=1000, batch=32, learning_rate=0.01)
    record = train(Alternating(), tmp_path, settings)
    assert record["steps_run"] < 1000
    assert record == json.loads((tmp_path / "task.json").read_text())
    assert record["task"] == "alternating"
    assert record["command"] == (
        "drasp train alternating --out alternating --layers 1 --heads 1 --width 8 --lengths 0-10 --steps 1000 --seed 0 --learning-rate 0.01"
    )
    assert [band["lengths"] for band in record["accuracy"]] == [[0, 50], [51, 100], [101, 150]]
    assert all(band["sequences"] == 50 for band in record["accuracy"])


def test_the_recorded_accuracy_is_of_whole_sequences(tmp_path: Path) -> None:
    task = FirstLetter()
    record = train(task, tmp_path, TINY)
    transformer = load_transformer(tmp_path)
    for band in record["accuracy"]:
        sample = task.sample(np.random.default_rng((TINY.seed, drasp.train.EVIDENCE, *band["lengths"])), 50, tuple(band["lengths"]))
        predicted = forward(transformer, sample.token_ids, sample.position_ids).argmax(2).numpy()
        right = ((predicted == task.answers(sample.token_ids)) | ~sample.scored).all(axis=1)
        assert band["accuracy"] == right.mean()


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import drasp.train
from pathlib import Path
from test_train import TINY, Alternating
from dataclasses import replace

drasp.train.EVIDENCE_SEQUENCES = drasp.train.CHECK_SEQUENCES = 50
checks = 0

def kill_at_the_eighth(line):
    global checks
    checks += 1
    if checks == 8:
        os.kill(os.getpid(), signal.SIGKILL)

settings = replace(TINY, dropout=0.1)
drasp.train.train(Alternating(), Path({out!r}), settings, device="cpu", checkpoints=(10, 20, 30), report=kill_at_the_eighth)
"""


def test_a_killed_run_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    settings = replace(TINY, dropout=0.1)
    code = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path / "killed"))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
    with pytest.raises(RunFolderError, match="other settings"):
        train(Alternating(), tmp_path / "killed", replace(settings, seed=1), device="cpu")
    assert [folder.name for folder in (tmp_path / "killed").glob("step-*")] == ["step-10"]
    lines: list[str] = []
    train(Alternating(), tmp_path / "killed", settings, device="cpu", checkpoints=(10, 20, 30), report=lines.append)
    assert lines[0] == "continuing at step 14"
    train(Alternating(), tmp_path / "unbroken", settings, device="cpu", checkpoints=(10, 20, 30))
    for folder in (".", "step-10", "step-20", "step-30"):
        for name in ("config.json", "model.safetensors", "task.json"):
            assert (tmp_path / "killed" / folder / name).read_bytes() == (tmp_path / "unbroken" / folder / name).read_bytes()
    train(Alternating(), tmp_path / "other", replace(settings, seed=1), device="cpu")
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != (tmp_path / "unbroken" / "model.safetensors").read_bytes()


def test_a_checkpoint_is_a_model_folder_of_its_own(tmp_path: Path) -> None:
    train(Alternating(), tmp_path / "out", TINY, checkpoints=(10, 40), source=str(tmp_path / "own.py:Alternating"))
    assert json.loads((tmp_path / "out" / "task.json").read_text())["task"] == "../own.py:Alternating"
    transformers = pytest.importorskip("transformers")
    for step in (10, 40):
        folder = tmp_path / "out" / f"step-{step}"
        record = json.loads((folder / "task.json").read_text())
        assert (record["task"], record["steps_run"]) == ("../../own.py:Alternating", step)
        sample = Alternating().sample(np.random.default_rng(0), 20, (0, 50))
        model = transformers.GPT2LMHeadModel.from_pretrained(folder)
        with torch.no_grad():
            expected = model.eval()(torch.tensor(sample.token_ids), position_ids=torch.tensor(sample.position_ids)).logits
        assert (forward(load_transformer(folder), sample.token_ids, sample.position_ids) - expected).abs().max() <= 1e-4
    weights = [(tmp_path / "out" / folder / "model.safetensors").read_bytes() for folder in ("step-10", "step-40", ".")]
    assert weights[0] != weights[1] == weights[2]


def test_the_recorded_command_trains_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sequences = [{"tokens": ["<bos>", *"ab" * n, "<sep>", "ab"[n % 2], "<eos>"], "scored": [2 * n + 1]} for n in range(4)]
    header = {"vocabulary": ["a", "b", *SPECIAL], "predict": "next-token", "positions": 16}
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (header, *sequences)))
    options = "--width 8 --heads 2 --lengths 0-6 --steps 20 --seed 3 --learning-rate 0.00123 --dropout 0.1 --device cpu"
    assert main(["train", "own.jsonl", "--out", "first", *options.split()]) == 0
    record = json.loads((tmp_path / "first" / "task.json").read_text())
    assert record["task"] == "../own.jsonl"
    assert main([*shlex.split(record["command"])[1:], "--device", "cpu"]) == 0
    for name in ("config.json", "model.safetensors", "task.json"):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()


def test_a_band_without_sequences_is_left_out(tmp_path: Path) -> None:
    class Short(Alternating):
        def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
            if lengths[0] > 50:
                raise TaskError("nothing is that long")
            return super().sample(rng, count, lengths)

    assert [band["lengths"] for band in train(Short(), tmp_path, TINY)["accuracy"]] == [[0, 50]]


def test_what_a_task_draws_is_checked(tmp_path: Path) -> None:
    class NothingScored(Alternating):
        def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
            sample = super().sample(rng, count, lengths)
            return sample._replace(scored=np.zeros_like(sample.scored))

    with pytest.raises(TaskError, match="without a scored position"):
        train(NothingScored(), tmp_path / "new", TINY)
    assert not (tmp_path / "new").exists()
    train(Alternating(), tmp_path / "old", TINY)
    before = {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()}
    with pytest.raises(TaskError, match="without a scored position"):
        train(NothingScored(), tmp_path / "old", TINY, force=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()} == before


def test_a_finished_training_is_overwritten_only_by_force(tmp_path: Path) -> None:
    train(Alternating(), tmp_path, TINY)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="finished training"):
        train(Alternating(), tmp_path, TINY)
    (tmp_path / "task.json").unlink()
    with pytest.raises(RunFolderError, match=r"config\.json: a model already"):
        train(Alternating(), tmp_path, TINY)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    train(Alternating(), tmp_path, TINY, force=True)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_and_an_unwritable_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"cut short")
    with pytest.raises(RunFolderError, match=r"checkpoint\.safetensors: damaged"):
        train(Alternating(), tmp_path, TINY)
    with pytest.raises(RunFolderError, match="cannot be written"):
        train(Alternating(), tmp_path / "checkpoint.safetensors", TINY)


def test_settings_that_make_no_sense_are_listed_together() -> None:
    with pytest.raises(DraspError, match="layers 0 is not positive; lengths 5-3 are no range; seed -1 is negative; learning rate nan"):
        TrainSettings(layers=0, lengths=(5, 3), seed=-1, learning_rate=float("nan"))
    with pytest.raises(DraspError, match="width 16 is not divisible by heads 3"):
        TrainSettings(heads=3)
    with pytest.raises(DraspError, match="norm 'batch' is not one of layer, rms, none; activation 'tanh' is not one of gelu, gelu_exact,"):
        TrainSettings(norm="batch", activation="tanh")
    with pytest.raises(DraspError, match="rotary positions turn pairs, and a head's width, 3, is odd"):
        TrainSettings(width=6, heads=2, position="rotary")
    for large in ({"width": 1_000_000}, {"layers": 1_000_000}):
        with pytest.raises(DraspError, match="have more than the 1,000,000,000 weights that are trained here"):
            TrainSettings(**large)


def test_a_task_without_positions_cannot_be_trained(tmp_path: Path) -> None:
    task = Alternating()
    task.positions = None
    with pytest.raises(TaskError, match="attribute `positions`"):
        train(task, tmp_path, TINY)


def test_nothing_is_read_after_the_last_scored_position() -> None:
    sample = FirstLetter().sample(np.random.default_rng(0), 100, (0, 10))
    for batch in drasp.train._batches(FirstLetter(), sample, 8, torch.device("cpu")):
        assert batch.tokens.shape == batch.positions.shape == batch.scored.shape
        assert batch.scored[:, -1].any()
        assert batch.scored.sum() == len(batch.answers)

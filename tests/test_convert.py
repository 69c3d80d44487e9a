"""Pickles of weights become model folders; pickles of anything else are refused, and run nothing."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from drasp.cli import main
from drasp.errors import DraspError
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.convert import convert

CONFIG = ZOO / "D2" / "config.json"


def state() -> dict[str, torch.Tensor]:
    return load_file(ZOO / "D2" / "model.safetensors")


@pytest.mark.parametrize(
    "held",
    [
        lambda: state(),
        lambda: {"step": 3, "model": {f"_orig_mod.{name}": tensor for name, tensor in state().items()}},
        lambda: {"epoch": 1, "model_state_dict": state(), "optimizer": {"lr": 0.1}},
    ],
    ids=["state dict", "nanoGPT's checkpoint", "with an optimizer"],
)
def test_weights_in_a_pickle_become_a_model_folder(tmp_path: Path, held, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(held(), tmp_path / "mine.pt")
    assert main(["convert", str(tmp_path / "mine.pt"), "--config", str(CONFIG), "--out", str(tmp_path / "mine")]) == 0
    assert "opened with weights_only" in capsys.readouterr().out
    assert (load_transformer(tmp_path / "mine").token_embedding == load_transformer(ZOO / "D2").token_embedding).all()


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path) -> None:
    torch.save({"model": state(), "more": Evil(tmp_path / "evil")}, tmp_path / "mine.pt")
    with pytest.raises(DraspError, match=r"mine.pt: no weights that can be read without running what the file says: UnpicklingError"):
        convert(tmp_path / "mine.pt", CONFIG, tmp_path / "mine")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "mine").exists()


def test_what_is_no_model_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "numbers.pt").write_bytes(pickle.dumps([1, 2]))
    torch.save({"step": 3}, tmp_path / "step.pt")
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pt")
    for name, message in (
        ("numbers", "numbers.pt: no weights that can be read"),
        ("step", "it holds no tensors by name, but step"),
        ("other", "other.pt: cannot be decompiled: its tensors have other names than those of a GPT-2: weight, not wte.weight"),
        ("nowhere", "nowhere.pt: no such file"),
    ):
        with pytest.raises(DraspError, match=message):
            convert(tmp_path / f"{name}.pt", CONFIG, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    torch.save(state(), tmp_path / "mine.pt")
    with pytest.raises(DraspError, match="out: already there"):
        convert(tmp_path / "mine.pt", CONFIG, tmp_path / "out")
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(DraspError, match=r"config.json: expected a JSON object"):
        convert(tmp_path / "mine.pt", tmp_path / "config.json", tmp_path / "new")

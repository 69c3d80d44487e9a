"""Models of other libraries, trained here for a while: the program from the object in memory is that from its folder.

    python benchmarks/objects.py gpt2 neox llama nanogpt --seconds 60 --work 40000
    python benchmarks/objects.py lens --seconds 60 --work 40000

`lens` is TransformerLens, whichever version is installed: a `HookedTransformer` of 2 and 3, a `TransformerBridge` of 4. Each model is
trained on each task by its library's own forward pass, saved as that library saves it, and decompiled twice; a program is the same where
its text and its tensors are.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import drasp

TASKS = ("bin_majority", "abcde", "D2")
WIDTHS = {1: 16, 2: 64}
"""By the number of layers."""
BATCH, LENGTHS, SEED = 64, (0, 50), 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training")
    parser.add_argument("--work", type=int, default=40_000, help="of each decompilation")
    arguments = parser.parse_args()
    print("| model | layers | width | task | right at 0-50 | verdict | statements | the same |\n|---|---|---|---|---|---|---|---|")
    for kind in arguments.kinds:
        for layers, width in WIDTHS.items():
            for name in TASKS:
                torch.manual_seed(SEED)
                task = FromZero(drasp.load_task(name))
                made = KINDS[kind](len(task.vocabulary), task.positions, layers, width)
                _train(made, task, arguments.seconds)
                _compare(f"| {layers} | {width} | {name} |", made, task, arguments.work)


class FromZero:
    """A task whose sequences begin at position 0, as such models are trained."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self.name, self.vocabulary, self.predict, self.positions = task.name, task.vocabulary, task.predict, task.positions
        self.answers = task.answers

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Any:
        sample = self._task.sample(rng, count, lengths)
        return sample._replace(position_ids=sample.position_ids - sample.position_ids[:, :1])


@dataclass
class Made:
    """A model to train: its logits, how its library saves it, and what is given to drasp once that is done."""

    model: nn.Module
    logits: Callable[[Tensor], Tensor]
    save: Callable[[Path], None]
    given: Callable[[nn.Module, Path], nn.Module] = lambda model, folder: model


def _hugging_face(config: Any) -> Made:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config)
    return Made(model, lambda tokens: model(tokens).logits, model.save_pretrained)


def _gpt2(tokens: int, positions: int, layers: int, width: int) -> Made:
    from transformers import GPT2Config

    return _hugging_face(GPT2Config(vocab_size=tokens, n_positions=positions, n_embd=width, n_layer=layers, n_head=2))


def _neox(tokens: int, positions: int, layers: int, width: int) -> Made:
    from transformers import GPTNeoXConfig

    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 4 * width}
    return _hugging_face(GPTNeoXConfig(vocab_size=tokens, max_position_embeddings=positions, **sizes))


def _llama(tokens: int, positions: int, layers: int, width: int) -> Made:
    from transformers import LlamaConfig

    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": 3 * width}
    return _hugging_face(LlamaConfig(vocab_size=tokens, max_position_embeddings=positions, **sizes))


def _lens(tokens: int, positions: int, layers: int, width: int) -> Made:
    import transformer_lens

    if int(version("transformer_lens").partition(".")[0]) >= 4:
        return replace(_gpt2(tokens, positions, layers, width), given=_bridged)
    sizes = {"n_layers": layers, "d_model": width, "n_heads": 2, "d_head": width // 2, "n_ctx": positions, "d_vocab": tokens}
    model = transformer_lens.HookedTransformer(
        transformer_lens.HookedTransformerConfig(**sizes, act_fn="gelu", normalization_type="LN", seed=SEED, device="cpu")
    )
    return Made(model, model, lambda folder: _saved(folder, vars(model.cfg), model.state_dict()))


def _bridged(model: nn.Module, folder: Path) -> nn.Module:
    """What version 4 wraps it in."""
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(str(folder), hf_model=model, device="cpu")


def _saved(folder: Path, config: dict[str, Any], state: dict[str, Tensor]) -> None:
    folder.mkdir(exist_ok=True)
    plain = {name: value for name, value in config.items() if isinstance(value, bool | int | float | str | None)}
    (folder / "config.json").write_text(json.dumps(plain))
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, folder / "model.safetensors")


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_attn, self.c_proj, self.n_head = nn.Linear(width, 3 * width), nn.Linear(width, width), 2

    def forward(self, x: Tensor) -> Tensor:
        parts = (part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        return self.c_proj(F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), _Attention(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class GPT(nn.Module):
    """With the names of nanoGPT."""

    def __init__(self, tokens: int, positions: int, layers: int, width: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            block_size=positions, vocab_size=tokens, n_layer=layers, n_head=2, n_embd=width, dropout=0.0, bias=True
        )
        parts = {"wte": nn.Embedding(tokens, width), "wpe": nn.Embedding(positions, width), "ln_f": nn.LayerNorm(width)}
        self.transformer = nn.ModuleDict({**parts, "h": nn.ModuleList(_Layer(width) for _ in range(layers))})
        self.lm_head = nn.Linear(width, tokens, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        nn.init.normal_(self.lm_head.weight, 0, 0.02)

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        x = self.transformer["wte"](ids) + self.transformer["wpe"](torch.arange(ids.shape[1]))
        for layer in self.transformer["h"]:
            x = layer(x)
        return self.lm_head(self.transformer["ln_f"](x)), None


def _nano(tokens: int, positions: int, layers: int, width: int) -> Made:
    model = GPT(tokens, positions, layers, width)
    return Made(model, lambda ids: model(ids)[0], lambda folder: _saved(folder, vars(model.config), model.state_dict()))


KINDS: dict[str, Callable[[int, int, int, int], Made]] = {"gpt2": _gpt2, "neox": _neox, "llama": _llama, "nanogpt": _nano, "lens": _lens}


def _train(made: Made, task: Any, seconds: float) -> None:
    """In a plain loop."""
    optimizer, rng = torch.optim.AdamW(made.model.parameters(), 3e-3), np.random.default_rng(SEED)
    made.model.train()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        loss = _loss(made, task, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made.model.eval()


def _loss(made: Made, task: Any, rng: np.random.Generator) -> Tensor:
    sample = task.sample(rng, BATCH, LENGTHS)
    scored = torch.from_numpy(sample.scored)
    logits = made.logits(torch.from_numpy(sample.token_ids).long())[scored]
    answers = torch.from_numpy(task.answers(sample.token_ids))[scored]
    return F.cross_entropy(logits, answers.long()) if answers.ndim == 1 else F.binary_cross_entropy_with_logits(logits, answers.float())


def _compare(row: str, made: Made, task: Any, work: int) -> None:
    settings = drasp.Settings(work=work, evidence="verdict", lengths=LENGTHS)
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder))
        model = made.given(made.model, Path(folder))
        run = drasp.decompile(model, task, settings)
        again = drasp.decompile(folder, task, settings)
        same = run.program.digest == again.program.digest
    right = run.evidence.model_task.bands[0].accuracy if run.evidence.model_task else float("nan")
    print(f"| {type(model).__name__} {row} {right:.3f} | {run.evidence.verdict} | {run.evidence.size.statements} | {same} |", flush=True)


if __name__ == "__main__":
    main()

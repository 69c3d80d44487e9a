"""Trains a small Transformer on a task: one plain loop that writes a model folder."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from drasp.core.intervals import BAND_EDGES
from drasp.core.threads import ONE_THREAD_WIDTH, one_thread
from drasp.errors import DraspError, RunFolderError, TaskError
from drasp.ir.activations import ACTIVATIONS
from drasp.learn.evaluation import has_sequences
from drasp.model.checkpoint import CONFIG, WEIGHTS
from drasp.model.modes import device_named, own_modes
from drasp.model.trainable import NORMS, POSITIONS, Architecture, Trainable
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_answers, checked_sample, file_of

RECORD = "task.json"
CHECKPOINT = "checkpoint.safetensors"
# Sequences of the accuracy that is recorded, and of one check whether to stop.
EVIDENCE_SEQUENCES = 5_000
CHECK_SEQUENCES = 512
# Checks in a row without a mistake that end the training.
PERFECT_CHECKS = 20
# Of the layers: what is larger is a slip, and would end as an error of torch, or never.
MOST_WEIGHTS = 1_000_000_000
# Batches drawn at once, to be grouped by length.
POOL_BATCHES = 64
# The streams of random numbers that the seed is split into, and so kept apart.
TRAINING, CHECKING, EVIDENCE, DROPOUT = range(4)


@dataclass(frozen=True)
class TrainSettings:
    """What decides the weights, apart from the task, the device and the number of threads.

    Attributes:
        lengths: the shortest and the longest sequence to train on.
        steps: batches at most; the learning rate falls linearly to zero over them. Training stops early once the lengths trained on are
            right at several checks in a row.
        learning_rate: the highest, reached after a short warm-up.
        batch: sequences a step.
        weight_decay: of all matrices, not of biases and LayerNorms.
        dropout: share of activations and attention weights dropped in training.
        norm: "layer", "rms" or "none". position: "learned", "rotary" or "none". activation: "gelu" (the tanh form), "gelu_exact", "relu"
            or "silu".
    """

    layers: int = 1
    heads: int = 1
    width: int = 16
    lengths: tuple[int, int] = (0, 50)
    steps: int = 20_000
    seed: int = 0
    learning_rate: float = 1e-3
    batch: int = 64
    weight_decay: float = 0.01
    dropout: float = 0.0
    norm: str = "layer"
    position: str = "learned"
    activation: str = "gelu"

    def __post_init__(self) -> None:
        """Raises DraspError listing every value that makes no sense."""
        reasons = [
            f"{name} {getattr(self, name)} is not positive"
            for name in ("layers", "heads", "width", "steps", "batch")
            if getattr(self, name) < 1
        ]
        if not reasons and 12 * self.layers * self.width**2 > MOST_WEIGHTS:
            reasons.append(f"{self.layers} layers of width {self.width} have more than the {MOST_WEIGHTS:,} weights that are trained here")
        if not reasons and self.width % self.heads:
            reasons.append(f"width {self.width} is not divisible by heads {self.heads}")
        if not 0 <= self.lengths[0] <= self.lengths[1]:
            reasons.append(f"lengths {self.lengths[0]}-{self.lengths[1]} are no range")
        if self.seed < 0:
            reasons.append(f"seed {self.seed} is negative")
        if not 0 < self.learning_rate < math.inf:
            reasons.append(f"learning rate {self.learning_rate} is not positive")
        if not 0 <= self.weight_decay < math.inf:
            reasons.append(f"weight decay {self.weight_decay} is negative")
        if not 0 <= self.dropout < 1:
            reasons.append(f"dropout {self.dropout} is not in [0, 1)")
        for name, known in (("norm", NORMS), ("position", POSITIONS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                reasons.append(f"{name} {getattr(self, name)!r} is not one of {', '.join(known)}")
        if not reasons and self.position == "rotary" and self.width // self.heads % 2:
            reasons.append(f"rotary positions turn pairs, and a head's width, {self.width // self.heads}, is odd")
        if reasons:
            raise DraspError(f"training settings: {'; '.join(reasons)}")

    @property
    def check_every(self) -> int:
        """Steps between two checks, each of which also saves a checkpoint."""
        return min(500, max(1, self.steps // 20))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = min(100, self.steps // 10)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        return self.learning_rate * (self.steps - step) / (self.steps - warmup)


def train(
    task: Task,
    out: Path,
    settings: TrainSettings,
    *,
    device: str = "auto",
    force: bool = False,
    checkpoints: Sequence[int] = (),
    source: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains a Transformer and writes `config.json`, `model.safetensors` and `task.json` into `out`: a GPT-2 as transformers reads it; with
    another norm or other positions, a `HookedTransformer` as TransformerLens does.

    The loss counts scored positions only: cross entropy for next-token, binary cross entropy over the vocabulary for next-token-set.
    An unfinished training of the same settings in `out` is continued, and ends with the same weights as one never interrupted. The same
    seed gives the same weights on the same CPU (above width 64, with as many threads).

    Args:
        device: "cpu", "cuda" or "auto".
        force: whether a finished or different training in `out` is overwritten.
        checkpoints: steps after which the model so far is written too, each into a folder of its own, `out/step-<number>`.
        source: how the task is found again, as `drasp.tasks.user.load_task` takes it; the task's name by default.
        report: called with one line of text at every check.

    Returns:
        What `task.json` holds.

    Raises:
        RunFolderError: `out` holds something else, or cannot be written.
        TaskError: the task does not say how many positions it needs, or what it draws breaks a rule.
    """
    out = Path(out)
    target = device_named(device)
    identity = _identity(task, settings, target)
    model = Trainable(_architecture(task, settings), settings.seed)
    model.to(target)
    state = _State(model, settings)
    checked_answers(task, checked_sample(task, np.random.default_rng(0), settings.batch, settings.lengths))  # before anything is replaced
    _claim(out, force)
    if (out / CHECKPOINT).exists():
        state.load(out / CHECKPOINT, identity)
        report(f"continuing at step {state.step}")
    with own_modes(), one_thread(settings.width <= ONE_THREAD_WIDTH):
        described = _Described(task, task.name if source is None else source, settings)
        _run(task, state, lambda: state.save(out / CHECKPOINT, identity), lambda: _keep(described, state, out, checkpoints), report)
        record = _write_model(described, state, out)
    (out / CHECKPOINT).unlink()
    return record


class _State:
    """Everything that changes during training; random numbers depend on the seed and the step alone."""

    def __init__(self, model: Trainable, settings: TrainSettings):
        self.model = model
        self.settings = settings
        self.parameters = dict(model.named_parameters())
        matrices = [p for p in model.parameters() if p.ndim > 1]
        vectors = [p for p in model.parameters() if p.ndim == 1]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        self.step = 0
        self.perfect_checks = 0

    @property
    def done(self) -> bool:
        return self.step >= self.settings.steps or self.perfect_checks >= PERFECT_CHECKS

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def save(self, path: Path, identity: str) -> None:
        tensors = {f"model.{name}": p.detach() for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{moment}.{name}"] = self.optimizer.state[p][moment]
        progress = {"step": str(self.step), "perfect_checks": str(self.perfect_checks), "settings": identity}
        _write(path, save(tensors, metadata=progress))

    def load(self, path: Path, identity: str) -> None:
        try:
            with safe_open(path, framework="pt", device=str(self.device)) as file:
                progress = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise RunFolderError(f"{path}: damaged: {error}; --force starts anew") from None
        if progress.get("settings") != identity:
            raise RunFolderError(f"{path}: an unfinished training with other settings: {progress.get('settings')}; --force starts anew")
        self.step, self.perfect_checks = int(progress["step"]), int(progress["perfect_checks"])
        for name, p in self.parameters.items():
            p.data.copy_(tensors[f"model.{name}"])
            self.optimizer.state[p] = {
                "step": torch.tensor(float(self.step), device=p.device),
                "exp_avg": tensors[f"exp_avg.{name}"],
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"],
            }


def _run(
    task: Task, state: _State, save_checkpoint: Callable[[], None], after_step: Callable[[], None], report: Callable[[str], None]
) -> None:
    settings, dropped = state.settings, torch.Generator(state.device)
    losses: list[Tensor] = []
    pool_number, pool = -1, list[_Batch]()
    while not state.done:
        if state.step // POOL_BATCHES != pool_number:
            pool_number = state.step // POOL_BATCHES
            pool = _draw_pool(task, settings, pool_number, state.device)
        generator = None
        if settings.dropout:
            generator = dropped.manual_seed(int(np.random.SeedSequence((settings.seed, DROPOUT, state.step)).generate_state(1)[0]))
        loss = _loss(state.model, pool[state.step % POOL_BATCHES], generator)
        state.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        for group in state.optimizer.param_groups:
            group["lr"] = settings.rate(state.step)
        state.optimizer.step()
        losses.append(loss.detach())
        state.step += 1
        after_step()
        if state.step % settings.check_every == 0 or state.step == settings.steps:
            mean_loss = torch.stack(losses).mean().item()
            if not math.isfinite(mean_loss):
                raise DraspError(f"training diverged before step {state.step}; try a smaller learning rate than {settings.learning_rate}")
            losses.clear()
            right = _accuracy(state, task, settings.lengths, CHECK_SEQUENCES, (CHECKING, state.step))
            state.perfect_checks = state.perfect_checks + 1 if right == 1 else 0
            report(f"step {state.step} of {settings.steps}: loss {mean_loss:.5f}, lengths {_range(settings.lengths)} right {right:.4f}")
            save_checkpoint()


@dataclass(frozen=True)
class _Batch:
    """Sequences of similar length. tokens, positions, scored: (batch, time). answers: (scored,) ids, or (scored, V) of 0 and 1."""

    tokens: Tensor
    positions: Tensor
    scored: Tensor
    answers: Tensor


def _draw_pool(task: Task, settings: TrainSettings, number: int, device: torch.device) -> list[_Batch]:
    """Fresh batches in random order; each has sequences of similar length, so that little padding is computed."""
    rng = np.random.default_rng((settings.seed, TRAINING, number))
    sample = checked_sample(task, rng, POOL_BATCHES * settings.batch, settings.lengths)
    batches = list(_batches(task, sample, settings.batch, device))
    return [batches[i] for i in rng.permutation(len(batches))]


def _batches(task: Task, sample: Sample, size: int, device: torch.device) -> Iterator[_Batch]:
    """The sample cut into batches of similar length; nothing is read after the last scored position."""
    answers = checked_answers(task, sample)
    times = sample.scored.shape[1] - np.argmax(sample.scored[:, ::-1], axis=1)
    order = np.argsort(times, kind="stable")
    for rows in np.split(order, range(size, len(order), size)):
        time = times[rows].max()
        scored = sample.scored[rows, :time]
        yield _Batch(
            torch.as_tensor(sample.token_ids[rows, :time], dtype=torch.long, device=device),
            torch.as_tensor(sample.position_ids[rows, :time], dtype=torch.long, device=device),
            torch.as_tensor(scored, device=device),
            torch.as_tensor(answers[rows, :time][scored], device=device),
        )


def _loss(model: Trainable, batch: _Batch, generator: torch.Generator | None) -> Tensor:
    logits = model(batch.tokens, batch.positions, batch.scored, generator)
    if batch.answers.ndim == 1:
        return F.cross_entropy(logits, batch.answers.long())
    return F.binary_cross_entropy_with_logits(logits, batch.answers.to(logits.dtype))


@torch.no_grad()
def _accuracy(state: _State, task: Task, lengths: tuple[int, int], count: int, stream: tuple[int, ...]) -> float:
    """The share of whole sequences on which the model is right at every scored position."""
    sample = checked_sample(task, np.random.default_rng((state.settings.seed, *stream)), count, lengths)
    right = 0
    for batch in _batches(task, sample, 256, state.device):
        logits = state.model(batch.tokens, batch.positions, batch.scored)
        hits = logits.argmax(1) == batch.answers if batch.answers.ndim == 1 else ((logits > 0) == batch.answers).all(1)
        wrong = torch.zeros_like(batch.scored)
        wrong[batch.scored] = ~hits
        right += int((~wrong.any(1)).sum())
    return right / count


@dataclass(frozen=True)
class _Described:
    """A task, how it is found again, and what it is trained with."""

    task: Task
    source: str
    settings: TrainSettings


def _keep(described: _Described, state: _State, out: Path, checkpoints: Sequence[int]) -> None:
    """Writes the model of a step that was asked for."""
    if state.step in checkpoints:
        folder = out / f"step-{state.step}"
        folder.mkdir(exist_ok=True)
        _write_model(described, state, folder)


def _write_model(described: _Described, state: _State, out: Path) -> dict[str, Any]:
    """Writes the model as it is now, measured on fresh sequences; returns what `task.json` holds."""
    task, settings = described.task, described.settings
    record = _json(
        {
            "task": _from(out, described.source),
            "predict": task.predict,
            "vocabulary": list(task.vocabulary),
            "command": _command(described),
            **asdict(settings),
            "steps_run": state.step,
            "threads": torch.get_num_threads(),
            "accuracy": [
                {
                    "lengths": band,
                    "accuracy": _accuracy(state, task, band, EVIDENCE_SEQUENCES, (EVIDENCE, *band)),
                    "sequences": EVIDENCE_SEQUENCES,
                }
                for band in BAND_EDGES
                if has_sequences(task, band)
            ],
        }
    )
    _write(out / CONFIG, _json(_config(task, state.model)))
    _write(out / WEIGHTS, save(state.model.weights(), metadata={"format": "pt"}))
    _write(out / RECORD, record)
    return json.loads(record)


def _from(folder: Path, source: str) -> str:
    """How the task is found again from a folder: a file by its path from there."""
    return source if file_of(source) is None else os.path.relpath(source, folder)


def _config(task: Task, model: Trainable) -> dict[str, Any]:
    names = [name for name in ("bos", "eos", "pad") if model.is_gpt2 and f"<{name}>" in task.vocabulary]
    return model.config() | {f"{name}_token_id": task.vocabulary.index(f"<{name}>") for name in names}


def _architecture(task: Task, settings: TrainSettings) -> Architecture:
    return Architecture(
        vocabulary=len(task.vocabulary),
        positions=_positions(task),
        layers=settings.layers,
        heads=settings.heads,
        width=settings.width,
        norm=settings.norm,
        position=settings.position,
        activation=settings.activation,
        dropout=settings.dropout,
    )


def _positions(task: Task) -> int:
    positions = getattr(task, "positions", None)
    if positions is None:
        raise TaskError(f"task {task.name}: training needs to know how many position ids it uses; give it an attribute `positions`")
    return int(positions)


def _command(described: _Described) -> str:
    """The command that trains the same weights; only what differs from the defaults is said, but for the architecture."""
    settings, usual = described.settings, TrainSettings()
    name = described.task.name
    command = (
        f"drasp train {described.source} --out {name} --layers {settings.layers} --heads {settings.heads} --width {settings.width} "
        f"--lengths {_range(settings.lengths)} --steps {settings.steps} --seed {settings.seed}"
    )
    for field in ("learning_rate", "weight_decay", "dropout", "norm", "position", "activation"):
        value = getattr(settings, field)
        if value != getattr(usual, field):
            command += f" --{field.replace('_', '-')} {value if isinstance(value, str) else f'{value:g}'}"
    return command


def _range(lengths: tuple[int, int]) -> str:
    return f"{lengths[0]}-{lengths[1]}"


def _identity(task: Task, settings: TrainSettings, device: torch.device) -> str:
    """What must be the same for a checkpoint to be continued."""
    return json.dumps(
        {
            "task": task.name,
            "vocabulary": " ".join(task.vocabulary),
            "positions": _positions(task),
            **asdict(settings),
            "device": device.type,
        }
    )


def _claim(out: Path, force: bool) -> None:
    """Makes the folder; refuses one with a finished or a foreign model, or clears the files a training writes."""
    files = (out / RECORD, out / CHECKPOINT, out / CONFIG, out / WEIGHTS)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if force:
            for path in files:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(f"{out}: cannot be written: {error.strerror}") from None
    if (out / RECORD).exists():
        raise RunFolderError(f"{out}: holds a finished training; choose another --out, or --force to overwrite it")
    if not (out / CHECKPOINT).exists():
        for path in files:
            if path.exists():
                raise RunFolderError(f"{path}: a model already; choose another --out, or --force to overwrite it")


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror}") from None

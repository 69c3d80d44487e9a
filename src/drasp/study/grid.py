"""The grid of a study, a TOML file: which models are trained, and how each is decompiled."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

from drasp.core.intervals import lengths_of
from drasp.core.journal import digest
from drasp.errors import DraspError
from drasp.model.bundled import resolve_model
from drasp.search.settings import Settings
from drasp.tasks.user import file_of, load_task
from drasp.train import TrainSettings

MODELS, DECOMPILE, PREDICT = "models", "decompile", "predict"
TASK, MODEL, CHECKPOINTS = "task", "model", "checkpoints"
DEFAULTS = {"evidence": "verdict", "work": 100_000}
"""Of how a model of a study is decompiled, where that differs from `drasp decompile`."""
MOST_CELLS = 100_000


@dataclass(frozen=True)
class Cell:
    """A model of the study: what it is trained on and with, or where it is, and how it is decompiled.

    Attributes:
        source: how its task is found, as `load_task` takes it.
        task: the task's name.
        training: what it is trained with; None for one that there is already.
        settings: what it is decompiled with.
        checkpoints: the steps after which the model so far is decompiled too.
        predict: whether it is decompiled a second time, from short sequences alone.
        model: one that there is already, the name of a bundled one or a folder, and `content` a digest of what is in it.
        task_content: a digest of the file in which the task stands, if any.
    """

    source: str
    task: str
    training: TrainSettings | None
    settings: Settings
    checkpoints: tuple[int, ...] = ()
    predict: bool = False
    model: str | None = None
    content: str | None = None
    task_content: str | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """All that its results hang on, but for where its task and its model stand."""
        return {
            "task": self.task,
            "task_content": self.task_content,
            "content": self.content,
            "training": None if self.training is None else asdict(self.training),
            "settings": asdict(self.settings),
            "checkpoints": list(self.checkpoints),
            "predict": self.predict,
        }

    @cached_property
    def name(self) -> str:
        """Of its folder: what a person tells it by, then a digest of all."""
        return f"{self._called}-{digest(self.asked)[:8]}"

    @cached_property
    def trained(self) -> str:
        """Of the folder in which it is trained, for all cells that train the same."""
        keys = ("task", "task_content", "training", "checkpoints")
        return f"{self._called}-{digest([self.asked[key] for key in keys])[:8]}"

    @property
    def _called(self) -> str:
        t = self.training
        which = Path(self.model or "").name if t is None else f"{t.layers}l{t.heads}h{t.width}-seed{t.seed}"
        return f"{_word(self.task)}-{_word(which)}"

    @property
    def steps(self) -> tuple[int | None, ...]:
        """Of the models that it gives: its checkpoints, and None for the end of the training."""
        return (*self.checkpoints, None)


def _word(text: str) -> str:
    """What can stand in the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:40]


@dataclass(frozen=True)
class Grid:
    """The cells, in the order of the file; none twice."""

    cells: tuple[Cell, ...]
    text: str = field(repr=False)


def read_grid(file: Path) -> Grid:
    """Reads the TOML file of a study. Tasks that are files stand by their path from it.

    `[[models]]`, any number of tables: `task` and the settings of `drasp train` (with underscores; `lengths = "0-50"`), each a value or a
    list of values: there is a model for each combination. `checkpoints`: steps. Or `model`, instead of settings: bundled models or folders
    of models that there are already. `[decompile]`: the settings of `drasp decompile`.
    `predict`: whether each model is decompiled from sequences of lengths 0-50 alone too.

    Raises:
        DraspError: what is wrong, in one line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        raise DraspError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DraspError(f"{file}: no TOML: {' '.join(str(error).split())}") from None
    try:
        return Grid(_cells(data, file.parent), text)
    except DraspError as error:
        raise DraspError(f"{file}: {error}") from None


def _cells(data: Mapping[str, Any], folder: Path) -> tuple[Cell, ...]:
    _known(data, (MODELS, DECOMPILE, PREDICT), "the file")
    settings = _settings(_table(data.get(DECOMPILE, {}), f"[{DECOMPILE}]"))
    predict = data.get(PREDICT, False)
    if not isinstance(predict, bool):
        raise DraspError(f"{PREDICT} must be true or false, not {predict!r}")
    tables = data.get(MODELS)
    if not isinstance(tables, list) or not tables:
        raise DraspError(f"there must be a table [[{MODELS}]] with a task at the least")
    found: dict[str, Cell] = {}
    for number, table in enumerate(tables, 1):
        where = f"[[{MODELS}]] number {number}"
        try:
            for cell in _product(_table(table, where), settings, predict, folder):
                found.setdefault(cell.name, cell)
        except DraspError as error:
            raise DraspError(f"{where}: {error}") from None
        if len(found) > MOST_CELLS:
            raise DraspError(f"{where}: more than {MOST_CELLS} models")
    return tuple(found.values())


def _product(table: Mapping[str, Any], settings: Settings, predict: bool, folder: Path) -> Iterator[Cell]:
    """The models of one table: the first list varies slowest."""
    if MODEL in table:
        yield from _there(table, settings, predict, folder)
        return
    axes = [f.name for f in fields(TrainSettings)]
    _known(table, (MODEL, TASK, CHECKPOINTS, *axes), "it")
    if TASK not in table:
        raise DraspError(f"it has no {TASK}, and no {MODEL}")
    checkpoints = table.get(CHECKPOINTS, [])
    if not isinstance(checkpoints, list) or not all(type(step) is int and step > 0 for step in checkpoints):
        raise DraspError(f"{CHECKPOINTS} must be a list of steps, like [500, 1000], not {checkpoints!r}")
    lists = {key: _listed(value) for key, value in table.items() if key != CHECKPOINTS}
    tasks = {source: _task(source, folder) for source in lists[TASK]}
    for values in product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        source, name, content = tasks[chosen.pop(TASK)]
        training = TrainSettings(**{key: _value(TrainSettings, key, value) for key, value in chosen.items()})
        steps = tuple(sorted({step for step in checkpoints if step < training.steps}))
        yield Cell(source, name, training, settings, steps, predict, task_content=content)


def _there(table: Mapping[str, Any], settings: Settings, predict: bool, folder: Path) -> Iterator[Cell]:
    """The models of a table that names bundled ones, or folders."""
    _known(table, (MODEL, TASK), f"a table with {MODEL}")
    for model in _listed(table[MODEL]):
        if not isinstance(model, str):
            raise DraspError(f"a {MODEL} is the name of a bundled one or a folder, not {model!r}")
        at = os.path.abspath(folder / model)
        model = at if os.path.exists(at) else model
        place, known = resolve_model(model)
        source = table.get(TASK, known)
        if source is None:
            raise DraspError(f"{place} has no task.json: say with {TASK} what it was trained on")
        source, name, task_content = _task(source, folder)
        files = sorted(file for file in place.iterdir() if file.suffix in (".json", ".safetensors"))
        content = digest(*(file.read_bytes() for file in files))
        yield Cell(source, name, None, settings, (), predict, model, content, task_content)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _task(source: Any, folder: Path) -> tuple[str, str, str | None]:
    """How a task is found from anywhere, its name, and a digest of its file."""
    if not isinstance(source, str):
        raise DraspError(f"a {TASK} is a name or a file, not {source!r}")
    file = file_of(source)
    if file is not None:
        source = os.path.abspath(folder / file) + source[len(str(file)) :]
        file = file_of(source)
    return source, load_task(source).name, None if file is None else digest(file.read_bytes())


def _settings(table: Mapping[str, Any]) -> Settings:
    _known(table, [f.name for f in fields(Settings)], f"[{DECOMPILE}]")
    return Settings(**{key: _value(Settings, key, value) for key, value in {**DEFAULTS, **table}.items()})


def _value(record: type, key: str, value: Any) -> Any:
    """A setting as its record takes it."""
    if key == "lengths":
        ends = lengths_of(value) if isinstance(value, str) else None
        if ends is None:
            raise DraspError(f'lengths must be like "0-50", not {value!r}')
        return ends
    kind = get_type_hints(record)[key]
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, str) and type(value) is not kind:
        expected = {int: "a whole number", float: "a number", str: "a text"}[kind]
        raise DraspError(f"{key} must be {expected}, not {value!r}")
    return value


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DraspError(f"{where} must be a table")
    return value


def _known(table: Mapping[str, Any], keys: "tuple[str, ...] | list[str]", where: str) -> None:
    for key in table:
        if key not in keys:
            close = get_close_matches(key, keys, n=1)
            raise DraspError(f"{where} has no {key!r}" + (f"; is it {close[0]}?" if close else f"; it may have {', '.join(keys)}"))

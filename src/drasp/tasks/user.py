"""Finding a task by name or in a user's own file, and checking what it returns."""

import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from drasp.errors import DraspError, TaskError
from drasp.tasks.protocol import Sample, Task, outputs, padding
from drasp.tasks.sampling import check_header, check_names

if TYPE_CHECKING:
    from drasp.tasks.examples import Sequences

MEMBERS = ("name", "vocabulary", "predict", "sample", "answers")


def load_task(spec: str | os.PathLike[str]) -> Task:
    """The task that `spec` means: a name of the suite, FILE.py:NAME (an object or a class in that file) or FILE.jsonl.

    Raises TaskError, in one line, for whatever is wrong with the name, the file or the object.
    """
    if not isinstance(spec, str | os.PathLike):
        raise TaskError(f"a task is given by a name, FILE.py:NAME or FILE.jsonl, not by {type(spec).__name__}")
    spec = os.fspath(spec)
    if is_python(spec):
        file, _, name = spec.rpartition(":")
        return _from_python(Path(file), name)
    if spec.endswith(".py"):
        raise TaskError(f"{spec}: say which object in the file is the task: {spec}:NAME")
    from drasp.tasks.jsonl import JsonlTask  # here, as what only checks tasks needs none of them
    from drasp.tasks.registry import get_task, task_names

    if spec.endswith(".jsonl"):
        return JsonlTask(Path(spec))
    if os.path.exists(spec) and spec not in task_names():
        raise TaskError(f"{spec}: a task's file is FILE.jsonl, one JSON object a line, or FILE.py:NAME; JSON Lines need the ending .jsonl")
    return get_task(spec)


def as_task(given: "Task | Sequences | str | os.PathLike[str]") -> Task:
    """A task as it is, checked; by what `load_task` finds it; or of sequences alone."""
    if isinstance(given, str | os.PathLike):
        return load_task(given)
    from drasp.tasks.examples import examples

    if not hasattr(given, "vocabulary") and not hasattr(given, "answers"):
        return examples(cast(Any, given))
    return checked(given, "the task")


def is_python(spec: str) -> bool:
    """Whether a task is FILE.py:NAME: to load it runs the file."""
    return spec.rpartition(":")[0].endswith(".py")


def file_of(spec: str) -> Path | None:
    """The file in which a task stands; None for one of the suite."""
    file = Path(spec.rpartition(":")[0] if is_python(spec) else spec)
    return file if file.suffix in (".py", ".jsonl") else None


def checked_sample(task: Task, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
    """What `task.sample` returns, as 64-bit integers and booleans. Raises TaskError if it breaks the rules of `Sample`, or fails."""
    sample = _arrays(task, "sample", _call(task, "sample", rng, count, lengths))
    return _checked(task, sample, f"sample({count}, {lengths[0]}-{lengths[1]})", count)


def different_sample(task: Task, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
    """As `checked_sample`; where the task knows how many sequences it has, none twice, and fewer where there are not so many."""
    if not hasattr(task, "different"):
        return checked_sample(task, rng, count, lengths)
    sample = _arrays(task, "different", _call(task, "different", rng, count, lengths))
    return _checked(task, sample, f"different({count}, {lengths[0]}-{lengths[1]})", min(count, len(sample.token_ids)))


def _arrays(task: Task, method: str, drawn: Any) -> Sample:
    try:
        return Sample(*(np.asarray(array) for array in drawn))
    except (TypeError, ValueError):
        raise TaskError(f"task {task.name}: {method}() must return three arrays: token ids, position ids, scored positions") from None


def _array(task: Task, returned: Any) -> np.ndarray:
    try:
        return np.asarray(returned)
    except (TypeError, ValueError):
        raise TaskError(f"task {task.name}: answers() must return an array") from None


def _checked(task: Task, sample: Sample, call: str, count: int) -> Sample:
    problem = _problem(task, sample, count)
    if problem:
        raise TaskError(f"task {task.name}: {call} {problem}")
    return Sample(sample.token_ids.astype(np.int64, copy=False), sample.position_ids.astype(np.int64, copy=False), sample.scored)


def checked_answers(task: Task, sample: Sample) -> np.ndarray:
    """What is right after each position of some sequences, as `task.answers` says; -1 for next-token where nobody knows.

    Raises TaskError if it has the wrong shape or type, or fails.
    """
    told = hasattr(task, "right")
    answers = _array(task, _call(task, "right", sample) if told else _call(task, "answers", sample.token_ids))
    sets, names = task.predict == "next-token-set", outputs(task)
    shape = sample.token_ids.shape + (len(names),) * sets
    if answers.shape != shape or answers.dtype.kind not in ("b" if sets else "iu"):
        kind = "booleans" if sets else "integers"
        raise TaskError(f"task {task.name}: answers() must return {kind} of shape {shape}, not {answers.dtype} {answers.shape}")
    if not sets and not _within(answers[sample.scored] + told, len(names) + told):
        raise TaskError(f"task {task.name}: answers() returns ids outside 0-{len(names) - 1}")
    return answers


def _problem(task: Task, sample: Sample, count: int) -> str | None:
    """What is wrong with a sample, if anything."""
    token_ids, position_ids, scored = sample
    shapes = {array.shape for array in sample}
    if len(shapes) > 1 or token_ids.ndim != 2 or len(token_ids) != count or not token_ids.size:
        return f"must return three arrays of shape ({count}, time), not {', '.join(str(array.shape) for array in sample)}"
    if token_ids.dtype.kind not in "iu" or position_ids.dtype.kind not in "iu" or scored.dtype.kind != "b":
        return f"must return integers, integers and booleans, not {', '.join(str(array.dtype) for array in sample)}"
    if not _within(token_ids, len(task.vocabulary)):
        return f"returns token ids outside 0-{len(task.vocabulary) - 1}"
    most = getattr(task, "positions", None)
    if not _within(position_ids, most):
        return "returns position ids below 0" if most is None else f"returns position ids outside 0-{most - 1}"
    pad = padding(task)
    within = np.arange(token_ids.shape[1]) < sample.lengths[:, None]
    real = within if pad is None else token_ids != task.vocabulary.index(pad)
    if (real[:, 1:] & ~real[:, :-1]).any():
        return f"returns tokens behind {pad}; padding must stand on the right"
    if ((np.diff(position_ids) != 1) & real[:, 1:]).any():
        return "returns position ids that are not consecutive"
    if not scored.any(1).all():
        return "returns a sequence without a scored position"
    if (scored & ~real).any():
        return f"scores a position of {pad or 'padding'}"
    return None


def _within(ids: np.ndarray, end: int | None) -> bool:
    return bool(ids.min(initial=0) >= 0 and (end is None or ids.max(initial=0) < end))


def _call(task: Task, method: str, *arguments: object) -> Any:
    try:
        return getattr(task, method)(*arguments)
    except DraspError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(f"task {task.name}: {method}() failed: {_in_one_line(error)}") from error


def _from_python(path: Path, name: str) -> Task:
    where = f"{path}:{name}"
    module = _run(path)
    if not hasattr(module, name):
        tasks = [key for key, value in vars(module).items() if hasattr(value, "sample") and hasattr(value, "answers")]
        raise TaskError(f"{path}: there is no {name!r} in it" + f"; is it {' or '.join(tasks)}?" * bool(tasks))
    task = getattr(module, name)
    if isinstance(task, type):
        try:
            task = task()
        except (Exception, SystemExit) as error:
            raise TaskError(f"{where}: {name}() failed: {_in_one_line(error)}") from error
    from drasp.tasks.sequences import SequenceTask

    if isinstance(task, SequenceTask):
        task.name = name
    return checked(task, where)


def checked(task: Any, where: str) -> Task:
    """A task that a user wrote. Raises TaskError, which begins with `where`, if a member is missing or breaks a rule."""
    lacking = [member for member in MEMBERS if not hasattr(task, member)]
    if lacking:
        raise TaskError(f"{where}: it lacks {', '.join(lacking)}")
    if not isinstance(task.name, str) or not task.name.strip():
        raise TaskError(f"{where}: name must be a string that is not empty, not {task.name!r}")
    if not callable(task.sample) or not callable(task.answers):
        raise TaskError(f"{where}: sample and answers must be functions")
    check_header(where, task.vocabulary, task.predict, getattr(task, "positions", None), getattr(task, "order", None))
    if getattr(task, "outputs", None) is not None:
        check_names(where, "outputs", task.outputs)
    if not isinstance(padding(task), str | None) or padding(task) not in (None, *task.vocabulary):
        raise TaskError(f"{where}: padding is {task.padding!r}, which is not in the vocabulary")
    return cast(Task, task)


def _run(path: Path) -> ModuleType:
    """The file as a module. No bytecode is written beside it."""
    if not os.path.isfile(path):
        raise TaskError(f"{path}: no such file")
    module = ModuleType(f"drasp_user_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except SyntaxError as error:
        raise TaskError(f"{error.filename or path}:{error.lineno or 1}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise TaskError(f"{path}: {_in_one_line(error)}") from error
    return module


def _in_one_line(error: BaseException) -> str:
    """Kind and message of an error that a user's code raised, and the innermost line in the file that was called."""
    message = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is our own call
    places = [f" ({frame.filename}:{frame.lineno})" for frame in frames if frame.filename == frames[0].filename]
    return type(error).__name__ + f": {message}" * bool(message) + "".join(places[-1:])

"""Finds a model by the name of a bundled one or by its folder."""

import json
import os
from pathlib import Path

from drasp.errors import DraspError
from drasp.tasks.user import file_of

ZOO = Path(__file__).parent.parent / "zoo"


def bundled_models() -> tuple[str, ...]:
    """The names of the models that come with drasp."""
    return tuple(sorted(folder.name for folder in ZOO.iterdir() if (folder / "task.json").exists()))


def resolve_model(name_or_path: str) -> tuple[Path, str | None]:
    """The model's folder, and its task as `drasp.tasks.user.load_task` takes it, where its `task.json` says so.

    An existing path comes before a bundled name. A file is named in `task.json` by its path from the folder.

    Raises:
        DraspError: neither a path nor a bundled model, or a damaged `task.json`.
    """
    folder = Path(name_or_path)
    if not os.path.exists(folder):
        if name_or_path not in bundled_models():
            raise DraspError(
                f"{name_or_path}: no such model; give a model folder or one of the bundled models: {', '.join(bundled_models())}"
            )
        folder = ZOO / name_or_path
    task = _task(folder / "task.json")
    if task is not None and file_of(task) is not None:
        task = os.path.normpath(folder / task)
    return folder, task


def _task(path: Path) -> str | None:
    try:
        name = json.loads(path.read_text(encoding="utf-8-sig"))["task"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DraspError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise DraspError(f'{path}: expected a JSON object with the task\'s name as "task"')
    return name

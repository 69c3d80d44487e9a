"""All tasks of the suite by name."""

from difflib import get_close_matches

from drasp.errors import UnknownTaskError
from drasp.tasks.algorithmic import ALGORITHMS
from drasp.tasks.formal import LANGUAGES
from drasp.tasks.sampling import SuiteTask

_TASKS: dict[str, SuiteTask] = {task.name: task for task in (*ALGORITHMS, *LANGUAGES)}


def task_names() -> tuple[str, ...]:
    """The names of all tasks: algorithmic ones first, then formal languages."""
    return tuple(_TASKS)


def known_task(name: object) -> SuiteTask | None:
    """The task of that name, as a file that anybody may have written has it; None where there is none. No other file is read for it."""
    return _TASKS.get(name) if isinstance(name, str) else None


def get_task(name: str) -> SuiteTask:
    """The task of that name. Raises TaskError, which lists the names, if there is none."""
    if name in _TASKS:
        return _TASKS[name]
    close = get_close_matches(name, _TASKS, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise UnknownTaskError(f"there is no task {name!r}{meant}; there are {', '.join(_TASKS)}, and your own as FILE.py:NAME or FILE.jsonl")

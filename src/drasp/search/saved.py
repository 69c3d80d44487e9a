"""A decompilation that keeps its run folder up to date."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from drasp.core.journal import digest
from drasp.model.transformer import Transformer
from drasp.search import record
from drasp.search.decompile import Decompilation
from drasp.search.settings import Settings
from drasp.tasks.protocol import Task
from drasp.tasks.user import file_of


def question(transformer: Transformer, task: Task, source: str, settings: Settings) -> dict[str, object]:
    """What a run is asked: two runs of one folder are the same if these are.

    Args:
        source: what `load_task` found the task by; of a file, which may change between two runs, the content counts.
    """
    flags = {**asdict(settings), "lengths": list(settings.lengths)}
    file = file_of(source)
    return flags | {
        "model": transformer.sha256,
        "task": task.name,
        "task_file": None if file is None else digest(file.read_bytes()),
    }


def keeping(out: Path) -> Callable[[Decompilation], None]:
    """Writes into a run folder what arrives: the program first, then its evidence with each kind."""
    saved = False

    def arrived(found: Decompilation) -> None:
        nonlocal saved
        if saved:
            record.update(out, found.evidence)
        else:
            record.save(out, found.frontier, found.evidence)
        saved = True

    return arrived

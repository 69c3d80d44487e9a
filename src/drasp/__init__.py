"""drasp: decompiles small trained Transformers into readable, executable D-RASP programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drasp.errors import DraspError
    from drasp.ir.program import Header, Program
    from drasp.lang.folder import load_program, save_program
    from drasp.lang.parser import parse
    from drasp.lang.printer import print_program
    from drasp.model.checkpoint import from_hf, load_transformer
    from drasp.pipeline import Decompilation, Settings, decompile
    from drasp.run.trace import SequenceTrace
    from drasp.tasks.registry import get_task
    from drasp.tasks.user import load_task

_HOMES = {
    "Decompilation": "drasp.pipeline",
    "Settings": "drasp.pipeline",
    "decompile": "drasp.pipeline",
    "DraspError": "drasp.errors",
    "Header": "drasp.ir.program",
    "Program": "drasp.ir.program",
    "load_program": "drasp.lang.folder",
    "save_program": "drasp.lang.folder",
    "parse": "drasp.lang.parser",
    "print_program": "drasp.lang.printer",
    "from_hf": "drasp.model.checkpoint",
    "load_transformer": "drasp.model.checkpoint",
    "SequenceTrace": "drasp.run.trace",
    "get_task": "drasp.tasks.registry",
    "load_task": "drasp.tasks.user",
}

__all__ = [
    "Decompilation",
    "DraspError",
    "Header",
    "Program",
    "SequenceTrace",
    "Settings",
    "decompile",
    "from_hf",
    "get_task",
    "load_program",
    "load_task",
    "load_transformer",
    "parse",
    "print_program",
    "save_program",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: a program runs without torch, and the command line starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'drasp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

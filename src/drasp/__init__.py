"""drasp: decompiles small trained Transformers into readable, executable D-RASP programs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drasp.compare.diff import Difference, diff
    from drasp.decompilation import Decompilation, decompile, load
    from drasp.errors import DraspError
    from drasp.ir.program import Header
    from drasp.lang.folder import save_program
    from drasp.lang.printer import print_program
    from drasp.model.checkpoint import load_transformer
    from drasp.model.memory import from_hf
    from drasp.model.parts.norms import LayerNorm, Norm, RMSNorm
    from drasp.model.parts.positions import Rotary, sinusoidal
    from drasp.model.transformer import Block, FeedForward, Transformer
    from drasp.program import Program, SequenceTrace, load_program, parse
    from drasp.search.settings import Settings
    from drasp.tasks.examples import examples
    from drasp.tasks.registry import get_task
    from drasp.tasks.user import load_task

    __version__: str

_HOMES = {
    "Decompilation": "drasp.decompilation",
    "decompile": "drasp.decompilation",
    "load": "drasp.decompilation",
    "Difference": "drasp.compare.diff",
    "diff": "drasp.compare.diff",
    "DraspError": "drasp.errors",
    "Header": "drasp.ir.program",
    "save_program": "drasp.lang.folder",
    "print_program": "drasp.lang.printer",
    "from_hf": "drasp.model.memory",
    "load_transformer": "drasp.model.checkpoint",
    "LayerNorm": "drasp.model.parts.norms",
    "Norm": "drasp.model.parts.norms",
    "RMSNorm": "drasp.model.parts.norms",
    "Rotary": "drasp.model.parts.positions",
    "sinusoidal": "drasp.model.parts.positions",
    "Block": "drasp.model.transformer",
    "FeedForward": "drasp.model.transformer",
    "Transformer": "drasp.model.transformer",
    "Settings": "drasp.search.settings",
    "Program": "drasp.program",
    "SequenceTrace": "drasp.program",
    "load_program": "drasp.program",
    "parse": "drasp.program",
    "examples": "drasp.tasks.examples",
    "get_task": "drasp.tasks.registry",
    "load_task": "drasp.tasks.user",
}

__all__ = [
    "Block",
    "Decompilation",
    "Difference",
    "DraspError",
    "FeedForward",
    "Header",
    "LayerNorm",
    "Norm",
    "Program",
    "RMSNorm",
    "Rotary",
    "SequenceTrace",
    "Settings",
    "Transformer",
    "decompile",
    "diff",
    "examples",
    "from_hf",
    "get_task",
    "load",
    "load_program",
    "load_task",
    "load_transformer",
    "parse",
    "print_program",
    "save_program",
    "sinusoidal",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: a program runs without torch, and the command line starts at once."""
    if name == "__version__":
        return import_module("importlib.metadata").version("drasp")
    if name not in _HOMES:
        raise AttributeError(f"module 'drasp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """What completion offers: the public names, and those with two underscores."""
    return sorted({*__all__, "__version__", *(name for name in globals() if name.startswith("__"))})

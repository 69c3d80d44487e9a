"""The primitives of which operators are made: one file a family, each ending in the records of its primitives.

To add one, write its file and put the file's name here. The parser, the Python export, captions and both dictionaries of naming read the
records; nothing else knows a primitive by name, except where naming makes one to measure.
"""

from collections.abc import Iterable
from importlib import import_module

from drasp.ir.primitives.primitive import Primitive
from drasp.ir.primitives.record import Asked, Record

FILES = (
    "total",
    "comparison",
    "member",
    "logic",
    "place",
    "nearest",
    "difference",
    "tables",
)
"""In the order in which the parser asks whose a piece of text is."""

RECORDS: tuple[Record, ...] = tuple(record for file in FILES for record in import_module(f"{__name__}.{file}").RECORDS)

WORDS = frozenset(record.word for record in RECORDS if record.word is not None)
"""The words that are primitives, and so name nothing else."""


def candidates(asked: Asked) -> Iterable[Primitive]:
    """The one dictionary of naming: of all primitives the instances worth trying, in the order of preference."""
    ranked = [found for record in RECORDS for found in record.candidates(asked)]
    return [primitive for _, primitive in sorted(ranked, key=lambda pair: pair[0])]

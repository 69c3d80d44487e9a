"""Everything that `evidence.json` holds, as frozen records: read and written here alone."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from drasp.core.intervals import Banded
from drasp.core.records import Damaged, Json, from_json, to_json
from drasp.errors import DraspError
from drasp.evidence.attention import ATTENTION, Attention
from drasp.evidence.conventions import Conventions
from drasp.evidence.examples import EXAMPLES, Example
from drasp.evidence.interchange import INTERCHANGE, Interchange
from drasp.evidence.kind import Baseline, Kind, Row
from drasp.evidence.language import LANGUAGE, Language
from drasp.evidence.lines import LINES, LeaveOneOut
from drasp.evidence.match import MATCH
from drasp.evidence.mistakes import MISTAKES, Mistakes
from drasp.evidence.off_task import OFF_TASK, OffTask
from drasp.evidence.right import RIGHT
from drasp.ir.size import Size

if TYPE_CHECKING:
    from drasp.model.transformer import Transformer

VERSION = 2  # of the format; files of version 1 have no such key
PENDING = "not measured yet"

Verdict = Literal["decompiled", "imitated", "decompiled below", "imitated below", "pruned", "not decompiled"]


@dataclass(frozen=True)
class PassRecord:
    """What a pass left.

    Attributes:
        spent: of the budget, in its unit.
        match: on the sequences by which the search chooses, in the worst length band.
    """

    name: str
    spent: float = field(metadata={"key": "seconds"})
    statements: int
    opaque: int
    match: float


@dataclass(frozen=True)
class NamedPiece:
    """A piece of the pruned program that was named, against what it replaces.

    Attributes:
        total_variation: of an attention, to the one it replaces.
        agreement: of a readout, the share of positions off the task at which it agrees with the one it replaces.
        match: of the program with this piece alone replaced.
        behaviour_only: whether it predicts alike, but does not compute what it replaces.
    """

    kind: Literal["attention", "readout"]
    statements: tuple[str, ...]
    match: float
    behaviour_only: bool
    total_variation: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class FrontierEntry:
    """A program that the search met; `file` is relative to the run folder, the others as in `drasp.search.frontier.Point`."""

    statements: int
    opaque: int
    numbers: int
    match: float
    measured_on: Literal["select", "verify", "evidence"]
    file: str


@dataclass(frozen=True)
class ModelInfo:
    """The model under study."""

    sha256: str
    layers: int
    heads: int
    width: int

    @classmethod
    def of(cls, transformer: "Transformer") -> "ModelInfo":
        return cls(transformer.sha256, len(transformer.blocks), transformer.heads, transformer.width)


@dataclass(frozen=True)
class Versions:
    """Of what the run was made with."""

    drasp: str
    python: str | None = None
    torch: str | None = None
    numpy: str | None = None

    @classmethod
    def of_now(cls) -> "Versions":
        return cls(version("drasp"), platform.python_version(), version("torch"), version("numpy"))


@dataclass(frozen=True)
class Gap:
    """A kind of evidence that could not be measured, and why."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What is known of a program.

    Attributes:
        seconds: of the clock, of the whole run.
        settings: what was asked for, by flag; `task` is the task's name.
        tuning: the numbers that steered the run, by stage.
        conventions: where the model is far more often right if it is asked otherwise than the task does, or hardly ever.
        reason: why there is no better program, or no verdict.
        matched_at: the low end of match in the worst length band.
        all_inputs: true where match is over every input that there is: its intervals are then the shares themselves.
        task, model_task: None where nobody knows what is right.
        match, ...: one field a kind, in the order in which they are measured; a kind may fill further fields below its own.
        gaps: the kinds that could not be measured. A kind that is None and no gap does not apply.
    """

    verdict: Verdict
    interrupted: bool
    stopped_by_time: bool
    size: Size
    passes: tuple[PassRecord, ...]
    seconds: float
    seed: int
    settings: dict[str, Any]
    versions: Versions
    model: ModelInfo
    reason: str | None = None
    matched_at: float | None = None
    match: Banded | None = field(default=None, metadata={"kind": MATCH})
    all_inputs: bool | None = None
    task: Banded | None = None
    model_task: Banded | None = None
    baseline: Baseline[Banded] | None = None
    attention: Attention | None = field(default=None, metadata={"kind": ATTENTION})
    interchange: Interchange | None = field(default=None, metadata={"kind": INTERCHANGE})
    right: Banded | None = field(default=None, metadata={"kind": RIGHT})
    mistakes: Mistakes | None = field(default=None, metadata={"kind": MISTAKES})
    lines: tuple[LeaveOneOut, ...] | None = field(default=None, metadata={"kind": LINES})
    examples: tuple[Example, ...] | None = field(default=None, metadata={"kind": EXAMPLES})
    off_task: OffTask | None = field(default=None, metadata={"kind": OFF_TASK})
    language: Language | None = field(default=None, metadata={"kind": LANGUAGE})
    named: tuple[NamedPiece, ...] = ()
    frontier: tuple[FrontierEntry, ...] = ()
    gaps: tuple[Gap, ...] = ()
    tuning: dict[str, Any] | None = None
    conventions: Conventions | None = None
    version: int = VERSION

    @property
    def unfinished(self) -> bool:
        """Whether the run was cut short before all kinds were tried, so that it can go on."""
        return self.interrupted or any(gap.reason == PENDING for gap in self.gaps)

    def cut_short(self) -> "Evidence":
        """The same where a person wants no more to be measured."""
        gaps = tuple(replace(gap, reason="interrupted") if gap.reason == PENDING else gap for gap in self.gaps)
        return replace(self, interrupted=True, gaps=gaps)

    def rows(self, kind: Kind[Any]) -> Sequence[Row]:
        """What is to be said of a kind, as far as it was measured."""
        return kind.rows(*(getattr(self, key) for key in kind.keys or (kind.name,)))

    def to_json(self) -> dict[str, Json]:
        """What `evidence.json` holds. A kind that does not apply is null, one that is a gap is left out."""
        data, gaps = to_json(self), {gap.kind for gap in self.gaps}
        for kind in KINDS:
            if kind.name not in gaps:
                data.setdefault(kind.name)
        return data

    def _check_bands(self) -> None:
        """Raises Damaged where what was measured on the sequences of match has other length bands."""
        beside = (self.task, self.model_task, *(() if self.baseline is None else vars(self.baseline).values()))
        kinds = [[band.lengths for band in shares.bands] for shares in (self.match, *beside) if shares is not None]
        for lengths in kinds if self.match is not None else ():
            if lengths != kinds[0]:
                raise Damaged("match.bands", "task, model_task and baseline must have the same")

    @classmethod
    def from_json(cls, data: Json) -> "Evidence":
        """What `to_json` gave, also in an earlier release.

        Raises:
            DraspError: it is no such thing; one line that names the place.
        """
        try:
            found: Evidence = from_json(cls, _complete(data))
            found._check_bands()
            return found
        except Damaged as damaged:
            raise DraspError(f"evidence.json is damaged: {damaged}") from None


KINDS: tuple[Kind[Any], ...] = tuple(f.metadata["kind"] for f in fields(Evidence) if "kind" in f.metadata)
"""All kinds of evidence, in the order in which they are measured."""

_SETTINGS = {"task": str, "match": float, "least": float, "lengths": tuple[int, int], "time": float}
"""The settings that are read again, where they are there; of the others only the command line is made."""


def _complete(data: Json) -> Json:
    """The same with what an older file says by leaving it out: kinds that were not measured, as nobody knew of them."""
    if not isinstance(data, Mapping):
        raise Damaged("", "expected a JSON object")
    found = data.get("version", 1)
    if found not in (1, VERSION):
        raise Damaged("version", f"expected {VERSION} at the most; a newer drasp may read it")
    settings = data.get("settings")
    if isinstance(settings, dict):
        for key, kind in _SETTINGS.items():
            if key in settings or key == "task":
                from_json(kind, settings.get(key), f"settings.{key}")
    gaps = data.get("gaps", [])
    if isinstance(gaps, list):
        known = [*data, *(gap.get("kind") for gap in gaps if isinstance(gap, dict))]
        gaps = [*gaps, *({"kind": kind.name, "reason": "not recorded"} for kind in KINDS if kind.name not in known)]
    return {**data, "gaps": gaps, "version": VERSION}

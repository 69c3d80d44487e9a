"""A program on less than a screen: what the verdict means, the algorithm, match, which lines are the model's, cost."""

from collections.abc import Iterator, Sequence
from textwrap import TextWrapper

from drasp.evidence.schema import Evidence
from drasp.ir.nodes import Prediction
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.view.verdict import names_of, verdict
from drasp.view.words import Scene, Sentence, algorithm, checked_on

COLUMNS = 80
MOST_LINES = 15


def summary(program: Program, evidence: Evidence | None, scene: Scene | None = None, known: Sequence[Sentence] | None = None) -> list[str]:
    """At most 15 lines of 80 columns, but for a name or a token that is longer.

    Args:
        scene: the task's sequences, where they are to be had.
        known: the algorithm in words, where it is known already.
    """
    sentences, checked = algorithm(program, scene) if known is None else known, _checked(scene)
    if evidence is None:
        return [*_first(sentences, checked, MOST_LINES - 2), *_cost(program, evidence), "evidence   none is recorded for this program"]
    said = wrapped(verdict(program, evidence), "", "  ", 3)
    if evidence.conventions is not None:
        said += row("warning", evidence.conventions.line, 3)
    measured = [*_match(evidence), *_lines(program, evidence), *_cost(program, evidence)]
    return [*said, *_first(sentences, checked, MOST_LINES - len(said) - len(measured)), *measured]


def in_paragraphs(sentences: Sequence[Sentence], scene: Scene | None) -> str:
    """The algorithm, a paragraph each sentence, no wider than 80 columns but for a longer word."""
    return "\n".join([_checked(scene), *(line for sentence in sentences for line in wrapped(sentence.text, "  ", "    "))])


def wrapped(text: str, first: str = "", later: str = "", most: int | None = None) -> list[str]:
    """A text in lines of 80 columns, no word broken; where it takes more than so many lines it ends in three points."""
    wrapper = TextWrapper(COLUMNS, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)
    wrapper.max_lines, wrapper.placeholder = most, " ..."
    return wrapper.wrap(text)


def _checked(scene: Scene | None) -> str:
    return f"algorithm, as checked on {checked_on(scene)}:"


def _first(sentences: Sequence[Sentence], checked: str, room: int) -> list[str]:
    """The sentences that fit; those on variables, which captions tell too, are the first to be left out."""
    shown = list(sentences)
    while True:
        lines = [checked, *wrapped(" ".join(sentence.text for sentence in shown), "  ", "  ")]
        if len(shown) < len(sentences):
            lines.append(f"  ... {len(sentences) - len(shown)} more: drasp show FOLDER --evidence")
        if not shown or len(lines) <= room:
            return lines
        shown.remove(next((sentence for sentence in shown if sentence.captions), shown[-1]))


def row(label: str, text: str, most: int) -> list[str]:
    """A text with what it is about in a column before it, in so many lines at the most."""
    return wrapped(text, f"{label:<11}", " " * 11, most)


def _match(evidence: Evidence) -> list[str]:
    match = evidence.match
    if match is None:
        return row("match", "not measured", 1)
    worst = match.worst
    interval = "" if worst.low == worst.high else f" [{worst.low:.4f}, {worst.high:.4f}]"
    band = "the worst lengths," if len(match.bands) > 1 else "lengths"
    said = [f"{worst.accuracy:.4f}{interval} at {band} {worst.lengths[0]}-{worst.lengths[1]}"]
    if evidence.all_inputs:
        said.append(f"of all {match.all.sequences:,} inputs")
    if evidence.right is not None:
        said.append(f"{evidence.right.worst.accuracy:.4f} where the model is right")
    if evidence.model_task is not None:
        said.append(f"the model itself is right on {evidence.model_task.all.accuracy:.4f}")
    return row("match", "; ".join(said), 2)


def _lines(program: Program, evidence: Evidence) -> Iterator[str]:
    """Which lines are the model's, which are not, and of which only match tells."""
    attentions = [] if evidence.attention is None else evidence.attention.attentions
    swapped = [] if evidence.interchange is None else evidence.interchange.variables
    attend = [name for each in attentions if not each.faithful for name in each.statements]
    hold = [name for each in swapped if each.faithful is False for name in each.variables]
    tested = {name for each in attentions for name in each.statements} | {n for each in swapped if each.faithful for n in each.variables}
    names = [statement.name for statement in program.statements if not isinstance(statement, Prediction)]
    good = [name for name in names if name in tested and name not in (*attend, *hold)]
    rest = [name for name in names if name not in (*good, *attend, *hold)]
    if good:
        yield from row("faithful", f"{names_of(good)}: tested inside the model, nothing changes", 2)
    if attend:
        yield from row("not", f"{names_of(attend)}: the model attends to something else", 2)
    if hold:
        yield from row("not", f"{names_of(hold)}: the model holds something else there", 2)
    if rest:
        yield from row("untested", f"{names_of(rest)}: match alone tells of them", 2)


def _cost(program: Program, evidence: Evidence | None) -> list[str]:
    found = size(program)
    opaque = f", {found.opaque} of them opaque" * bool(found.opaque)
    counted = f"{found.statements} statements{opaque}, {found.numbers} number{'s' * (found.numbers != 1)}"
    if evidence is None:
        return row("size", counted, 1)
    work = evidence.settings.get("work")
    return row("cost", f"{evidence.seconds:.1f} s{f' of --work {work}' if work else ''}; {counted}", 1)

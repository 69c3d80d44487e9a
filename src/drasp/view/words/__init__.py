"""The algorithm of a program in words: a few sentences, each made of claims that were checked on sequences."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

from drasp.ir.labels import listed
from drasp.ir.nodes import Aggregate
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.view.words.claims import Claim, Sentence, Within, tallies
from drasp.view.words.conditions import tally
from drasp.view.words.copies import copied, puts_out
from drasp.view.words.finder import Finder
from drasp.view.words.notions import FEW, Fixed
from drasp.view.words.outputs import chains, rows
from drasp.view.words.scene import MOST_STATEMENTS, Scene, checked_on, random_scene, recorded_scene, scene_of, task_scene
from drasp.view.words.variables import variables
from drasp.view.words.wording import Coefficients, Wording

__all__ = ["Scene", "Sentence", "algorithm", "checked_on", "random_scene", "recorded_scene", "scene_of", "task_scene"]

ON_TASK = "on the task's sequences"
MOST_OUTPUTS = 12
"""That are spoken of one by one."""
RANDOM_SCENES = 16
"""What is said of all sequences is read off one scene at the most, and checked on the others."""
LETTERS = "defgh"
WIDEST_RANGE = 15
"""Of a sum of counts, that is told."""


def algorithm(program: Program, scene: Scene | None = None) -> tuple[Sentence, ...]:
    """What a program does, in words.

    Args:
        scene: the task's sequences; without them random strings, on which less is told.
    """
    if len(program.statements) > MOST_STATEMENTS:
        return (Sentence(f"{len(program.statements)} statements are too many to be put into words."),)
    if opaque := size(program).opaque:
        return (Sentence(f"{opaque} of its statements are opaque: they carry what no words tell."),)
    random = cache(partial(random_scene, program))  # few of them are asked for where little is said of all sequences
    kept = []
    for sentence in _sentences(Finder(random(0) if scene is None else scene), exact=scene is None):
        everywhere = all(claim.holds(random(seed)) for claim in sentence.claims for seed in range(RANDOM_SCENES))
        if everywhere if scene is None else all(claim.holds(scene) for claim in sentence.claims):
            kept.append(replace(sentence, text=_as_sentence(program, sentence, everywhere), everywhere=everywhere))
    return tuple(kept)


def _sentences(finder: Finder, exact: bool) -> Iterator[Sentence]:
    header = finder.program.header
    copying = header.predict == "next-token" and header.outputs is None
    put, after = puts_out(finder, exact) if copying else ([], [])
    if len(header.predicted) <= MOST_OUTPUTS and not put:
        yield from _of_sets(finder, exact)
        return
    if exact and all(isinstance(claim.notion, Fixed) for claim in put):
        put = []
    words = Wording(header)
    yield from _of_variables(finder, words, exact)
    for text, claim in zip(copied(put, words), put, strict=True):
        yield Sentence(text, (claim,))
    if after:
        tokens = listed([words.token(token) for token in after[:FEW]], "or") + " and others" * (len(after) > FEW)
        yield Sentence(f"what it puts out after {tokens} has no short name here")


def _of_sets(finder: Finder, exact: bool) -> Iterator[Sentence]:
    """Output by output when it is predicted."""
    found = rows(finder, exact)
    claims: tuple[Claim, ...] = tuple(claim for row in found for claim in row.claims())
    names = dict(zip(dict.fromkeys(tallies(claims)), LETTERS, strict=False))
    ranges = {} if exact else {coefficients: _range(finder, coefficients) for coefficients in names}
    words = Wording(finder.program.header, names)
    on_task = replace(words, ranges={c: {"at most": low, "at least": high} for c, (low, high) in ranges.items()})
    yield from _of_variables(finder, words, exact)
    yield from _of_tallies(words, ranges)
    yield Sentence("; ".join(chains(found, words)), claims, f"{ON_TASK}, {'; '.join(chains(found, on_task))}")


def _range(finder: Finder, coefficients: Coefficients) -> tuple[int, int]:
    values = finder.at(tally(finder.scene, coefficients))
    return int(values.min()), int(values.max())


def _of_tallies(words: Wording, ranges: Mapping[Coefficients, tuple[int, int]]) -> Iterator[Sentence]:
    for coefficients, name in words.names.items():
        said = f"let {name} be {words.in_full(coefficients)} so far"
        low, high = ranges.get(coefficients, (0, WIDEST_RANGE + 1))
        if high - low <= WIDEST_RANGE:
            said += f"; {ON_TASK} {name} is {low} to {high}"
            yield Sentence(said, (Within(coefficients, low, high),), said)
        else:
            yield Sentence(said)


def _of_variables(finder: Finder, words: Wording, exact: bool) -> Iterator[Sentence]:
    known = [sentence for sentence in variables(finder, words, exact) if all(claim.holds(finder.scene) for claim in sentence.claims)]
    yield from known
    named = {name for sentence in known for name, _ in sentence.captions}
    averages = [s.name for s in finder.program.statements if isinstance(s, Aggregate) and s.selectors and s.name not in named]
    if averages:
        yield Sentence(f"{listed(averages, 'and')} {'has' if len(averages) == 1 else 'have'} no short name here: see the listing")


def _as_sentence(program: Program, sentence: Sentence, everywhere: bool) -> str:
    said = sentence.text if everywhere else sentence.on_task or f"{ON_TASK}, {sentence.text}"
    begins_with_name = said.split()[0].rstrip(",") in program.by_name
    return f"{said}." if begins_with_name else f"{said[0].upper()}{said[1:]}."

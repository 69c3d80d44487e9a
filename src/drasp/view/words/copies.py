"""What is put out, in words: which token of those before."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from drasp.ir.labels import is_special
from drasp.view.words.claims import MOSTLY, PutsOut, rounded_down
from drasp.view.words.conditions import Condition, Constant, Is, Same
from drasp.view.words.finder import Finder
from drasp.view.words.notions import Fixed
from drasp.view.words.scene import Array, different
from drasp.view.words.wording import NONE, Wording, mostly


def puts_out(finder: Finder, exact: bool) -> tuple[list[PutsOut], list[int]]:
    """What is put out after which tokens, and the tokens after which that has no name.

    Args:
        exact: not what is so at most positions only.
    """
    vocabulary = finder.program.header.vocabulary
    tokens = list(finder.counts)
    plain = tuple(token for token in tokens if not is_special(vocabulary[token]))
    groups = [plain] * bool(plain) + [(token,) for token in tokens if token not in plain]
    found, missing = [], []
    for group in groups:
        after = None if len(groups) == 1 else group
        claim = _group(finder, group, after, 1.0)
        if claim is None and not exact:
            claim = _group(finder, group, after, MOSTLY)
        if claim is None:
            missing += list(group)
        else:
            found.append(claim)
    return found, missing


def _group(finder: Finder, tokens: tuple[int, ...], after: tuple[int, ...] | None, least: float) -> PutsOut | None:
    """What is put out after some tokens, at a share of the positions, or more."""
    among = np.isin(finder.here, tokens)
    predicted = finder.at(finder.scene.predicted)
    if len(tokens) == 1 and len(different(predicted[among])) == 1:
        return PutsOut(Fixed(int(predicted[among][0])), (), after)
    for notion, values in finder.notions:
        usable = among & finder.plain[values]
        if usable.sum() * 2 < among.sum():
            continue
        wrong = usable & ~finder.at(notion.agrees(finder.scene, finder.scene.predicted))
        others = tuple((Is(notion, (value,)), output) for value, output in _where_none(values, predicted, among & ~usable))
        claims = [PutsOut(notion, (*stops, *others), after) for stops in ((), *_stops(finder, predicted, wrong))]
        share, best = max(((claim.share(finder.scene), claim) for claim in claims), key=lambda pair: pair[0])
        if share >= least:
            return replace(best, least=rounded_down(share))
    return None


def _stops(finder: Finder, predicted: Array, wrong: Array) -> Iterator[tuple[tuple[Condition, int], ...]]:
    """A certain output takes the place of the notion, where this token is a certain other one."""
    if wrong.any():
        output = int(np.bincount(predicted[wrong]).argmax())
        yield from (((Same(notion), output),) for notion, _ in finder.stops)


def _where_none(values: Array, predicted: Array, among: Array) -> list[tuple[int, int]]:
    """What is put out, mostly, where the notion is no symbol, by what it is."""
    kinds = different(values[among])
    return [(int(value), int(np.bincount(predicted[among & (values == value)]).argmax())) for value in kinds]


def copied(claims: Sequence[PutsOut], words: Wording) -> list[str]:
    """A sentence for each claim, without its stop."""
    return [_sentence(claim, words) for claim in claims]


def _sentence(claim: PutsOut, words: Wording) -> str:
    first = claim.after is not None and len(claim.after) == 1 and is_special(words.header.vocabulary[claim.after[0]])
    said = f"after {words.any_of(claim.after)} it puts out " if first and claim.after else "it puts out "
    if claim.least < 1:
        said = f"{mostly(claim.least)}{said}"
    said += claim.notion.text(words)
    for output in dict.fromkeys(output for _, output in claim.instead):
        where = " or ".join(_instead(condition, words) for condition, other in claim.instead if other == output)
        said += f"; where {where}, {words.output(output)}"
    return said


def _instead(condition: Condition, words: Wording) -> str:
    if isinstance(condition, Is):
        return "there is none" if condition.tokens == (NONE,) else f"that is {words.any_of(condition.tokens)}"
    assert not isinstance(condition, Constant)
    return condition.text(words)

"""What is put out, in words: which token of those before."""

from collections.abc import Sequence

import numpy as np

from drasp.ir.labels import is_special
from drasp.view.words.claims import PutsOut
from drasp.view.words.conditions import Condition, Constant, Is, Same
from drasp.view.words.finder import Finder
from drasp.view.words.notions import Fixed
from drasp.view.words.scene import Array
from drasp.view.words.wording import NONE, Wording


def puts_out(finder: Finder) -> tuple[list[PutsOut], list[int]]:
    """What is put out after which tokens, and the tokens after which that has no name."""
    vocabulary = finder.program.header.vocabulary
    tokens = list(finder.counts)
    plain = tuple(token for token in tokens if not is_special(vocabulary[token]))
    groups = [plain] * bool(plain) + [(token,) for token in tokens if token not in plain]
    found, missing = [], []
    for group in groups:
        claim = _group(finder, group, None if len(groups) == 1 else group)
        if claim is None:
            missing += list(group)
        else:
            found.append(claim)
    return found, missing


def _group(finder: Finder, tokens: tuple[int, ...], after: tuple[int, ...] | None) -> PutsOut | None:
    among = np.isin(finder.here, tokens)
    predicted = finder.at(finder.scene.predicted)
    if len(tokens) == 1 and len(np.unique(predicted[among])) == 1:
        return PutsOut(Fixed(int(predicted[among][0])), (), after)
    for notion, values in finder.notions:
        agrees = finder.at(notion.agrees(finder.scene, finder.scene.predicted))
        usable = among & finder.plain[values]
        wrong = usable & ~agrees
        if usable.sum() * 2 < among.sum():
            continue
        instead = _stops(finder, predicted, wrong, usable)
        rest = None if instead is None else _where_none(notion_values=values, predicted=predicted, among=among & ~usable)
        if instead is not None and rest is not None:
            others = tuple((Is(notion, (value,)), output) for value, output in rest)
            return PutsOut(notion, (*instead, *others), after)
    return None


def _stops(finder: Finder, predicted: Array, wrong: Array, usable: Array) -> tuple[tuple[Condition, int], ...] | None:
    """Where a certain output takes the place of the notion: where this token is a certain other one; () if it never does."""
    if not wrong.any():
        return ()
    outputs = np.unique(predicted[wrong])
    if len(outputs) > 1:
        return None
    for notion, values in finder.stops:
        if ((values == finder.here) == wrong)[usable].all():
            return ((Same(notion), int(outputs[0])),)
    return None


def _where_none(notion_values: Array, predicted: Array, among: Array) -> list[tuple[int, int]] | None:
    """What is put out where the notion is no symbol, by what it is; None where that is not always the same."""
    found = []
    for value in np.unique(notion_values[among]):
        outputs = np.unique(predicted[among & (notion_values == value)])
        if len(outputs) > 1:
            return None
        found.append((int(value), int(outputs[0])))
    return found


def copied(claims: Sequence[PutsOut], words: Wording) -> list[str]:
    """A sentence for each claim, without its stop."""
    return [_sentence(claim, words) for claim in claims]


def _sentence(claim: PutsOut, words: Wording) -> str:
    first = claim.after is not None and len(claim.after) == 1 and is_special(words.header.vocabulary[claim.after[0]])
    said = f"after {words.any_of(claim.after)} it puts out " if first and claim.after else "it puts out "
    said += claim.notion.text(words)
    for condition, output in claim.instead:
        said += f"; {_instead(condition, words)}, {words.output(output)}"
    return said


def _instead(condition: Condition, words: Wording) -> str:
    if isinstance(condition, Is):
        return "where there is none" if condition.tokens == (NONE,) else f"where that is {words.any_of(condition.tokens)}"
    assert not isinstance(condition, Constant)
    return f"where {condition.text(words)}"

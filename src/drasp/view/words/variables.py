"""What variables are, in words."""

from collections.abc import Iterator

import numpy as np

from drasp.ir.nodes import TOKEN, Aggregate, Case, Compare, Compute, Norm, Table
from drasp.view.words.claims import ONE_HOT, IsShare, IsToken, Sentence, Tells, seen
from drasp.view.words.conditions import Condition, Constant
from drasp.view.words.finder import Finder
from drasp.view.words.notions import Current, places
from drasp.view.words.wording import NONE, Wording


def variables(finder: Finder, words: Wording) -> Iterator[Sentence]:
    """A sentence for each variable that has a name."""
    for statement in finder.program.statements:
        if isinstance(statement, Aggregate) and not statement.selectors and statement.value == TOKEN and not words.header.bidirectional:
            if words.header.pad is None:
                share = "the share of each token so far"
                yield Sentence(f"{statement.name} is {share}", (IsShare(statement.name),), captions=((statement.name, share),))
        elif isinstance(statement, Aggregate):
            yield from _average(finder, statement, words)
        elif isinstance(statement, Compare | Compute | Case | Table | Norm) and finder.program.bases[statement.name].size == 1:
            yield from _number(finder, statement.name, words)


def _average(finder: Finder, statement: Aggregate, words: Wording) -> Iterator[Sentence]:
    if statement.name not in finder.scene.values:
        return
    values = finder.scene.values[statement.name]
    among = seen(finder.scene)
    hottest, share = values.argmax(-1)[among], values.max(-1)[among]
    of_tokens = finder.program.bases[statement.name].kind == "token"
    candidates = [Current(), *(notion for notion, _ in finder.notions)] if of_tokens else list(places(finder.program))
    for notion in candidates:
        tokens = notion.values(finder.scene)[among]
        there = tokens != NONE
        if there.sum() * 2 < len(tokens) or not (hottest == tokens)[there].all():
            continue
        claim = IsToken(statement.name, notion, alone=bool((share[there] >= ONE_HOT).all()))
        text = notion.text(words)
        said = f"{statement.name} is {text}" if claim.alone else f"the largest share in {statement.name} is that of {text}"
        caption = text if claim.alone else f"mostly {text}"
        yield Sentence(said, (claim,), captions=((statement.name, caption),))
        return


def _number(finder: Finder, name: str, words: Wording) -> Iterator[Sentence]:
    """A variable that is always 0 or 1."""
    value = finder.at(finder.scene.values[name])[..., 0]
    one = value > 0.5
    if (np.abs(value - one) > 1 - ONE_HOT).any():
        return
    condition: Condition | None = finder.condition(one, np.ones(len(one), bool))
    if condition is not None and not isinstance(condition, Constant):
        text = f"whether {condition.text(words)}"
        yield Sentence(f"{name} tells {text}", (Tells(name, condition),), captions=((name, text),))

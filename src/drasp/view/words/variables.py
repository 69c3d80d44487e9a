"""What variables are, in words."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from drasp.ir.labels import listed
from drasp.ir.nodes import TOKEN, Aggregate, Case, Compare, Compute, Norm, Table
from drasp.view.words.claims import MOSTLY, ONE_HOT, IsShare, IsToken, IsWeighted, Sentence, Tells, rounded_down, seen
from drasp.view.words.conditions import Condition, Constant
from drasp.view.words.counts import Counts
from drasp.view.words.finder import Finder
from drasp.view.words.notions import FEW, Current, places
from drasp.view.words.scene import different
from drasp.view.words.wording import Wording, mostly

FEW_WEIGHTS = 2
UNSEEN = ("<sep>", "<eos>", "<pad>")


def variables(finder: Finder, words: Wording, exact: bool) -> Iterator[Sentence]:
    """A sentence for each variable that has a name.

    Args:
        exact: not what is so at most positions only.
    """
    for statement in finder.program.statements:
        if isinstance(statement, Aggregate) and not statement.selectors and statement.value == TOKEN and not words.header.bidirectional:
            if words.header.pad is None:
                share = "the share of each token so far"
                yield Sentence(f"{statement.name} is {share}", (IsShare(statement.name),), captions=((statement.name, share),))
        elif isinstance(statement, Aggregate) and statement.selectors:
            yield from _average(finder, statement, words, exact)
        elif isinstance(statement, Compare | Compute | Case | Table | Norm) and finder.program.bases[statement.name].size == 1:
            yield from _number(finder, statement.name, words)


def _average(finder: Finder, statement: Aggregate, words: Wording, exact: bool) -> Iterator[Sentence]:
    """A single token or position; else a share in which tokens count more or less; else mostly a single one."""
    if statement.name not in finder.scene.values:
        return
    claim = _single(finder, statement, exact)
    if claim is not None and claim.alone:
        yield _said(claim, words)
        return
    weighted = _weighted(finder, statement, words)
    if weighted is not None:
        yield weighted
    elif claim is not None:
        yield _said(claim, words)


def _single(finder: Finder, statement: Aggregate, exact: bool) -> IsToken | None:
    """Which token or position has the largest share, at as many positions as possible."""
    program, scene = finder.program, finder.scene
    of_tokens = program.bases[statement.name].kind == "token"
    candidates = [Current(), *(notion for notion, _ in finder.notions)] if of_tokens else list(places(program))
    ends = [token for token in different(scene.token_ids[seen(scene)]).tolist() if program.header.vocabulary[token] == "<sep>"]
    best, most = None, 1.0 if exact else MOSTLY
    for claim in (IsToken(statement.name, notion, until=until) for until in (None, *ends) for notion in candidates):
        there, right = claim.right(scene)
        if there.sum() * 2 < max(claim.among(scene).sum(), 1):
            continue
        share = right[there].mean()
        if share == 1:
            alone = replace(claim, alone=True)
            return alone if alone.holds(scene) else claim
        if share >= most:
            best, most = replace(claim, least=rounded_down(share)), share
    return best


def _said(claim: IsToken, words: Wording) -> Sentence:
    text = claim.notion.text(words)
    until = "" if claim.until is None else f"until {words.token(claim.until)} "
    said = f"{claim.variable} is {text}" if claim.alone else f"the largest share in {claim.variable} is that of {text}"
    caption = f"{until}{'' if claim.alone else 'mostly '}{text}"
    return Sentence(f"{mostly(claim.least)}{until}{said}", (claim,), captions=((claim.variable, caption),))


def _weighted(finder: Finder, statement: Aggregate, words: Wording) -> Sentence | None:
    """The share of each token, where attention goes by tokens alone."""
    weights = [Counts(finder.program, token).weights_of(statement) for token in range(len(words.header.vocabulary))]
    if len(words.header.symbols) > FEW or any(row is None for row in weights):
        return None
    claim = IsWeighted(statement.name, tuple(tuple(row.tolist()) for row in weights if row is not None))
    columns = list(zip(*claim.weights, strict=True))
    share = "the share of each token so far"
    times = [(token, _times(column, words)) for token, column in enumerate(columns)]
    said = [f"{words.token(token)} counts {text}" for token, text in times if text]
    verb = "says" if len(statement.selectors) == 1 else "say"
    how = f"where {' and '.join(said)}" if 0 < len(said) <= FEW_WEIGHTS else f"weighted as {listed(statement.selectors, 'and')} {verb}"
    return Sentence(f"{statement.name} is {share}, {how}", (claim,), captions=((statement.name, f"{share}, weighted"),))


def _times(weights: tuple[float, ...], words: Wording) -> str:
    """`about 3.3 times after `a``: how often a token counts after which tokens."""
    different: dict[float, list[int]] = {}
    for current, weight in enumerate(weights):
        if words.header.vocabulary[current] not in UNSEEN and weight != 1:
            different.setdefault(weight, []).append(current)
    parts = (f"about {float(f'{weight:.2g}'):g} times after {words.any_of(tokens)}" for weight, tokens in different.items())
    return " and ".join(parts)


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

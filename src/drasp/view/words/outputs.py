"""What may follow, in words: of each output when it is predicted, or after each token which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.labels import is_special, listed
from drasp.view.words.claims import MayFollow
from drasp.view.words.conditions import Condition, Constant, Is, Tally, Unless, this_is
from drasp.view.words.finder import Finder
from drasp.view.words.notions import Current
from drasp.view.words.wording import Wording

MOST_ROWS = 12


@dataclass(frozen=True)
class Row:
    """What may follow some tokens.

    Attributes:
        tokens: which; None for any.
        rules: when each output may.
        unnamed: the outputs of which that has no name.
    """

    tokens: tuple[int, ...] | None
    rules: tuple[tuple[int, Condition], ...]
    unnamed: tuple[int, ...] = ()

    def claims(self) -> tuple[MayFollow, ...]:
        return tuple(MayFollow(output, condition, self.tokens) for output, condition in self.rules)


def rows(finder: Finder, exact: bool) -> list[Row]:
    """What may follow, in as few rows as possible; what a row says is so.

    Args:
        exact: only what follows from the statements, not what is merely seen, where nothing else than this token tells it.
    """
    outputs = [output for output in range(len(finder.program.header.predicted)) if _matters(finder, output)]
    overall = _row(finder, None, outputs, exact)
    if not overall.unnamed and not all(_is_of_this_token(condition) for _, condition in overall.rules):
        return [overall]
    special = [is_special(token) for token in finder.program.header.vocabulary]
    by_token = [_row(finder, (token,), outputs, exact) for token in sorted(finder.counts, key=special.__getitem__)]
    merged = _merged(by_token)
    plain = tuple(token for token in finder.counts if not special[token])
    excepted = [_row(finder, plain, outputs, exact), *_merged([row for row in by_token if row.tokens and special[row.tokens[0]]])]
    choices = [merged] if len(merged) <= MOST_ROWS else []
    choices += [excepted] * any(not _is_of_this_token(condition) for _, condition in excepted[0].rules)
    choices += [[overall]] * bool(overall.unnamed)
    return min(choices, key=lambda found: (sum(len(row.unnamed) for row in found) / len(found), len(found)), default=[overall])


def _row(finder: Finder, tokens: tuple[int, ...] | None, outputs: Sequence[int], exact: bool) -> Row:
    rules = {output: _rule(finder, output, tokens, exact) for output in outputs}
    kept = {output: rule for output, rule in rules.items() if rule and MayFollow(output, rule, tokens).holds(finder.scene)}
    return Row(tokens, tuple(kept.items()), tuple(output for output in outputs if output not in kept))


def _rule(finder: Finder, output: int, tokens: tuple[int, ...] | None, exact: bool) -> Condition | None:
    """When an output may follow some tokens, or any."""
    these = tuple(finder.counts) if tokens is None else tokens
    if exact:
        conditions = {token: finder.exact[output, token] for token in these}
        if conditions and None not in conditions.values():
            return _one(finder, conditions)  # type: ignore[arg-type]
    return finder.condition(finder.at(finder.scene.allowed)[:, output], np.isin(finder.here, these), constants=not exact)


def _one(finder: Finder, conditions: Mapping[int, Condition]) -> Condition | None:
    """One condition for all tokens: the same, or which tokens; before all symbols what it says of none may agree."""
    different = set(conditions.values())
    if all(isinstance(condition, Constant) for condition in different) and len(different) > 1:
        return this_is(tuple(token for token, condition in conditions.items() if condition == Constant(True)))
    told = {condition for condition in different if not isinstance(condition, Constant)} or different
    if len(told) > 1:
        return None
    found = next(iter(told))
    fits = (condition in (found, _settled(finder, found, token)) for token, condition in conditions.items())
    return found if all(fits) else None


def _settled(finder: Finder, condition: Condition, token: int) -> Condition:
    """What a condition comes to right behind a token: `<bos>`, before which there is nothing, or one that is counted."""
    if not isinstance(condition, Tally):
        return condition
    at_most, factors = condition.relation == "at most", dict(condition.coefficients)
    if finder.program.header.vocabulary[token] == "<bos>":
        return Constant(condition.number >= 0 if at_most else condition.number <= 0)
    counted = min(factors.values()) > 0 and factors.get(token, 0) >= condition.number + at_most
    return Constant(not at_most) if counted else condition


def _matters(finder: Finder, output: int) -> bool:
    """Whether an output is spoken of: one that is not special, or is predicted somewhere."""
    return not is_special(finder.program.header.predicted[output]) or bool(finder.at(finder.scene.allowed)[:, output].any())


def _is_of_this_token(condition: Condition) -> bool:
    return isinstance(condition, Constant) or (isinstance(condition, Is) and isinstance(condition.notion, Current))


def _merged(found: Sequence[Row]) -> list[Row]:
    """Tokens after which the same may follow, together."""
    together: dict[tuple[object, ...], list[int]] = {}
    for row in found:
        together.setdefault((row.rules, row.unnamed), []).extend(row.tokens or ())
    return [Row(tuple(tokens), rules, unnamed) for (rules, unnamed), tokens in together.items()]  # type: ignore[arg-type]


def told(row: Row, words: Wording) -> str:
    """A row as a sentence, without its stop."""
    parts = [_sentence(row.rules, words)] if row.tokens is None and row.rules else []
    if row.tokens is not None and (row.rules or not row.unnamed):
        parts.append(f"after {words.any_of(row.tokens)}: {_list(row, words)}")
    if row.unnamed:
        after = "" if row.tokens is None or row.rules else f" after {words.any_of(row.tokens)}"
        parts.append(f"when {words.some_of(row.unnamed)} {words.may}{after} has no short name here")
    return "; ".join(parts)


def _list(row: Row, words: Wording) -> str:
    """What may follow certain tokens."""
    together = _together(row.rules)
    fixed = together.pop(Constant(True), [])
    if not together.keys() - {Constant(False)} and not row.unnamed:
        return listed([words.output(output) for output in fixed], "or") if fixed else "nothing"
    said = [f"{_named(outputs, words)} {_when(condition, words)}" for condition, outputs in together.items()]
    return ", ".join(said + [f"{_named(fixed, words)} always"] * bool(fixed))


def _sentence(rules: Sequence[tuple[int, Condition]], words: Wording) -> str:
    """`a` may follow if ..., `b` if ...; outputs with the same condition together, those that always may last."""
    parts = []
    for number, (condition, outputs) in enumerate(_together(rules).items()):
        may = f" {words.may}" if number == 0 and condition != Constant(False) else ""
        never = "never follows" if len(outputs) == 1 else "never follow"
        parts.append(f"{_named(outputs, words)}{may} {never if condition == Constant(False) else _when(condition, words)}")
    return "; ".join(parts)


def _together(rules: Sequence[tuple[int, Condition]]) -> dict[Condition, list[int]]:
    """The outputs with the same condition; those that always or never may follow last."""
    found: dict[Condition, list[int]] = {}
    for output, condition in sorted(rules, key=lambda rule: isinstance(rule[1], Constant)):
        found.setdefault(condition, []).append(output)
    return found


def _named(outputs: Sequence[int], words: Wording) -> str:
    return listed([words.output(output) for output in outputs], "and")


def _when(condition: Condition, words: Wording) -> str:
    if isinstance(condition, Constant):
        return condition.text(words)
    if isinstance(condition, Is) and isinstance(condition.notion, Current):
        return f"after {words.any_of(condition.tokens)}"
    if isinstance(condition, Unless):
        return f"unless {condition.what.text(words)}"
    return f"if {condition.text(words)}"


def chains(found: Sequence[Row], words: Wording) -> list[str]:
    """The rows as sentences, those alike in one: after each of some tokens this token or the next."""
    steps = [row for row in found if _is_step(row)]
    if len(steps) < 3:
        return [told(row, words) for row in found]
    tokens = [token for row in steps for token in row.tokens or ()]
    said = f"after {words.any_of(tokens)}: this token or the next"
    return [said, *(told(row, words) for row in found if row not in steps)]


def _is_step(row: Row) -> bool:
    """Whether the token itself may follow, or the next in the vocabulary, and nothing else."""
    if row.tokens is None or len(row.tokens) != 1:
        return False
    may = [output for output, condition in row.rules if condition == Constant(True)]
    fixed = not row.unnamed and all(isinstance(condition, Constant) for _, condition in row.rules)
    return fixed and may == [row.tokens[0], row.tokens[0] + 1]

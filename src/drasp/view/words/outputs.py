"""What may follow, in words: of each output when it is predicted, or after each token which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.labels import is_special
from drasp.view.words.claims import MayFollow
from drasp.view.words.conditions import Condition, Constant, Is, Tally, Unless, this_is
from drasp.view.words.finder import Finder
from drasp.view.words.notions import Current
from drasp.view.words.wording import Wording, listed

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
    bos = {token for token in conditions if finder.program.header.vocabulary[token] == "<bos>"}
    different = {condition for token, condition in conditions.items() if token not in bos} or different
    if len(different) > 1:
        return None
    found = next(iter(different))
    fits = all(condition in (found, Constant(_of_nothing(found))) for token, condition in conditions.items() if token in bos)
    return found if fits else None


def _of_nothing(condition: Condition) -> bool:
    """Whether a condition holds where all counts are 0."""
    if isinstance(condition, Tally):
        return condition.number >= 0 if condition.relation == "at most" else condition.number <= 0
    return condition == Constant(True)


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
    fixed = [words.output(output) for output, condition in row.rules if condition == Constant(True)]
    said = [f"{words.output(output)} {_when(condition, words)}" for output, condition in row.rules if not isinstance(condition, Constant)]
    if said or row.unnamed:
        said += [f"{listed(fixed, 'and')} always"] * bool(fixed)
        never = [words.output(output) for output, condition in row.rules if condition == Constant(False)]
        return ", ".join(said + [f"{listed(never, 'and')} never"] * bool(never))
    return listed(fixed, "or") if fixed else "nothing"


def _sentence(rules: Sequence[tuple[int, Condition]], words: Wording) -> str:
    """`a` may follow if ..., `b` if ...; outputs with the same condition together, those that always may last."""
    together: dict[Condition, list[int]] = {}
    for output, condition in rules:
        together.setdefault(condition, []).append(output)
    ordered = sorted(together.items(), key=lambda item: isinstance(item[0], Constant))
    parts = []
    for number, (condition, outputs) in enumerate(ordered):
        may = f" {words.may}" if number == 0 and condition != Constant(False) else ""
        never = "never follows" if len(outputs) == 1 else "never follow"
        when = never if condition == Constant(False) else _when(condition, words)
        parts.append(f"{listed([words.output(output) for output in outputs], 'and')}{may} {when}")
    return "; ".join(parts)


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

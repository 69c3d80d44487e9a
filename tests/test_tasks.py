"""The suite: what is sampled and answered, against second definitions written here."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise, permutations, product
from math import comb, factorial

import numpy as np
import pytest

from drasp.errors import TaskError
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.registry import get_task, task_names
from drasp.tasks.sampling import SuiteTask
from drasp.tasks.user import checked_answers, checked_sample

COUNT = 4_000


def _dyck(depth: int) -> Callable[[str], bool]:
    pattern = ""
    for _ in range(depth):
        pattern = f"(?:a{pattern}b)*"
    return lambda s: re.fullmatch(pattern, s) is not None


def _regex(pattern: str) -> Callable[[str], bool]:
    return lambda s: re.fullmatch(pattern, s) is not None


MEMBER: dict[str, Callable[[str], bool]] = {
    "D2": _dyck(2),
    "D3": _dyck(3),
    "D4": _dyck(4),
    "D12": _dyck(12),
    "tomita1": _regex("1*"),
    "tomita2": _regex("(10)*"),
    "tomita3": lambda s: not re.search("(?<!1)1(11)*0(00)*(?!0)", s),
    "tomita4": lambda s: "000" not in s,
    "tomita5": lambda s: s.count("0") % 2 == 0 and s.count("1") % 2 == 0,
    "tomita6": lambda s: (s.count("0") - s.count("1")) % 3 == 0,
    "tomita7": _regex("0*1*0*1*"),
    "aastar": _regex("(aa)*"),
    "aaaastar": _regex("(aaaa)*"),
    "ababstar": _regex("(abab)*"),
    "abcde": _regex("a+b+c+d+e+"),
    "ab_d_bc": _regex("[ab]*d[bc]*"),
    "012_0_2": _regex("[012]*02*"),
}


def _majority(tokens: list[str]) -> str:
    (first, most), *others = Counter(tokens).most_common()
    assert not others or others[0][1] < most
    return first


def _sum(tokens: list[str]) -> list[str]:
    first, second = "".join(tokens).split("+")
    assert all(number == "0" or number[0] == "1" for number in (first, second))
    return list(bin(int(first, 2) + int(second, 2))[2:])


def _distinct(tokens: list[str]) -> list[str]:
    assert len(set(tokens)) == len(tokens)
    return tokens


def _distinct_bigrams(tokens: list[str]) -> list[str]:
    assert len({*pairwise(tokens)}) == len(tokens) - 1
    return tokens


REPLY: dict[str, Callable[[list[str]], list[str]]] = {
    "bin_majority": lambda part: [_majority(part)],
    "majority": lambda part: [_majority(part)],
    "bin_majority_interleave": lambda part: [_majority(part[i::3]) for i in range(3)] + ["<eos>"],
    "unique_copy": lambda part: [*_distinct(part), "<eos>"],
    "unique_reverse": lambda part: [*reversed(_distinct(part)), "<eos>"],
    "sort": lambda part: [*sorted(_distinct(part), key=int), "<eos>"],
    "unique_bigram_copy": lambda part: [*_distinct_bigrams(part), "<eos>"],
    "repeat_copy": lambda part: [*part, "<eos>"],
    "count": lambda part: [str(i) for i in range(int(part[0]), int(part[1]) + 1)] + ["<eos>"],
    "parity": lambda part: [str(part.count("1") % 2)],
    "addition": lambda part: [*_sum(part), "<eos>"],
}

NUMBERS = tuple(str(i) for i in range(150))

# For each algorithmic task: symbols, number of positions, and the greatest offset by the length and the size of the whole sequence.
LAYOUT: dict[str, tuple[tuple[str, ...], int, Callable[[int, int], int]]] = {
    "bin_majority": (("0", "1"), 154, lambda n, size: 150 - n),
    "majority": (tuple("abcdefghijklmnopqrstuvwxyz"), 154, lambda n, size: 150 - n),
    "bin_majority_interleave": (("0", "1"), 156, lambda n, size: 150 - n),
    "unique_copy": (NUMBERS, 303, lambda n, size: 300 - 2 * n),
    "unique_reverse": (NUMBERS, 303, lambda n, size: 300 - 2 * n),
    "sort": (NUMBERS, 303, lambda n, size: 300 - 2 * n),
    "unique_bigram_copy": (NUMBERS[:16], 303, lambda n, size: 300 - 2 * n),
    "repeat_copy": (("a", "b"), 303, lambda n, size: 300 - 2 * n),
    "count": (NUMBERS, 155, lambda n, size: 150 - n),
    "parity": (("0", "1"), 154, lambda n, size: 150 - n),
    "addition": (("0", "1", "+"), 302, lambda n, size: 302 - size),
}
SYMBOLS = {name: "ab" if name[0] == "D" else "01" for name in MEMBER} | {
    "aastar": "a",
    "aaaastar": "a",
    "ababstar": "ab",
    "abcde": "abcde",
    "ab_d_bc": "abcd",
    "012_0_2": "012",
}


@pytest.fixture(params=task_names())
def task(request: pytest.FixtureRequest) -> SuiteTask:
    return get_task(request.param)


def _draw(task: Task, count: int = COUNT, lengths: tuple[int, int] = (0, 150), seed: int = 0) -> Sample:
    return checked_sample(task, np.random.default_rng(seed), count, lengths)


def _rows(task: Task, sample: Sample) -> list[list[str]]:
    """The tokens of each sequence, padding dropped; it must stand on the right."""
    sizes = (sample.token_ids != task.vocabulary.index("<pad>")).sum(1)
    names = np.array(task.vocabulary, dtype=object)
    return [names[ids[:size]].tolist() for ids, size in zip(sample.token_ids, sizes, strict=True)]


def _parts(name: str, rows: list[list[str]]) -> list[list[str]]:
    """What is read in each sequence; asserts that all of the sequence is right."""
    if name in MEMBER:
        assert all(row[0] == "<bos>" and row[-1] == "<eos>" and MEMBER[name]("".join(row[1:-1])) for row in rows)
        return [row[1:-1] for row in rows]
    parts = [row[1 : row.index("<sep>")] for row in rows]
    assert all(row == ["<bos>", *part, "<sep>", *REPLY[name](part)] for row, part in zip(rows, parts, strict=True))
    return parts


def test_the_suite_has_the_tasks_of_the_paper(task: SuiteTask) -> None:
    assert set(task_names()) == MEMBER.keys() | REPLY.keys()
    assert len(task_names()) == 28
    assert isinstance(task, Task)
    symbols, positions, _ = LAYOUT.get(task.name) or (tuple(SYMBOLS[task.name]), 152, None)
    assert task.vocabulary == (*symbols, "<bos>", "<sep>", "<eos>", "<pad>")
    assert task.positions == positions
    assert task.order == (NUMBERS if symbols == NUMBERS else None)
    assert task.predict == ("next-token-set" if task.name in MEMBER else "next-token")
    assert task.description
    assert "\n" not in task.description


def test_samples_are_drawn_fast_are_right_and_cover_every_length_and_offset(task: SuiteTask) -> None:
    start = time.perf_counter()
    sample = _draw(task)
    answers = checked_answers(task, sample)
    assert time.perf_counter() - start < 2
    rows = _rows(task, sample)
    parts = _parts(task.name, rows)
    place = np.arange(sample.token_ids.shape[1])

    lengths = np.array([int(p[1]) - int(p[0]) + 1 if task.name == "count" else len(p) for p in parts])
    expected = COUNT / len(task.valid_lengths)
    drawn = Counter(lengths.tolist())
    assert drawn.keys() == set(task.valid_lengths)
    assert all(abs(times - expected) < 6 * expected**0.5 for times in drawn.values())

    sizes = np.array([len(row) for row in rows])
    room = LAYOUT[task.name][2] if task.name in LAYOUT else lambda n, size: 150 - n
    rooms = np.array([room(int(n), int(size)) for n, size in zip(lengths, sizes, strict=True)])
    offsets = sample.position_ids[:, 0]
    assert (offsets >= 0).all()
    assert (offsets <= rooms).all()
    assert (offsets[rooms > 10] == 0).any()
    assert (offsets == rooms)[rooms > 10].any()
    assert abs((offsets / np.maximum(rooms, 1))[rooms > 10].mean() - 0.5) < 0.02
    assert np.array_equal(sample.position_ids, offsets[:, None] + np.minimum(place, sizes[:, None] - 1))

    starts = 0 if task.name in MEMBER else np.array([len(part) + 1 for part in parts])[:, None]
    assert np.array_equal(sample.scored, (place >= starts) & (place < sizes[:, None] - 1))
    following = np.roll(sample.token_ids, -1, axis=1)
    if task.name in MEMBER:
        assert np.take_along_axis(answers, following[:, :, None], axis=2)[sample.scored].all()
    else:
        assert np.array_equal(answers[sample.scored], following[sample.scored])


@pytest.mark.parametrize("name", MEMBER)
def test_sets_of_short_strings_are_those_of_brute_force(name: str) -> None:
    """A symbol may come next if some extension belongs to the language; all short ones and all repetitions of a symbol are tried."""
    task, symbols, member = get_task(name), SYMBOLS[name], MEMBER[name]
    longest = {"abcde": 4, "ababstar": 3}.get(name, 2)
    extensions = ["".join(letters) for n in range(longest + 1) for letters in product(symbols, repeat=n)]
    extensions += [symbol * n for symbol in symbols for n in range(longest + 1, 12)]
    prefixes = [""]
    for length in range(11 if len(symbols) < 3 else 9):
        token_ids = np.array([[task.bos, *map(symbols.index, prefix)] for prefix in prefixes]).reshape(len(prefixes), length + 1)
        found = task.answers(token_ids)[:, -1]
        viable, dead = [], []
        for prefix, allowed in zip(prefixes, found, strict=True):
            expected = np.zeros(len(task.vocabulary), dtype=bool)
            expected[task.eos] = member(prefix)
            for i, symbol in enumerate(symbols):
                expected[i] = any(member(prefix + symbol + extension) for extension in extensions)
                (viable if expected[i] else dead).append(prefix + symbol)
            assert np.array_equal(allowed, expected), prefix
        if dead:
            token_ids = np.array([[task.bos, *map(symbols.index, prefix + symbols[length % len(symbols)])] for prefix in dead])
            assert not task.answers(token_ids)[:, -2:].any()
        prefixes = viable


@pytest.mark.parametrize("name", REPLY)
def test_answers_look_only_at_what_stands_before_sep(name: str) -> None:
    task = get_task(name)
    sample = _draw(task, 200, (0, 30))
    behind = (sample.token_ids == task.sep).cumsum(1) - (sample.token_ids == task.sep) > 0
    spoilt = np.where(behind, 0, sample.token_ids)
    assert np.array_equal(task.answers(spoilt)[sample.scored], task.answers(sample.token_ids)[sample.scored])
    prompt_only = task.answers(sample.token_ids[:1, : int(behind[0].argmax())])
    assert prompt_only[0, -1] == sample.token_ids[0, behind[0].argmax()]


def test_padding_does_not_change_answers(task: SuiteTask) -> None:
    sample = _draw(task, 50, (0, 20))
    wide = np.pad(sample.token_ids, ((0, 0), (0, 7)), constant_values=task.pad)
    assert np.array_equal(task.answers(wide)[:, :-7][sample.scored], task.answers(sample.token_ids)[sample.scored])


def test_the_seed_decides(task: SuiteTask) -> None:
    first, again, other = (_draw(task, 100, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.token_ids.shape != other.token_ids.shape or not np.array_equal(first.token_ids, other.token_ids)
    assert not np.array_equal(first.position_ids[:, 0], other.position_ids[:, 0])


def test_a_range_is_kept_to(task: SuiteTask) -> None:
    for band in ((0, 50), (51, 100), (148, 150)):
        parts = _parts(task.name, _rows(task, _draw(task, 300, band)))
        lengths = {int(p[1]) - int(p[0]) + 1 if task.name == "count" else len(p) for p in parts}
        assert lengths <= set(range(band[0], band[1] + 1))


# How likely each part of a given length is, by an enumeration of the paper's sampling steps.


def _dyck_odds(most: int, left: int, depth: int = 0, climbing: bool = True) -> dict[str, float]:
    if left == depth:
        return {"b" * depth: 1.0}
    steps = min(most - depth, (left - depth) // 2) if climbing else depth
    odds: Counter[str] = Counter()
    for step in range(1, steps + 1):
        for rest, p in _dyck_odds(most, left - step, depth + (step if climbing else -step), not climbing).items():
            odds[("a" if climbing else "b") * step + rest] += p / steps
    return odds


def _tomita3_odds(left: int, ones: int = 0, last: str = "1") -> dict[str, float]:
    if left == 0:
        return {"": 1.0}
    odds: Counter[str] = Counter()
    for bit in "01":
        paired = bit == "0" and ones % 2 == 1
        if paired and left == 1:
            bit, paired = "1", False
        steps = range(2, left + 1, 2) if paired else range(1, left + 1)
        for step in steps:
            now_ones = ones if bit == "0" else step + (ones if last == "1" else 0)
            for rest, p in _tomita3_odds(left - step, now_ones, bit).items():
                odds[bit * step + rest] += p / 2 * (left + 1 - step) / sum(left + 1 - s for s in steps)
    return odds


def _tomita4_odds(left: int, before: str = "11") -> dict[str, float]:
    if left == 0:
        return {"": 1.0}
    bits = "1" if before == "00" else "01"
    return {bit + rest: p / len(bits) for bit in bits for rest, p in _tomita4_odds(left - 1, before[1] + bit).items()}


def _split_odds(left: int, parts: int) -> dict[tuple[int, ...], float]:
    if parts == 1:
        return {(left,): 1.0}
    return {(n, *rest): p / (left + 1) for n in range(left + 1) for rest, p in _split_odds(left - n, parts - 1).items()}


def _blocks_odds(symbols: str, left: int, least: int) -> dict[str, float]:
    odds: Counter[str] = Counter()
    for sizes, p in _split_odds(left - least * len(symbols), len(symbols)).items():
        for order in permutations(sizes):
            odds["".join(symbol * (size + least) for symbol, size in zip(symbols, order, strict=True))] += p / factorial(len(symbols))
    return odds


def _count_odds(symbols: str, n: int, seconds: Iterable[int]) -> dict[str, float]:
    """Two symbols in random order, the number of the second one uniform among those given."""
    strings = ["".join(s) for s in product(symbols, repeat=n)]
    wanted = set(seconds)
    return {s: 1 / len(wanted) / comb(n, s.count(symbols[1])) for s in strings if s.count(symbols[1]) in wanted}


def _ab_d_bc_odds(n: int) -> dict[str, float]:
    odds = {}
    for before in range(n):
        for head, p in _count_odds("ab", before, range(before + 1)).items():
            for tail, q in _count_odds("bc", n - 1 - before, range(n - before)).items():
                odds[f"{head}d{tail}"] = p * q / n
    return odds


def _012_0_2_odds(n: int) -> dict[str, float]:
    return {"".join(s) + "0" + "2" * (n - 1 - k): 3**-k / n for k in range(n) for s in product("012", repeat=k)}


def _addition_odds(n: int) -> dict[str, float]:
    def numbers(size: int) -> list[str]:
        return ["".join(s) for s in product("01", repeat=size) if size == 1 or s[0] == "1"]

    pairs = [(numbers(k), numbers(n - 1 - k)) for k in range(1, n - 1)]
    return {f"{x}+{y}": 1 / len(xs) / len(ys) / len(pairs) for xs, ys in pairs for x in xs for y in ys}


def _uniform(strings: Iterable[str]) -> dict[str, float]:
    listed = list(strings)
    return dict.fromkeys(listed, 1 / len(listed))


ODDS: dict[str, tuple[int, dict[str, float]]] = {
    "D2": (10, _dyck_odds(2, 10)),
    "D3": (10, _dyck_odds(3, 10)),
    "D4": (12, _dyck_odds(4, 12)),
    "D12": (10, _dyck_odds(12, 10)),
    "tomita3": (6, _tomita3_odds(6)),
    "tomita4": (7, _tomita4_odds(7)),
    "tomita5": (6, _count_odds("01", 6, (0, 2, 4, 6))),
    "tomita6": (7, _count_odds("10", 7, (2, 5))),
    "tomita7": (5, _blocks_odds("0101", 5, 0)),
    "abcde": (8, _blocks_odds("abcde", 8, 1)),
    "ab_d_bc": (4, _ab_d_bc_odds(4)),
    "012_0_2": (4, _012_0_2_odds(4)),
    "bin_majority": (6, _count_odds("01", 6, (0, 1, 2, 4, 5, 6))),
    "parity": (5, _count_odds("01", 5, range(6))),
    "repeat_copy": (5, _uniform("".join(s) for s in product("ab", repeat=5))),
    "addition": (6, _addition_odds(6)),
    "majority": (2, _uniform(2 * letter for letter in "abcdefghijklmnopqrstuvwxyz")),
    "count": (140, _uniform(f"{i}{i + 139}" for i in range(11))),
    "unique_copy": (1, _uniform(NUMBERS)),
    "unique_bigram_copy": (1, _uniform(NUMBERS[:16])),
}


@pytest.mark.parametrize("name", ODDS)
def test_members_are_as_likely_as_the_paper_makes_them(name: str) -> None:
    length, odds = ODDS[name]
    assert sum(odds.values()) == pytest.approx(1)
    task = get_task(name)
    drawn = Counter("".join(part) for part in _parts(name, _rows(task, _draw(task, 10_000, (length, length)))))
    assert drawn.keys() <= odds.keys()
    for string, p in odds.items():
        assert abs(drawn[string] - 10_000 * p) < 5 * (10_000 * p) ** 0.5 + 2, string


def test_bigram_copy_takes_a_token_with_the_most_continuations_left() -> None:
    task = get_task("unique_bigram_copy")
    for part in _parts(task.name, _rows(task, _draw(task, 10, (150, 150)))):
        used = {*pairwise(part[:16])}
        for last, token in pairwise(part[15:]):
            left = {t: 16 - sum(pair[0] == t for pair in used) for t in NUMBERS[:16] if (last, t) not in used}
            assert left[token] == max(left.values())
            used.add((last, token))


def test_interleaved_strings_are_drawn_like_bin_majority() -> None:
    task = get_task("bin_majority_interleave")
    parts = _parts(task.name, _rows(task, _draw(task, 20_000, (12, 12))))
    for i in range(3):
        zeros = Counter(part[i::3].count("0") for part in parts)
        assert zeros.keys() == {0, 1, 3, 4}
        assert all(abs(times - 5000) < 350 for times in zeros.values())


@pytest.mark.parametrize(
    ("name", "lengths", "message"),
    [
        ("D2", (3, 3), "task D2: no length in 3-3 is valid; those are 0, 2, ..., 150"),
        ("abcde", (0, 4), "task abcde: no length in 0-4 is valid; those are 5, 6, ..., 150"),
        ("sort", (9, 8), "task sort: no length in 9-8 is valid; those are 1, 2, ..., 150"),
        ("aaaastar", (0, 151), "task aaaastar: sequences have lengths up to 150, not 151"),
    ],
)
def test_impossible_lengths_are_refused(name: str, lengths: tuple[int, int], message: str) -> None:
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        get_task(name).sample(np.random.default_rng(0), 1, lengths)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TaskError) as raised:
        get_task("tomita8")
    message = str(raised.value)
    assert message.startswith("there is no task 'tomita8' (did you mean tomita")
    assert all(name in message for name in task_names())
    assert "\n" not in message

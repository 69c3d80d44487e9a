"""The algorithm in words: for each rule a small program, what is said of it, and that it is so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drasp
from drasp.decompilation import Decompilation
from drasp.ir.labels import listed
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.tasks.registry import known_task
from drasp.view.summary import in_paragraphs
from drasp.view.terminal import terminal
from drasp.view.words import Sentence, algorithm, random_scene, scene_of
from drasp.view.words.claims import IsShare, IsToken, IsWeighted, MayFollow, PutsOut, Tells, Within
from drasp.view.words.conditions import Both, Came, Constant, Is, Multiple, Same, Tally, Unless, this_is
from drasp.view.words.notions import (
    AfterSame,
    Back,
    Before,
    Commonest,
    Current,
    Extreme,
    First,
    Following,
    LastBut,
    Nearby,
    PlaceBack,
    PlaceOf,
)
from drasp.view.words.scene import Scene
from drasp.view.words.wording import NONE, Wording, called
from sample_evidence import sample_evidence
from strategies import programs, small_numbers

BRACKETS = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

"""
BITS = BRACKETS.replace('"a" "b"', '"0" "1"')
NUMBERS = """drasp 1
vocabulary "0".."149" <bos> <sep> <eos> <pad>
positions 303
predict next-token
order "0".."149"

"""

D2 = f"""{BRACKETS}histogram = aggregate(s=[], v=token)
m1 = [2*histogram["b"] - 2*histogram["a"] + 3*histogram[<bos>], 2*histogram["a"] - 2*histogram["b"] - histogram[<bos>]]
logits1 = project(inp=m1, op={{0: {{"a": 1}}, 1: {{"b": 1, <eos>: -1}}}})
prediction = sigmoid(logits1)
"""
D3 = f"""{BRACKETS}s1 = select(q=token, k=token, op={{"a": {{<bos>: 1.2}}}})
a1 = aggregate(s=s1, v=token)
m1 = [a1["b"] - 5*a1["a"] + token["b"] + 2, 3*a1["a"] - a1["b"] - token["b"] - token[<bos>]]
logits1 = project(inp=m1, op={{0: {{"a": 1}}, 1: {{"b": 1, <eos>: -1}}}})
prediction = sigmoid(logits1)
"""
TOMITA4 = f"""{BITS}s1 = select(q=pos, k=pos, op=10*(k == q - 1))
before = aggregate(s=s1, v=token)
m1 = [token["1"] + 1 - 2*before["0"], 1]
logits1 = project(inp=m1, op={{0: {{"0": 1}}, 1: {{"1": 1, <eos>: 1}}}})
prediction = sigmoid(logits1)
"""
ABCDE = """drasp 1
vocabulary "a" "b" "c" "d" "e" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

logits1 = project(inp=token, op={"a": {"a", "b"}, "b": {"b", "c"}, "c": {"c", "d"}, "d": {"d", "e"}, "e": {"e", <eos>}, <bos>: {"a"}})
prediction = sigmoid(logits1)
"""
AASTAR = """drasp 1
vocabulary "a" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

s1 = select(q=pos, k=pos, op=20*(k % 2 == q % 2))
a1 = aggregate(s=s1, v=token)
m1 = 2*a1[<bos>] - 0.001
logits1 = project(inp=m1, op={0: {<eos>: 1}})
logits2 = project(op={"a": 1})
prediction = sigmoid(logits1 + logits2)
"""
ABABSTAR = f"""{BRACKETS}s1 = select(k=token, op={{<bos>: 20}})
start = aggregate(s=s1, v=pos)
m1 = compare(pos, start, op=(x % 4 == y % 4))
m2 = [token["b"] - token["a"] + token[<bos>], m1[0] - 0.5]
logits1 = project(inp=m2, op={{0: {{"a": 1, "b": -1}}, 1: {{<eos>: 1}}}})
prediction = sigmoid(logits1)
"""
ONCE = """drasp 1
vocabulary "a" "b" "c" "d" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

a1 = aggregate(s=[], v=token)
m1 = [a1[<bos>] - 2*a1["d"], 1]
logits1 = project(inp=m1, op={0: {"a": 1, "c": -1, "d": 1, <eos>: -1}, 1: {"b": 1}})
prediction = sigmoid(logits1)
"""
SORT = f"""{NUMBERS}s1 = select(q=token, k=token, op=20*nearest(k > q) except {{<sep>: 20*first - 5000*(k in {{<bos>, <sep>}})}})
a1 = aggregate(s=s1, v=token)
m1 = compare(token, a1, op=(y > x) except {{<sep>: 1}})
logits1 = project(inp=a1, op=10*(out == inp) + 60*(out == <eos>))
logits2 = project(inp=m1, op={{0: {{<eos>: -80}}}})
prediction = softmax(logits1 + logits2)
"""
COPY = f"""{NUMBERS}s1 = select(q=pos, k=pos, op=20*(k == q - 1))
before = aggregate(s=s1, v=token)
s2 = select(q=token, k=before, op=20*(k == q) except {{<sep>: 20*(k == <bos>)}})
s3 = select(k=token, op={{<bos>: -10}})
s4 = select(q=pos, k=pos, op=-0.1*last)
found = aggregate(s=s2+s3+s4, v=token)
logits1 = project(inp=found, op=20*(out == inp) + {{<sep>: {{<eos>: 60}}}})
prediction = softmax(logits1)
"""
MAJORITY = """drasp 1
vocabulary "0" "1" <bos> <sep> <eos> <pad>
positions 154
predict next-token

histogram = aggregate(s=[], v=token)
logits1 = project(inp=histogram, op=200*(out == inp) + {<bos>: {"1": 30, "0": 30}})
prediction = softmax(logits1)
"""

ALONE = {
    "D2": (
        D2,
        "histogram is the share of each token so far.",
        "Let d be the number of `a` minus the number of `b` so far.",
        "`a` may follow if d is at most 1; `b` if d is at least 1; the end if d is at most 0.",
    ),
    "abcde": (ABCDE, "After `a`, `b`, `c` or `d`: this token or the next; after `e`: `e` or the end; after <bos>: `a`."),
    "tomita4": (
        TOMITA4,
        "before is the token before.",
        "`0` may follow unless this token and the token before are both `0`; `1` and the end always.",
    ),
    "once": (
        ONCE,
        "a1 is the share of each token so far.",
        "`a` and `d` may follow if no `d` has come yet; `c` and the end if a `d` has come; `b` always.",
    ),
}
ON_THE_TASK = {
    "D2": (
        D2,
        "Let d be the number of `a` minus the number of `b` so far; on the task's sequences d is 0 to 2.",
        "`a` may follow if d is at most 1; `b` if d is at least 1; the end if d is at most 0.",
    ),
    "D3": (
        D3,
        "a1 is the share of each token so far, where <bos> counts about 3.3 times after `a`.",
        "On the task's sequences, `a` may follow if d is at most 2; `b` if d is at least 1; the end if d is 0.",
    ),
    "aastar": (AASTAR, "The end may follow if the number of tokens since <bos> is even; `a` always."),
    "ababstar": (
        ABABSTAR,
        "start is the position of <bos>.",
        "m1 tells whether the number of tokens since <bos> modulo 4 is 0.",
        "`a` may follow after `b` or <bos>; `b` after `a`; the end if the number of tokens since <bos> modulo 4 is 0.",
    ),
    "sort": (
        SORT,
        "It puts out the smallest token so far that is larger; where there is none, the end.",
        "On the task's sequences, after <sep> it puts out the smallest token so far.",
    ),
    "unique_copy": (
        COPY,
        "before is the token before.",
        "On the task's sequences, it puts out the token that came after this one where it stood first; where that is <sep>, the end.",
        "On the task's sequences, after <sep> it puts out the first token.",
    ),
    "bin_majority": (MAJORITY, "It puts out the commonest symbol so far."),
}


def texts(sentences: tuple[Sentence, ...]) -> list[str]:
    return [sentence.text for sentence in sentences]


@pytest.mark.parametrize("name", ALONE)
def test_of_a_program_alone_is_told_what_follows_from_its_lines(name: str) -> None:
    source, *expected = ALONE[name]
    program = drasp.parse(source)
    assert program.algorithm == tuple(expected)
    fresh = random_scene(program, 7)
    assert all(claim.holds(fresh) for sentence in algorithm(program) for claim in sentence.claims)


@pytest.mark.parametrize("name", ON_THE_TASK)
def test_on_the_tasks_sequences_more_is_told_and_says_so(name: str) -> None:
    source, *expected = ON_THE_TASK[name]
    program, task = parse(source), drasp.get_task(name)
    told = algorithm(program, scene_of(program, task, (0, 60)))
    assert set(expected) <= set(texts(told))
    fresh, random = scene_of(program, task, (0, 60)), random_scene(program, 7)
    assert fresh is not None
    for sentence in told:
        assert all(claim.holds(fresh) for claim in sentence.claims), sentence.text
        assert not sentence.everywhere or all(claim.holds(random) for claim in sentence.claims), sentence.text


@settings(max_examples=50)
@given(programs(small_numbers), st.integers(1, 1000))
def test_whatever_is_told_of_a_program_holds_on_other_strings(program: Program, seed: int) -> None:
    with np.errstate(all="ignore"):
        fresh = random_scene(program, seed)
        for sentence in algorithm(program):
            assert all(claim.holds(fresh) for claim in sentence.claims), sentence.text
            assert sentence.text.endswith(".")


def test_what_has_no_name_is_said_to_have_none() -> None:
    source = f"""{BRACKETS}s1 = select(q=pos, k=pos, op=0.3*last)
late = aggregate(s=s1, v=token)
m1 = relu(late["a"] - 0.37) - relu(late["b"] - 0.61)*late["a"]
logits1 = project(inp=m1, op={{0: {{"a": 1}}}})
prediction = sigmoid(logits1)
"""
    assert texts(algorithm(parse(source)))[:1] == ["late has no short name here: see the listing."]
    assert "When `a` may follow has no short name here" in " ".join(texts(algorithm(parse(source)))).replace("when", "When")


def test_a_program_of_many_lines_is_not_put_into_words() -> None:
    lines = "".join(f"m{i} = token[<bos>]\n" for i in range(50))
    assert texts(algorithm(parse(f"{BRACKETS}{lines}prediction = sigmoid(0)\n"))) == ["51 statements are too many to be put into words."]


# What claims speak of.


def scene(source: str, *sequences: str) -> Scene:
    program = parse(source)
    rows = [[program.header.vocabulary.index(token) for token in sequence.split()] for sequence in sequences]
    ids = np.array(rows)
    return Scene(program, ids, np.arange(ids.shape[1]) + np.arange(len(ids))[:, None], np.ones(ids.shape, bool))


def tokens_of(notion: object, found: Scene) -> list[str]:
    names = found.program.header.vocabulary
    return ["-" if token == NONE else names[token] for token in notion.values(found)[0]]  # type: ignore[attr-defined]


def test_notions_are_what_they_are_called() -> None:
    found = scene(SORT, "<bos> 5 3 9 <sep> 3 5 7")
    said = {
        Current(): "<bos> 5 3 9 <sep> 3 5 7",
        Back(1): "- <bos> 5 3 9 <sep> 3 5",
        LastBut(9): "- 5 3 3 3 3 5 7",
        Nearby(larger=True): "- - 5 - - 5 9 9",
        Nearby(larger=False): "- - - 5 - - 3 5",
        Extreme(smallest=True): "- 5 3 3 3 3 3 3",
        Extreme(smallest=False): "- 5 5 9 9 9 9 9",
        Following(): "- 6 4 10 - 4 6 8",
        First(): "- 5 5 5 5 5 5 5",
        Before(151): "- - - - 9 9 9 9",
        AfterSame(after=True): "- - - - - 9 3 -",
        AfterSame(after=False): "- <bos> 5 3 9 5 <bos> 5",
        Commonest(): "- 5 3 3 3 3 3 3",
    }
    for notion, expected in said.items():
        assert " ".join(tokens_of(notion, found)) == expected, notion
    assert PlaceBack(1).values(found).tolist() == [[NONE, 0, 1, 2, 3, 4, 5, 6]]
    assert PlaceOf(151).values(found).tolist() == [[NONE] * 4 + [4] * 4]
    assert Commonest().agrees(found, found.token_ids).tolist() == [[True, True, True, True, False, True, True, False]]


def test_conditions_hold_where_they_say() -> None:
    found = scene(D2, "<bos> a a b a b b b")
    said = {
        Tally(((0, 1), (1, -1)), "at most", 0): "10000011",
        Tally(((0, 1), (1, -1)), "at least", 2): "00101000",
        Tally(((0, 2),), "exactly", 4): "00110000",
        Multiple(4, 0): "10001000",
        Came(0, 1): "00011111",
        Came(0, 0, False): "11000000",
        Is(Back(1), (NONE, 0)): "10110100",
        Same(Back(1)): "00100011",
        Both(this_is((1,)), Came(1, 0)): "00000111",
        Unless(this_is((0,))): "10010111",
        Constant(True): "11111111",
    }
    for condition, places in said.items():
        assert "".join(map(str, condition.holds(found)[0].astype(int))) == places, condition


def test_claims_that_are_not_so_do_not_hold() -> None:
    d2, sort = scene(D2, "<bos> a a b a", "<bos> b a b a"), scene(SORT, "<bos> 5 3 9 <sep> 3 5")
    depth = ((0, 1), (1, -1))
    assert MayFollow(0, Tally(depth, "at most", 1)).holds(d2)
    assert not MayFollow(0, Tally(depth, "at most", 2)).holds(d2)
    assert not MayFollow(0, Tally(depth, "at most", 1), after=(3,)).holds(d2)  # there is nothing to check
    assert Within(depth, -1, 2).holds(d2)
    assert not Within(depth, 0, 2).holds(d2)
    assert IsShare("histogram").holds(d2)
    assert not IsWeighted("histogram", ((1.0, 2.0, 1.0, 1.0, 1.0, 1.0),) * 6).holds(d2)
    plain = tuple(range(150))
    assert PutsOut(Nearby(larger=True), ((Is(Nearby(larger=True), (NONE,)), 152),), plain).holds(sort)
    assert not PutsOut(Nearby(larger=True), (), plain).holds(sort)
    assert PutsOut(Nearby(larger=True), (), plain, 0.3).holds(sort)
    assert IsToken("a1", Nearby(larger=True), alone=True).holds(scene(SORT, "<bos> 5 3 9 <sep>"))
    assert not IsToken("a1", Nearby(larger=False)).holds(sort)
    assert not Tells("m1", Constant(True)).holds(sort)


def test_tokens_are_called_by_their_names() -> None:
    words = Wording(parse(D2).header)
    assert [called(token) for token in ("a", "<bos>", "`", "", "a b")] == ["`a`", "<bos>", '"`"', '""', '"a b"']
    assert words.output(4) == "the end"
    assert words.tally(((1, -2), (0, 1))) == "the number of `a` minus 2 times the number of `b`"
    assert [listed(items, "or") for items in ([], ["x"], ["x", "y"], ["x", "y", "z"])] == ["", "x", "x or y", "x, y or z"]


# Where it is shown.


def test_the_algorithm_stands_before_the_listing_in_narrow_lines() -> None:
    program = parse(TOMITA4)
    found = scene_of(program, known_task("tomita4"), (0, 30))
    shown = terminal(program, None, found)
    assert shown.startswith("algorithm, as checked on 600 of the task's sequences:\n  before is the token before. ")
    assert shown.index("algorithm") < shown.index("size") < shown.index("drasp 1")
    beside = next(line for line in shown.splitlines() if line.startswith("before = "))
    assert beside.endswith("# the token before")
    paragraphs = in_paragraphs(algorithm(program, found), found)
    assert max(map(len, paragraphs.splitlines())) <= 80
    assert " ".join(paragraphs.split()).endswith(" ".join(texts(algorithm(program, found))))


def test_a_decompilation_knows_its_task() -> None:
    program = drasp.parse(D3)
    found = Decompilation(program, sample_evidence(program), (), drasp.get_task("D3"))
    assert "On the task's sequences, `a` may follow if d is at most 2; `b` if d is at least 1; the end if d is 0." in found.algorithm
    assert Decompilation(program, sample_evidence(program), ()).algorithm == program.algorithm


def test_a_task_that_is_not_to_be_had_leaves_the_program_alone() -> None:
    program = parse(D2)
    assert known_task("nothing.py:TASK") is None  # what is in it would be run
    assert known_task("no such task") is None
    assert known_task(None) is None
    assert scene_of(program, None, (0, 10)) is None
    assert scene_of(program, drasp.get_task("tomita4"), (0, 10)) is None
    assert scene_of(parse(D2.replace("next-token-set", "next-token-set\nattention bidirectional")), drasp.get_task("D2"), (0, 10)) is None
    assert scene_of(parse(D2.replace("152", "20")), drasp.get_task("D2"), (0, 150)) is None

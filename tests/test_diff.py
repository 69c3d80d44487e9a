"""Comparing programs: what is written otherwise is the same, and a change is shown by the shortest input on which it can be seen."""

import time
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import drasp
from drasp.cli import main
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.run.meaning import meaning
from rewritten import CHANGES, REWRITES, Rewrite, ended, rewritten
from strategies import programs, small_numbers

ROOT = Path(__file__).parent.parent
TOMITA4 = ROOT / "examples" / "tomita4.drasp"
SETS = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 12\npredict next-token-set\n'
ONE = SETS.replace("next-token-set", "next-token")


@cache
def drawn(count: int) -> list[Program]:
    """Random programs in which every line has a part in the prediction, and several tokens can be predicted."""
    found: list[Program] = []

    @seed(0)
    @settings(max_examples=4 * count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(programs(small_numbers))
    def draw(program: Program) -> None:
        header = program.header
        if min(len(header.vocabulary), len(header.predicted), header.positions) > 1 and len(program.statements) > 2:
            found.append(ended(program, np.random.default_rng(len(found))))

    draw()
    return found[-count:]


def predicted(program: Program, token_ids: list[int], offset: int = 0) -> np.ndarray:
    """What the slow interpreter says, position by position."""
    with np.errstate(all="ignore"):
        logits = meaning(program, token_ids, list(range(offset, offset + len(token_ids))))["prediction"]
    return logits.argmax(-1) if program.header.predict == "next-token" else logits > 0


def first_difference(a: Program, b: Program, longest: int) -> int | None:
    """The length of the shortest string of symbols, behind `<bos>` if there is any, on which two programs predict differently."""
    vocabulary, pad = a.header.vocabulary, {"<pad>", a.header.pad}
    tokens = [place for place, token in enumerate(vocabulary) if token not in pad]
    symbols = [place for place in a.header.symbols if place in tokens] or tokens or [0]
    front = [vocabulary.index("<bos>")] if "<bos>" in vocabulary else []
    for size in range(1, min(longest, a.header.positions) + 1):
        for string in product(symbols, repeat=size - len(front)):
            ids = [*front, *(int(token) for token in string)]
            if (predicted(a, ids) != predicted(b, ids)).any():
                return size
    return None


def check_change(change: Rewrite, program: Program, rng: np.random.Generator) -> str:
    """Changes a program, checks what is said of it against the slow interpreter, and gives what it is called."""
    changed = change(program, rng)
    found = drasp.diff(program, changed)
    seen = first_difference(program, changed, 3)
    if seen is not None:
        assert found.shortest is not None
        assert len(found.shortest.tokens) <= seen
    if found.shortest is not None:
        shown = found.shortest
        ids = [program.header.vocabulary.index(token) for token in shown.tokens]
        one, other = (predicted(its, ids, shown.offset)[shown.index] for its in (program, changed))
        assert np.any(one != other)
        names = program.header.predicted
        sets = program.header.predict == "next-token-set"
        assert [shown.a, shown.b] == [
            frozenset(name for name, is_in in zip(names, its, strict=True) if is_in) if sets else names[its] for its in (one, other)
        ]
    if found.lines.equal:
        for _ in range(5):
            ids, offset = rng.integers(0, len(program.header.vocabulary), 3).tolist(), int(rng.integers(program.header.positions))
            ids = ids[: program.header.positions - offset]
            np.testing.assert_array_equal(predicted(program, ids, offset), predicted(changed, ids, offset))
    return "equal" if found.lines.equal else "alike" if found.alike else "different"


@pytest.mark.parametrize("rewrite", [*REWRITES, rewritten], ids=lambda its: its.__name__)
def test_a_program_written_otherwise_is_the_same(rewrite: Rewrite) -> None:
    pairs = [(program, rewrite(program, np.random.default_rng(place))) for place, program in enumerate(drawn(60)[:40])]
    assert sum(program != other for program, other in pairs) >= 8
    assert all(drasp.diff(*pair).lines.equal for pair in pairs)


@pytest.mark.parametrize("change", CHANGES, ids=lambda its: its.__name__)
def test_a_change_is_shown_by_an_input_on_which_it_can_be_seen(change: Rewrite) -> None:
    rng = np.random.default_rng(0)
    changeable = [program for program in drawn(60) if change(program, rng) != program]
    found: list[str] = []
    for program in changeable:  # which programs are drawn hangs on the numbers that stand in whatever modules are loaded
        if len(found) >= 12 and found.count("different") >= 3:
            break
        found.append(check_change(change, program, rng))
    assert found.count("different") >= 3


@pytest.mark.slow
def test_two_hundred_pairs_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """What `pytest -s` prints are the figures."""
    many = drawn(200)
    started = time.monotonic()
    pairs = [(program, rewritten(program, np.random.default_rng(place))) for place, program in enumerate(many)]
    same = [drasp.diff(*pair).lines.equal for pair in pairs]
    took = time.monotonic() - started
    changes = [CHANGES[place % len(CHANGES)] for place in range(200)]
    found = [
        check_change(change, program, np.random.default_rng(place))
        for place, (change, program) in enumerate(zip(changes, many, strict=True))
    ]
    with capsys.disabled():
        print(f"\nwritten otherwise: {sum(same)} of 200 the same, in {took:.1f} s")
        print(f"changed: {', '.join(f'{found.count(kind)} {kind}' for kind in ('different', 'alike', 'equal'))}")
    assert all(same)


GAUGES = {
    "a number for each query": (
        SETS,
        "s = select(q=token, k=token, op=4*(k == q))\na = aggregate(s=s, v=token)\nl = project(inp=a, op=(out == inp) - 0.3)",
        's = select(q=token, k=token, op=4*(k == q) + {"a": {"a": 2, "b": 2, <bos>: 2, <sep>: 2, <eos>: 2, <pad>: 2}})\n'
        "a = aggregate(s=s, v=token)\nl = project(inp=a, op=(out == inp) - 0.3)",
    ),
    "a selector that is the same for all keys": (
        SETS,
        "a = aggregate(s=[], v=token)\nl = project(inp=a, op=(out == inp) - 0.3)",
        's = select(q=token, k=one, op={"a": 3, "b": -1})\na = aggregate(s=s, v=token)\nl = project(inp=a, op=(out == inp) - 0.3)',
    ),
    "the same for all logits": (
        ONE,
        "a = aggregate(s=[], v=pos)\nl = project(inp=token, op=(out == inp))",
        "a = aggregate(s=[], v=pos)\nl = project(inp=token, op=3*(out == inp) - 7*(inp == <bos>))",
    ),
    "a threshold that is scaled, with its constant elsewhere": (
        SETS,
        'a = aggregate(s=[], v=token)\nm = [a["a"] - a["b"] + 1, step(a["a"] - 0.5)]\nl = project(inp=m, op={0: {"a": 1}, 1: {"b": 2}})\n'
        'k = project(op={"b": -1})',
        'h = aggregate(s=[], v=token)\nm = [3*a["a"] - 3*a["b"], step(2*a["a"] - 1)]\nl = project(inp=m, op={0: {"a": 1}, 1: {"b": 1}})\n'
        'k = project(op={"b": -0.5, "a": 3})'.replace("h = ", "a = "),
    ),
    "shares that sum to 1": (
        SETS,
        'a = aggregate(s=[], v=token)\nm = a["a"] - 0.5\nl = project(inp=m, op={0: {"a": 1}})',
        'a = aggregate(s=[], v=token)\nm = a["a"] - a["b"] - a[<bos>] - a[<sep>] - a[<eos>] - a[<pad>]\n'
        'l = project(inp=m, op={0: {"a": 1}})',
    ),
    "other primitives and statements": (
        SETS,
        's = select(q=pos, k=pos, op=9*(k == q - 1))\na = aggregate(s=s, v=token)\nm = case(token, {"a": a["b"], "b": 1})\n'
        'n = compare(pos, pos, op=2*(x % 2 == y % 2))\nl = project(inp=m / n, op={0: {"a": 1}})',
        's = select(q=pos, k=pos, op=9*(k >= q - 1 and k < q))\na = aggregate(s=s, v=token)\nm = token["a"]*a["b"] + token["b"]\n'
        'l = project(inp=m, op={0: {"a": 4}})',
    ),
    "values of a table averaged, or averaged and looked up": (
        SETS,
        't = table(token, op={"a": {0: 1}, "b": {0: -2}})\na = aggregate(s=[], v=t)\nm = relu(a[0])\nl = project(inp=m, op={0: {"a": 1}})',
        'a = aggregate(s=[], v=token)\nm = relu(2*a["a"] - 4*a["b"])\nl = project(inp=m, op={0: {"a": 1}})',
    ),
    "products in either order": (
        SETS,
        'a = aggregate(s=[], v=token)\nm = min(a["a"]*token["b"], a["b"], 0.5)\nn = norm(a, op=(x == y))\n'
        'l = project(inp=m / n, op={0: {"a": 1}})',
        'a = aggregate(s=[], v=token)\nm = min(0.5, a["b"], token["b"]*a["a"])\nn = norm(a, op=4*(x == y))\n'
        'l = project(inp=m / n, op={0: {"a": 1}})',
    ),
}
PREDICTIONS = {SETS: "sigmoid", ONE: "softmax"}


@pytest.mark.parametrize(("header", "a", "b"), GAUGES.values(), ids=GAUGES)
def test_what_no_prediction_can_show_is_no_difference(header: str, a: str, b: str) -> None:
    logits = ["l + k" if "\nk = " in its else "l" for its in (a, b)]
    one, other = (parse(f"{header}{its}\nprediction = {PREDICTIONS[header]}({end})\n") for its, end in zip((a, b), logits, strict=True))
    found = drasp.diff(one, other)
    assert found.lines.equal
    assert found.alike
    assert found.compared == ()
    assert "the same up to names, order and gauge" in str(found)


def test_a_threshold_that_is_turned_around_or_moved_is_a_difference() -> None:
    text = SETS + 'a = aggregate(s=[], v=token)\nm = a["a"] - a["b"]\nl = project(inp=m, op={0: {"a": 1}})\nprediction = sigmoid(l)\n'
    for new in ('a["b"] - a["a"]', 'a["a"] - a["b"] + 0.1'):
        found = drasp.diff(parse(text), parse(text.replace('a["a"] - a["b"]', new)))
        assert found.lines.changed == (("m", "m"),)
        assert found.lines.same == (("a", "a"), ("l", "l"), ("prediction", "prediction"))
        assert found.shortest is not None


def test_one_edited_line_is_the_one_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = tmp_path / "edited.drasp"
    edited.write_text(TOMITA4.read_text(encoding="utf-8").replace("k == q - 1", "k == q - 2"), encoding="utf-8")
    assert main(["diff", str(TOMITA4), str(edited), "--task", "tomita4"]) == 1
    said = capsys.readouterr().out
    assert "- s1 = select(q=pos, k=pos, op=10*(k == q - 1))\n+ s1 = select(q=pos, k=pos, op=10*(k == q - 2))\n" in said
    assert "= a1 / a1: aggregate(s=s1, v=token)\n" in said
    assert "Shortest difference: <bos> 0\n  A predicts {0, 1, <eos>}, B predicts {1, <eos>}\n" in said
    assert "sequences of tomita4" in said
    found = drasp.diff(TOMITA4, edited, "tomita4")
    assert said == f"{found}\n"
    assert "&lt;bos&gt; 0" in found._repr_html_()


def test_the_same_program_is_told_with_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(TOMITA4), str(TOMITA4)]) == 0
    assert capsys.readouterr().out.startswith("A and B are the same up to names, order and gauge")


def test_programs_that_no_input_tells_apart_are_not_said_to_be_equal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, strength in (("a", 30), ("b", 31)):
        lines = f"s = select(q=pos, k=pos, op={strength}*(k == q - 1))\na = aggregate(s=s, v=token)\n"
        (tmp_path / f"{name}.drasp").write_text(f"{SETS}{lines}l = project(inp=a, op=(out == inp) - 0.4)\nprediction = sigmoid(l)\n")
    assert main(["diff", str(tmp_path / "a.drasp"), str(tmp_path / "b.drasp")]) == 0
    said = capsys.readouterr().out
    assert "no input shows a difference" in said
    assert "The same on all 4,095 inputs of up to 12 tokens." in said
    assert "equal" not in said


def test_tokens_in_another_order_and_fewer_positions_can_be_compared() -> None:
    lines = "s = select(q=pos, k=pos, op=9*(k == q - 1))\na = aggregate(s=s, v=token)\nm = pair(a, token)\nl = project(inp=m, op=W)\n"
    tensor = np.random.default_rng(0).normal(size=(6, 6, 6))
    order = [4, 1, 0, 5, 3, 2]
    one = parse(f"{SETS}{lines}prediction = sigmoid(l)\n", {"W": tensor.reshape(36, 6)})
    header = SETS.replace('"a" "b" <bos> <sep> <eos> <pad>', '<eos> "b" "a" <pad> <sep> <bos>').replace("12", "20")
    mixed = tensor[order][:, order][:, :, order]
    assert drasp.diff(one, parse(f"{header}{lines}prediction = sigmoid(l)\n", {"W": mixed.reshape(36, 6)})).lines.equal
    mixed[2, 1, 2] = -mixed[2, 1, 2]  # behind a, at b: whether a may come next
    found = drasp.diff(one, parse(f"{header}{lines}prediction = sigmoid(l)\n", {"W": mixed.reshape(36, 6)}))
    assert found.shortest is not None
    assert found.shortest.tokens == ("<bos>", "a", "b")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"0" "1"', '"0" "2"', 'tokens differ, "1" is only in A'),
        ("next-token-set", "next-token", "A predicts next-token-set, B next-token"),
        ("positions", 'outputs "0" "1" <eos> "x"\npositions', "outputs differ, <bos> is only in A"),
    ],
)
def test_programs_that_cannot_be_compared_give_one_line(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TOMITA4.read_text(encoding="utf-8").replace(old, new)
    text = text.replace('"1"', '"2"') if "2" in new else text
    text = text.replace("sigmoid", "softmax") if new == "next-token" else text.replace("drasp 1", "drasp 2") if "outputs" in new else text
    (tmp_path / "b.drasp").write_text(text, encoding="utf-8")
    assert main(["diff", str(TOMITA4), str(tmp_path / "b.drasp")]) == 2
    error = capsys.readouterr().err
    assert error == f"drasp: error: the programs cannot be compared: {says}\n"


@pytest.mark.parametrize(("task", "says"), [("D2", "none of these programs'"), ("D99", "there is no task 'D99'")])
def test_a_task_that_does_not_fit_gives_one_line(task: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(TOMITA4), str(TOMITA4), "--task", task]) == 2
    assert says in capsys.readouterr().err


def test_what_costs_much_stays_bounded() -> None:
    header = SETS.replace("positions 12", "positions 100000")
    text = header + 'a = aggregate(s=[], v=pos)\nl = project(inp=a, op={5: {"a": 1}})\nprediction = sigmoid(l)\n'
    found = drasp.diff(parse(text), parse(text.replace("{5:", "{0:")))
    assert found.shortest is not None
    assert sum(its.inputs for its in found.compared) < 1_000
    wide = parse(
        header + "s = select(q=pos, k=pos, op=9*(k == q))\na = aggregate(s=s, v=token)\nl = project(inp=a, op=1)\nprediction = sigmoid(l)\n"
    )
    with pytest.raises(drasp.DraspError, match="statement s is too large to compare: 100000 x 100000 numbers"):
        drasp.diff(wide, wide)


def test_the_text_fits_a_screen() -> None:
    found = [drasp.diff(one, other) for one, other in zip(sorted((ROOT / "examples").glob("*.drasp")), [TOMITA4], strict=False)]
    many = [f'm{i} = token["a"] - {i}\nl{i} = project(inp=m{i}, op={{0: {{"a": {i + 1}, "b": -1}}}})\n' for i in range(30)]
    ends = [f"prediction = sigmoid({' + '.join(f'l{i}' for i in its)})\n" for its in (range(30), range(15))]
    one, other = (SETS + "".join(many) + end for end in ends)
    found.append(drasp.diff(parse(one), parse(other.replace("- 3\n", '- 3*token["b"]\n'))))
    for difference in found:
        assert len(str(difference).splitlines()) <= 25
        assert max(map(len, str(difference).splitlines())) <= 80

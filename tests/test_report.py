"""The report: it says what program and evidence say, runs the program as the language means it, and takes any text."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from browser import chromium, compare, compare_model, interpreter_page
from drasp.cli import main
from drasp.errors import DraspError
from drasp.evidence.examples import Example
from drasp.evidence.schema import Evidence, FrontierEntry, Gap
from drasp.ir.nodes import POS, TOKEN, Aggregate, Harden, Norm, Prediction, Project, Read, Select
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.lang.folder import load_program, save_program
from drasp.lang.parser import parse
from drasp.lang.printer import statement_text
from drasp.model.forward import forward
from drasp.model.transformer import Transformer
from drasp.rewrite.lift import lift
from drasp.run.numpy_fast import evaluate
from drasp.tasks.registry import known_task
from drasp.view.report.page import LARGEST, report
from drasp.view.report.program import program_data
from drasp.view.words import Scene, algorithm, scene_of
from sample_evidence import EXAMPLE, sample_evidence
from small_models import header, random_parts, random_tokens, random_transformer
from strategies import inputs, meant_logits, programs
from test_evidence_interchange import D3

ROOT = Path(__file__).parent.parent
COUNTING = (ROOT / "examples" / "tomita4.drasp").read_text(encoding="utf-8")

EVERY_STATEMENT = """drasp 1
vocabulary "a" "b" "c" <bos> <eos>
positions 40
predict next-token
order "a" "b" "c"

s1 = select(q=pos, k=pos, op=hard(k == q - 1))
s2 = select(k=token, op={"a": 1.5, <bos>: -2})
s3 = select(q=token, k=token, op=W)
a1 = aggregate(s=s1, v=token)
a2 = aggregate(s=s2+s3, v=token)
a3 = aggregate(s=[], v=pos)
n1 = norm(a1, a2, op=G)
n2 = norm(a2, op=(x == y))
t1 = table(token, op={"a": {0: 2}, "b": {1: -1}})
h1 = harden(a1)
p1 = sharpen(a2, 2.5)
d1 = pair(token, h1)
d2 = pair(a1, a2 / n1)
c1 = compare(token, a2 / n2, op=2*(x == y) - 0.5*(y - x))
m1 = [relu(a1["a"] - a2["b"]), gelu(3*a2["c"]), step(t1[0]), sign(-a1["b"]), min(a1["a"], a2["a"], 0.25), max(c1[0], 0.1)]
m2 = exists(a1, "a") + 2*only(a2) - balance(a2, "a", "b")/n1[0]
e1 = case(token, {"a": m1[0] + 1, <bos>: a3[0]})
f1 = mlp(a1, a2 / n1, op=M)
f2 = mlp(token, op=N)
logits1 = project(inp=a1, op=(out == inp))
logits2 = project(inp=f1, op=R)
logits3 = project(inp=m1, op={0: {"a": 1}, 1: {"b": -1}, 2: {"c": 0.5}})
logits4 = project(inp=d1, op={("a", "b"): {"c": 2}})
logits5 = project(op={<eos>: 0.3})
logits6 = project(inp=f2, op=R)
logits7 = project(inp=d2, op={("b", "a"): {"a": 1}})
prediction = softmax(logits1 + logits2 + logits3 + logits4 + logits5 + logits6 + logits7)
"""

HOSTILE = (
    *(
        '"',
        "'",
        "\\",
        "&amp;",
        "<!--",
        "]]>",
        "${alert(1)}",
        "{{data}}",
        "<script>alert(1)</script>",
        "</script>",
        "</style>",
        "<img/src=x>",
    ),
    *("🙂", "👩‍👩‍👧", "שלום", "مرحبا", "\u202eabc", "é\u2028", "#", "constructor", "__proto__", "x" * 200),
    *("<script>", "<bos>", "<eos>"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        with chromium() as found:
            yield found
    except (ImportError, LookupError) as missing:
        pytest.skip(f"the page needs a browser to be tested: {missing}")


@pytest.fixture(scope="module")
def blank(browser: Any) -> Any:
    return interpreter_page(browser)


class _Page:
    """A report opened in the browser, with everything that went wrong in it."""

    def __init__(self, browser: Any, file: Path) -> None:
        self.context = browser.new_context(viewport={"width": 1366, "height": 768})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: request.url.startswith(("file:", "data:")) or self.complaints.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_text_contents()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the report of a program; the test fails where the page complained or asked for anything."""
    pages: list[_Page] = []

    def open_report(
        program: Program, evidence: Evidence | None = None, scene: Scene | None = None, model: Transformer | None = None
    ) -> _Page:
        file = tmp_path / f"{len(pages)}.html"
        file.write_text(report(program, evidence, "a program", scene, model), encoding="utf-8")
        pages.append(_Page(browser, file))
        return pages[-1]

    yield open_report
    for page in pages:
        assert page.complaints == []
        page.context.close()


def _every_statement(header_line: str = "") -> Program:
    rng = np.random.default_rng(0)
    sizes = {"M.in.0": (5, 4), "M.in.1": (5, 4), "M.gain": (4,), "M.shift": (4,), "M.w_in": (4, 7), "M.b_in": (7,), "M.w_out": (7, 4)}
    tensors = {"W": rng.normal(size=(5, 5)), "R": rng.normal(size=(4, 5)), **{name: rng.normal(size=size) for name, size in sizes.items()}}
    tensors |= {"M.b_out": rng.normal(size=4), "M.eps": np.float64(1e-5), "G": rng.normal(size=(10, 10)), "G.eps": np.float64(0.5)}
    tensors["G"] = tensors["G"] @ tensors["G"].T
    tensors |= {name.replace("M", "N"): value for name, value in tensors.items() if name.startswith("M") and name != "M.in.1"}
    return parse(EVERY_STATEMENT.replace("\n\n", f"\n{header_line}\n", 1), {**tensors, "N.sigma": np.float64(1.25)})


moderate = st.integers(-40, 40).map(lambda n: n / 8)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_page_computes_what_the_program_means(blank: Any, data: Any) -> None:
    program = data.draw(programs(moderate))
    token_ids, position_ids = data.draw(inputs(program))
    expected = meant_logits(program, token_ids, position_ids)
    assume(np.isfinite(expected).all() and np.abs(expected).max(initial=0) < 1e6)
    for found in compare(blank, program, zip(token_ids, position_ids, strict=True)):
        assert found.difference <= 1e-9
        assert found.same


@pytest.mark.parametrize("name", ["every statement", "bidirectional", "tomita4", "exact model"])
def test_the_page_computes_every_kind_of_statement(blank: Any, name: str) -> None:
    model = random_transformer(layers=2, heads=2, seed=0)
    program = {
        "every statement": _every_statement,
        "bidirectional": lambda: _every_statement("attention bidirectional\n"),
        "tomita4": lambda: parse(COUNTING),
        "exact model": lambda: lift(model, header(model)),
    }[name]()
    rng = np.random.default_rng(0)
    drawn = (_random_input(program, rng) for _ in range(200))
    inputs = list(islice((each for each in drawn if _decided(program, *each)), 10))
    assert len(inputs) == 10
    for found in compare(blank, program, inputs):
        assert found.difference <= 1e-9
        assert found.same


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"norm": "rms", "mlp": "silu gated", "position": "rotary"},
        {"norm": "none", "final": False, "mlp": "relu", "position": "sinusoidal", "biases": False},
        {"order": "post", "mlp": "gelu_exact", "attention": "padded", "outputs": 3},
        {"order": "parallel", "position": "rotary interleaved", "attention": "bidirectional"},
        {"order": "post", "mlp": None, "position": "none"},
    ],
    ids=str,
)
def test_the_page_computes_what_the_model_computes(blank: Any, parts: dict[str, Any]) -> None:
    model = random_parts(2, 3, **parts)
    token_ids, position_ids = random_tokens(model, 5, batch=6)
    for difference, _, _ in compare_model(blank, model, zip(token_ids, position_ids, strict=True)):
        assert difference <= 1e-4


def test_the_model_stands_beside_its_program(opened: Any) -> None:
    model = random_transformer(1, 2, 0)
    program = parse(COUNTING)
    program = Program(replace(program.header, positions=model.positions), program.statements, program.operators)
    evidence = sample_evidence(program, examples=())
    evidence = replace(evidence, model=replace(evidence.model, sha256=model.sha256))
    page = opened(program, evidence, model=model)
    page.page.fill("#tokens", "1 0 0 1")
    assert page.texts("#strips .strip-title b") == ["head 0.0", "head 0.1"]
    logits = forward(model, np.array([[2, 1, 0, 0, 1]])).numpy()[0]
    same = [set(np.flatnonzero(row > 0)) for row in logits]
    said = page.page.evaluate("modelSaid().answers.map((answer) => [...answer])")
    assert [set(answer) for answer in said] == same
    mine = [set(answer) for answer in page.page.evaluate("Interpreter.predictions(program, state.run.logits)")]
    alike = sum(a == b for a, b in zip(mine, same, strict=True))
    assert page.texts("#agreement") == [f"Program and model say the same at {'all' if alike == 5 else f'{alike} of the'} 5 positions."]


def test_a_page_carries_the_model_of_its_program_alone() -> None:
    program, model = parse(COUNTING), random_transformer(1, 2, 0, positions=302)
    with pytest.raises(DraspError, match="was found for a model with the SHA-256 abab"):
        report(program, sample_evidence(program), "it", model=model)
    with pytest.raises(DraspError, match="another number of tokens, outputs or positions"):
        report(program, None, "it", model=random_transformer(1, 2, 0, positions=9))
    large = random_transformer(1, 2, 0, width=160, positions=program.header.positions)
    with pytest.raises(DraspError, match=r"weights take [\d,]+ bytes; a page carries a model of 1,000,000 at the most"):
        report(program, None, "it", model=large)


def _decided(program: Program, token_ids: np.ndarray, position_ids: np.ndarray) -> bool:
    """Whether no `harden` has to choose between coordinates that only rounding tells apart."""
    values = evaluate(program, token_ids[None], position_ids[None]).values
    hardened = [values[s.input.variable] for s in program.statements if isinstance(s, Harden)]
    return all((np.diff(np.sort(value, -1)[..., -2:]) > 1e-9).all() for value in hardened)


def _random_input(program: Program, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    time = int(rng.integers(1, program.header.positions))
    first = int(rng.integers(0, program.header.positions - time))
    return rng.integers(0, len(program.header.vocabulary), time), first + np.arange(time)


def test_what_is_typed_is_run(opened: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = opened(parse(COUNTING))
    page.page.fill("#first", "3")
    page.page.fill("#tokens", "1 0 0")
    assert main(["run", str(ROOT / "examples" / "tomita4.drasp"), "1 0 0", "--offset", "3"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for place, line in enumerate(printed):
        page.page.evaluate(f"point({place})")
        said = page.texts("#readout p")
        assert said[0] == f"Position {place + 3}, token {line.split()[1]}"
        assert said[1] == f"program: {line.split('->  ')[1]}"
    assert page.texts("#strips .head .token .cell") == ["<bos>", "1", "0", "0"]
    assert "looks at 0@5 1.00" in " ".join(page.texts("#readout")[0].split())


@pytest.mark.parametrize(
    ("tokens", "first", "problem"),
    [
        ("1 2 0", "0", "Unknown token 2. The program's tokens are: 0  1  <bos>  <sep>  <eos>  <pad>"),
        ("1 0", "150", "3 tokens from position 150 on reach beyond the program's 152 positions."),
        ("1 0", "-1", "The first position is a whole number from 0 on."),
    ],
)
def test_what_cannot_be_run_gives_one_line_and_leaves_the_page_alive(opened: Any, tokens: str, first: str, problem: str) -> None:
    page = opened(parse(COUNTING))
    page.page.fill("#first", first)
    page.page.fill("#tokens", tokens)
    assert page.texts("#problem") == [problem]
    page.page.fill("#first", "0")
    page.page.fill("#tokens", "1 1")
    assert page.texts("#problem") == [""]
    assert page.texts("#strips .head .token .cell") == ["<bos>", "1", "1"]


def test_lines_are_reached_by_keyboard_and_show_their_operator_and_what_they_read(opened: Any) -> None:
    page = opened(parse(COUNTING))
    page.page.focus("#listing li[tabindex='0']")
    assert page.texts("#panel h3") == ["s1 where to look"]
    assert page.page.locator("#panel canvas").count() == 1
    page.page.keyboard.press("ArrowDown")
    assert page.texts("#panel h3") == ["a1 what is found there"]
    assert page.page.evaluate("document.activeElement.id") == "line-a1"
    assert [text.split(" ")[0] for text in page.texts("#listing li.read code")] == ["s1"]
    page.page.hover("#line-m1")
    assert page.texts("#panel h3") == ["m1 a formula"]


MARKED = """(found) => {
  const mark = document.querySelector(found), [box, whole] = [mark, mark.parentElement].map((its) => its.getBoundingClientRect());
  return [box.top - whole.top - mark.parentElement.clientTop, mark.parentElement.clientHeight];
}"""
"""How far from the top of its map a mark stands, and how high the map is: asked for at once, as the page may scroll between."""
ALPHA = """(selector) => {
    const canvas = document.querySelector(selector);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const row = (r) => Array.from({length: canvas.width}, (_, c) => data[4 * (r * canvas.width + c) + 3] > 0);
    return Array.from({length: canvas.height}, (_, r) => row(r));
}"""


def test_the_operator_is_drawn_as_it_is(opened: Any) -> None:
    page = opened(parse(COUNTING))
    page.page.get_by_role("button", name="Show all").click()
    np.testing.assert_array_equal(page.page.evaluate(ALPHA, "#panel canvas"), parse(COUNTING).matrix("s1") > 0)


def test_attention_has_queries_as_rows(opened: Any) -> None:
    page = opened(parse(COUNTING))
    page.page.fill("#tokens", "1 0 0 1")
    page.page.focus("#line-a1")
    weights = np.reshape(page.page.evaluate("Array.from(state.run.attention.a1)"), (5, 5))
    assert not np.triu(weights, 1).any()
    for where in ("#panel", "#strips"):
        drawn = page.page.evaluate(ALPHA, f"{where} .grid:has(.query) canvas")
        np.testing.assert_array_equal(drawn, weights > 0.002)
        page.page.evaluate("point(3)")
        top, height = page.page.evaluate(MARKED, f"{where} .query")
        assert top == pytest.approx(0.6 * height, abs=1)  # the fourth of five rows
    page.page.hover("#panel .map canvas", position={"x": 2, "y": 30})  # the first column, the second row
    assert page.texts("#tip")[0].splitlines()[:2] == ["query: position 1, 1", "key: position 0, <bos>"]


def test_what_is_typed_into_an_example_begins_at_the_first_position(opened: Any) -> None:
    program = parse(COUNTING)
    page = opened(program, sample_evidence(program, examples=(replace(EXAMPLE, positions=8),)))
    assert page.page.input_value("#first") == "8"
    page.page.fill("#tokens", "1 1")
    assert page.page.input_value("#first") == "0"
    assert page.texts("#strips .place .cell") == ["0", "1", "2"]
    page.page.fill("#first", "5")
    page.page.fill("#tokens", "1 1 0")
    assert page.texts("#strips .place .cell") == ["5", "6", "7", "8"]  # where one began oneself stays
    page.page.locator("#examples button").click()
    assert page.page.input_value("#first") == "8"
    page.page.locator("#palette button").first.click()
    assert page.page.input_value("#first") == "0"


def test_a_link_shows_what_its_sender_saw(opened: Any) -> None:
    page = opened(parse(COUNTING))
    page.page.fill("#first", "3")
    page.page.fill("#tokens", "1 0 0")
    page.page.wait_for_url("**/*#input=%3Cbos%3E+1+0+0*")
    shown = page.texts("#strips .head .cell")
    link = page.page.url
    assert link.endswith("#input=%3Cbos%3E+1+0+0&first=3")
    page.page.goto("about:blank")
    page.page.goto(link)
    page.page.wait_for_selector("html[data-ready]")
    assert page.texts("#strips .head .cell") == shown
    page.page.evaluate("location.hash = 'program'")
    page.page.evaluate("location.hash = 'input=1+1'")
    page.page.wait_for_function("state.ids.length === 3")
    assert page.texts("#strips .place .cell") == ["0", "1", "2"]
    page.page.evaluate("location.hash = 'input=%3Cb%3E'")
    page.page.wait_for_function("document.getElementById('problem').textContent !== ''")
    assert page.texts("#problem")[0].startswith("Unknown token <b>.")


def test_program_and_attention_are_saved_as_a_picture(opened: Any) -> None:
    program = parse(COUNTING)
    page = opened(program)
    page.page.fill("#tokens", "1 0 0")
    with page.page.expect_download() as download:
        page.page.locator("#save").click()
    assert download.value.suggested_filename == "a-program.svg"
    picture = ElementTree.parse(download.value.path()).getroot()
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    lines = [statement_text(statement, program.header) for statement in program.statements]
    assert texts[: len(lines)] == lines
    averages = [statement for statement in program.statements if isinstance(statement, Aggregate)]
    assert texts.count("<bos>") == 2 * len(averages)
    assert [text for text in texts if text and "attention" in text] == [f"{each.name}: attention" for each in averages]


def test_recorded_answers_stand_beside_those_of_the_program(opened: Any) -> None:
    program = parse(COUNTING)
    wrong = replace(EXAMPLE, positions=8, model=(("0", "1", "<eos>"), ("0",)))
    page = opened(program, sample_evidence(program, examples=(EXAMPLE, wrong)))
    assert page.texts("#examples .small") == ["same answer at 2 of 2 positions", "same answer at 1 of 2 positions"]
    page.page.locator("#examples button").nth(1).click()
    assert page.texts("#agreement") == ["Program and model say the same at 1 of the 2 positions that count."]
    assert page.texts("#strips .marks .cell") == ["·", "✓", "✗"]
    assert page.texts("#readout p")[1] == "program: {1, <eos>}model: {0}"
    page.page.fill("#tokens", "1")
    assert page.texts("#agreement") == [""]


def test_the_evidence_is_all_there(opened: Any) -> None:
    program = parse(COUNTING)
    point = FrontierEntry(5, 0, 9, 0.9, "evidence", "p.drasp")
    frontier = (point, replace(point, statements=9, opaque=2, match=1.0, file="q"))
    gaps = (Gap("language", "<b>bold</b>"),)
    page = opened(program, sample_evidence(program, frontier=frontier, gaps=gaps, stopped_by_time=True))
    text = " ".join(page.texts("main")[0].split())
    for part in (
        *("0.9987", "[0.9979, 0.9992]", "behaviour only", "0.123", "p.drasp", "<b>bold</b>", "62.5 % of predictions stay without it"),
        *("exactly alike", "random strings", "of 93 swaps that change something", "not faithful"),
    ):
        assert part in text
    assert "The search ran out of time." in text
    assert page.texts("#evidence-body p")[-2:] == ["Why is there no more evidence?", "language: <b>bold</b>."]
    raw = page.page.locator("#evidence-body h3:text('Attention') ~ details.raw pre").first
    assert not raw.is_visible()
    assert set(json.loads(raw.text_content())) == {"attention"}
    assert page.texts("#listing em") == [" behaviour only", " not faithful"]
    assert "drasp decompile MODEL --match 0.99 --lengths 0-100 --seed 0 --time 60s --task tomita4" in text
    assert page.page.locator("svg.frontier circle").count() == 2
    assert page.texts("#title") == ["tomita4 decompiled"]


def test_the_algorithm_in_words_stands_first(opened: Any) -> None:
    program = parse(COUNTING)
    scene = scene_of(program, known_task("tomita4"), (0, 50))
    assert scene is not None
    page = opened(program, sample_evidence(program), scene)
    plain = [sentence.text.replace("`", "") for sentence in algorithm(program, scene)]
    assert page.texts("#algorithm li") == plain
    assert page.texts("#algorithm p") == [f"Each sentence was checked on {len(scene.token_ids)} of the task's sequences."]
    assert page.texts("h1, h2")[1] == "The algorithm"


def test_a_page_without_match_says_why(opened: Any) -> None:
    program, nothing = parse(COUNTING), {"match": None, "task": None, "model_task": None, "baseline": None, "lines": None}
    evidence = sample_evidence(program, verdict="not decompiled", reason="match could not be measured: no budget")
    page = opened(program, replace(evidence, **nothing))
    assert "Match could not be measured: no budget." in page.texts("#evidence-body")[0]


@pytest.mark.parametrize("predict", ["next-token", "next-token-set"])
def test_any_vocabulary_is_shown_as_text(opened: Any, predict: Any) -> None:
    size = len(HOSTILE)
    shape = Header(HOSTILE, 60, predict, HOSTILE)
    statements = (
        Select("s1", TOKEN, TOKEN, Dense("W")),
        Aggregate("a1", ("s1",), TOKEN),
        Select("s2", POS, POS, Dense("V")),
        Aggregate("a2", ("s2",), TOKEN),
        Project("l1", TOKEN, Dense("W")),
        Prediction(("l1",)),
    )
    program = Program(shape, statements, {"W": np.roll(np.eye(size), 1, axis=1), "V": np.eye(60)})
    example = Example(("<bos>", *HOSTILE), 0, (0,), (HOSTILE[0] if predict == "next-token" else (HOSTILE[0],),))
    settings = {"match": 0.5, "lengths": [0, 1], "task": "</title><script>alert(2)</script>"}
    page = opened(program, sample_evidence(program, examples=(example,), settings=settings, reason="<script>alert(3)</script>"))
    assert page.texts("#title")[0].startswith("</title><script>alert(2)</script>")
    assert page.page.title().startswith("</title><script>alert(2)</script>")
    assert page.page.evaluate("document.scripts.length") == 3
    assert page.page.evaluate("document.querySelectorAll('main img, main script, main style').length") == 0
    page.page.locator("#examples button").click()
    shown = [json.dumps(token, ensure_ascii=False) if token in ("\u202eabc", "é\u2028") else token for token in ("<bos>", *HOSTILE)]
    told = page.texts("#strips .head .token .cell")
    assert [text for text in told if text not in shown] == [json.dumps(HOSTILE[13], ensure_ascii=False)]  # its joiners cannot be seen
    for token in ("<script>alert(1)</script>", "</style>", "🙂", "שלום", "x" * 200, "__proto__"):
        page.page.fill("#tokens", token)
        assert page.texts("#problem") == [""]
        assert page.texts("#strips .head .token .cell") == ["<bos>", token]
        assert page.texts("#readout p")[0] == f"Position 1, token {token}"
    page.page.fill("#tokens", "<b>none</b>")
    assert page.texts("#problem")[0].startswith("Unknown token <b>none</b>.")
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_long_inputs_and_large_vocabularies_stay_inside_the_page(opened: Any) -> None:
    vocabulary = (*map(str, range(150)), "<bos>", "<sep>", "<eos>", "<pad>")
    program = parse(
        'drasp 1\nvocabulary "0".."149" <bos> <sep> <eos> <pad>\npositions 303\npredict next-token\norder "0".."149"\n\n'
        "s1 = select(q=pos, k=pos, op=-2*log(q - k))\na1 = aggregate(s=s1, v=token)\na2 = aggregate(s=[], v=pos)\n"
        "l1 = project(inp=a1, op=(out == inp))\nprediction = softmax(l1)\n"
    )
    assert program.header.vocabulary == vocabulary
    page = opened(program)
    page.page.fill("#tokens", " ".join(str(i * 7 % 150) for i in range(302)))
    assert page.page.locator("#strips .head .token .cell").count() == 303
    assert page.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.page.evaluate("document.getElementById('strips').offsetHeight < 768")


@pytest.mark.parametrize(("positions", "fits"), [(400, True), (600, False)])
def test_a_program_that_would_make_the_page_too_large_is_shown_but_not_run(opened: Any, positions: int, fits: bool) -> None:
    dense = {"W": np.random.default_rng(0).normal(size=(positions, positions)), "B": np.eye(2)}
    statements = (
        Select("s1", POS, POS, Dense("W")),
        Aggregate("a1", ("s1",), TOKEN),
        Project("l1", TOKEN, Dense("B")),
        Prediction(("l1",)),
    )
    program = Program(Header(("a", "b"), positions, "next-token"), statements, dense)
    evidence = sample_evidence(program, examples=(Example(("a",), 0, (0,), ("a",)),))
    assert len(report(program, evidence, "x").encode()) <= LARGEST
    page = opened(program, evidence)
    assert page.page.locator("#form").is_visible() == fits
    assert ("too large to run in the page" in page.texts("#try-intro")[0]) != fits
    page.page.hover("#line-l1")
    assert page.page.locator("#panel canvas").count() == 1


def test_large_operators_of_small_rank_run_in_the_page_as_factors(blank: Any) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 500, 6)).astype(np.float32)
    gram = rng.normal(size=(500, 6)).astype(np.float32)
    tensors = {
        "W": (rows[0] @ rows[1].T).astype(np.float32),
        "G": (gram @ gram.T).astype(np.float32),
        "G.eps": np.float64(1e-5),
        "B": np.eye(2),
    }
    statements = (
        Norm("n1", (POS,), Dense("G")),
        Select("s1", POS, Read("pos", "n1"), Dense("W")),
        Aggregate("a1", ("s1",), TOKEN),
        Project("l1", Read("a1"), Dense("B")),
        Prediction(("l1",)),
    )
    program = Program(Header(("a", "b"), 500, "next-token"), statements, tensors)
    packed = program_data(program, LARGEST)["tensors"]
    assert [tensor["rank"] for tensor in packed] == [6, 6, None]  # the last is no shorter as factors
    assert program_data(program, np.inf)["tensors"][0]["rank"] is None
    token_ids, position_ids = rng.integers(0, 2, 100), 350 + np.arange(100)
    for found in compare(blank, program, [(token_ids, position_ids)]):
        assert found.difference <= 1e-5
        assert found.same


CUT = """() => [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility()).filter((each) => {
    const { overflowX, overflowY } = getComputedStyle(each);
    return each.getBoundingClientRect().right > innerWidth + 1
        || (overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1)
        || (overflowY !== "visible" && each.scrollHeight > each.clientHeight + 3);
}).map((each) => `${each.tagName} ${each.id} ${each.className} ${each.textContent}`)"""


PALE = """() => {
    const channels = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const light = (text) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * linear(channels(text)[i] / 255), 0);
    const clear = (text) => channels(text)[3] === 0;
    const behind = (each) => {
        const { backgroundColor } = getComputedStyle(each);
        return clear(backgroundColor) ? behind(each.parentElement) : backgroundColor;
    };
    const texts = [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility({visibilityProperty: true}))
        .filter((each) => !each.closest("svg") && [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return texts.filter((each) => {
        const [low, high] = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05) < 4.5;
    }).map((each) => `${each.tagName} ${each.className} ${each.textContent}`);
}"""

NAMELESS = """() => {
    const found = document.querySelectorAll("button, a, input, [role=img], [role=group], ol, [tabindex='0'], aside, nav");
    return [...found].filter((each) => {
        const byAnother = document.getElementById(each.getAttribute("aria-labelledby"))?.textContent;
        const own = each.matches("button, a, li, pre") && each.textContent.trim();
        return !(each.getAttribute("aria-label") || byAnother || each.labels?.[0]?.textContent || own);
    }).map((each) => each.outerHTML);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_and_has_names_for_all(opened: Any, scheme: str) -> None:
    program = parse(COUNTING)
    point = FrontierEntry(5, 0, 9, 0.9, "evidence", "p.drasp")
    page = opened(program, sample_evidence(program, frontier=(point,)))
    page.page.emulate_media(color_scheme=scheme)
    for line in ("s1", "a1", "logits1"):
        page.page.focus(f"#line-{line}")
        assert page.page.evaluate(PALE) == []
        assert page.page.evaluate(NAMELESS) == []
    levels = page.page.eval_on_selector_all("h1, h2, h3", "all => all.map((each) => Number(each.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.page.get_attribute("html", "lang") == "en"


def test_all_is_reached_by_keyboard_and_what_has_the_focus_is_seen(opened: Any) -> None:
    program = parse(COUNTING)
    page = opened(program, sample_evidence(program))
    reached = []
    while True:
        page.page.keyboard.press("Tab")
        if page.page.evaluate("document.activeElement === document.body"):
            break
        reached.append(page.page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"line-s1", "tokens", "first", "position", "save", "strips", "Raw figures", "How to read it"} <= set(reached)
    page.page.focus("#panel [role=img]")
    page.page.keyboard.press("ArrowDown")
    assert page.texts("#tip")[0].startswith("q: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1366])
@pytest.mark.parametrize("name", ["D3", "long lines"])
def test_the_page_never_scrolls_sideways(opened: Any, name: str, width: int, scheme: str) -> None:
    program = parse(D3) if name == "D3" else _every_statement()
    page = opened(program, sample_evidence(parse(COUNTING), examples=()) if name == "D3" else None)
    page.page.emulate_media(color_scheme=scheme)
    page.page.set_viewport_size({"width": width, "height": 800})
    assert page.page.evaluate("document.documentElement.scrollWidth") == width
    for selector in ("#listing code", "#panel .map"):
        assert page.page.eval_on_selector_all(selector, "all => all.every((each) => each.scrollWidth <= each.clientWidth)")


@pytest.mark.parametrize(("width", "scheme"), [(1366, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["D3", "long lines"])
def test_axe_finds_nothing(opened: Any, name: str, width: int, scheme: str) -> None:
    """The rules of axe-core, which most accessibility checkers share."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed").Axe()
    page = opened(parse(D3) if name == "D3" else _every_statement(), sample_evidence(parse(COUNTING)) if name == "D3" else None)
    page.page.emulate_media(color_scheme=scheme)
    page.page.set_viewport_size({"width": width, "height": 800})
    page.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    found = axe.run(page.page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


@pytest.mark.parametrize("name", ["D3", "long lines"])
def test_nothing_is_cut_on_paper(opened: Any, name: str) -> None:
    page = opened(parse(D3) if name == "D3" else _every_statement())
    page.page.fill("#tokens", " ".join("ab" * 15))
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.page.emulate_media(media="print")
    page.page.set_viewport_size({"width": 718, "height": 1000})  # of A4 with margins of a centimetre
    assert page.page.evaluate(CUT) == []


def test_a_report_prints(opened: Any) -> None:
    page = opened(parse(COUNTING))
    assert page.page.pdf()[:5] == b"%PDF-"
    assert page.page.evaluate("document.querySelectorAll('#operators canvas').length") == 2


def test_the_command_writes_a_page_once_and_again_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = parse(COUNTING)
    save_program(program, tmp_path)
    (tmp_path / "evidence.json").write_text(json.dumps(sample_evidence(program).to_json()))
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    evidence = sample_evidence(program)
    scene = scene_of(program, known_task(evidence.settings["task"]), evidence.settings["lengths"])
    assert page == report(load_program(tmp_path), evidence, tmp_path.name, scene)
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"drasp: error: {tmp_path / 'report.html'} is there already; choose another --out, or --force to replace it"
    ]
    assert main(["report", str(tmp_path), "--force"]) == 0
    assert main(["report", str(tmp_path / "program.drasp"), "--out", str(tmp_path / "other.html")]) == 0
    (tmp_path / "alone.drasp").write_text(COUNTING, encoding="utf-8")
    assert main(["report", str(tmp_path / "alone.drasp")]) == 0
    assert (tmp_path / "alone.html").exists()


@pytest.mark.parametrize(
    "changed",
    [{"tokens": ("none",)}, {"tokens": ()}, {"positions": 150}, {"scored": (5, 6)}, {"scored": (1,)}, {"model": (("0",), ("none",))}],
)
def test_examples_of_another_program_are_refused_in_one_line(changed: dict[str, Any]) -> None:
    program = parse(COUNTING)
    with pytest.raises(DraspError, match=r"^evidence.json is damaged: examples: one does not fit the program$"):
        report(program, sample_evidence(program, examples=(replace(EXAMPLE, **changed),)), "x")


def test_the_report_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "p.drasp").write_text(COUNTING, encoding="utf-8")
    code = (
        "import sys\nfrom drasp.cli import main\nassert main(sys.argv[1:]) == 0\nassert not sys.modules.keys() & {'torch', 'scipy', 'rich'}"
    )
    subprocess.run([sys.executable, "-c", code, "report", str(tmp_path / "p.drasp")], check=True, capture_output=True)

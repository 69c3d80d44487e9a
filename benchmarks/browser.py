"""Checks the interpreter of the report page against the meaning of the language, in a headless Chromium, on programs of all kinds.

    python benchmarks/browser.py runs/* examples/tomita4.drasp

For each program (a run folder or a `.drasp` file) it prints the largest difference of any variable, attention or logit on the inputs, in
relation to the largest number where that is above 1, and how many inputs are not predicted alike; further the size of its report, and the
milliseconds from a key typed behind the longest of the inputs to the picture. The inputs are drawn from the task that the evidence names,
or the file is called by, else at random.

    python benchmarks/browser.py --models D2 tomita4 sort unique_copy count

For each bundled model it prints how far the logits and the attention of a page that carries it are from those of torch in double precision,
and at how many positions it predicts otherwise, on sequences of its task.
"""

import argparse
import base64
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drasp.errors import TaskError
from drasp.ir.nodes import BUILT_IN, Aggregate
from drasp.ir.program import Program
from drasp.lang.folder import load_program
from drasp.learn.evaluation import predictions
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.model.transformer import Transformer
from drasp.run.meaning import attention, meaning
from drasp.search.record import load_evidence
from drasp.tasks.registry import get_task
from drasp.view.report.model import model_data
from drasp.view.report.page import LARGEST, interpreter_script, report
from drasp.view.report.program import program_data

MARGIN = 1e-9  # in relation to the largest logit: below it, two logits, or one and 0, are taken as equal

RUN = """([ids, positions, names]) => {
    const run = Interpreter.evaluate(program, ids, positions);
    const vectors = names.vectors.map((name) => Interpreter.dense(run.vectors[name]));
    const parts = [run.logits.data, ...vectors, ...names.attention.map((name) => run.attention[name])];
    const bytes = new Uint8Array(Float64Array.from(parts.flatMap((part) => Array.from(part))).buffer);
    const texts = [];
    for (let i = 0; i < bytes.length; i += 8192) texts.push(String.fromCharCode(...bytes.subarray(i, i + 8192)));
    return {numbers: btoa(texts.join("")), predictions: Interpreter.predictions(program, run.logits)};
}"""

RUN_MODEL = """([ids, positions]) => {
    const {logits, attention} = Model.evaluate(model, ids, positions);
    return [Array.from(logits.data), attention.flat().map((weights) => Array.from(weights))];
}"""

TYPE = """async (text) => {
    const field = document.getElementById("tokens");
    const times = [];
    for (const typed of [text, text.slice(0, text.lastIndexOf(" ")), text, text.slice(0, text.lastIndexOf(" ")), text]) {
        field.value = typed;
        const began = performance.now();
        field.dispatchEvent(new Event("input"));
        document.getElementById("strips").getBoundingClientRect();
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        times.push(performance.now() - began);
    }
    return times.slice(1).sort((a, b) => a - b)[2];
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, driven by Playwright. Raises LookupError where there is no Chromium, ImportError where there is no Playwright."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        raise LookupError("there is no chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def interpreter_page(browser: Any) -> Any:
    """A blank page with the interpreter."""
    page = browser.new_page()
    page.add_script_tag(content=interpreter_script() + "\nlet program = null, model = null;")
    return page


@dataclass(frozen=True)
class Comparison:
    """The browser against what the program means on one input: the largest difference, and whether both predict the same.

    A prediction that hangs on the last digits (see MARGIN) is not counted: sums in another order decide it.
    """

    difference: float
    same: bool


def compare(page: Any, program: Program, inputs: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[Comparison]:
    """Runs a program in the page on inputs, token and position ids (time) each, and compares every variable, attention and logit."""
    data = program_data(program, LARGEST)  # as in its report, factors included; whole where that leaves something out
    data = program_data(program, np.inf, np.inf) if None in data["tensors"] else data
    page.evaluate("async (data) => { program = await Interpreter.load(data); }", data)
    found = []
    for ids, positions in inputs:
        meant = meaning(program, ids, positions)
        aggregates = [statement for statement in program.statements if isinstance(statement, Aggregate)]
        names = {"vectors": [name for name in program.bases if name not in BUILT_IN], "attention": [a.name for a in aggregates]}
        weights = [attention(program, statement, meant) for statement in aggregates]
        expected = [array.ravel() for array in (meant["prediction"], *(meant[name] for name in names["vectors"]), *weights)]
        result = page.evaluate(RUN, [ids.tolist(), positions.tolist(), names])
        numbers = np.frombuffer(base64.b64decode(result["numbers"]))
        given = np.split(numbers, np.cumsum([len(array) for array in expected])[:-1])
        difference = max(map(_difference, given, expected))
        found.append(Comparison(difference, _same(program, meant["prediction"], result["predictions"])))
    return found


def compare_model(
    page: Any, model: Transformer, inputs: Iterable[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Runs a model in the page and in torch on inputs, token and position ids (time) each: for each the largest difference of a logit or a
    weight of attention, and the logits (time, outputs) of both.
    """
    page.evaluate("async (data) => { model = await Model.load(data); }", model_data(model))
    oracle = TorchTransformer(model, torch.float64)
    found = []
    for ids, positions in inputs:
        batch = ids[None], positions[None]
        logits = oracle(*batch)[0].numpy()
        heads = [weights[0].numpy() for weights in oracle.attention(*batch).values()]
        said, attention = page.evaluate(RUN_MODEL, [ids.tolist(), positions.tolist()])
        pairs = [(np.reshape(said, logits.shape), logits), *((np.reshape(a, b.shape), b) for a, b in zip(attention, heads, strict=True))]
        found.append((max(float(np.abs(mine - theirs).max()) for mine, theirs in pairs), pairs[0][0], logits))
    return found


def _same(program: Program, logits: np.ndarray, said: list[Any]) -> bool:
    """Whether the browser predicts what the program predicts from `logits` (time, vocabulary)."""
    answers = predictions(logits, program.header.predict)
    margin = MARGIN * np.maximum(1, np.abs(logits).max(-1, keepdims=True))
    if answers.ndim == 2:
        found = np.array([[c in row for c in range(logits.shape[1])] for row in said])
        return bool(((found == answers) | (np.abs(logits) <= margin)).all())
    found = np.array(said)
    return bool(
        ((found == answers) | (np.take_along_axis(logits, found[:, None], -1) >= logits.max(-1, keepdims=True) - margin)[:, 0]).all()
    )


def _difference(given: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(given - expected).max() / max(1.0, np.abs(expected).max()))


def _inputs(program: Program, path: Path, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token and position ids of sequences, of the task where it is known."""
    evidence = load_evidence(path)
    settings: dict[str, Any] = {"task": path.stem, "lengths": [0, 150]} | ({} if evidence is None else evidence.settings)
    try:
        return _of_task(settings["task"], tuple(settings["lengths"]), count)
    except TaskError:
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(count):
            time = int(rng.integers(1, min(program.header.positions, 300) + 1))
            first = int(rng.integers(0, program.header.positions - time + 1))
            drawn.append((rng.integers(0, len(program.header.vocabulary), time), first + np.arange(time)))
        return drawn


def _of_task(task: str, lengths: tuple[int, int], count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    sample = get_task(task).sample(np.random.default_rng(0), count, lengths)
    ends = sample.scored.shape[1] - sample.scored[:, ::-1].argmax(1)
    return [(tokens[:end], places[:end]) for tokens, places, end in zip(sample.token_ids, sample.position_ids, ends, strict=True)]


def _report(browser: Any, program: Program, path: Path, longest: tuple[np.ndarray, np.ndarray]) -> str:
    """How large the report is and how fast it follows what is typed."""
    text = report(program, load_evidence(path), path.stem)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "report.html"
        file.write_text(text, encoding="utf-8")
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        fits = page.evaluate("program.complete")
        page.fill("#first", str(longest[1][0])) if fits else None
        words = " ".join(program.header.vocabulary[i] for i in longest[0])
        speed = f"{page.evaluate(TYPE, words):.0f}" if fits else "does not fit"
        page.close()
    return f"{len(text.encode()) / 1e6:.2f} | {speed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=Path)
    parser.add_argument("--models", nargs="*", default=(), help="bundled models, which are run in the page")
    parser.add_argument("--inputs", type=int, default=100)
    arguments = parser.parse_args()
    if shutil.which("chromium") is None:
        sys.exit("there is no chromium on the path")
    with chromium() as browser:
        page = interpreter_page(browser)
        if arguments.programs:
            print(
                "| program | inputs | longest | difference | predicted otherwise | report MB | update ms |\n|---|---|---|---|---|---|---|"
            )
        for path in arguments.programs:
            _program_row(browser, page, path, arguments.inputs)
        if arguments.models:
            print("| model | inputs | longest | difference | positions predicted otherwise | of |\n|---|---|---|---|---|---|")
        for name in arguments.models:
            _model_row(page, name, arguments.inputs)


def _program_row(browser: Any, page: Any, path: Path, count: int) -> None:
    program = load_program(path)
    inputs = _inputs(program, path, count)
    found = compare(page, program, inputs)
    longest = max(inputs, key=lambda one: len(one[0]))
    largest, other = max(one.difference for one in found), sum(not one.same for one in found)
    report_row = _report(browser, program, path, longest)
    print(f"| {path.stem} | {len(found)} | {len(longest[0])} | {largest:.1e} | {other} | {report_row} |", flush=True)


def _model_row(page: Any, name: str, count: int) -> None:
    folder, task = resolve_model(name)
    assert task is not None
    inputs, predict = _of_task(task, (0, 150), count), get_task(task).predict
    found = compare_model(page, load_transformer(folder), inputs)
    differ = [np.reshape(predictions(a, predict) != predictions(b, predict), (len(a), -1)).any(1) for _, a, b in found]
    other, longest = np.concatenate(differ), max(len(ids) for ids, _ in inputs)
    print(f"| {name} | {len(found)} | {longest} | {max(gap for gap, *_ in found):.1e} | {other.sum()} | {len(other)} |", flush=True)


if __name__ == "__main__":
    main()

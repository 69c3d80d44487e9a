"""The documentation: its site builds without a warning, its commands and programs run as they are printed."""

import contextlib
import inspect
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import drasp
from drasp.cli import _parser, main
from drasp.search.decompile import decompile
from small_models import LITTLE

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

# The pages of which all shell commands are run below.
RUN = ("docs/tutorial.md", "docs/edit-a-program.md", "docs/own-task.md")
# Those of the others are run by no test of their own, each for a reason.
NOT_RUN = {
    "python benchmarks/controls.py": "it takes minutes; tests/test_controls.py tests its parts",
    "python benchmarks/browser.py RUNS": "tests/test_report.py calls it, where there is a browser",
    "pip install 'drasp[plots]'": "it installs a package",
    "drasp convert FILE.pt --config config.json --out DIR": "tests/test_convert.py does, with files that it makes",
    "drasp train D2 --out runs/d2-twin --norm rms --position none --activation relu --steps 2000": "tests/test_train.py trains such a one",
    "pip install drasp transformers": "it installs packages",
    "pip install 'drasp[study]'": "it installs a package",
    "drasp study examples/small.toml --out runs/small": "it takes minutes; tests/test_study_run.py runs a smaller one",
    "drasp study studies/generalisation/grid.toml --out runs/generalisation": "it takes hours; tests/test_studies.py checks what it left",
    "drasp study grid.toml --out runs/study --scheduler tcp://host:8786": "it needs a cluster",
    "make setup": "it makes the environment that the tests run in",
    "make demo": "it decompiles D2, as the Python of the README does",
    "make test": "it is what runs this",
    "make check": "it is what runs this, and the linters",
    "make fuzz": "tests/fuzz/ tries a few inputs where this runs",
    "make fuzz INPUTS=1000": "tests/fuzz/ tries a few inputs where this runs",
    "make audit": "it installs a package, and asks for what is known of others",
    "make docs": "it builds what a test here builds",
}


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def _run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs one line of a shell block in a folder: drasp, or sed with its output in a file."""
    program, *arguments = shlex.split(command)
    if program == "sed":
        script, source, _, target = arguments
        text = (folder / source).read_text(encoding="utf-8")
        done = subprocess.run(["sed", script], input=text, capture_output=True, text=True, check=True)
        assert done.stdout != text
        (folder / target).write_text(done.stdout, encoding="utf-8")
        return done
    assert program == "drasp"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def _lines(block: str) -> list[tuple[str, str]]:
    """The commands of a shell block, each with what is expected in the comment behind it."""
    parts = (line.partition("  # ") for line in block.splitlines())
    return [(command.strip(), expected.strip()) for command, _, expected in parts]


def test_the_site_builds_without_a_warning_and_loads_nothing_from_the_network(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'drasp[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", str(ROOT / "mkdocs.yml")]
    done = subprocess.run([*command, "--site-dir", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path.read_text(encoding="utf-8") for path in tmp_path.glob("*.html")]
    assert len(pages) == len(list((ROOT / "docs").glob("*.md"))) + 1  # and 404.html
    for page in pages:
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?([^\s\">]+)", page)
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []


def test_every_command_is_run_by_a_test_or_listed_with_a_reason() -> None:
    lines = {line for page in PAGES if page not in RUN for block in _blocks(page, "sh") for line, _ in _lines(block)}
    named = {found for page in PAGES for found in re.findall(r"`((?:make|pip|python) [^`]+)`", (ROOT / page).read_text(encoding="utf-8"))}
    assert lines | named == set(NOT_RUN)


@pytest.mark.parametrize("page", PAGES)
def test_code_is_marked_with_what_it_is(page: str) -> None:
    fences = re.findall(r"^```(.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences[::2]) <= {"sh", "python", "drasp", "json", "text"}
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_and_in_lists_are_commands_that_there_are(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"`(drasp [a-z][^`]*)`", text) + re.findall(r"^(drasp [a-z].*?)(?:  .*)?$", text, re.MULTILINE)
    for command in found:
        words = shlex.split(re.sub(r"\[[^]]*\]|\|\w+|\s#.*", "", command).replace(" N", " 5"))[1:]
        if words[1:] and not words[1].startswith("-"):  # else it is only mentioned
            _parser().parse_args(words)


@pytest.mark.slow
def test_the_commands_of_the_tutorial_do_what_it_says(tmp_path: Path) -> None:
    for command, expected in (line for block in _blocks("docs/tutorial.md", "sh") for line in _lines(block)):
        done = _run(command, tmp_path)
        assert done.returncode == 0, done.stderr
        if expected:
            assert done.stdout.splitlines()[-1].endswith(f"->  {expected}")
        if command.startswith("drasp decompile"):
            printed = next(block for block in _blocks("docs/tutorial.md", "text") if "\ndrasp 1\n" in block)
            program = drasp.load_program(tmp_path / "runs" / "majority")
            words, _, listing = printed.partition("\n\n")
            assert done.stdout.startswith(words.partition("\nmatch")[0])
            assert drasp.parse(listing) == program
    assert {"report.html", "program.py", "program.tex", "program.md"} <= {path.name for path in (tmp_path / "runs" / "majority").iterdir()}


def test_the_tutorial_shows_every_command() -> None:
    (commands,) = (action.choices for action in _parser()._subparsers._group_actions)  # type: ignore[union-attr]
    shown = {line.split()[1] for block in _blocks("docs/tutorial.md", "sh") for line, _ in _lines(block)}
    assert shown >= set(commands or ()) - {"convert", "diff", "study"}  # which the pages on models, on editing and on studies show


def _programs() -> list[str]:
    """The programs of the pages; a block without a header stands under the one that is a header alone."""
    blocks = [block for page in PAGES for block in _blocks(page, "drasp")]
    (header,) = (block for block in blocks if block.startswith("drasp 1") and "=" not in block)
    return [block if block.startswith("drasp 1") else f"{header}\n{block}" for block in blocks if block != header]


@pytest.mark.parametrize("text", _programs())
def test_the_programs_of_the_pages_run(text: str) -> None:
    program = drasp.parse(text)
    assert drasp.parse(drasp.print_program(program)) == program
    symbols = [token for token in program.header.vocabulary if not token.startswith("<")]
    assert len(program.trace(["<bos>", symbols[0], symbols[-1]]).predictions) == 3


def test_the_program_on_the_first_page_knows_two_brackets_deep() -> None:
    (text,) = _blocks("docs/index.md", "drasp")
    trace = drasp.parse(text).trace("<bos> a a b b")
    assert trace.predictions == ({"a", "<eos>"}, {"a", "b"}, {"b"}, {"a", "b"}, {"a", "<eos>"})
    assert _blocks("README.md", "drasp") == [text]


def test_the_messages_of_the_page_on_troubleshooting_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "drasp").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # literals side by side
    for name, value in {"CONFIG": "config.json", "WEIGHTS": "model.safetensors", "FRONTIER_FILE": "frontier.json"}.items():
        code = code.replace(f"{{{name}}}", value)
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:  # up to what stands for a name or a number
        for part in re.split(r"\.\.\.|\b[A-Z](?:\d|-[A-Z])?\b|\bs2\b|MODEL|FILE\.jsonl:LINE|'x'|--device cuda|reasons", message):
            assert part.strip(" :;") in code, message


def test_the_page_on_python_has_every_public_name_with_its_parameters() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(drasp.__all__)
    for name, parameters in re.findall(r"^drasp\.(\w+)\((.*)\)(?: -> \w+)?$", page, re.MULTILINE):
        written = re.findall(r"(?:^|, )(\w+)(?==|,|$)", re.sub(r"\([^()]*\)", "", parameters))
        assert written == list(inspect.signature(getattr(drasp, name)).parameters), name


def test_the_python_of_the_page_on_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    first, in_memory = _blocks("docs/python.md", "python")
    names: dict[str, Any] = {}
    exec(first, names)
    assert names["trace"].predictions[-1] == {"1", "<eos>"}
    pytest.importorskip("transformers")
    monkeypatch.setattr(drasp, "decompile", lambda *asked: decompile(*asked, tuning=LITTLE))
    exec(in_memory, names)
    assert names["found"].evidence.verdict == "decompiled"


def test_the_printed_script_writes_the_example_file(tmp_path: Path) -> None:
    (script,) = _blocks("docs/own-task.md", "python")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "marked.jsonl").read_bytes() == (ROOT / "examples" / "marked.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commands", "last"), list(zip(_blocks("docs/own-task.md", "sh"), ("{a, <eos>}", "y"), strict=True)), ids=("python", "jsonl")
)
def test_a_task_of_ones_own_from_training_to_the_program(commands: str, last: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line, _ in _lines(commands):
        done = _run(line, tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"->  {last}")
    (evidence,) = (tmp_path / "runs").glob("*/evidence.json")
    assert json.loads(evidence.read_text())["verdict"] in ("decompiled", "imitated")


@pytest.mark.parametrize("commands", _blocks("docs/edit-a-program.md", "sh"), ids=("as found", "shift", "tokens", "slip"))
def test_an_edited_program_does_what_the_edit_says(commands: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for command, expected in _lines(commands):
        done = _run(command, tmp_path)
        if done.returncode == 2:
            assert done.stderr.splitlines()[0].endswith(expected)
        elif expected:
            assert done.stdout.splitlines()[-1].endswith(f"->  {expected}")


def test_the_python_of_the_readme_does_what_it_says(decompiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def known(*asked: Any) -> Any:
        assert asked == ("D2", "D2", drasp.Settings(match=0.99))
        return decompiled  # what the same call gave before

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(drasp, "decompile", known)
    _, script = _blocks("README.md", "python")
    names: dict[str, Any] = {}
    exec(script, names)
    assert names["found"].evidence.verdict == "decompiled"
    assert names["logits"].shape == (1, 3, 6)
    assert names["trace"].predictions[-1] == {"1", "<eos>"}
    assert names["edited"].trace("<bos> 1 0 0").predictions[-1] == {"0", "1", "<eos>"}
    assert names["smaller"] != names["program"]


def test_a_model_and_strings_of_ones_own_in_fifteen_lines_at_the_most() -> None:
    pytest.importorskip("transformers")
    import torch

    script, _ = _blocks("README.md", "python")
    assert len(script.splitlines()) <= 15
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(script, names)
    found = names["found"]
    assert found.program.header.vocabulary == ("a", "b", "c")
    assert found.evidence.verdict in ("decompiled", "imitated")
    assert found.program.trace(list("cabbabcab")).predictions[-1] == "c"

"""The commands of the documentation, run as they are printed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def _blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_printed_script_writes_the_example_file(tmp_path: Path) -> None:
    (script,) = _blocks("own-task.md", "python")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "marked.jsonl").read_bytes() == (ROOT / "examples" / "marked.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("commands", "last"), list(zip(_blocks("own-task.md", "sh"), ("{a, <eos>}", "y"), strict=True)), ids=("python", "jsonl")
)
def test_a_task_of_ones_own_from_training_to_the_program(commands: str, last: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "drasp"
        done = subprocess.run([sys.executable, "-m", "drasp", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f"->  {last}")
    (evidence,) = (tmp_path / "runs").glob("*/evidence.json")
    assert json.loads(evidence.read_text())["verdict"] == "decompiled"


@pytest.mark.parametrize("commands", _blocks("edit-a-program.md", "sh"), ids=("as found", "shift", "tokens", "slip"))
def test_an_edited_program_does_what_the_edit_says(commands: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for line in commands.splitlines():
        command, _, expected = line.partition("  # ")
        program, *arguments = shlex.split(command)
        if program == "sed":
            script, source, _, target = arguments
            text = (tmp_path / source).read_text(encoding="utf-8")
            done = subprocess.run(["sed", script], input=text, capture_output=True, text=True, check=True)
            assert done.stdout != text
            (tmp_path / target).write_text(done.stdout, encoding="utf-8")
            continue
        done = subprocess.run([sys.executable, "-m", "drasp", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        if done.returncode == 2:
            assert done.stderr.splitlines()[0].endswith(expected)
        else:
            assert done.stdout.splitlines()[-1].endswith(f"->  {expected}")


def test_the_python_of_the_readme_does_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    script = re.search(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert script
    names: dict[str, Any] = {}
    exec(script[1], names)
    assert names["found"].evidence["verdict"] == "decompiled"
    assert names["logits"].shape == (1, 3, 6)
    assert names["trace"].predictions[-1] == {"1", "<eos>"}
    assert names["edited"].trace("<bos> 1 0 0").predictions[-1] == {"0", "1", "<eos>"}
    assert names["smaller"] != names["program"]

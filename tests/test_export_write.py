"""The export command: where it writes, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

from drasp.cli import main
from drasp.lang.folder import load_program, save_program

EXAMPLE = Path(__file__).parent.parent / "examples" / "tomita4.drasp"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_program(load_program(EXAMPLE), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("to", "file", "start"),
    [
        ("python", "program.py", '"""'),
        ("latex", "program.tex", "% "),
        ("latex-figure", "program.figure.tex", "% "),
        ("markdown", "program.md", "# "),
    ],
)
def test_it_writes_into_the_run_folder(run: Path, to: str, file: str, start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--to", to]) == 0
    assert capsys.readouterr().out == f"written to {run / file}\n"
    assert (run / file).read_text().startswith(start)
    assert {path.name for path in run.iterdir()} == {"program.drasp", file}


def test_it_overwrites_only_when_forced(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "program.py").write_text("mine")
    assert main(["export", str(run), "--to", "python"]) == 2
    assert capsys.readouterr().err == (
        f"drasp: error: {run / 'program.py'} is there already; choose another --out, or --force to replace it\n"
    )
    assert (run / "program.py").read_text() == "mine"
    assert main(["export", str(run), "--to", "python", "--force"]) == 0
    assert (run / "program.py").read_text() != "mine"


def test_a_program_file_is_exported_to_the_named_file(tmp_path: Path) -> None:
    assert main(["export", str(EXAMPLE), "--to", "markdown", "--out", str(tmp_path / "new" / "it.md")]) == 0
    assert "attend to the previous position" in (tmp_path / "new" / "it.md").read_text()


def test_bad_input_is_said_in_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "evidence.json").write_text("{}")
    for arguments in (["nowhere", "--to", "latex"], [run, "--to", "latex"], [EXAMPLE, "--to", "latex", "--out", run]):
        assert main(["export", *map(str, arguments)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (run / "program.tex").exists()


def test_it_imports_no_torch(run: Path) -> None:
    code = "import sys; from drasp.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "export", str(run), "--to", "python"], capture_output=True, check=False)
    assert done.returncode == 0

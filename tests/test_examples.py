"""The notebook among the examples, run from its first cell to its last."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "decompile.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # inside the libraries that run notebooks
@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    assert "verdict" in shown[0]["text/html"]
    assert "{a, &lt;eos&gt;}" in shown[1]["text/html"]
    assert sum("image/png" in data for data in shown) == 2
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "   3  0      ->  {0, 1, <eos>}" in printed
    assert "op=10*(k == q - 2)" in printed

"""What all tests share."""

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("drasp", deadline=None, derandomize=True)
hypothesis.settings.load_profile("drasp")

REPOSITORY = Path(__file__).resolve().parent.parent
_REFERENCE = Path(os.environ.get("DRASP_REFERENCE_MODELS") or REPOSITORY.parent / "shared" / "models")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the argument `reference_model` runs once for each of the paper's models, and is skipped where there are none."""
    if "reference_model" in metafunc.fixturenames:
        folders = sorted(p for p in _REFERENCE.iterdir() if p.is_dir()) if _REFERENCE.is_dir() else []
        metafunc.parametrize("reference_model", folders, ids=lambda folder: folder.name)


@pytest.fixture(scope="session")
def reference_models() -> Path:
    """The folder of the paper's models; the test is skipped where there is none."""
    if not _REFERENCE.is_dir():
        pytest.skip("the paper's models are not here; set DRASP_REFERENCE_MODELS to their folder")
    return _REFERENCE


@pytest.fixture(scope="session")
def decompiled() -> Any:
    """D2, decompiled as the README does it."""
    import drasp

    return drasp.decompile("D2", "D2", drasp.Settings(match=0.99))

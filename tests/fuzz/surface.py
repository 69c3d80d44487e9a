"""What the fuzzers share: how many inputs they try, the folders these stand in, and the corpus of what was found, which comes first."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

CORPUS = Path(__file__).parent / "corpus"
INPUTS = int(os.environ.get("DRASP_FUZZ", "0"))
"""Of each surface; 0 for the few of `make test`, which are the same every time."""


def fuzzed(few: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Settings of a surface of which `make test` tries a few inputs."""
    return settings(max_examples=INPUTS or few, derandomize=not INPUTS, deadline=None, suppress_health_check=list(HealthCheck))


def corpus(surface: str) -> pytest.MarkDecorator:
    """A parameter `found`: what broke a surface once, a file or a folder."""
    return pytest.mark.parametrize("found", sorted((CORPUS / surface).glob("*")), ids=lambda path: path.name)


@contextmanager
def folder_of(files: Mapping[str, bytes] | Path) -> Iterator[Path]:
    """A new folder with these files, or with a copy of those in a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "x"
        if isinstance(files, Path):
            shutil.copytree(files, folder)
        else:
            folder.mkdir()
            for file, data in files.items():
                (folder / file).write_bytes(data)
        yield folder


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}

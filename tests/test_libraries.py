"""How the commands import what is large."""

import gc
import subprocess
import sys

from drasp.cli.libraries import importing

CODE = """
import gc
from drasp.cli.libraries import importing
with importing():
    assert not gc.isenabled()
    import torch
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_garbage_is_looked_for_again_behind_an_import() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


def test_a_process_that_has_torch_already_is_left_alone() -> None:
    import torch  # noqa: F401

    before = gc.get_freeze_count()
    with importing():
        assert gc.isenabled()
    assert gc.get_freeze_count() == before

"""A pickle of weights made into a model folder."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from drasp.errors import DraspError
from drasp.model.checkpoint import CONFIG, WEIGHTS, load_transformer, read_json
from drasp.model.transformer import Transformer


def convert(file: Path, config: Path, out: Path) -> Transformer:
    """Reads a pickle with `weights_only` in a process of its own, writes `config.json` and `model.safetensors`, and gives the model.

    Raises:
        DraspError: a file is missing, the pickle holds more than weights, the folder is there, or the model is not supported.
    """
    if not file.is_file():
        raise DraspError(f"{file}: no such file; expected weights as torch.save writes them")
    read_json(config)
    if out.exists():
        raise DraspError(f"{out}: already there; give a folder that is not")
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        shutil.copyfile(config, folder / CONFIG)
        command = [sys.executable, "-m", "drasp.model.unpickle", str(file), str(folder / WEIGHTS)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"the process ended with {done.returncode}"
            raise DraspError(f"{file}: no weights that can be read without running what the file says: {reason}")
        try:
            found = load_transformer(folder)
        except DraspError as error:
            raise type(error)(str(error).replace(str(folder), str(file))) from None
        shutil.copytree(folder, out)
    return found

"""`drasp convert`."""

import argparse
from pathlib import Path

from drasp.cli.say import tell

TEXT = "weights from a pickle (.pt, .bin) as a model folder"

MEANS = """\
A pickle can run code when it is opened. This one was opened with weights_only, by which torch builds nothing but tensors, and in a
process of its own; the folder holds numbers alone. What the model computes is taken from its settings: to have that compared, load the
model in Python and give drasp the object."""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what torch.save wrote: a state dict, or a checkpoint that holds one")
    parser.add_argument("--config", required=True, type=Path, help="the model's settings as JSON: config.json")
    parser.add_argument("--out", required=True, metavar="DIR", type=Path, help="the model folder to write")


def command(arguments: argparse.Namespace) -> int:
    from drasp.model.convert import convert

    model = convert(arguments.file, arguments.config, arguments.out)
    sizes = f"{len(model.blocks)} layers of {model.heads} heads, width {model.width}, {model.vocabulary_size} tokens"
    tell(f"written to {arguments.out}: {sizes}\n{MEANS}")
    return 0

"""The command line, a file a command: it reads arguments and prints what `view` gives. Torch is imported only to run a model."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from drasp.cli import check, convert, decompile, diff, export, report, run, show, study, tasks, train
from drasp.cli.say import BAD_INPUT, INTERRUPTED, say
from drasp.errors import DraspError, in_one_line

COMMANDS = (decompile, run, check, show, diff, export, report, train, study, convert, tasks)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 `not decompiled` or not the same behaviour, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what an encoding lacks is escaped: that ends nothing
            stream.reconfigure(errors="backslashreplace")
    arguments = _parsed(argv)
    code = 0
    try:
        code = int(arguments.command(arguments))
        print(end="", flush=True)  # here, where a closed pipe or a full disk is caught
        return code
    except DraspError as error:
        say(f"drasp: error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return code
    except OSError as error:
        say(f"drasp: error: {in_one_line(str(error))}")
        try:
            print(end="", flush=True)
        except OSError:
            _discard_output()
        return BAD_INPUT


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; where `--` takes the place of a word, Python's parser gives an empty list for it."""
    parser = _parser()
    found = parser.parse_args(argv)
    if any(isinstance(value, list) for value in vars(found).values()):
        parser.error("-- stands where a word is expected")
    if any("\0" in value for value in map(str, vars(found).values())):
        parser.error("a word holds a null character")
    return found


def _discard_output() -> None:
    """What is still to be printed goes nowhere, so that nothing fails on the way out."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


class _Version(argparse.Action):
    """Looks the version up only where it is asked for: what does that is slow to import."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from importlib.metadata import version

        print(f"drasp {version('drasp')}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with arguments in a few plain characters, whatever they are."""

    def error(self, message: str) -> NoReturn:
        super().error(in_one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="drasp", description="Decompiles small trained Transformers into readable, executable programs.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        command = commands.add_parser(module.__name__.rpartition(".")[2], help=module.TEXT, description=module.TEXT)
        module.add(command)
        command.set_defaults(command=module.command)
    return parser

"""`drasp run`."""

import argparse

from drasp.cli.arguments import add_program, natural
from drasp.cli.say import tell
from drasp.errors import DraspError

TEXT = "what a program predicts for a sequence"


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument(
        "tokens", metavar="TOKENS", help="tokens separated by spaces, as one word; <bos> is put in front when it is missing"
    )
    parser.add_argument("--offset", type=natural, default=0, help="the first position id (default: 0)")
    parser.add_argument("--trace", action="store_true", help="show every variable at every position")


def command(arguments: argparse.Namespace) -> int:
    from drasp.program import load_program

    program = load_program(arguments.program)
    tokens = arguments.tokens.split()
    if "<bos>" in program.header.vocabulary and tokens[:1] != ["<bos>"]:
        tokens = ["<bos>", *tokens]
    if not tokens:
        raise DraspError("TOKENS is empty: give at least one token")
    tell(program.trace(tokens, arguments.offset).text(details=arguments.trace))
    return 0

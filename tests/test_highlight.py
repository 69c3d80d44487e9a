"""The Pygments lexer: it knows all that programs are written with."""

import re
from pathlib import Path

import pytest
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name, String, Token

from drasp.lang.highlight import DraspLexer

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(ROOT.glob("studies/*/cells/**/*.drasp"))
BLOCKS = [block for page in sorted(ROOT.glob("docs/*.md")) for block in re.findall(r"```drasp\n(.*?)```", page.read_text(), re.DOTALL)]


def _tokens(text: str) -> list[tuple[object, str]]:
    return [(kind, value) for kind, value in DraspLexer(ensurenl=False, stripnl=False).get_tokens(text)]


@pytest.mark.parametrize("text", [*BLOCKS, *(path.read_text() for path in PROGRAMS)])
def test_every_program_is_coloured_whole(text: str) -> None:
    tokens = _tokens(text)
    assert "".join(value for _, value in tokens) == text
    assert not [value for kind, value in tokens if kind in Error]


def test_what_stands_where_has_its_own_kind() -> None:
    text = 'predict next-token-set\ns1 = select(q=pos, op=hard(out == "a"))  # "b" = select(\norder = 2*s1[<bos>] > 1.5\norder "a".."c"\n'
    found = {(kind, value) for kind, value in _tokens(text) if kind not in Token.Text}
    assert {
        (Keyword.Declaration, "predict"),
        (Keyword.Constant, "next-token-set"),
        (Name.Variable, "s1"),
        (Name.Function, "select"),
        (Name.Attribute, "q"),
        (Name.Builtin, "pos"),
        (String.Double, '"a"'),
        (Comment.Single, '# "b" = select('),
        (Name.Variable, "order"),
        (Keyword.Declaration, "order"),
        (String.Symbol, "<bos>"),
    } <= found


def test_what_is_no_program_is_told() -> None:
    assert (Error, "$") in _tokens("s1 = $\n")


def test_pygments_finds_it_once_the_package_is_installed() -> None:
    assert isinstance(get_lexer_by_name("drasp"), DraspLexer)
    assert isinstance(get_lexer_for_filename("program.drasp"), DraspLexer)

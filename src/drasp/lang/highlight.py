"""The D-RASP lexer for Pygments, which finds it under the name `drasp` once this package is installed: so Sphinx, MkDocs, IPython and
LaTeX's `minted` colour programs.

It knows the words of `grammar.lark` and no more: what is no program is coloured as far as it can be.
"""

from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

HEADER = ("drasp", "vocabulary", "outputs", "positions", "order", "pad")
BUILT_IN = ("token", "pos", "one")
WORDS = ("and", "or", "not", "in", "except")


class DraspLexer(RegexLexer):  # type: ignore[misc]  # Pygments has no annotations
    """A program, line by line."""

    name = "D-RASP"
    aliases: ClassVar = ["drasp"]
    filenames: ClassVar = ["*.drasp"]
    url = "https://arxiv.org/abs/2602.08857"

    tokens: ClassVar = {
        "root": [
            (r"\s+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r"^(predict|attention)([ \t]+)([a-z-]+)", bygroups(Keyword.Declaration, Whitespace, Keyword.Constant)),
            (rf"^({'|'.join(HEADER)})\b(?!\s*=)", Keyword.Declaration),
            (r"^([A-Za-z_]\w*)(\s*)(=)(?!=)", bygroups(Name.Variable, Whitespace, Operator)),
            (r'"(?:[^"\\\x00-\x1f]|\\.)*"', String.Double),
            (r"<[A-Za-z_]\w*>", String.Symbol),
            (r"\d+(?:\.\d+)?[eE][+-]?\d+|\d+\.\d+", Number.Float),
            (r"\d+", Number.Integer),
            (words(WORDS, suffix=r"\b"), Operator.Word),
            (words(BUILT_IN, suffix=r"\b"), Name.Builtin),
            (r"([A-Za-z_]\w*)(?=\()", Name.Function),
            (r"([A-Za-z_]\w*)(\s*)(=)(?!=)", bygroups(Name.Attribute, Whitespace, Operator)),
            (r"[A-Za-z_]\w*", Name),
            (r"==|!=|<=|>=|\.\.|[-+*/%<>=]", Operator),
            (r"[\[\](){},:]", Punctuation),
        ],
    }

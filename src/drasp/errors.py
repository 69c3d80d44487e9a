"""Every error that a user's input can cause. The command line prints the message as one line and exits with code 2."""

import re
from dataclasses import dataclass

LONGEST = 300
"""Characters of a message: what it quotes from the input may be of any length."""
LONGEST_LIST = 1_000
"""Of one that lists reasons or names."""
EXCERPT = 100
"""Characters of a line of which the place is shown."""


def shown(text: str) -> str:
    """A text as it can be shown: what a terminal would obey, and what no encoding has, is escaped."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """A text without its middle, where it is longer; and so each of its words, but for folders within a path."""
    text = re.sub(r"[^\s/]{100,}", lambda word: f"{word[0][:30]} ... {word[0][-30:]}", text)
    end = most // 3
    return text if len(text) <= most else f"{text[: most - end - 5]} ... {text[-end:]}"


def in_one_line(text: str, most: int = LONGEST) -> str:
    """A text of one short line that can be shown."""
    return shortened(shown(text).replace("\n", "\\n"), most)


def kind_and_message(error: BaseException) -> str:
    """The kind of an error and its message, as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class DraspError(Exception):
    """Bad input: the message says in one line what is wrong, where, and what would be right. It is short, whatever it quotes."""

    longest = LONGEST

    def __init__(self, message: str, below: str = ""):
        super().__init__(in_one_line(message, self.longest) + below)


class UnsupportedModelError(DraspError):
    """The model cannot be decompiled; the message lists every reason."""

    longest = LONGEST_LIST


class TaskError(DraspError):
    """A task, or the data that defines one, is malformed."""


class UnknownTaskError(TaskError):
    """There is no task of that name; the message lists all that there are."""

    longest = LONGEST_LIST


class RunFolderError(DraspError):
    """A run folder or program folder is missing, damaged, finished already or cannot be written."""


class ProgramError(DraspError):
    """A program breaks a rule of the language.

    Attributes:
        statement: name of the statement at fault, None where the header is.
    """

    def __init__(self, message: str, statement: str | None = None):
        super().__init__(message if statement is None else f"statement {statement}: {message}")
        self.reason = message
        self.statement = statement


@dataclass(frozen=True)
class Span:
    """A place in a text; line and column count from 1."""

    line: int
    column: int


class ParseError(DraspError):
    """The text is no D-RASP program. The message gives file, line, column, what was expected, and a caret below the place."""

    def __init__(self, message: str, source: str, span: Span, text_line: str):
        start = max(0, span.column - 1 - EXCERPT // 2)
        before, after = text_line[start : span.column - 1], text_line[span.column - 1 : start + EXCERPT]
        left, right = "... " * (start > 0), " ..." * (len(text_line) > start + EXCERPT)
        excerpt = f"{left}{shown(before)}{shown(after)}{right}\n    {' ' * len(left + shown(before))}^"
        super().__init__(f"{source}:{span.line}:{span.column}: {message}", f"\n    {excerpt}")
        self.reason = message
        self.span = span

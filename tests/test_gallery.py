"""The words of the gallery answer questions: what follows from them by hand is what the program beside them predicts."""

import re
from pathlib import Path

import numpy as np
import pytest

from drasp.lang.parser import parse
from drasp.run.numpy_fast import logits

GALLERY = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")

QUESTIONS = {
    "D2": (
        "`a` may follow if d is at most 1; `b` if d is at least 1; the end if d is at most 0",
        [("a a", "b"), ("a b", "a <eos>"), ("a b a", "a b")],
    ),
    "D3": (
        "`a` may follow if d is at most 2; `b` if d is at least 1; the end if d is 0",
        [("a a a", "b"), ("a a b", "a b"), ("", "a <eos>")],
    ),
    "tomita4": (
        "`0` may follow unless this token and the token before are both `0`; `1` and the end always",
        [("1 0 0", "1 <eos>"), ("0 1", "0 1 <eos>"), ("0 0 1 0", "0 1 <eos>")],
    ),
    "tomita7": (
        "`0` may follow unless this token is `1` and a `0` has come after a `1`; `1` and the end always",
        [("0 1 1", "0 1 <eos>"), ("1 0 1", "1 <eos>"), ("0 1 0", "0 1 <eos>")],
    ),
    "sort": (
        "it puts out the smallest token so far that is larger; where there is none, the end",
        [("5 3 9 <sep>", "3"), ("5 3 9 <sep> 3", "5"), ("5 3 9 <sep> 3 5 9", "<eos>")],
    ),
    "ababstar": (
        "`a` may follow after `b` or <bos>; `b` after `a`; the end if the number of tokens since <bos> modulo 4 is 0",
        [("a b", "a"), ("a b a b", "a <eos>"), ("a b a", "b")],
    ),
    "012_0_2": (
        "The end may follow if the last symbol that is not `2` is `0`; `0`, `1` and `2` always",
        [("0 2 2", "0 1 2 <eos>"), ("0 1 2", "0 1 2"), ("1 0", "0 1 2 <eos>")],
    ),
    "unique_copy": (
        "it puts out the token that came after this one where it stood first; where that is <sep>, the end",
        [("4 7 2 <sep> 4", "7"), ("4 7 2 <sep> 4 7 2", "<eos>"), ("9 4 7 <sep> 9 4", "7")],
    ),
    "majority": ("It puts out the commonest symbol so far", [("a a b <sep>", "a"), ("c b c b c <sep>", "c"), ("z z a b <sep>", "z")]),
    "ab_d_bc": (
        "`a` and `d` may follow if no `d` has come yet; `c` and the end if a `d` has come; `b` always",
        [("a b", "a b d"), ("a d b", "b c <eos>"), ("d", "b c <eos>")],
    ),
}
"""What is said of a model, and three questions: a sequence, and what follows by these words (the token put out, or all that may come)."""


@pytest.mark.parametrize("model", QUESTIONS)
def test_what_follows_from_the_words_is_predicted(model: str) -> None:
    words, questions = QUESTIONS[model]
    entry = re.search(rf"^## {re.escape(model)}\n.*?```text\n(.*?)```.*?```drasp\n(.*?)```", GALLERY, re.DOTALL | re.MULTILINE)
    assert entry is not None
    assert words in " ".join(entry[1].split())
    program = parse(entry[2])
    vocabulary = program.header.vocabulary
    for sequence, answer in questions:
        row = logits(program, np.array([[vocabulary.index(token) for token in ("<bos>", *sequence.split())]]))[0, -1]
        said = [row.argmax()] if program.header.predict == "next-token" else np.flatnonzero(row > 0)
        assert [vocabulary[i] for i in said] == answer.split()

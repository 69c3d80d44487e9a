"""A program on the terminal: the algorithm in words, the listing, and the facts."""

from collections.abc import Sequence
from textwrap import TextWrapper

from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.printer import print_program
from drasp.view.captions import WIDEST
from drasp.view.facts import facts, notes
from drasp.view.words import Scene, Sentence, algorithm

_PARAGRAPH = TextWrapper(80, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def terminal(program: Program, evidence: Evidence | None, scene: Scene | None = None) -> str:
    """The algorithm in words; the program, beside each line what it does and what is known of it; and then the facts, a line each.

    Args:
        scene: the task's sequences, where they are to be had.
    """
    rows = facts(program, evidence)
    sentences = algorithm(program, scene)
    known = {name: text for sentence in sentences for name, text in sentence.captions if len(text) <= WIDEST}
    told = [row for row in rows if not row.beside and row.section not in ("task name", "model", "found with")]
    lines = [f"{row.section:<10} {f'{row.label}: ' if row.label else ''}{row.text}" for row in told if row.section != "evidence"]
    return "\n".join([in_paragraphs(sentences, scene), "", print_program(program, notes(program, rows, known)), *lines])


def in_paragraphs(sentences: Sequence[Sentence], scene: Scene | None) -> str:
    """The algorithm, a paragraph each sentence, no wider than 80 columns but for a longer word."""
    checked = "random strings" if scene is None else f"{len(scene.token_ids)} of the task's sequences"
    return "\n".join([f"algorithm, as checked on {checked}:", *(_PARAGRAPH.fill(sentence.text) for sentence in sentences)])

"""Pictures of what a program does, as SVG that stands alone: the automaton that it is, its counter, and what reads what."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from drasp.ir.program import Program
from drasp.tasks.protocol import Task
from drasp.view.pictures.automaton import automaton_of, automaton_of_task
from drasp.view.pictures.counters import counter_of, counter_picture
from drasp.view.pictures.reads import reads_picture
from drasp.view.pictures.states import states_picture
from drasp.view.words.claims import Sentence

__all__ = ["Figure", "automaton_figures", "counter_figures", "reads_picture"]

MOST_STATEMENTS = 60
"""Of a program of which an automaton is sought."""


@dataclass(frozen=True)
class Figure:
    """A picture, and what it shows."""

    svg: str
    caption: str

    @property
    def html(self) -> str:
        return f'<figure class="picture">{self.svg}<figcaption>{html.escape(self.caption)}</figcaption></figure>'


def automaton_figures(program: Program, task: Task | None) -> list[Figure]:
    """The automaton of a program, where it is one of few states, and the task's own, where that is another."""
    found = automaton_of(program) if len(program.statements) <= MOST_STATEMENTS else None
    if found is None:
        return []
    own = None if task is None else automaton_of_task(task, program.header)
    count = f"{len(found.states)} state{'s' * (len(found.states) > 1)}"
    caption = f"What the program does, as an automaton of {count}; where a circle is doubled, the sequence may end. "
    caption += f"It is the program's on all {found.prefixes:,} prefixes that the program allows, of {found.length} symbols at the most"
    if own is not None and found.same(own):
        return [Figure(states_picture(found), f"{caption}, and it is the task's own.")]
    figures = [Figure(states_picture(found), f"{caption}.")]
    return figures if own is None else [*figures, Figure(states_picture(own), "The task's own automaton, which is another.")]


def counter_figures(program: Program, sentences: Sequence[Sentence]) -> list[Figure]:
    """What may follow by the value of a counter, as the algorithm in words tells it, where it hangs on one counter."""
    found = counter_of(program.header, sentences)
    if found is None:
        return []
    shown = "" if found.ends else " Beyond the values that are shown it is as at the ends."
    return [Figure(counter_picture(found), f"What may follow (filled) or not, by {found.name.replace('`', '')} so far.{shown}")]

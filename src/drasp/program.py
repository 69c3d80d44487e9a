"""Programs for users: what the rest of the package does with a program, as methods."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from drasp.ir import program as ir
from drasp.ir.size import size
from drasp.lang import edit, folder, parser
from drasp.lang.printer import print_program
from drasp.run import numpy_fast, trace
from drasp.view.captions import captions
from drasp.view.notebook import html, plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Program(ir.Program):
    """A legal D-RASP program, and what can be asked of it.

    Attributes:
        header: vocabulary, positions, what is predicted.
        statements: in order; each assigned once and used only after it; the last is the prediction.
        operators: the dense tensors by name, read-only float arrays; exactly those that the statements use.
    """

    @classmethod
    def of(cls, program: ir.Program) -> "Program":
        return cls(program.header, program.statements, program.operators)

    def logits(self, token_ids: np.ndarray, position_ids: np.ndarray | None = None) -> np.ndarray:
        """Runs the program.

        Args:
            token_ids: integers (batch, time).
            position_ids: integers (batch, time); 0..time-1 by default.

        Returns:
            float logits (batch, time, outputs).

        Raises:
            DraspError: ids of the wrong shape or out of range.
        """
        return numpy_fast.logits(self, token_ids, position_ids)

    def trace(self, tokens: str | Sequence[str | int], offset: int = 0) -> "SequenceTrace":
        """Everything that the program computes on one sequence.

        Args:
            tokens: tokens or their ids, or tokens separated by spaces as one string; nothing is added to them.
            offset: the first position id.

        Raises:
            DraspError: there is no token, an unknown one, or more than the program has positions for.
        """
        return SequenceTrace(**vars(trace.trace(self, tokens, offset)))

    def without(self, line: str) -> "Program":
        """The program without a line: a selector or projection is left out of what adds it up, a variable is 0 at every position.

        Raises:
            DraspError: there is no such line, or it is the prediction.
        """
        return Program.of(edit.without(self, line))

    def replace(self, name: str, text: str) -> "Program":
        """The program with another right-hand side for a line: `program.replace("s1", "select(q=pos, k=pos, op=10*(k == q - 2))")`.

        Raises:
            DraspError: there is no such line, or the program is not legal with that text.
        """
        return Program.of(edit.replaced(self, name, text))

    @cached_property
    def algorithm(self) -> tuple[str, ...]:
        """What the program does, in a few sentences that hold on random strings; of a decompilation, which knows a task,
        `Decompilation.algorithm` says more.
        """
        from drasp.view.words import algorithm  # here, as whoever runs a program needs none of it

        return tuple(sentence.text for sentence in algorithm(self))

    def __repr__(self) -> str:
        found = size(self)
        return f"<Program: {found.statements} statements, {found.opaque} of them opaque, {found.numbers} numbers>"

    def __str__(self) -> str:
        """The program's text, beside each line what it does."""
        return print_program(self, captions(self))

    def _repr_html_(self) -> str:
        return html.program_html(self)


class SequenceTrace(trace.SequenceTrace):
    """Everything a program computes on one sequence, also as plots.

    Attributes:
        program: what ran.
        tokens: (time) the sequence.
        positions: (time) the position ids.
        variables: for each variable that a statement assigns, (time, size of its basis).
        attention: for each aggregate its weights, query by key: (time, time).
        projections: for each projection what it adds to the logits, (time, outputs).
        logits: (time, outputs).
        predictions: (time) what is predicted, or the set of what may come next.
    """

    def plot_attention(self, *names: str) -> "Figure":
        """Attention maps, query down and key across, of the aggregates named; by default of all that have selectors.

        Raises:
            DraspError: there is no such aggregate, none with selectors, or matplotlib is not installed.
        """
        return plots.attention_figure(self, names)

    def plot_variable(self, name: str) -> "Figure":
        """A heat map of a variable or projection, coordinates down and positions across; what is nearly 0 everywhere is left out.

        Raises:
            DraspError: there is no such variable, or matplotlib is not installed.
        """
        return plots.variable_figure(self, name)

    def _repr_html_(self) -> str:
        return html.trace_html(self)


def parse(text: str, operators: Mapping[str, np.ndarray] | None = None, source: str = "<text>") -> Program:
    """The program that a text says.

    Args:
        text: as `print_program` writes it; comments are dropped.
        operators: the dense tensors by name; those that no statement uses are left out.
        source: what error messages call the text: the name of its file.

    Raises:
        ParseError: the text is no program.
    """
    return Program.of(parser.parse(text, operators, source))


def load_program(path: str | os.PathLike[str]) -> Program:
    """Reads a program.

    Args:
        path: a run folder, or a `.drasp` file; the dense operators are in `operators.safetensors` beside it.

    Raises:
        DraspError: a file is missing or damaged, or the text is no program.
    """
    return Program.of(folder.load_program(path))

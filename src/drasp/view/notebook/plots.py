"""Traces as plots. They are returned, never shown: matplotlib's `pyplot` and its open figures are left alone."""

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from drasp.errors import DraspError
from drasp.ir.nodes import Aggregate
from drasp.run.trace import SequenceTrace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, LABEL_LENGTH, MOST_COLUMNS = 3.2, 14, 3
INCHES_A_TOKEN = 0.22
NEARLY_ZERO = 1e-3  # of the largest value: what stays below is left out


def attention_figure(trace: SequenceTrace, names: tuple[str, ...]) -> "Figure":
    """Attention maps, query down and key across, of the aggregates named; of all that have selectors where none is.

    Raises:
        DraspError: there is no such aggregate, none with selectors, or matplotlib is not installed.
    """
    aggregates = {s.name: s for s in trace.program.statements if isinstance(s, Aggregate)}
    for name in names:
        if name not in aggregates:
            raise DraspError(f"there is no aggregate {name}; there are {', '.join(aggregates) or 'none'}")
    shown = names or tuple(name for name, statement in aggregates.items() if statement.selectors)
    if not shown:
        raise DraspError("no aggregate has selectors: attention is uniform everywhere; name one to see it all the same")
    across = min(len(shown), MOST_COLUMNS)
    down = -(-len(shown) // across)
    panel = max(PANEL, INCHES_A_TOKEN * len(trace.tokens) + 1)
    figure = _figure(panel * across, panel * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    labels = _labels(trace.tokens)
    for axis, name in zip(axes, shown, strict=False):
        image = axis.imshow(trace.attention[name], vmin=0, vmax=1, cmap="Blues", aspect="equal")
        _ticks(axis, labels, labels)
        axis.set_title(_literal(f"{name}: {' + '.join(aggregates[name].selectors) or 'uniform'}"), fontsize=9)
        axis.set_xlabel("key", fontsize=8)
        axis.set_ylabel("query", fontsize=8)
        figure.colorbar(image, ax=axis, shrink=0.7)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return figure


def variable_figure(trace: SequenceTrace, name: str) -> "Figure":
    """A heat map of a variable or projection, coordinates down and positions across; coordinates that are nearly 0 everywhere are left out.

    Raises:
        DraspError: there is no such variable, or matplotlib is not installed.
    """
    coordinates = trace.coordinates(name)
    values = (trace.projections if name in trace.projections else trace.variables)[name].T
    largest = float(np.abs(values).max()) or 1.0
    kept = np.flatnonzero(np.abs(values).max(axis=1) > NEARLY_ZERO * largest)
    kept = kept if len(kept) else np.arange(1)
    values = values[kept]
    size = max(PANEL, INCHES_A_TOKEN * len(trace.tokens) + 2), max(PANEL / 2, INCHES_A_TOKEN * len(kept) + 1.2)
    figure = _figure(*size)
    axis = figure.subplots()
    image = axis.imshow(values, vmin=-largest, vmax=largest, cmap="RdBu", aspect="auto")
    _ticks(axis, _labels(trace.tokens), _labels(coordinates[i] for i in kept))
    axis.set_title(_literal(name), fontsize=9)
    figure.colorbar(image, ax=axis)
    return figure


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise DraspError("plots need matplotlib, which is not installed: pip install 'drasp[plots]'") from None

    class ShownFigure(Figure):
        """A figure that a notebook shows as the value of a cell, whatever matplotlib's backend is."""

        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return ShownFigure(figsize=(width, height), layout="constrained", facecolor="white")


def _ticks(axis: "Axes", across: list[str], down: list[str]) -> None:
    axis.set_xticks(range(len(across)), across, rotation=90, fontsize=7, family="monospace")
    axis.set_yticks(range(len(down)), down, fontsize=7, family="monospace")


def _labels(names: Iterable[str]) -> list[str]:
    return [_literal(name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…") for name in names]


def _literal(text: str) -> str:
    """Text that matplotlib does not take for mathematics, in one line."""
    return " ".join(text.replace("$", r"\$").splitlines())

"""What the pictures are drawn with: SVG in the colour of the text around it, in columns from left to right."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot

LETTER = 7.4  # pixels a character of 12 pixels takes at the most
HEAD = 8.0  # pixels
FONT = 'font-family="ui-monospace, monospace" font-size="12"'


@dataclass(frozen=True)
class Place:
    """The middle of something, in pixels."""

    x: float
    y: float


def columns(found: Sequence[int], across: float, down: float) -> list[Place]:
    """Places for things by the column of each, those of a column one below the other around one middle line."""
    sizes = [found.count(column) for column in range(max(found) + 1)]
    met = [0] * len(sizes)
    places = []
    for column in found:
        places.append(Place(across * (column + 0.5), down * (max(sizes) / 2 + met[column] - (sizes[column] - 1) / 2)))
        met[column] += 1
    return places


def picture(parts: Iterable[str], width: float, height: float, said: str) -> str:
    """The picture, which says in words what is to be seen."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    name = html.escape(said, quote=True)
    return f'{head} role="img" aria-label="{name}" fill="none" stroke="currentColor" {FONT}>{"".join(parts)}</svg>'


def text(at: Place, content: str) -> str:
    """A text with its middle there, in the direction that it is written in."""
    return f'<text x="{at.x:.1f}" y="{at.y + 4:.1f}" text-anchor="middle" stroke="none" fill="currentColor">{html.escape(content)}</text>'


def arrow(start: Place, bends: Sequence[Place], end: Place) -> str:
    """An arrow, bent towards one place or two (a quadratic or a cubic curve)."""
    along = " ".join(f"{place.x:.1f} {place.y:.1f}" for place in (*bends, end))
    return f'<path d="M{start.x:.1f} {start.y:.1f}{"QC"[len(bends) - 1]}{along}"/>{_head(bends[-1], end)}'


def _head(behind: Place, tip: Place) -> str:
    """The point of an arrow."""
    length = hypot(tip.x - behind.x, tip.y - behind.y)
    x, y = (tip.x - behind.x) / length, (tip.y - behind.y) / length
    corners = [Place(tip.x - HEAD * x - side * HEAD / 2 * y, tip.y - HEAD * y + side * HEAD / 2 * x) for side in (-1, 1)]
    points = " ".join(f"{place.x:.1f},{place.y:.1f}" for place in (tip, *corners))
    return f'<polygon points="{points}" fill="currentColor" stroke="none"/>'

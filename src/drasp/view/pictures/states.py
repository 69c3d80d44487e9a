"""An automaton as a picture: circles, the doubled ones where a sequence may end, and an arrow for each symbol that may follow."""

from collections.abc import Iterator
from math import hypot

from drasp.view.pictures.automaton import Automaton
from drasp.view.pictures.drawing import LETTER, Place, arrow, columns, picture, text

RADIUS, GAP = 18.0, 110.0  # pixels: of a circle, and between two
TOKEN = 12
"""Characters of a token that are shown."""


def states_picture(automaton: Automaton) -> str:
    """The SVG."""
    columns_of = _columns(automaton)
    longest = max((len(_label(tokens)) for _, _, tokens in _edges(automaton)), default=0)
    gap = max(GAP, LETTER * longest + 4 * RADIUS)
    places = [Place(place.x + RADIUS, place.y + RADIUS) for place in columns(columns_of, gap, GAP)]
    first = places[0]
    before = [Place(first.x - far * RADIUS, first.y) for far in (3, 2, 1)]
    parts = [arrow(before[0], before[1:2], before[2])]
    for place, state in zip(places, automaton.states, strict=True):
        parts += [f'<circle cx="{place.x:.1f}" cy="{place.y:.1f}" r="{r:.1f}"/>' for r in (RADIUS, RADIUS - 4)[: 1 + state.ends]]
    rows = [place.y + side * (RADIUS + 2) for place in places for side in (-1, 1)]
    for start, end, tokens in _edges(automaton):
        drawn, at = _arrow(places[start], places[end])
        parts += [drawn, text(at, _label(tokens))]
        rows += [at.y - 9, at.y + 9]
    moved = f'<g transform="translate(0 {-min(rows):.1f})">{"".join(parts)}</g>'
    return picture([moved], gap * (max(columns_of) + 1) + 2 * RADIUS, max(rows) - min(rows), said(automaton))


def said(automaton: Automaton) -> str:
    """The automaton as a sentence a state."""
    sentences = []
    for number, state in enumerate(automaton.states, 1):
        steps = [f"{token} leads to {reached + 1}" for token, reached in state.follow]
        sentences.append(f"State {number}: {', '.join([*['the sequence may end'] * state.ends, *steps]) or 'nothing may follow'}.")
    return " ".join(sentences)


def _columns(automaton: Automaton) -> list[int]:
    """How many symbols a state is from the first."""
    far = {0: 0}
    for number, state in enumerate(automaton.states):  # found in breadth: each is known before it is come to
        for _, reached in state.follow:
            far.setdefault(reached, far[number] + 1)
    return [far[number] for number in range(len(automaton.states))]


def _edges(automaton: Automaton) -> Iterator[tuple[int, int, list[str]]]:
    """From which state to which, by what symbols."""
    for number, state in enumerate(automaton.states):
        for reached in dict.fromkeys(to for _, to in state.follow):
            yield number, reached, [token for token, to in state.follow if to == reached]


def _label(tokens: list[str]) -> str:
    return ", ".join(token if len(token) <= TOKEN else f"{token[: TOKEN - 1]}…" for token in tokens)


def _arrow(start: Place, end: Place) -> tuple[str, Place]:
    """The arrow from one circle to another, or to itself, and where its label stands."""
    if start == end:
        left, right = (Place(start.x + side * 0.5 * RADIUS, start.y - 0.87 * RADIUS) for side in (-1, 1))
        bends = [Place(left.x - 14, left.y - 30), Place(right.x + 14, right.y - 30)]
        return arrow(left, bends, right), Place(start.x, start.y - RADIUS - 30)
    across, down = end.x - start.x, end.y - start.y
    length = hypot(across, down)

    def aside(far: float) -> Place:
        """So far to the left of the middle of the way."""
        return Place((start.x + end.x) / 2 + far * down / length, (start.y + end.y) / 2 - far * across / length)

    bow = 0.22 * length
    bend = aside(bow)
    return arrow(_edge(start, bend), [bend], _edge(end, bend)), aside(bow / 2 + 11)


def _edge(circle: Place, towards: Place) -> Place:
    """Where the way from the middle of a circle leaves it."""
    length = hypot(towards.x - circle.x, towards.y - circle.y)
    return Place(circle.x + RADIUS * (towards.x - circle.x) / length, circle.y + RADIUS * (towards.y - circle.y) / length)

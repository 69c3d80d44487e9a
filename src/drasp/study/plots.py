"""The pictures of a study, as SVG: size against generalisation, and ROC curves."""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape

from drasp.study.analysis import Ranking
from drasp.study.row import GENERALISES, Row

WIDTH, HEIGHT, LEFT, TOP, SIDE = 660, 400, 58, 14, 330
NONE = WIDTH - 50
"""Where the models stand of which no program was found."""
DASHES = ("", "16 3", "7 4", "2 3", "10 3 2 3", "4 2", "1 2", "12 5")


def scatter(rows: Sequence[Row]) -> str:
    """Every model by the statements of its program and by its accuracy on the longest sequences; each is a link to its program."""
    most = max([_size(row) or 1 for row in rows], default=1)
    ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if n < 2 * most]
    end = math.log(max(most, ticks[-1]) * 1.15)

    def across(statements: float) -> float:
        return LEFT + (WIDTH - LEFT - 90) * math.log(statements) / end

    def down(accuracy: float) -> float:
        return TOP + 10 + (HEIGHT - TOP - 62) * (1 - accuracy)

    parts = [_line(LEFT, down(a), WIDTH - 10, down(a)) + _text(LEFT - 8, down(a) + 4, f"{a:g}", "end") for a in (0, 0.25, 0.5, 0.75, 1)]
    parts += [_line(across(n), TOP, across(n), down(0)) + _text(across(n), down(0) + 20, str(n), "middle") for n in ticks]
    parts.append(_line(NONE, TOP, NONE, down(0)) + _text(NONE, down(0) + 20, "none", "middle"))
    parts.append(_line(LEFT, down(GENERALISES), WIDTH - 10, down(GENERALISES), "4 4", "#56606e"))
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, "statements of its program", "middle"))
    parts.append(_text(14, HEIGHT / 2, "right at 101-150", "middle", f"rotate(-90 14 {HEIGHT / 2})"))
    beside: Counter[tuple[int | None, float]] = Counter()
    for row in rows:
        size = _size(row)
        place = (size, round(row.accuracy_101_150 or 0, 2))
        x, y = (
            (NONE if size is None else across(size)) + 5 * (beside[place] % 8),
            down(row.accuracy_101_150 or 0) + 4 * (beside[place] // 8),
        )
        beside[place] += 1
        said = escape(f"{row.cell}: {row.verdict}, {row.statements} statements, right on {row.accuracy_101_150:.3f}")
        kind = "yes" if row.has_program else "no"
        parts.append(f'<a href="#{escape(row.cell)}" aria-label="{said}"><circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5">')
        parts.append(f"<title>{said}</title></circle></a>")
    return _svg(WIDTH, HEIGHT, "Statements of each model's program against its accuracy on sequences of length 101-150", parts)


def _size(row: Row) -> int | None:
    """The statements of a model's program; None where it does not predict what the model predicts."""
    return None if row.verdict == "not decompiled" else row.statements


def curves(rankings: Sequence[Ranking]) -> str:
    """ROC curves; each predictor has its own dashes."""
    low, high = 44, SIDE - 16

    def at(share: float) -> float:
        return low + (high - low) * share

    parts = [_line(at(0), SIDE - at(s), at(1), SIDE - at(s)) + _line(at(s), SIDE - at(0), at(s), SIDE - at(1)) for s in (0, 0.5, 1)]
    parts += [_text(at(s), SIDE - at(0) + 18, f"{s:g}", "middle") + _text(at(0) - 6, SIDE - at(s) + 4, f"{s:g}", "end") for s in (0, 1)]
    parts.append(_text(SIDE / 2, SIDE - 4, "of those that do not generalise", "middle"))
    parts.append(_text(14, SIDE / 2, "of those that do", "middle", f"rotate(-90 14 {SIDE / 2})"))
    for number, ranking in enumerate(rankings):
        points = " ".join(f"{at(x):.1f},{SIDE - at(y):.1f}" for x, y in ranking.points)
        dashes, width = DASHES[number % len(DASHES)], 3 if number == 0 else 1.5
        parts.append(f'<polyline points="{points}" fill="none" stroke="#0b62a8" stroke-width="{width}" stroke-dasharray="{dashes}">')
        parts.append(f"<title>{escape(ranking.predictor.name)}</title></polyline>")
    return _svg(SIDE, SIDE + 6, "ROC curves of the predictors", parts)


def key(number: int) -> str:
    """The line by which the curve of a predictor is known."""
    dashes, width = DASHES[number % len(DASHES)], 3 if number == 0 else 1.5
    line = f'<line x1="0" y1="6" x2="40" y2="6" stroke="#0b62a8" stroke-width="{width}" stroke-dasharray="{dashes}"/>'
    return f'<svg width="40" height="12" aria-hidden="true">{line}</svg>'


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{escape(title)}">{inside}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, dashes: str = "", colour: str = "#d5dae1") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dashes}"/>'


def _text(x: float, y: float, text: str, anchor: str, transform: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" transform="{transform}">{escape(text)}</text>'

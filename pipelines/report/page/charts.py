"""Charts as inline SVG, drawn as text: they scale, follow the page's colours, and need no script.

Each has a title that says what it shows; the page gives the same numbers in a table beside it.
Series differ in their form, not only in their colour.
"""

from collections.abc import Sequence

from .markup import Html, tag

__all__ = ["Point", "interval_bar", "reliability_chart", "scatter_chart", "step_chart"]

Point = tuple[float, float]

_WIDTH, _HEIGHT = 340, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 40
_TICKS = 5


def interval_bar(value: float, low: float | None, high: float | None) -> Html:
    """Return a bar from 0 to 1 with its interval as a line; its numbers stand beside it."""
    parts = [
        tag("rect", x="0", y="3", width="100", height="10", class_="track"),
        tag("rect", x="0", y="3", width=_number(100 * value), height="10", class_="bar"),
    ]
    if low is not None and high is not None:
        a, b = _number(100 * low), _number(100 * high)
        parts.append(tag("path", d=f"M{a} 8H{b}M{a} 4V12M{b} 4V12", class_="whisker"))
    return tag(
        "svg",
        *parts,
        viewBox="-1 0 102 16",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_="inline",
    )


def reliability_chart(before: Sequence[Point], after: Sequence[Point], title: str) -> Html:
    """Return how often the likeliest class is right, by how likely it is said to be.

    Parameters
    ----------
    before, after : sequences of (probability, share that is right)
        Without and with the temperature; ``after`` may be empty.
    title : str
    """
    parts = [_line([(0, 0), (1, 1)], "ideal"), _line(before, "first"), *_dots(before)]
    if after:
        parts += [_line(after, "second"), *_squares(after)]
    return _chart(parts, title, "said probability", "share that is right", (1, 1))


def step_chart(groups: Sequence[tuple[float, float, float]], title: str) -> Html:
    """Return bars: from where to where on the horizontal axis (0 to 1), and how high (0 to 1)."""
    top = _top(max((height for *_, height in groups), default=0))
    bars = [
        tag(
            "rect",
            x=_number(_x(low)),
            y=_number(_y(height / top)),
            width=_number(max(0.5, _x(high) - _x(low) - 1)),
            height=_number(_y(0) - _y(height / top)),
            class_="bar",
        )
        for low, high, height in groups
    ]
    return _chart(
        bars, title, "pixels, from the surest to the least sure", "share that is wrong", (1, top)
    )


def scatter_chart(points: Sequence[Point], title: str) -> Html:
    """Return a point for each image: its uncertainty, and the share of its pixels that is wrong."""
    right = _top(max((x for x, _ in points), default=0))
    top = _top(max((y for _, y in points), default=0))
    scaled = [(x / right, y / top) for x, y in points]
    what = "uncertainty of the image"
    return _chart(_dots(scaled), title, what, "share of pixels that is wrong", (right, top))


def _top(highest: float) -> float:
    """Return a round number that is not below a value: the end of an axis."""
    for end in (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0):
        if highest <= end:
            return end
    return float(highest)


def _chart(parts: Sequence[Html], title: str, x: str, y: str, ends: Point) -> Html:
    middle = (_TOP + _HEIGHT - _BOTTOM) // 2
    labels = [
        tag("text", x, x=(_LEFT + _WIDTH - _RIGHT) // 2, y=_HEIGHT - 6, text_anchor="middle"),
        tag("text", y, transform=f"translate(12 {middle}) rotate(-90)", text_anchor="middle"),
    ]
    return tag(
        "svg",
        tag("title", title),
        *_axes(ends),
        *parts,
        *labels,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=title,
        class_="chart",
    )


def _axes(ends: Point) -> list[Html]:
    parts = []
    for number in range(_TICKS + 1):
        share = number / _TICKS
        x, y = _number(_x(share)), _number(_y(share))
        parts += [
            tag("path", d=f"M{_LEFT} {y}H{_WIDTH - _RIGHT}", class_="grid"),
            tag(
                "text",
                f"{share * ends[1]:.3g}",
                x=_LEFT - 5,
                y=_number(_y(share) + 4),
                text_anchor="end",
            ),
            tag(
                "text",
                f"{share * ends[0]:.3g}",
                x=x,
                y=_HEIGHT - _BOTTOM + 15,
                text_anchor="middle",
            ),
        ]
    return [*parts, tag("path", d=f"M{_LEFT} {_y(0)}H{_WIDTH - _RIGHT}", class_="axis")]


def _line(points: Sequence[Point], kind: str) -> Html:
    d = " ".join(f"{_number(_x(x))},{_number(_y(y))}" for x, y in points)
    return tag("polyline", points=d, class_=f"line {kind}")


def _dots(points: Sequence[Point]) -> list[Html]:
    return [
        tag("circle", cx=_number(_x(x)), cy=_number(_y(y)), r="3.5", class_="dot")
        for x, y in points
    ]


def _squares(points: Sequence[Point]) -> list[Html]:
    return [
        tag("path", d=f"M{_number(_x(x) - 3)} {_number(_y(y) - 3)}h6v6h-6z", class_="square")
        for x, y in points
    ]


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")

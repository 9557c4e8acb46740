"""Tables of scores in Markdown."""

from collections.abc import Sequence

__all__ = ["score", "table"]


def score(value: float | None) -> str:
    """Return a score with three decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def table(rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Return a table; the first row is its head, all but the first ``words`` columns are numbers.

    Examples
    --------
    >>> print(table([["class", "IoU"], ["boat", score(0.5)]]))
    | class | IoU |
    | --- | ---: |
    | boat | 0.500 |
    """
    rule = ["---"] * words + ["---:"] * (len(rows[0]) - words)
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:]))

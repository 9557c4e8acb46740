"""Check that the palettes of label maps agree: one index, one colour, one class."""

from ...store.errors import InputError
from .classes import Classes, Colour, default_colour
from .label_entry import LabelEntry
from .survey import LabelMapStats, LabelSurvey

__all__ = ["check_palettes", "odd_colours"]


def check_palettes(survey: LabelSurvey) -> None:
    """Refuse label maps whose palettes contradict each other in ids that are used.

    Some programs write a palette of its own to each file: an index is then one class in one file
    and another in the next. Ignored are entries that no pixel uses, colours that a palette has
    twice, and files without a palette.

    Raises
    ------
    InputError
        Naming two files, and the index or colour that they take for different things.
    """
    with_palette = [stats for stats in survey.maps if stats.palette]
    if len({stats.palette for stats in with_palette}) < 2:
        return
    first: dict[int, tuple[Colour, LabelMapStats]] = {}
    index_of_colour: dict[Colour, tuple[int, LabelMapStats]] = {}
    for stats in with_palette:
        for k in stats.pixels:
            colour = _colour(stats, k)
            if colour is None:
                continue
            first_colour, other = first.setdefault(k, (colour, stats))
            if first_colour != colour:
                statement = f"index {k} is {_hex(first_colour)}"
                _refuse(survey, other.entry, statement, stats.entry, _hex(colour))
            j, other = index_of_colour.setdefault(colour, (k, stats))
            if j != k and colour not in (_colour(other, k), _colour(stats, j)):
                statement = f"{_hex(colour)} is index {j}"
                _refuse(survey, other.entry, statement, stats.entry, str(k))


def odd_colours(survey: LabelSurvey, classes: Classes) -> list[str]:
    """Tell if palettes give an id the colour that classes.json gives to another class.

    Default colours, which nobody chose, count for nothing.
    """
    chosen = {colour: k for k, colour in enumerate(classes.colours) if colour != default_colour(k)}
    for stats in survey.maps:
        for k in stats.pixels if stats.palette else ():
            colour = _colour(stats, k)
            j = None if colour is None else chosen.get(colour)
            if j is not None and 0 <= k < len(classes) and classes.colours[k] != colour:
                return [
                    f"'{stats.entry.name}' gives the id {k} ('{classes.names[k]}') the colour that "
                    f"classes.json gives '{classes.names[j]}', class {j}: the index counts, not "
                    "the colour. Is the order of classes.json right?"
                ]
    return []


def _colour(stats: LabelMapStats, k: int) -> Colour | None:
    entry = (stats.palette or b"")[3 * k : 3 * k + 3]
    return (entry[0], entry[1], entry[2]) if len(entry) == 3 else None


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()


def _refuse(
    survey: LabelSurvey, entry: LabelEntry, what: str, other: LabelEntry, contradiction: str
) -> None:
    raise InputError(
        f"{survey.where} have palettes that contradict each other: in '{entry.name}' {what}, in "
        f"'{other.name}' {contradiction}. The same colour must have the same index: save them all "
        "with one palette, or, if the indexes are right as they are, without a palette (as grey "
        "PNGs). If the colours are right, list them in classes.json: then they count"
    )

"""The palettes of label maps: an index is one class only if all of them say so."""

from pathlib import Path

from ...store.errors import InputError
from .classes import Classes, Colour, default_colour
from .survey import LabelMapStats, LabelSurvey

__all__ = ["check_palettes", "odd_colours"]


def check_palettes(survey: LabelSurvey) -> None:
    """Refuse label maps whose palettes contradict each other in ids that are used.

    Programs that give each file a palette of its own number the colours anew in each: an index is
    one class here, another there. Entries that no pixel uses, and colours that a palette has twice,
    contradict nothing; nor do files without a palette.

    Raises
    ------
    InputError
        Naming two files, and the index or colour that they take for different things.
    """
    coloured = [seen for seen in survey.maps if seen.palette]
    if len({seen.palette for seen in coloured}) < 2:
        return
    first: dict[int, tuple[Colour, LabelMapStats]] = {}
    owner: dict[Colour, tuple[int, LabelMapStats]] = {}
    for seen in coloured:
        for k in seen.pixels:
            colour = _colour(seen, k)
            if colour is None:
                continue
            known, other = first.setdefault(k, (colour, seen))
            if known != colour:
                here = f"the index {k} is {_hex(known)}"
                _refuse(survey, other.path, here, seen.path, _hex(colour))
            j, other = owner.setdefault(colour, (k, seen))
            if j != k and colour not in (_colour(other, k), _colour(seen, j)):
                here = f"{_hex(colour)} is the index {j}"
                _refuse(survey, other.path, here, seen.path, str(k))


def odd_colours(survey: LabelSurvey, classes: Classes) -> list[str]:
    """Tell if palettes give an id the colour that classes.json gives to another class.

    Default colours, which nobody chose, count for nothing.
    """
    chosen = {colour: k for k, colour in enumerate(classes.colours) if colour != default_colour(k)}
    for seen in survey.maps:
        for k in seen.pixels if seen.palette else ():
            colour = _colour(seen, k)
            j = None if colour is None else chosen.get(colour)
            if j is not None and 0 <= k < len(classes) and classes.colours[k] != colour:
                return [
                    f"'{seen.path.name}' gives the id {k} ('{classes.names[k]}') the colour that "
                    f"classes.json gives '{classes.names[j]}', class {j}: the index counts, not "
                    "the colour. Is the order of classes.json right?"
                ]
    return []


def _colour(seen: LabelMapStats, k: int) -> Colour | None:
    entry = (seen.palette or b"")[3 * k : 3 * k + 3]
    return (entry[0], entry[1], entry[2]) if len(entry) == 3 else None


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()


def _refuse(survey: LabelSurvey, one: Path, what: str, other: Path, there: str) -> None:
    raise InputError(
        f"{survey.where} have palettes that contradict each other: in '{one.name}' {what}, in "
        f"'{other.name}' {there}. The same colour must have the same index: save them all "
        "with one palette, or, if the indexes are right as they are, without a palette (as grey "
        "PNGs)"
    )

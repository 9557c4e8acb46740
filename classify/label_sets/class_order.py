"""Label maps whose classes are given the ids that others have for classes of the same names."""

from dataclasses import replace

from ..labels.classes import Classes
from .index_maps import Renumbered
from .label_set import LabelSet, ignore_beside

__all__ = ["with_classes"]


def with_classes(labels: LabelSet, classes: Classes) -> LabelSet:
    """Return label maps with the ids of these classes, if theirs have names of the same.

    Plain label maps are returned as they are: their ids are what counts. So are those with a class
    of another name.

    Parameters
    ----------
    labels : LabelSet
    classes : Classes
    """
    own = labels.classes
    if labels.is_plain or own is None or own.names == classes.names:
        return labels
    if not set(own.names) <= set(classes.names):
        return labels
    ids = tuple((k, classes.names.index(name)) for k, name in enumerate(own.names))
    ignore = ignore_beside(len(classes), labels.ignore)
    entries = {
        stem: replace(entry, form=Renumbered(entry.form, ids, (labels.ignore,), ignore))
        for stem, entry in labels.entries.items()
    }
    return replace(labels, entries=entries, classes=classes, ignore=ignore)

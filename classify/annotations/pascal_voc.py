"""Pascal VOC's XML, which has boxes only: recognised to say where its masks are."""

from ...store.errors import InputError
from .format import Candidate, Format
from .model import Annotations

__all__ = ["PASCAL_VOC"]


def _recognise(candidate: Candidate) -> bool:
    root = candidate.xml
    return root is not None and root.tag == "annotation" and root.find("object/bndbox") is not None


def _read(_: Candidate) -> Annotations:
    raise InputError(
        "it has boxes only, and a box says not which of its pixels are of the class. The masks of "
        "the data set are the PNGs in its folder SegmentationClass: give that folder"
    )


PASCAL_VOC = Format(
    name="pascal-voc", title="Pascal VOC", recognise=_recognise, read=_read, in_zip=True
)

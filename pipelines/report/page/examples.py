"""The parts of the page that show images: the best and worst, suspicious labels, what is next."""

import numpy as np
from numpy.typing import NDArray

from ..findings.candidates import Candidate
from ..findings.held_out import HeldOut
from ..findings.pictures import Box, Pictures
from ..findings.scores import FEW_IMAGES, ImageScore, Scores
from ..findings.suspects import Suspect
from .look import Look, name_of, percent, score
from .markup import Html, joined, tag

__all__ = ["candidate", "example", "suspect"]

Pixels = NDArray[np.uint8]


def _figure(source: str, alt: str, caption: str) -> Html:
    image = tag("img", src=source, alt=alt)
    return tag("figure", image, tag("figcaption", caption))


def example(
    one: ImageScore, seen: HeldOut, image: Pixels | None, draw: Pictures, look: Look, ignore: int
) -> Html:
    """Return an image with its label map, its held-out mask and where that is wrong."""
    wrong = 1 - one.accuracy
    pictures = [
        _figure(
            draw.over(image, seen.label),
            f"Label map of {seen.stem}: {look.described(seen.label, ignore)}",
            "labels",
        ),
        _figure(
            draw.over(image, seen.mask),
            f"Held-out mask of {seen.stem}: {look.described(seen.mask)}",
            "held-out mask",
        ),
        _figure(
            draw.errors(image, seen.label, seen.mask, ignore),
            f"Wrong pixels of {seen.stem}, striped: {percent(wrong)} of the labelled ones",
            "wrong pixels (striped)",
        ),
    ]
    facts = f"mIoU {score(one.mean_iou)}, {percent(wrong)} of the pixels wrong"
    if one.uncertainty is not None:
        facts += f", uncertainty {score(one.uncertainty)}"
    return tag(
        "article",
        tag("h4", name_of(seen.stem)),
        tag("p", f"{facts}. ", *_missed(seen, look, ignore)),
        tag("div", *pictures, class_="pictures"),
    )


def _missed(seen: HeldOut, look: Look, ignore: int) -> list[Html]:
    """Return in words what is wrong most often in an image."""
    wrong = (seen.label != seen.mask) & (seen.label != ignore)
    if not wrong.any():
        return []
    pairs = np.stack([seen.label[wrong].astype(np.int64), seen.mask[wrong].astype(np.int64)])
    (label, mask), counts = np.unique(pairs, axis=1, return_counts=True)
    most = int(counts.argmax())
    share = float(counts[most]) / int(wrong.sum())
    return [
        joined(
            [
                "Most often: ",
                look.named(int(label[most])),
                " taken for ",
                look.named(int(mask[most])),
                f" ({percent(share)} of the wrong pixels).",
            ]
        )
    ]


def suspect(
    one: Suspect, seen: HeldOut, image: Pixels | None, draw: Pictures, look: Look, scores: Scores
) -> Html:
    """Return a part of an image in which the label map may be wrong."""
    box = _around(one.box, seen.label.shape)
    place = _place(one.box, seen.label.shape)
    label, mask = look.plain(one.label), look.plain(one.mask)
    pictures = [
        _figure(
            draw.over(image, seen.label, box),
            f"Cut-out of {seen.stem}, {place}, with its labels: {label}",
            "labels",
        ),
        _figure(
            draw.over(image, seen.mask, box),
            f"The same cut-out with the held-out mask: {mask}",
            "held-out mask",
        ),
    ]
    if image is not None:
        plain = _figure(draw.plain(image, box), f"The same cut-out of {seen.stem} alone", "image")
        pictures.insert(0, plain)
    share = one.pixels / seen.label.size
    often = scores.taken_for(one.label, one.mask)
    why = (
        f": {one.pixels} pixels ({percent(share)} of the image), {place}. Elsewhere masks rarely "
        f"confuse the two: {percent(often)} of the pixels of that label."
        if often < 0.1
        else f": {one.pixels} pixels ({percent(share)} of the image), {place}. Masks call "
        f"{percent(often)} of all pixels of that label so; the model may be wrong, too."
    )
    return tag(
        "article",
        tag("h3", name_of(seen.stem)),
        tag(
            "p",
            "Labelled ",
            look.named(one.label),
            ", the held-out mask says ",
            look.named(one.mask),
            why,
        ),
        tag("div", *pictures, class_="pictures"),
    )


def _around(box: Box, size: tuple[int, ...]) -> Box:
    """Return a box with what is around it, as much again on each side as half of it."""
    y0, x0, y1, x1 = box
    margin = max(8, (y1 - y0) // 2, (x1 - x0) // 2)
    return (
        max(0, y0 - margin),
        max(0, x0 - margin),
        min(size[0], y1 + margin),
        min(size[1], x1 + margin),
    )


def _place(box: Box, size: tuple[int, ...]) -> str:
    """Return where in an image a box is, in words.

    Examples
    --------
    >>> _place((0, 0, 10, 10), (90, 90)), _place((40, 40, 50, 50), (90, 90))
    ('top left', 'in the middle')
    """
    y, x = (box[0] + box[2]) / 2 / size[0], (box[1] + box[3]) / 2 / size[1]
    line = ("top", "", "bottom")[min(2, int(3 * y))]
    column = ("left", "", "right")[min(2, int(3 * x))]
    return f"{line} {column}".strip() or "in the middle"


def candidate(
    one: Candidate,
    name: str,
    mask: NDArray[np.integer],
    image: Pixels | None,
    draw: Pictures,
    look: Look,
    scores: Scores | None,
) -> Html:
    """Return an image to label next, and why."""
    pictures = [
        _figure(draw.over(image, mask), f"Mask of {one.stem}: {look.described(mask)}", "mask")
    ]
    if image is not None:
        pictures.insert(0, _figure(draw.plain(image), f"Image {one.stem}", "image"))
    why = [f"Uncertainty {score(one.uncertainty)}"]
    images = [] if scores is None else scores.images
    known = [other.uncertainty for other in images if other.uncertainty is not None]
    if known:
        below = sum(other < one.uncertainty for other in known) / len(known)
        why[0] += f", higher than {percent(below)} of the held-out images"
    if scores is not None:
        why += _rare(mask, scores, look)
    return tag(
        "article",
        tag("h4", name_of(name)),
        tag("p", "; ".join(why) + "."),
        tag("div", *pictures, class_="pictures"),
    )


def _rare(mask: NDArray[np.integer], scores: Scores, look: Look) -> list[str]:
    """Return which classes of a mask are seldom labelled, or masks are bad at."""
    iou, images = scores.confusion.iou_per_class(), scores.images_with
    ids, counts = np.unique(mask, return_counts=True)
    shown = [int(k) for k, n in zip(ids, counts, strict=True) if n >= mask.size / 1000]
    mean = scores.confusion.mean_iou()
    weak = [k for k in shown if k < len(iou) and (images[k] < FEW_IMAGES or iou[k] < mean)]
    weak.sort(key=lambda k: (float(np.nan_to_num(iou[k])), k))
    words = [
        f"{look.plain(k)} (IoU {score(float(iou[k]))}, in {images[k]} label maps)" for k in weak
    ]
    return [f"it may show {', '.join(words[:3])}"] if words else []

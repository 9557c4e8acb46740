"""The sections of the page, of what was found; and what is said where an input is missing."""

from .findings.candidates import Candidate
from .findings.held_out import HeldOutMasks
from .found import Drawn, Found
from .inputs import Inputs
from .page.document import Section
from .page.examples import candidate
from .page.look import command, missing, score
from .page.markup import Html, joined, tag
from .page.provenance import provenance
from .page.quality import class_table, confusion_table, image_table
from .page.summary import advice, confusions_in_words, verdict
from .page.trust import calibration, uncertainty

__all__ = ["held_out_sections", "lead", "next_section", "origin_section"]

_TITLES = {
    "classes": "Classes",
    "confusion": "Which classes are confused",
    "images": "Best and worst images",
    "suspicious": "Labels that may be wrong",
    "calibration": "Are the probabilities right?",
    "uncertainty": "Is it unsure where it is wrong?",
}


def lead(inputs: Inputs, masks: HeldOutMasks | None, found: Found | None) -> Html:
    """Return what stands at the top."""
    if masks is None or found is None:
        return tag(
            "p",
            "Nothing is known yet of how good the masks are: this needs masks of images that the "
            "model has not learnt from. Each section says which command makes what it needs.",
            class_="note",
        )
    facts = masks.facts
    words = (
        f"Each of the {len(masks)} labelled images was predicted by an ensemble that had not "
        f"learnt from it ({facts.folds} folds). All scores here are of these held-out masks, "
        "none of masks of images that were learnt from. IoU (intersection over union) is 1 where "
        "masks and labels agree and 0 where they do not overlap; mIoU is its mean over the classes."
    )
    parts = [verdict(found.scores, found.interval, len(found.suspects)), tag("p", words)]
    legend = inputs.look.legend(_legend_ids(found))
    parts += [tag("p", "The classes, as pictures below show them:"), legend]
    now = found.scores.confusion.mean_iou()
    if facts.mean_iou is not None and abs(now - facts.mean_iou) > 1e-9:
        note = (
            f"The label maps have changed since `dseg fit`, which found an mIoU of "
            f"{score(facts.mean_iou)}: scores here are of the label maps as they are now, but the "
            "model and the calibration are of the earlier ones. Fit again."
        )
        parts.append(tag("p", note, class_="note"))
    if inputs.pictures.problems:
        count, first = len(inputs.pictures.problems), next(iter(inputs.pictures.problems.items()))
        note = f"{count} images are shown without their picture; '{first[0]}': {first[1]}."
        parts.append(tag("p", note, class_="note"))
    return joined(parts)


def held_out_sections(
    inputs: Inputs, masks: HeldOutMasks | None, found: Found | None, drawn: Drawn | None
) -> list[Section]:
    """Return the sections about held-out masks."""
    if masks is None or found is None or drawn is None:
        words = "This section needs held-out masks. Make them, then repeat `dseg report`:"
        body = missing(words, command(*inputs.fit_words))
        return [Section(name, title, body) for name, title in _TITLES.items()]
    scores, look = found.scores, inputs.look
    lines = confusions_in_words(scores, look)
    most = [tag("ul", *(tag("li", line) for line in lines))] if lines else []
    bodies = {
        "classes": joined([_about_intervals(), class_table(scores, found.by_class, look)]),
        "confusion": joined([*most, confusion_table(scores, look)]),
        "images": _examples(inputs, found, drawn),
        "suspicious": _suspects(drawn),
        "calibration": calibration(masks.facts.calibration),
        "uncertainty": uncertainty(scores),
    }
    return [Section(name, title, bodies[name]) for name, title in _TITLES.items()]


def _about_intervals() -> Html:
    return tag(
        "p",
        "An interval tells how much a score may change with other images like these (95 %, by "
        "resampling images). Of a class in fewer than five label maps (few) it says little, and in "
        "one image only there is none.",
    )


def _examples(inputs: Inputs, found: Found, drawn: Drawn) -> Html:
    shown = [
        ("Worst images", [drawn.examples[one.stem] for one in found.worst]),
        ("Best images", [drawn.examples[one.stem] for one in found.best]),
    ]
    parts = [] if inputs.config.images else [_without_images()]
    for title, articles in shown:
        if articles:
            parts += [tag("h3", title), tag("div", *articles, class_="cards")]
    return joined([*parts, tag("h3", "All images"), image_table(found.scores)])


def _legend_ids(found: Found) -> list[int]:
    counts = found.scores.pairs
    present = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    return [k for k in range(len(present)) if present[k]][:100]


def _without_images() -> Html:
    words = "Give the folder of the images (--images) to see them under the masks."
    return tag("p", words, class_="note")


def _suspects(drawn: Drawn) -> Html:
    words = (
        "Here the labels and masks disagree over a whole area, although the model is sure and did "
        "not see these labels. Look at each: if the label is wrong, mend the label map and fit "
        "again; if it is right, the model has something to learn, and more such labels help. The "
        "first are the largest, of classes that are rarely confused."
    )
    if not drawn.suspects:
        return tag("p", "No area was found where a sure model disagrees with the labels.")
    return joined([tag("p", words), tag("div", *drawn.suspects, class_="cards")])


def next_section(inputs: Inputs, found: Found | None, chosen: list[Candidate]) -> Section:
    """Return what to label next: which classes, and which images."""
    parts = [tag("h3", "Classes")]
    if found is None:
        words = "Which classes need labels most is known from held-out masks:"
        parts.append(missing(words, command(*inputs.fit_words)))
    else:
        parts.append(advice(found.scores, inputs.look))
    parts.append(tag("h3", "Images"))
    if inputs.predicted is None:
        words = "Which images help most is known from masks of images without labels:"
        line = ["predict", str(inputs.config.images or "photos/")]
        line += ["--model", str(inputs.config.model), "--out", "masks/"]
        again = tag("p", "Then repeat `dseg report` with --masks masks/.")
        parts += [missing(words, joined([command(*line), again]))]
    elif not chosen:
        parts.append(tag("p", "All images with masks are labelled already: predict others."))
    else:
        parts += _candidates(inputs, found, chosen)
    return Section("next", "What to label next", joined(parts))


def _candidates(inputs: Inputs, found: Found | None, chosen: list[Candidate]) -> list[Html]:
    assert inputs.predicted is not None
    words = (
        f"Of {len(inputs.predicted.records)} images without labels, the model is least sure of "
        "these. Label some of them, not several that look alike, and fit again."
    )
    articles = []
    scores = None if found is None else found.scores
    for one in chosen:
        record, mask = inputs.predicted.records[one.stem], inputs.predicted.mask(one.stem)
        image = inputs.pictures.image(record["image"], record["sha256"], mask.shape)
        articles.append(
            candidate(one, record["image"], mask, image, inputs.pictures, inputs.look, scores)
        )
    return [tag("p", words), tag("div", *articles, class_="cards small")]


def origin_section(inputs: Inputs) -> Section:
    """Return where the model came from."""
    tables = provenance(inputs.facts, inputs.spec, inputs.given)
    return Section("origin", "Where the model came from", tables)

"""What a report tells of, on arrays whose answer is known."""

import base64
from io import BytesIO

import numpy as np
import pytest
from dseg.pipelines.report.findings.held_out import HeldOut
from dseg.pipelines.report.findings.pictures import MOST_BYTES, Pictures
from dseg.pipelines.report.findings.scores import Scores
from dseg.pipelines.report.findings.suspects import choose_suspects, suspects_in
from dseg.pipelines.report.page.markup import tag, text
from PIL import Image


def image(stem, label, mask, uncertainty=None):
    return HeldOut(stem, f"{stem}.png", "", label, mask, uncertainty, 0.1)


def score_images(images, *how):
    scores = Scores(*how)
    for one in images:
        scores.add(one)
    return scores


def drawn(seed, size=(60, 80)):
    """Labels of three classes, and masks that are wrong more often where they are unsure."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, size).astype(np.uint8)
    label[:5] = 255
    u = rng.uniform(0, 1, size).astype(np.float32)
    wrong = rng.uniform(0, 1, size) < u
    return image(f"p{seed}", label, np.where(wrong, rng.integers(0, 3, size), label % 3), u)


def test_pixels_are_grouped_by_uncertainty_as_if_they_were_sorted():
    images = [drawn(seed) for seed in range(3)]
    groups = score_images(images, "abc", 255, 4).groups()
    known = np.concatenate([(one.label != 255).ravel() for one in images])
    u = np.concatenate([one.uncertainty.ravel() for one in images])[known]
    wrong = np.concatenate([(one.label != one.mask).ravel() for one in images])[known]
    wrong = wrong[np.argsort(u)]
    assert len(groups) == 10
    for number, one in enumerate(groups):
        assert one.stop == pytest.approx((number + 1) / 10, abs=0.002)
        part = wrong[round(one.start * len(wrong)) : round(one.stop * len(wrong))]
        assert one.wrong == pytest.approx(part.mean())
        assert one.errors == pytest.approx(part.sum() / wrong.sum())
    assert sum(one.errors for one in groups) == pytest.approx(1)


def test_without_uncertainty_there_are_no_groups():
    one = drawn(0)
    scores = score_images([image("p", one.label, one.mask)], "abc", 255, 1)
    assert scores.groups() == []
    assert scores.sure is None


def scene():
    """A mask that is unlike its label in a large part, along a border, and where it is unsure."""
    label, u = np.zeros((100, 120), np.uint8), np.full((100, 120), 0.01, np.float32)
    label[:, 60:] = 1
    mask = label.copy()
    mask[20:40, 10:30] = 2  # a thing that was not labelled
    mask[:, 60] = 0  # a border that is one pixel off
    mask[60:90, 80:110] = 0
    u[60:90, 80:110] = 0.6
    return image("wrong", label, mask, u)


def test_a_label_is_suspicious_where_sure_masks_disagree_over_an_area():
    good = np.zeros((100, 120), np.uint8)
    others = [image("good", good, good, np.full(good.shape, 0.01, np.float32))]
    scores = score_images([scene(), *others], "abc", 255, 4)
    assert suspects_in(others[0], scores) == []
    (found,) = suspects_in(scene(), scores)
    assert (found.label, found.mask, found.pixels) == (0, 2, 400)
    assert found.box == (20, 10, 40, 30)
    rate = 400 / (100 * 60 + 100 * 120)
    assert found.score == pytest.approx(400 / 12000 * (1 - rate))
    assert choose_suspects([found] * 20) == [found] * 8


def test_a_large_image_gives_what_a_small_one_gives():
    def larger(one):
        arrays = (np.kron(a, np.ones((20, 20), a.dtype)) for a in (one.label, one.mask))
        return image("wrong", *arrays, np.kron(one.uncertainty, np.ones((20, 20), np.float32)))

    big = larger(scene())
    (found,) = suspects_in(big, score_images([big], "abc", 255, 4))
    assert found.pixels == pytest.approx(400 * 400, rel=0.05)
    assert np.abs(np.array(found.box) - np.array((400, 200, 800, 600))).max() <= 2 * 3


def test_pictures_stay_within_their_bytes_whatever_the_image():
    rng = np.random.default_rng(0)
    draw = Pictures({}, 65535, [(0, 0, 0), (230, 159, 0)])
    for size in ((3000, 2500), (1, 4000), (4000, 1), (1, 1)):
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
        ids = rng.integers(0, 2, size).astype(np.uint8)
        for source in (draw.plain(noise), draw.over(noise, ids), draw.errors(noise, ids, ids, 255)):
            data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
            assert len(data) <= MOST_BYTES
            with Image.open(BytesIO(data)) as made:
                assert max(made.size) <= 420


def test_overlays_show_the_image_half_under_the_colours():
    draw = Pictures({}, 65535, [(0, 0, 0), (200, 100, 0)])
    ids = np.ones((200, 300), np.uint8)
    ids[:, 150:] = 255
    source = draw.over(np.full((200, 300, 3), 100, np.uint8), ids)
    with Image.open(BytesIO(base64.b64decode(source.partition(",")[2]))) as made:
        pixels = np.asarray(made).astype(int)
    assert pixels.shape == (200, 300, 3)
    assert np.abs(pixels[100, 50] - (150, 100, 50)).max() < 6
    assert np.abs(pixels[100, 250] - (114, 114, 114)).max() < 6


def test_text_is_never_html():
    for words in ("<b>", '"', "'", "&lt;", "\x00\x1b", "\ufffe\ud800", "\u202e", "\r"):
        made = text(words)
        assert not set(made) & set("<>\"'\x00\x1b\ufffe\ud800\u202e\r")
        made.encode()
    assert tag("img", alt='" onload="x') == '<img alt="&quot; onload=&quot;x">'

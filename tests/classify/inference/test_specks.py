"""Masks without specks, against a slow plain version that repaints one object after the other."""

import time

import numpy as np
from dseg.classify.inference.specks import remove_specks
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def objects_of(mask):
    """Return the pixels of each object, in the order of first pixels."""
    left, found = {tuple(at) for at in np.argwhere(mask >= 0).tolist()}, []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        members, border = [start], [start]
        while border:
            y, x = border.pop()
            for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if beside in left and mask[beside] == mask[start]:
                    left.discard(beside)
                    members.append(beside)
                    border.append(beside)
        found.append(members)
    return found


def slow(mask, min_size):
    mask = mask.copy()
    while True:
        small = [one for one in objects_of(mask) if len(one) < min_size]
        if not small or len(objects_of(mask)) == 1:
            return mask
        pixels = min(small, key=lambda one: (len(one), min(one)))
        borders = {}
        for y, x in pixels:
            for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= beside[0] < mask.shape[0] and 0 <= beside[1] < mask.shape[1]
                if inside and beside not in pixels:
                    borders[mask[beside]] = borders.get(mask[beside], 0) + 1
        winner = min(borders, key=lambda k: (-borders[k], k))
        for at in pixels:
            mask[at] = winner


masks = arrays(
    np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 3)
)


@settings(max_examples=120, deadline=None)
@given(masks, st.integers(0, 12))
def test_equals_the_slow_plain_version(mask, min_size):
    found = remove_specks(mask, min_size)
    np.testing.assert_array_equal(found, slow(mask, min_size))
    assert found.dtype == mask.dtype


def test_specks_go_and_holes_are_filled_but_not_what_is_as_large_as_asked_for():
    mask = np.zeros((20, 20), np.uint16)
    mask[5:15, 5:15], mask[8:10, 8:10], mask[0, 0], mask[17:19, 2:6] = 2, 1, 300, 1
    found = remove_specks(mask, 5)
    expected = np.zeros_like(mask)
    expected[5:15, 5:15], expected[17:19, 2:6] = 2, 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(remove_specks(mask, 4)[8:10, 8:10], 1)


def test_noise_of_a_large_image_takes_seconds():
    """A hundred thousand objects: each is looked at a few times, not with all the others."""
    mask = np.random.default_rng(0).integers(0, 4, (400, 500)).astype(np.uint8)
    started = time.perf_counter()
    found = remove_specks(mask, 200)
    assert time.perf_counter() - started < 20
    assert min(map(len, objects_of(found.astype(int)))) >= 200

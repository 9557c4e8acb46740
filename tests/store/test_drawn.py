"""Which images were drawn: written and read, summarised, kept up to date."""

from typing import Any

import pytest
from dseg.store.drawn import (
    Drawn,
    drawn_from_plain,
    drawn_to_plain,
    summarise_drawn,
    updated_drawn,
)
from hypothesis import given
from hypothesis import strategies as st

NETS: tuple[dict[str, Any], ...] = ({"checkpoint": "a", "eta": 0.5}, {"checkpoint": "b"})
IMAGES = st.dictionaries(
    st.integers(0, 30), st.builds(Drawn, st.sampled_from(NETS), st.integers(0, 40)), max_size=12
)


@given(IMAGES)
def test_what_is_written_is_read(drawn: dict[int, Drawn]) -> None:
    assert drawn_from_plain(drawn_to_plain(drawn), 31) == drawn


@given(IMAGES, st.integers(0, 30))
def test_numbers_beyond_the_store_are_ignored(drawn: dict[int, Drawn], images: int) -> None:
    there = {number: image for number, image in drawn.items() if number < images}
    assert drawn_from_plain(drawn_to_plain(drawn), images) == there


@given(IMAGES)
def test_a_summary_has_every_seed_once(drawn: dict[int, Drawn]) -> None:
    found = {
        (entry["drawn_by"]["checkpoint"], seed)
        for entry in summarise_drawn(drawn.values())
        for first, last in entry["seeds"]
        for seed in range(first, last + 1)
    }
    assert found == {(image.by["checkpoint"], image.seed) for image in drawn.values()}
    assert sum(entry["images"] for entry in summarise_drawn(drawn.values())) == len(drawn)


def test_many_images_of_one_run_are_one_run() -> None:
    plain = drawn_to_plain({k: Drawn(NETS[0], 5 + k) for k in range(20_000)})
    assert plain == [{"drawn_by": NETS[0], "runs": [[0, 5, 20_000]]}]


def test_what_is_known_now_counts() -> None:
    before = {k: Drawn(NETS[0], k) for k in range(4)}
    now = {1: None, 2: Drawn(NETS[1], 9), 7: Drawn(NETS[1], 3), 8: None}
    assert updated_drawn(before, now) == {0: before[0], 2: now[2], 3: before[3], 7: now[7]}


@pytest.mark.parametrize(
    "plain",
    [
        [{"drawn_by": {"checkpoint": "a"}, "runs": [[0, 1]]}],
        [{"drawn_by": {"checkpoint": "a"}, "runs": [[0, -1, 2]]}],
        [{"drawn_by": {"checkpoint": "a"}, "runs": [[0, 1.5, 2]]}],
        [{"drawn_by": {"checkpoint": None}, "runs": []}],
        [{"runs": []}],
        7,
    ],
)
def test_other_forms_are_refused(plain: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        drawn_from_plain(plain, 10)

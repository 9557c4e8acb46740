"""Option types: text becomes a value, or is refused in words that show the form."""

import click
import pytest
from dseg.pipelines.console.values import BYTES, NAMES, NUMBERS, SHARD, SIZES, TIME


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BYTES, "500MB", 500_000_000),
        (BYTES, "2GiB", 2 * 1024**3),
        (BYTES, " 1.5 t ", 1_500_000_000_000),
        (BYTES, "4g", 4_000_000_000),
        (NUMBERS, "50, 150,250", (50, 150, 250)),
        (NAMES, "50:6, pixels", ("50:6", "pixels")),
        (SIZES, "256", ((256, 256),)),
        (SIZES, "192x256,64", ((192, 256), (64, 64))),
        (SHARD, "3/4", (3, 4)),
        (TIME, "1h30m", 5400.0),
        (TIME, "0.5D", 43200.0),
    ],
)
def test_text_becomes_a_value_that_stays_one(kind, text, value):
    assert kind.convert(text, None, None) == value
    assert kind.convert(value, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (BYTES, "500", "'500' is not a size: give a number and a unit"),
        (BYTES, "-1GB", "is not a size"),
        (BYTES, "1e9GB", "is not a size"),
        (NUMBERS, "1,,2", "is not a list of whole numbers"),
        (NAMES, "a,,b", "is not a list of names"),
        (SIZES, "0", "is not a size: give a side such as 256, or HxW"),
        (SIZES, "5x00", "is not a size"),
        (SHARD, "4/4", "is not a shard: give i/n with i from 0 to n-1"),
        (TIME, "30", "is not a time: give units"),
        (TIME, "0s", "is zero"),
    ],
)
def test_other_text_is_refused(kind, text, words):
    with pytest.raises(click.BadParameter, match=words):
        kind.convert(text, None, None)

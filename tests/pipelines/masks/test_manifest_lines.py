"""The lines of ``predictions.jsonl``: what one run writes, another reads, whatever lies between."""

import json

import pytest
from dseg.pipelines.masks.manifest import FILE, Manifest, same_prediction
from dseg.store.errors import InputError
from dseg.store.seals import sealed
from hypothesis import given
from hypothesis import strategies as st


def record(stem, **more):
    plain = {"stem": stem, "image": f"{stem}.png", "sha256": "0", "mask": f"{stem}.png"}
    return {**plain, "recipe": "r", **more}


NAMES = st.text("abc\u00e9 .#", min_size=1, max_size=6).filter(lambda name: set(name) - {"."})


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True), st.randoms())
def test_what_is_added_is_read_again_and_compacted_in_order(tmp_path_factory, stems, random):
    folder = tmp_path_factory.mktemp("masks")
    written = Manifest(folder)
    for stem in stems:
        written.add(record(stem))
    assert Manifest(folder).records == {stem: sealed(record(stem)) for stem in stems}
    order = random.sample(stems, len(stems))
    written.compact(order)
    assert list(Manifest(folder).records) == order


def test_the_last_line_of_an_image_counts_until_there_is_one(tmp_path):
    first, second = Manifest(tmp_path), Manifest(tmp_path)
    first.add(record("a", image_uncertainty=0.5))
    second.refresh()
    second.add(record("a", image_uncertainty=0.25))
    first.refresh()
    assert first.records["a"]["image_uncertainty"] == 0.25
    first.compact(["a"])
    assert len((tmp_path / FILE).read_text().splitlines()) == 1
    second.refresh()  # the file was replaced, and is read anew
    assert second.records == first.records


def test_a_line_with_a_flipped_bit_does_not_count(tmp_path):
    Manifest(tmp_path).add(record("a", image_uncertainty=0.5))
    text = (tmp_path / FILE).read_text()
    for old, new in (("0.5", "0.7"), ("a.png", "q.png"), ("checksum", "bhecksum")):
        assert old in text
        (tmp_path / FILE).write_text(text.replace(old, new))
        assert Manifest(tmp_path).records == {}


def test_a_line_without_its_end_spoils_no_other(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.add(record("a"))
    with (tmp_path / FILE).open("a") as file:
        file.write(json.dumps(record("b"))[:20])
    manifest.refresh()
    manifest.add(record("c"))
    assert list(Manifest(tmp_path).records) == ["a", "c"]


@pytest.mark.parametrize("line", ["", "3", "[]", "{}", '{"stem": "a"}', "[" * 5000, "\ufffd"])
def test_lines_that_are_no_record_are_skipped(tmp_path, line):
    (tmp_path / FILE).write_text(f"{line}\n{json.dumps(record('b'))}\n")
    assert list(Manifest(tmp_path).records) == ["b"]


@pytest.mark.parametrize(
    "more",
    [
        {"stem": "../b"},
        {"image": "/b.png"},
        {"mask": "../b.png"},
        {"overlay": "a//b"},
        {"overlay": 3},
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, more):
    (tmp_path / FILE).write_text(json.dumps({**record("a"), **more}) + "\n")
    with pytest.raises(InputError, match=next(iter(more))):
        Manifest(tmp_path)


def test_a_prediction_is_of_one_model_and_one_file():
    assert same_prediction(record("a"), record("b"))
    assert not same_prediction(record("a"), record("a", recipe="other"))
    assert not same_prediction(record("a"), record("a", sha256="1"))


def test_a_folder_that_is_not_there_has_no_records(tmp_path):
    assert Manifest(tmp_path / "masks").records == {}

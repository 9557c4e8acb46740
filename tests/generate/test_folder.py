"""A folder of drawn images: what it states, what it refuses, what it removes."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dseg.extract.images.files import list_images
from dseg.generate.folder import SampleFolder, name_of, read_drawn, read_facts
from dseg.generate.records import Records
from dseg.generate.sheet import contact_sheet, is_foreign, write_sheet
from dseg.store.errors import InputError
from PIL import Image

FACTS: dict[str, Any] = {
    "checkpoint": "somewhere/net.pt",
    "checkpoint_sha256": "ab" * 32,
    "kind": "diffusers",
    "sampler": "ddim",
    "eta": 0.0,
    "first_seed": 10,
    "architecture": {"blocks": (1, 2)},
}


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def fill(path: Path, numbers: range, **different: Any) -> SampleFolder:
    path.mkdir(exist_ok=True)
    folder = SampleFolder(path, FACTS | different)
    folder.check()
    folder.begin()
    for number in numbers:
        folder.add(number, image(number))
    folder.finish()
    return folder


def test_images_their_seeds_and_what_drew_them(tmp_path: Path) -> None:
    folder = fill(tmp_path / "drawn", range(3))
    assert [path.name for path in list_images(folder.path)] == [name_of(k) for k in range(3)]
    with Image.open(folder.path / "000001.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), image(1))
    found = read_drawn(folder.path)
    assert found is not None
    facts, seeds = found
    assert facts["checkpoint"] == "somewhere/net.pt"
    digest = hashlib.sha256((folder.path / "000002.png").read_bytes()).hexdigest()
    assert seeds[digest] == 12
    assert read_drawn(tmp_path) is None


def test_what_is_there_is_not_drawn_again(tmp_path: Path) -> None:
    fill(tmp_path / "drawn", range(3))
    again = SampleFolder(tmp_path / "drawn", {**FACTS, "checkpoint": "moved/net.pt"})
    again.check()
    (tmp_path / "drawn/000001.png").unlink()
    assert [again.is_done(k) for k in range(4)] == [True, False, True, False]


def test_differing_settings_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "drawn", range(1))
    others = {"eta": 0.5, "first_seed": 0, "checkpoint_sha256": "cd" * 32}
    words = r"differ in eta \(0.0 before, 0.5 now\); first seed \(10 before, 0 now\); the checkp"
    with pytest.raises(InputError, match=words):
        SampleFolder(tmp_path / "drawn", FACTS | others).check()
    with pytest.raises(InputError, match=r"differ in blocks \(\[1, 2\] before, \[3\] now\)"):
        SampleFolder(tmp_path / "drawn", {**FACTS, "architecture": {"blocks": (3,)}}).check()


def test_overwriting_removes_drawn_images_alone(tmp_path: Path) -> None:
    fill(tmp_path / "drawn", range(3))
    for name in ("mine.png", "000007.png"):
        (tmp_path / "drawn" / name).write_bytes(b"mine")
    (tmp_path / "kept.png").write_bytes(b"mine")
    with (tmp_path / "drawn/samples.jsonl").open("a") as file:
        record = {"name": "../kept.png", "seed": 1, "sha256": ""}
        file.write(json.dumps(record) + "\n")
    folder = SampleFolder(tmp_path / "drawn", FACTS | {"eta": 1.0})
    folder.check(overwrite=True)
    folder.begin(overwrite=True)
    names = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert names == ["000007.png", "mine.png", "samples.json"]
    assert (tmp_path / "kept.png").read_bytes() == b"mine"
    facts = read_facts(tmp_path / "drawn")
    assert facts is not None
    assert facts["eta"] == 1.0
    assert not any(folder.is_done(k) for k in range(3))


def test_other_folders_and_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    folder = SampleFolder(tmp_path, FACTS)
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"files that are not of `dseg sample`"):
            folder.check(overwrite=overwrite)
    with pytest.raises(InputError, match="is a file: give a folder"):
        SampleFolder(tmp_path / "notes.txt", FACTS).check()
    drawn = fill(tmp_path / "drawn", range(1))
    (tmp_path / "drawn/000001.png").write_bytes(b"mine")
    drawn.check_replaceable(range(1))
    with pytest.raises(InputError, match=r"000001.png' is in the way, and was not drawn"):
        drawn.check_replaceable(range(2))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "dseg-samples", "version": 2}',
        json.dumps({**FACTS, "format": "dseg-samples", "version": 1, "checkpoint": 3}),
        json.dumps({**FACTS, "format": "dseg-samples", "version": 1, "first_seed": "0"}),
    ],
)
def test_a_damaged_statement_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(InputError, match=r"samples.json' is damaged, or was not written by this"):
        read_drawn(tmp_path)


def test_torn_lines_are_skipped_and_the_last_line_of_an_image_counts(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    line = {"name": "000001.png", "seed": 1, "sha256": "aa"}
    path.write_text(json.dumps(line) + "\n" + '["no record"]\n{"name": "000002.png", "se')
    records = Records(path)
    assert records.seeds == {"aa": 1}
    records.add({"name": "000000.png", "seed": 0, "sha256": "bb"})
    records.add({**line, "sha256": "cc"})
    assert Records(path).seeds == {"bb": 0, "cc": 1}
    records.compact()
    assert [json.loads(one)["name"] for one in path.read_text().splitlines()] == [
        "000000.png",
        "000001.png",
    ]
    before = path.stat().st_mtime_ns
    records.compact()
    assert path.stat().st_mtime_ns == before


def test_a_sheet_shows_the_images_in_order(tmp_path: Path) -> None:
    images = np.stack([np.full((2, 3, 3), 40 * k, np.uint8) for k in range(5)])
    sheet = contact_sheet(images)
    assert [sheet[4 * (k // 3), 5 * (k % 3), 0] for k in range(5)] == [0, 40, 80, 120, 160]
    assert (sheet[2:4] == 255).all()
    path = tmp_path / "sheet.png"
    assert not is_foreign(path)
    write_sheet(path, images)
    assert not is_foreign(path)
    Image.fromarray(sheet).save(path)
    assert is_foreign(path)
    path.write_bytes(b"no picture")
    assert is_foreign(path)

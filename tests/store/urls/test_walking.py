"""The files of a folder: links are followed, loops end, and what is passed over is said."""

from pathlib import Path

import pytest
from dseg.store.urls.walking import describe_skipped, walk

PNG = frozenset({".png"})


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk(root).files]


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    root, disk = tmp_path / "photos", tmp_path / "disk"
    put(root, "a.png", "sub/b.png")
    put(disk, "c.png", "deep/d.png")
    (root / "linked").symlink_to(disk)
    assert names(root) == ["a.png", "linked/c.png", "linked/deep/d.png", "sub/b.png"]
    assert walk(root).followed == [disk.resolve()]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path / "real", "a.png", "sub/b.png")
    (tmp_path / "photos").symlink_to(tmp_path / "real")
    assert names(tmp_path / "photos") == ["a.png", "sub/b.png"]


def test_loops_end_and_no_folder_comes_twice(tmp_path: Path) -> None:
    root, disk = tmp_path / "photos", tmp_path / "disk"
    put(root, "sub/b.png")
    put(disk, "c.png")
    links = {"again": root / "sub", "sub/up": root, "above": tmp_path, "l1": disk, "l2": disk}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (disk / "back").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    found = walk(root)
    assert [path.relative_to(root).as_posix() for path in found.files] == [
        "l1/c.png",
        "self",
        "sub/b.png",
    ]
    repeated = {path.relative_to(root).as_posix() for path in found.repeated}
    assert repeated == {"again", "sub/up", "above", "l2", "l1/back"}
    assert "5 links to folders that are included already" in describe_skipped(found, PNG)


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    files = ("a.png", "b.HEIC", "c.heic", "d.npy", "e", ".f.png", ".hidden/g.png")
    put(tmp_path, *files)
    words = describe_skipped(walk(tmp_path), PNG)
    assert words == "2 .heic, 1 .npy, 1 without an ending, 2 hidden"


def test_what_nobody_misses_is_not_told(tmp_path: Path) -> None:
    plain = ("classes.txt", "Thumbs.db", "desktop.ini", "README", "README.md", "LICENSE")
    put(tmp_path, "a.png", *plain, ".DS_Store", "._a.png", ".git/config", "list.csv")
    put(tmp_path, "a.npy", "a.nef")  # the label map or raw file of an image that is taken
    assert describe_skipped(walk(tmp_path), PNG) == ""


def test_folders_that_cannot_be_opened_are_told(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "closed/b.png")
    (tmp_path / "closed").chmod(0)
    try:
        found = walk(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)
    if not found.closed:
        pytest.skip("this user may open every folder")
    assert "1 folder that cannot be opened" in describe_skipped(found, PNG)

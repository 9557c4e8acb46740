"""What has a final name is whole, whatever happens while it is replaced."""

import shutil

import pytest
from dseg.store.atomic_folder import (
    atomic_folder,
    finish_replacement,
    is_free,
    recover_folder,
    remove_temporary_files,
    replace_folder,
    temporary_path,
)
from dseg.store.claims import claimed


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / ".made"
    folder.mkdir()
    (folder / "content").write_text("new")
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "content").write_text("old")
    return folder


def test_a_folder_takes_the_place_of_another(tmp_path, made, target):
    replace_folder(made, target)
    assert (target / "content").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_old_folder_that_cannot_be_removed_is_not_in_the_way(made, target, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda folder, ignore_errors: None)  # killed before it
    replace_folder(made, target)
    assert (target / "content").read_text() == "new"


def test_the_old_folder_comes_back_if_there_is_no_new_one(tmp_path, target):
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / ".nothing", target)
    assert (target / "content").read_text() == "old"


def test_an_empty_folder_is_free(tmp_path, target):
    (tmp_path / "empty").mkdir()
    assert is_free(tmp_path / "empty")
    assert is_free(tmp_path / "absent")
    assert not is_free(target)
    assert not is_free(target / "content")


def test_a_folder_that_was_not_finished_leaves_nothing(tmp_path, target):
    def fill(where):
        with atomic_folder(where) as made:
            (made / "content").write_text("half")
            raise ValueError

    for where in (target, tmp_path / "deep/new"):
        with pytest.raises(ValueError):  # noqa: PT011
            fill(where)
    assert (target / "content").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["content", "deep", "target"]
    with atomic_folder(tmp_path / "deep/new") as made:
        (made / "content").write_text("new")
    assert (tmp_path / "deep/new/content").read_text() == "new"
    assert (tmp_path / "deep/new").stat().st_mode & 0o777 == 0o755


def test_a_replacement_that_was_cut_short_is_finished(tmp_path, made, target):
    aside = tmp_path / ".made-replaced"
    target.rename(aside)  # killed between the two renames
    finish_replacement(made, target)
    assert (target / "content").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]
    target.rename(aside)  # and with nothing to put there
    finish_replacement(made, target)
    assert (target / "content").read_text() == "new"
    shutil.copytree(target, aside)  # killed before the old one was removed
    finish_replacement(made, target)
    assert list(tmp_path.iterdir()) == [target]
    finish_replacement(made, target)
    assert list(tmp_path.iterdir()) == [target]


def test_what_killed_runs_left_beside_a_folder_is_removed_and_nothing_else(tmp_path, target):
    half, old = ".target.0123456789abcdef.part", ".target.fedcba9876543210.part-replaced"
    users = [
        ".target-original",
        ".target.notes.part",
        ".other.0123456789abcdef.part",
        ".target.0123456789abcdef.part.txt",
        "target.0123456789abcdef.part",
    ]
    for name in (half, old, *users):
        (tmp_path / name).mkdir()
    recover_folder(target)
    assert (target / "content").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["target", *users])


def test_a_folder_that_was_made_and_not_renamed_gets_its_name(tmp_path, target):
    new = tmp_path / ".target.0123456789abcdef.part"
    new.mkdir()
    (new / "content").write_text("new")
    target.rename(f"{new}-replaced")
    recover_folder(target)
    assert (target / "content").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_parts_are_removed_from_all_folders_but_those_of_runs_at_work(tmp_path):
    users = ["a.part", ".a.part", ".0123456789abcdef.part", f".{32 * 'g'}.part", "b/.c.png"]
    for folder in ("", "b", "b/c", "busy", "busy/d"):
        (tmp_path / folder).mkdir(exist_ok=True)
        temporary_path(tmp_path / folder / "x.png").write_text("torn")
    for name in users:
        (tmp_path / name).write_text("mine")
    with claimed(tmp_path / "busy", None, "a test"):
        remove_temporary_files(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith("busy")} == set(users)
    assert len(left) == len(users) + 2


def test_locks_do_not_fill_a_folder(tmp_path):
    with claimed(tmp_path / "out", None, "a test"):
        assert list((tmp_path / "out").iterdir())
        assert is_free(tmp_path / "out")
        (tmp_path / "out/.hidden").write_text("mine")
        assert not is_free(tmp_path / "out")


def test_a_name_as_long_as_can_be(tmp_path):
    with atomic_folder(tmp_path / ("n" * 255)) as made:
        (made / "content").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["n" * 255]

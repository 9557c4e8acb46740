"""What has a final name is whole, whatever happens while it is replaced."""

import shutil

import pytest
from dseg.store.folders import is_free, replace_folder, whole_folder


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
        with whole_folder(where) as made:
            (made / "content").write_text("half")
            raise ValueError

    for where in (target, tmp_path / "deep/new"):
        with pytest.raises(ValueError):  # noqa: PT011
            fill(where)
    assert (target / "content").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["content", "deep", "target"]
    with whole_folder(tmp_path / "deep/new") as made:
        (made / "content").write_text("new")
    assert (tmp_path / "deep/new/content").read_text() == "new"
    assert (tmp_path / "deep/new").stat().st_mode & 0o777 == 0o755

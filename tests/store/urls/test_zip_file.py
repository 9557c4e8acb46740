"""Zip files: read file by file."""

import zipfile

import pytest
from dseg.store.errors import InputError
from dseg.store.urls.errors import UrlError
from dseg.store.urls.location import location
from dseg.store.urls.walking import walk, within


def packed(path, *names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, name.encode() * 50)
    return location(path)


def test_a_folder_that_holds_all_is_what_is_meant(tmp_path):
    root = packed(tmp_path / "a.zip", "photos/b.png", "photos/c/d.png", "__MACOSX/photos/._b.png")
    assert [within(path, root) for path in walk(root).files] == ["b.png", "c/d.png"]
    assert (root / "c/d.png").read_bytes() == b"photos/c/d.png" * 50
    assert (root / "c").is_dir()
    assert not (root / "c").is_file()
    assert not (root / "x").exists()


def test_hidden_files_are_no_images(tmp_path):
    root = packed(tmp_path / "a.zip", "b.png", ".c.png", ".d/e.png", "f/._g.png")
    found = walk(root)
    assert [path.name for path in found.files] == ["b.png"]
    assert [path.name for path in found.hidden] == [".c.png", "e.png"]


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/x.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="contains"):
        walk(packed(tmp_path / "a.zip", "b.png", name))


def test_damage_is_named(tmp_path):
    root = packed(tmp_path / "a.zip", "b.png", "c.png")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[37:41] = bytes(4)
    (tmp_path / "d.zip").write_bytes(data)
    damaged = location(tmp_path / "d.zip")
    with pytest.raises(OSError, match=r"damaged here, or encrypted: '.*d\.zip/b\.png'"):
        (damaged / "b.png").read_bytes()
    assert (damaged / "c.png").read_bytes() == (root / "c.png").read_bytes()
    (tmp_path / "e.zip").write_bytes(data[:60])
    with pytest.raises(InputError, match="is no zip file, or is damaged"):
        (location(tmp_path / "e.zip") / "b.png").read_bytes()


def test_it_is_not_written(tmp_path):
    with pytest.raises(UrlError, match="can only be read"):
        (packed(tmp_path / "a.zip", "b.png") / "c.png").write_bytes(b"")

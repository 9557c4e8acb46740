import pytest
from dseg.store.errors import DsegError
from dseg.store.whole_file import write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")])
def test_a_file_is_written_with_its_folder(tmp_path, content):
    write_whole(tmp_path / "a" / "b.bin", content)
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"new"
    assert names(tmp_path / "a") == ["b.bin"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "b.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"ne")
        raise error

    with pytest.raises((DsegError, KeyboardInterrupt)) as raised:
        write_whole(path, fail)
    if isinstance(error, OSError):
        assert str(raised.value) == f"cannot write '{path}': No space left on device"
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["b.bin"]


def test_under_a_given_name_the_caller_renames_it(tmp_path):
    write_whole(tmp_path / "b.bin", b"new", under=tmp_path / "part")
    assert names(tmp_path) == ["part"]

import pytest
from dseg.store.errors import DsegError
from dseg.store.json_lines import append_record, records_in, rewrite_records


def test_records_come_back_as_they_were_added(tmp_path):
    path = tmp_path / "records.jsonl"
    added = [{"stem": "a\u2028b\n", "seed": 1}, {"stem": "ö", "share": 0.1}]
    for record in added:
        assert append_record(path, record).st_size == path.stat().st_size
    assert list(records_in(path.read_bytes())) == added


@pytest.mark.parametrize("torn", [b'{"n": 1', b"\xff\xfe", b"[" * 100_000, b"[1, 2]", b'"word"'])
def test_a_torn_line_neither_counts_nor_tears_the_next(tmp_path, torn):
    path = tmp_path / "records.jsonl"
    append_record(path, {"n": 0})
    with path.open("ab") as file:
        file.write(torn)
    append_record(path, {"n": 2})
    assert list(records_in(path.read_bytes())) == [{"n": 0}, {"n": 2}]


def test_an_unchanged_file_is_not_written_again(tmp_path):
    path = tmp_path / "records.jsonl"
    rewrite_records(path, [{"n": 0}, {"n": 1}])
    before = path.stat()
    rewrite_records(path, [{"n": 0}, {"n": 1}])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    rewrite_records(path, [{"n": 1}])
    assert list(records_in(path.read_bytes())) == [{"n": 1}]


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "records").mkdir()
    with pytest.raises(DsegError, match=r"cannot write '.*records': Is a directory"):
        append_record(tmp_path / "records", {})

"""``--list`` files: how they are read, and which images an entry selects."""

import pytest
from dseg.pipelines.inputs.image_list import duration, named, read_list, select, shard_of
from dseg.store.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

KNOWN = ["a/1", "a/2", "b/1", "cat.front", "cat", "e\u0301t\u00e9".replace("e\u0301", "\u00e9")]


def picked(*entries):
    return select(KNOWN, entries, "images")


def test_without_a_list_all_are_taken_in_their_order():
    assert select(KNOWN, None, "images") == KNOWN


@pytest.mark.parametrize(
    ("entry", "stem"),
    [
        ("a/1", "a/1"),
        ("a/1.jpg", "a/1"),
        ("a/1.npy", "a/1"),  # a label map
        ("photos/a/1.png", "a/1"),
        ("/data/photos/a/1.png", "a/1"),
        ("photos\\a\\2.JPG", "a/2"),
        ("cat.front", "cat.front"),
        ("cat.front.png", "cat.front"),
        ("cat.png", "cat"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),  # decomposed, as macOS writes names
    ],
)
def test_an_entry_is_a_stem_or_a_path_to_it(entry, stem):
    assert picked(entry) == [stem]


def test_the_order_is_that_of_the_images_and_none_comes_twice():
    assert picked("cat", "b/1", "a/1") == ["a/1", "b/1", "cat"]
    assert picked("photos/a/1.png", "photos/a/1.npy") == ["a/1"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["cats"], "cats"),
        (["cat.back"], "cat.back"),  # not the image 'cat'
        (["1"], "'a/1'"),  # a name alone: told what may be meant
        (["x/a/1.png", "y/a/2.png"], "several folders"),
        (["cat", "x/a/2.png"], "x/a/2.png"),  # names as they are, so the path is another image
    ],
)
def test_what_matches_no_image_is_refused_and_named(entries, words):
    with pytest.raises(InputError) as refused:
        picked(*entries)
    assert words in str(refused.value)


def test_lists_are_read_line_by_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# train\r\n\r\n  a/1 \r\ne\u0301t\u00e9\r\n".encode())
    assert read_list(path) == ("a/1", "\u00e9t\u00e9")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no image"), (b"# none\n\n", "no image"), (b"a\nb\na\n", "'a'"), (b"\xff\xff", "UTF-8")],
)
def test_lists_that_name_no_images_are_refused(tmp_path, content, words):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_list(path)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_shards_share_out_all_items_evenly(items, n):
    shards = [shard_of(items, (i, n)) for i in range(n)]
    assert sorted(item for shard in shards for item in shard) == sorted(items)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    assert shard_of(items, None) == items


@given(st.lists(st.sampled_from(KNOWN), min_size=1, unique=True))
def test_stems_select_themselves(entries):
    assert sorted(picked(*entries)) == sorted(entries)
    assert sorted(picked(*(f"photos/{entry}.png" for entry in entries))) == sorted(entries)


def test_words_for_messages():
    assert named("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"
    assert [duration(s) for s in (99, 100, 5999, 6000)] == [
        "99 seconds",
        "2 minutes",
        "100 minutes",
        "1.7 hours",
    ]

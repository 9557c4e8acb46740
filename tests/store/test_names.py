"""Names from elsewhere are paths within a folder, or refused with the reason."""

import posixpath
from pathlib import PurePosixPath

import pytest
from dseg.store.names import stem_of, why_unsafe
from hypothesis import assume, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "cats/1.front.png",
        "a b/ä é.jpg",
        "x..y/..z.png",
        "猫.png",
        "no-ending",
        ".a/.b.png",
    ],
)
def test_ordinary_names_are_taken(name):
    assert why_unsafe(name) is None
    assert why_unsafe(name, windows=True) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("a\0.png", "NUL"),
        ("/abs/x.png", "begins with '/'"),
        ("//host/x.png", "begins with '/'"),
        ("../../x.png", r"a part '..', which leads out"),
        ("a/../../x.png", "leads out"),
        ("a/..", "leads out"),
        ("...png", "leads out"),
        ("a/...png", "leads out"),
        ("./x.png", "which is not a name"),
        ("..png", "which is not a name"),
        ("a//x.png", "an empty part"),
        ("a/", "an empty part"),
    ],
)
def test_a_name_that_is_no_path_within_a_folder_says_why(name, why):
    for windows in (False, True):
        assert why in (why_unsafe(name, windows=windows) or "")


@pytest.mark.parametrize(
    "name", ["..\\x.png", "C:x.png", "C:\\x.png", "\\\\host\\x", "a.png:stream", "a /x.png", "a."]
)
def test_what_only_windows_takes_for_more_is_refused_there(name):
    assert why_unsafe(name, windows=True)
    assert why_unsafe(name, windows=False) is None


@given(st.text(st.sampled_from("./a\\:\0 "), max_size=12))
def test_what_is_taken_stays_in_its_folder(name):
    if why_unsafe(name, windows=False) is None:
        joined = posixpath.normpath(f"/folder/{name}")
        assert joined == f"/folder/{name}"


@pytest.mark.parametrize("name", ["....png", "..x.png", "a/....png"])
def test_a_name_and_its_stem_are_judged_alike(name):
    stem = name.rpartition(".")[0]
    assert why_unsafe(name, windows=False) is None
    assert why_unsafe(stem, is_stem=True, windows=False) is None
    assert "leads out" in why_unsafe("a/..", is_stem=True)


@given(st.lists(st.sampled_from(["a", "b1", ".", "..", "/", "./", "\u00e9", " "]), min_size=1))
def test_a_stem_is_what_pathlib_makes_of_it(pieces):
    name = "".join(pieces)
    path = PurePosixPath(name)
    assume(path.name and not path.name.endswith("."))  # Python 3.14 takes a last dot for a suffix
    assert stem_of(name) == path.with_suffix("").as_posix()

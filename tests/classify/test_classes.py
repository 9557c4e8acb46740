import json

import pytest
from dseg.classify.classes import (
    Classes,
    default_classes,
    default_colour,
    load_classes,
    named_classes,
)
from dseg.store.errors import InputError
from hypothesis import given
from hypothesis import strategies as st

COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


def test_all_default_colours_differ():
    assert len({default_colour(k) for k in range(1000)}) == 1000


@given(st.lists(st.tuples(st.text(min_size=1).map(str.strip), COLOUR), min_size=1))
def test_from_list_inverts_to_list(entries):
    classes = Classes(tuple(n for n, _ in entries), tuple(c for _, c in entries))
    assert Classes.from_list(json.loads(json.dumps(classes.to_list()))) == classes


def test_default_classes_count():
    assert len(default_classes(34)) == 34


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "labels").mkdir()
    return tmp_path / "labels"


class TestLoad:
    def test_line_k_names_class_k(self, labels):
        (labels / "classes.txt").write_text("\ufeffsky\r\n lane marking \n\n", encoding="utf-8")
        assert load_classes(labels) == named_classes(["sky", "lane marking"])

    def test_beside_the_folder_if_not_in_it(self, labels):
        (labels.parent / "classes.txt").write_text("outer")
        assert load_classes(labels).names == ("outer",)
        (labels / "classes.txt").write_text("inner")
        assert load_classes(labels).names == ("inner",)

    def test_json_with_colours(self, labels):
        plain = [{"name": "a", "colour": [1, 2, 3]}, {"name": "b", "color": "#0a0B0c"}, "c"]
        (labels / "classes.json").write_text(json.dumps(plain))
        expected = Classes(("a", "b", "c"), ((1, 2, 3), (10, 11, 12), default_colour(2)))
        assert load_classes(labels) == expected

    def test_json_counts_where_both_agree(self, labels):
        (labels / "classes.txt").write_text("a")
        (labels / "classes.json").write_text('[{"name": "a", "colour": [1, 2, 3]}]')
        assert load_classes(labels).colours == ((1, 2, 3),)

    def test_two_files_that_disagree_are_refused(self, labels):
        (labels / "classes.txt").write_text("a")
        (labels / "classes.json").write_text('["b"]')
        with pytest.raises(InputError, match=r"classes.json' and '.*classes.txt' name different"):
            load_classes(labels)

    def test_none_if_there_is_no_file(self, labels):
        assert load_classes(labels) is None

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is empty"),
            ("a\n\nb", "gives class 1 no name"),
            ("a\nb\na", "calls both class 0 and class 2 'a'"),
        ],
    )
    def test_a_bad_list_is_refused(self, labels, text, words):
        (labels / "classes.txt").write_text(text)
        with pytest.raises(InputError, match=rf"classes.txt' .*{words}|classes.txt' {words}"):
            load_classes(labels)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[", "classes.json' cannot be read: Expecting value"),
            ("{}", "expected a list with one entry a class"),
            ("[3]", "entry 0 is 3: expected a name"),
            ('[{"name": "a", "colour": [1, 2]}]', r"entry 0 has the colour \[1, 2\]"),
            ('[{"name": "a", "colour": [1, 2, 256]}]', "class 'a' has the colour"),
            ('[{"name": "a", "colour": "#12345x"}]', "entry 0 has the colour '#12345x'"),
        ],
    )
    def test_bad_json_is_refused(self, labels, text, words):
        (labels / "classes.json").write_text(text)
        with pytest.raises(InputError, match=words):
            load_classes(labels)

    def test_text_that_is_not_utf8_is_refused(self, labels):
        (labels / "classes.txt").write_bytes(b"Stra\xdfe")
        with pytest.raises(InputError, match="is not UTF-8"):
            load_classes(labels)


def test_as_many_colours_as_names():
    with pytest.raises(InputError, match="2 class names came with 1 colours"):
        Classes(("a", "b"), ((0, 0, 0),))

import json
import re

import pytest
from dseg.classify.labels.class_lines import names_of_lines
from dseg.classify.labels.classes import (
    Classes,
    default_classes,
    default_colour,
    load_classes,
    named_classes,
)
from dseg.store.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

COLOUR = st.tuples(*[st.integers(0, 255)] * 3)


def test_all_default_colours_differ():
    assert len({default_colour(k) for k in range(1000)}) == 1000


@given(st.lists(st.tuples(st.text(min_size=1).map(str.strip), COLOUR), min_size=1))
@settings(deadline=None)
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
            ("a\nb\na", "names both class 0 and class 2 'a'"),
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
            ("{}", "expected a list with one entry per class"),
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


class TestWhatNamesAClass:
    """Nothing in a file moves a name to another class without a word."""

    @pytest.mark.parametrize(
        ("text", "names", "words"),
        [
            ("# mine\n\nsky\n# far\ntree", "sky tree", "comments .*: class 0 is 'sky'"),
            ("##\nsky\ntree", "sky tree", "comments"),
            ("__ignore__\n_background_\ncat", "_background_ cat", "labelme.*: class 0 is '_back"),
            ("# x\n__ignore__\nsky\ncat", "sky cat", "comments .*, and begins with labelme.*'sky'"),
            ("0 sky\n1 tree", "sky tree", "ids and names: class 0 is 'sky'"),
            ("0: sky\n1: tree", "sky tree", "ids and names"),
            ("1. tree\n0. sky", "sky tree", "ids and names"),
            ("sky,0\ntree,1", "sky tree", "ids and names"),
            ("id,name\n1,tree\n0,sky", "sky tree", "ids and names: class 0 is 'sky'"),
            ("class\tvalue\nsky\t0\ntree\t1", "sky tree", "ids and names"),
        ],
    )
    def test_what_is_understood_is_told(self, labels, text, names, words):
        (labels / "classes.txt").write_text(text)
        told = []
        assert load_classes(labels, told.append).names == tuple(names.split())
        (line,) = told
        assert re.search(rf"classes.txt' .*{words}", line), line

    @pytest.mark.parametrize(
        "text",
        [
            "class 1\nclass 2",  # numbers may be parts of names
            "2 wheels\ncar",
            "0,5 mm\n1,5 mm",
            "0\n1\n2",
            "label",
            "sky\n_background_",
            "red\ngreen\nblue",
            "top, of the tree\nsky",
        ],
    )
    def test_names_are_taken_as_they_stand(self, labels, text):
        (labels / "classes.txt").write_text(text)
        told = []
        assert load_classes(labels, told.append).names == tuple(text.splitlines())
        assert told == []

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("#1\nsky", "has '#1' in line 1: is it a comment or a class"),
            ("# only this", "is empty"),
            ("name\nsky\ntree", "begins with 'name': is it a header or class 0"),
            ("Class Name\nsky", "a header or class 0"),
            ("my classes:\nsky", "a header or class 0"),
            ("sky\n__ignore__", "has '__ignore__' in an unexpected line"),
            ("__ignore__", "has '__ignore__' in an unexpected line"),
            ("1 sky\n2 tree", "gives 2 classes the ids 1, 2: expected each id from 0 to 1 once"),
            ("0: sky\n0: tree", "the ids 0, 0"),
            ("0: sky\n255: void", "remove what is not a class"),
            ("-1 __ignore__\n0 sky", "the ids -1, 0"),
            (
                "sky, tree, road\n",
                "has a single line, 'sky, tree, road': expected one class name per line",
            ),
            ("sky;tree", "has a single line"),
            ("sky 1\ntree 0", "has 'sky 1' in its first line"),
            ("1\n2", "only numbers"),
            ("64 128 64 sky\n0 0 192 tree", "holds names and colours, such as '64 128 64 sky'"),
            ("name,r,g,b\nsky,1,2,3\ntree,4,5,6", "holds names and colours, such as 'sky,1,2,3'"),
        ],
    )
    def test_what_cannot_be_told_is_refused(self, labels, text, words):
        (labels / "classes.txt").write_text(text)
        with pytest.raises(InputError, match=rf"classes.txt' .*{words}|classes.txt' {words}"):
            load_classes(labels)

    @given(st.permutations(range(5)), st.sampled_from(["{} {}", "{}: {}", "{},{}"]))
    def test_any_order_of_ids(self, order, form):
        lines = [form.format(k, f"name{k}") for k in order]
        assert names_of_lines("\n".join(lines))[0] == [f"name{k}" for k in range(5)]

    def test_ids_of_a_json_count(self, labels):
        plain = [
            {"id": 2, "name": "c", "colour": [1, 2, 3]},
            {"id": 0, "name": "a", "isthing": 1},
            {"id": 1, "name": "b"},
        ]
        (labels / "classes.json").write_text(json.dumps(plain))
        told = []
        classes = load_classes(labels, told.append)
        assert classes.names == ("a", "b", "c")
        assert classes.colours == (default_colour(0), default_colour(1), (1, 2, 3))
        (line,) = told
        assert "ordered by its ids: class 0 is 'a', and has isthing, which are ignored" in line

    @pytest.mark.parametrize(
        ("plain", "words"),
        [
            (
                [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
                "the ids 1, 2: expected each id from 0",
            ),
            ([{"id": 0, "name": "a"}, {"id": 0, "name": "b"}], "the ids 0, 0"),
            ([{"id": 0, "name": "a"}, {"name": "b"}], '1 of 2 entries have an "id"'),
            ([{"id": 0, "name": "a"}, "b"], '1 of 2 entries have an "id"'),
            ([{"id": "0", "name": "a"}], "such as '0': expected a whole number"),
            ([{"id": True, "name": "a"}], "such as True: expected a whole number"),
            (
                [{"trainId": 7, "name": "a"}],
                'entry 0 has "trainId": 7, but its position means class 0',
            ),
            ([{"name": "a", "colour": "#000000", "color": "#000001"}], "keep one"),
        ],
    )
    def test_a_json_that_contradicts_itself_is_refused(self, labels, plain, words):
        (labels / "classes.json").write_text(json.dumps(plain))
        with pytest.raises(InputError, match=f"classes.json' .*{words}"):
            load_classes(labels)


def test_as_many_colours_as_names():
    with pytest.raises(InputError, match="2 class names were given with 1 colours"):
        Classes(("a", "b"), ((0, 0, 0),))

"""Files of classes: names, ids and colours."""

import json

import pytest
from dseg.classify.label_sets.class_table import load_class_table, read_class_table
from dseg.store.errors import InputError


@pytest.fixture
def table(tmp_path):
    def read(name, text):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return read_class_table(path)

    return read


def test_nothing_there(tmp_path):
    assert load_class_table(tmp_path / "labels") is None


def test_names_alone(table):
    found = table("classes.txt", "sky\ntree")
    assert found.classes.names == ("sky", "tree")
    assert found.ids is None
    assert not found.colours


def test_only_colours_that_are_given_count(table):
    """Default colours nobody chose."""
    found = table("classes.json", [{"name": "sky", "colour": [1, 2, 3]}, {"name": "tree"}])
    assert found.colours == {(1, 2, 3): 0}
    assert len(found.classes) == 2


def test_ids_with_gaps_and_pixels_without_a_class(table):
    entries = [
        {"id": 9, "name": "car", "color": "#000009"},
        {"id": 255, "name": "Void", "color": "#ffffff"},
        {"id": 4, "name": "road"},
    ]
    found = table("mine.json", entries)
    assert found.classes.names == ("road", "car")
    assert found.ids == {4: 0, 9: 1}
    assert found.voids == (255,)
    assert found.colours == {(0, 0, 9): 1, (255, 255, 255): -1}


def test_ids_of_positions_are_as_ever(table):
    found = table("classes.json", [{"id": 1, "name": "tree"}, {"id": 0, "name": "sky"}])
    assert found.ids is None
    assert found.classes.names == ("sky", "tree")


def test_cvat_under_another_name(table):
    found = table("colours.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\nbackground:0,0,0::")
    assert found.classes.names == ("background", "cat")
    assert found.by_colour


@pytest.mark.parametrize("head", ["", "name,r,g,b\n", "name;r;g;b\n"])
@pytest.mark.parametrize("comma", [",", "; ", "\t"])
def test_tables(table, head, comma):
    lines = [comma.join(row) for row in (("Sky", "0", "0", "255"), ("Void", "0", "0", "0"))]
    found = table("class_dict.csv", head + "\n".join(lines))
    assert found.classes.names == ("Sky",)
    assert found.colours == {(0, 0, 255): 0, (0, 0, 0): -1}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "name,r,g,b\nsky,1,2", r"has the line 'sky,1,2': expected lines such as cat,128"),
        ("a.csv", "sky,1,2,300", "expected lines such as"),
        ("a.csv", "sky,1,2\nsea,1,2,3", r"has the line 'sky,1,2': expected lines such as"),
        ("a.csv", "sky,1,2,3\nsea,1,2,3", "gives 'sky' and 'sea' one colour"),
        ("a.csv", "", "names no class"),
        ("labelmap.txt", "cat", "expected lines such as 'cat:128,0,0::'"),
        ("a.json", [{"id": 3, "name": "a"}, {"id": 5, "name": "a"}], "names must differ"),
        ("a.json", [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}], "gives 2 classes the ids"),
        ("a.json", [{"id": 3}, {"id": 5, "name": "b"}], "cannot be read: entry 0 is"),
        ("a.json", '[{"id": 3', "cannot be read"),
        ("a.json", [{"id": 3, "name": "a", "colour": "red"}], r"has the colour 'red': expected \["),
    ],
)
def test_what_is_wrong_is_told(table, name, text, words):
    with pytest.raises(InputError, match=words):
        table(name, text)

"""CVAT's XML, and its labelmap.txt; Pascal VOC's XML."""

import numpy as np
import pytest
from dseg.classify.annotations.files.format import MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.classify.annotations.shapes.rasterise import rasterise
from dseg.classify.annotations.tools.labelmap_txt import read_labelmap
from dseg.store.errors import InputError


def test_masks_come_back(written_and_read, classes):
    _, annotations = written_and_read("cvat", "out.xml", prefix="photos/")
    assert annotations.classes == tuple((one.name, one.colour) for one in classes)


def test_names_that_xml_cannot_hold_are_refused(tmp_path, classes):
    masks = [MaskToWrite("a\x01.jpg", np.ones((3, 4), np.uint8))]
    with pytest.raises(InputError, match="has a control character, which XML cannot hold"):
        write_annotations("cvat", masks, classes, tmp_path / "out.xml")


META = """<meta><project><labels>
<label><name>x</name><color>#0a0B0c</color></label><label><name>y</name></label>
<label><name>p</name><parent>skeleton</parent></label></labels></project></meta>"""


def cvat(shapes, meta=META, size='width="10" height="8"'):
    return (
        f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}'
        f'<image id="0" name="a/7.jpg" {size}>{shapes}</image>'
        '<image id="1" name="8.jpg" width="3" height="3"/></annotations>'
    )


def drawn(annotations):
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(annotations.images[0], ids, (8, 10), background=0, ignored=255)


def test_every_shape(put):
    found = open_annotations(
        put(
            cvat(
                '<box label="y" xtl="0" ytl="0" xbr="4" ybr="2" z_order="1"/>'
                '<polygon label="x" points="0,0;10,0;10,8;0,8" z_order="-2"/>'
                '<ellipse label="y" cx="7.5" cy="4.5" rx="1.1" ry="2.1" z_order="3"/>'
                '<mask label="y" rle="1, 2, 3" left="0" top="6" width="3" height="2" z_order="4"/>'
                '<cuboid label="x"/><tag label="y"/>'
            )
        )
    )
    expected = np.ones((8, 10), int)
    expected[:2, :4] = 2
    expected[2:7, 7] = expected[4, 6:9] = 2
    expected[3:6, 6:9] = expected[6, 1:3] = 2
    got = drawn(found)
    np.testing.assert_array_equal(got[[0, 1, 2, 4, 6, 7]], expected[[0, 1, 2, 4, 6, 7]])
    assert found.classes == (("x", (10, 11, 12)), ("y", None))
    assert not found.sparse
    assert found.notes == (
        "images without an annotation are left out (1)",
        "shapes of the type 'cuboid' are left out",
    )


def test_turned_boxes_and_strokes(put):
    shapes = (
        '<box label="y" xtl="2" ytl="3" xbr="6" ybr="5" rotation="90"/>'
        '<polyline label="x" points="7.5,0.5;7.5,4.5"/><points label="x" points="9.5,7.5;0.1,0.1"/>'
    )
    found = open_annotations(put(cvat(shapes)))
    expected = np.zeros((8, 10), int)
    expected[2:6, 3:5] = 2
    expected[:5, 7] = expected[7, 9] = expected[0, 0] = 1
    np.testing.assert_array_equal(drawn(found), expected)
    assert found.sparse


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cvat('<box label="x" xtl="0"/>'), "image 'a/7.jpg': a box of 'x': its ytl is ''"),
        (cvat('<polygon label="x" points="1;2"/>'), "a polygon of 'x': its list of points"),
        (cvat('<polygon label="x" points="a,b"/>'), "its points are no numbers"),
        (cvat('<polygon points="1,2;3,4"/>'), "a polygon has no label"),
        (
            cvat('<mask label="x" rle="9" left="0" top="0" width="2" height="2"/>'),
            "its run lengths are not those of a frame of 2×2",
        ),
        (cvat("", size='width="99999" height="99999"'), "178956970 pixels are the most"),
        (cvat("", size=""), "its height is '': expected a number"),
        ('<annotations><track id="0"/></annotations>', 'export the task as "CVAT for images 1.1"'),
        ('<annotations><image name="a"', "cannot be read as XML: .* line 1"),
    ],
)
def test_refuses_what_it_cannot_use(put, text, words):
    with pytest.raises(InputError, match=words):
        open_annotations(put(text))


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<annotations>&b;</annotations>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    "<annotations>&a;</annotations>"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "it has a DOCTYPE, which annotation files have not"),
        (OUTSIDE, "it has a DOCTYPE, which annotation files have not"),
        ("<annotations>" + "<a>" * 100_000, "it is nested deeper than 100 elements"),
        ('<?xml version="1.0" encoding="nothing"?><annotation/>', "unknown encoding: nothing"),
    ],
)
def test_refuses_xml_that_would_do_harm(put, text, words):
    with pytest.raises(InputError, match=f"given' cannot be read as XML: {words}"):
        open_annotations(put(text))


def test_labels_of_the_masks_of_cvat(put):
    text = "# label:color_rgb:parts:actions\nbackground:0,0,0::\na:b:255,0,9::\nc:1,2,3:x,y:walk\n"
    assert read_labelmap(put(text)) == (
        ("background", (0, 0, 0)),
        ("a:b", (255, 0, 9)),
        ("c", (1, 2, 3)),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:1,2,3::\nb:1,2\n", r"has in line 2 'b:1,2': expected lines such as 'cat:128,0,0::'"),
        ("a:1,2,300::", "has in line 1 "),
        ("a:1,2,3::\na:1,2,4::", "gives in line 2 the name 'a' to another class"),
        ("a:1,2,3::\nb:1,2,3::", "gives in line 2 the colour of 'a' to another class"),
        ("# only\n", "names no class"),
    ],
)
def test_refuses_a_labelmap_that_is_none(put, text, words):
    with pytest.raises(InputError, match=words):
        read_labelmap(put(text))


def test_boxes_of_pascal_voc_are_refused_with_words_on_where_its_masks_are(put, tmp_path):
    text = "<annotation><filename>7.jpg</filename><object><bndbox/></object></annotation>"
    put(text, "in/7.xml")
    with pytest.raises(InputError, match=r"7\.xml' \(Pascal VOC\): it has boxes only.*Segm"):
        open_annotations(tmp_path / "in")

"""Label maps drawn from annotations: names to stems, classes, what no shape covers."""

from pathlib import Path

import numpy as np
import pytest
from dseg.classify.annotations.model import AnnotatedImage, Annotations, Points, Polygon, Shape
from dseg.classify.label_sets.annotated import annotated_set
from dseg.classify.label_sets.class_order import with_classes
from dseg.classify.label_sets.label_set import LabelOptions
from dseg.classify.labels.classes import named_classes
from dseg.store.errors import InputError

SOURCE = Path("labels.json")
SQUARE = Polygon(np.array([[1, 1], [3, 1], [3, 3], [1, 3]], float))


def image(name, *labels, size=(4, 5)):
    return AnnotatedImage(name, tuple(Shape(label, (SQUARE,)) for label in labels), size)


def opened(*images, classes=("cat", "dog"), known=None, options=None, sparse=False):
    listed = tuple((name, None) for name in classes)
    annotations = Annotations("COCO", images, listed, sparse)
    return annotated_set(annotations, SOURCE, known, options or LabelOptions())


def test_what_no_shape_covers_is_background():
    found = opened(image("a.jpg", "dog"))
    expected = np.zeros((4, 5))
    expected[1:3, 1:3] = 2
    ids = found.entries["a"].read()
    np.testing.assert_array_equal(ids, expected)
    assert ids.dtype == np.uint8
    assert found.classes.names == ("background", "cat", "dog")
    assert found.ignore == 255
    assert found.described == (
        "COCO annotations, 2 classes, what no shape covers is 'background', 1 of 1 images"
    )


@pytest.mark.parametrize("name", ["background", "_background_", "Background"])
def test_a_background_of_its_own(name):
    found = opened(image("a.jpg", "cat"), classes=("cat", name))
    assert found.classes.names == (name, "cat")
    assert found.entries["a"].read()[0, 0] == 0


def test_a_background_by_another_name():
    found = opened(image("a.jpg", "cat"), options=LabelOptions(background="dog"))
    assert found.classes.names == ("dog", "cat")


@pytest.mark.parametrize("options", [LabelOptions(background="unlabelled"), None])
def test_what_no_shape_covers_is_unlabelled(options):
    """As a user says it, or as beside points."""
    found = opened(image("a.jpg", "cat", None), options=options, sparse=options is None)
    assert found.classes.names == ("cat", "dog")
    assert (found.entries["a"].read() == 255).all()  # the last shape marks nothing, and covers


def test_points_alone():
    shape = Shape("dog", (Points(np.array([[2.5, 1.5]])),))
    found = opened(AnnotatedImage("a.jpg", (shape,), (4, 5)), sparse=True)
    ids = found.entries["a"].read()
    assert ids[1, 2] == 1
    assert (ids == 255).sum() == 19


def test_an_image_without_shapes_is_all_background():
    """Whether such an image was looked at, its format knows."""
    assert (opened(image("a.jpg")).entries["a"].read() == 0).all()


def test_the_size_of_the_image_where_the_file_says_none():
    entry = opened(image("a.jpg", "cat", size=None)).entries["a"]
    with pytest.raises(InputError, match=r"does not say how large 'a\.jpg' is"):
        entry.read()
    assert entry.shown_as((9, 7)).read().shape == (9, 7)


def test_more_classes_than_the_ignore_label_leaves():
    classes = [f"c{k}" for k in range(300)]
    found = opened(image("a.jpg", "c254", None), classes=classes)
    assert found.ignore == 65535
    assert (found.entries["a"].read()[1:3, 1:3] == 65535).all()
    assert opened(image("a.jpg", "c254"), classes=classes).entries["a"].read()[1, 1] == 255


@pytest.mark.parametrize(
    ("name", "known", "stem"),
    [
        ("a/7.jpg", ["a/7", "7"], "a/7"),
        ("home/me/a/7.jpg", ["a/7", "b/7"], "a/7"),
        ("home/7.jpg", ["a/7", "b/8"], "a/7"),
        ("home/7.jpg", ["a/7", "b/7"], None),
        ("e\u0301.png", ["\u00e9"], "\u00e9"),
        ("7.tif", ["8"], None),
    ],
)
def test_names_of_images(name, known, stem):
    found = opened(image(name, "cat"), known=known)
    assert list(found.entries) == ([] if stem is None else [stem])
    assert found.unmatched == ((name,) if stem is None else ())


def test_two_images_that_are_one():
    with pytest.raises(InputError, match=r"describes the image '7' twice, as 'x/7.jpg' and 'y/7"):
        opened(image("x/7.jpg", "cat"), image("y/7.jpg", "dog"), known=["7"])


def test_classes_in_the_order_of_others():
    found = opened(image("a.jpg", "dog"))
    ordered = with_classes(found, named_classes(["dog", "bird", "cat", "background"]))
    assert ordered.classes.names[0] == "dog"
    ids = ordered.entries["a"].read()
    assert ids[1, 1] == 0
    assert ids[0, 0] == 3
    assert with_classes(found, named_classes(["dog", "background"])) is found

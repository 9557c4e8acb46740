"""ImageJ's ROI files, made by roifile."""

import struct
import zipfile

import numpy as np
import pytest
import roifile
from dseg.classify.annotations.files.format import MaskToWrite
from dseg.classify.annotations.registry import open_annotations, write_annotations
from dseg.classify.annotations.science import imagej
from dseg.classify.annotations.shapes.model import Lines, Points
from dseg.classify.annotations.shapes.rasterise import rasterise
from dseg.store.errors import InputError
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi


def roi_of(kind, points=None, name="cell-1", **more):
    roi = ImagejRoi.frompoints(np.asarray(points), name=name) if points else ImagejRoi(name=name)
    roi.roitype = kind
    for key, value in more.items():
        setattr(roi, key, value)
    return roi


def box(kind, left, top, right, bottom, **more):
    return roi_of(kind, left=left, top=top, right=right, bottom=bottom, **more)


def saved(path, *rois):
    roifile.roiwrite(path, rois, mode="w", name=[f"{k}-{roi.name}" for k, roi in enumerate(rois)])
    return path


def drawn(path, size=(12, 12), background=0):
    annotations = open_annotations(path)
    (image,) = annotations.images
    ids = {name: k for k, (name, _) in enumerate(annotations.classes, 1)}
    return rasterise(image, ids, size, background=background, ignored=255), annotations


def test_areas_count_from_the_corners_of_pixels(tmp_path):
    square = [(2, 3), (5, 3), (5, 7), (2, 7)]
    for kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        mask, annotations = drawn(saved(tmp_path / "7.zip", roi_of(kind, square)))
        assert np.argwhere(mask).min(axis=0).tolist() == [3, 2]
        assert mask.sum() == 12
        assert annotations.images[0].name == "7"
    mask, _ = drawn(saved(tmp_path / "7.zip", box(ROI_TYPE.RECT, 2, 3, 5, 7)))
    assert mask.sum() == 12


def test_an_oval_has_the_pixels_whose_centres_are_inside(tmp_path):
    mask, _ = drawn(saved(tmp_path / "7.zip", box(ROI_TYPE.OVAL, 1, 2, 10, 9)))
    y, x = np.mgrid[:12, :12] + 0.5
    np.testing.assert_array_equal(mask, ((x - 5.5) / 4.5) ** 2 + ((y - 5.5) / 3.5) ** 2 < 1)


def test_rectangles_of_parts_of_pixels(tmp_path):
    roi = box(ROI_TYPE.RECT, 0, 0, 1, 1, version=228, xd=1.6, yd=2, widthd=3, heightd=2)
    roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    mask, _ = drawn(saved(tmp_path / "7.zip", roi))
    assert np.flatnonzero(mask[2]).tolist() == [2, 3, 4]  # centres from 1.6 to 4.6: 2.5 to 4.5


def test_points_and_lines_count_from_centres_and_are_sparse(tmp_path):
    points = roi_of(ROI_TYPE.POINT, [(3, 4), (0, 0)], "a-1")
    between = roi_of(ROI_TYPE.POINT, [(6.4, 7.4), (8.6, 9.6)], "a-2")
    line = roi_of(ROI_TYPE.LINE, name="b", x1=5, y1=1, x2=8, y2=1)
    free = roi_of(ROI_TYPE.FREELINE, [(0, 10), (3, 10)], "b", float_stroke_width=3.0)
    path = saved(tmp_path / "7.zip", points, between, line, free)
    mask, annotations = drawn(path, background=9)
    assert annotations.sparse
    assert np.argwhere(mask == 1).tolist() == [[0, 0], [4, 3], [7, 6], [10, 9]]
    assert np.flatnonzero(mask[1] == 2).tolist() == [5, 6, 7, 8]
    for y in (9, 10, 11):
        assert np.flatnonzero(mask[y] == 2).tolist() == [0, 1, 2, 3, 4]
    kinds = [type(shape.areas[0]) for shape in annotations.images[0].shapes]
    assert kinds == [Points, Points, Lines, Lines]


def composite(numbers, **more):
    return roi_of(
        ROI_TYPE.RECT,
        multi_coordinates=np.array(numbers, np.float32),
        shape_roi_size=len(numbers),
        **more,
    )


def test_composites_have_holes_and_curves(tmp_path):
    square = [0, 1, 1, 1, 11, 1, 1, 11, 11, 1, 1, 11, 4]
    hole = [0, 4, 4, 1, 4, 8, 1, 8, 8, 1, 8, 4, 4]
    mask, _ = drawn(saved(tmp_path / "7.zip", composite(square + hole)))
    assert mask.sum() == 100 - 16
    quarter = 4 * (np.sqrt(2) - 1) / 3  # Bézier's handle of a quarter of a circle
    k = 5 * quarter
    circle = [0, 11, 6, *(3, 11, 6 + k, 6 + k, 11, 6, 11), *(3, 6 - k, 11, 1, 6 + k, 1, 6)]
    circle += [*(3, 1, 6 - k, 6 - k, 1, 6, 1), *(3, 6 + k, 1, 11, 6 - k, 11, 6), 4]
    mask, _ = drawn(saved(tmp_path / "7.zip", composite(circle)))
    y, x = np.mgrid[:12, :12] + 0.5
    np.testing.assert_array_equal(mask, (x - 6) ** 2 + (y - 6) ** 2 < 25)


def test_the_class_is_in_the_name_or_the_group(tmp_path):
    def named(name, **more):
        return box(ROI_TYPE.RECT, 0, 0, 2, 2, name=name, **more)

    rois = [named("CD4-1"), named("red cell 12", stroke_color=b"\xff\x01\x02\x03")]
    rois += [named("0123-0456", group=2), named("0001-0123-0456"), named("nucleus", group=1)]
    _, annotations = drawn(saved(tmp_path / "7.zip", *rois))
    assert annotations.classes == tuple(
        {"CD4": None, "group 2": None, "nucleus": None, "red cell": (1, 2, 3)}.items()
    )
    assert annotations.notes == ("1 ROIs are left out: they have neither a name nor a group",)
    with pytest.raises(InputError, match=r"7.zip.*no ROI has a class .*rename them as their class"):
        drawn(saved(tmp_path / "7.zip", named("0123-0456")))


def test_texts_arrows_and_further_slices_are_left_out(tmp_path):
    kept = box(ROI_TYPE.RECT, 0, 0, 2, 2)
    arrow = roi_of(ROI_TYPE.LINE, x1=0, y1=0, x2=9, y2=9, subtype=ROI_SUBTYPE.ARROW)
    slice_2 = box(ROI_TYPE.RECT, 0, 0, 9, 9, position=2)
    frame_3 = box(ROI_TYPE.RECT, 0, 0, 9, 9, c_position=1, z_position=1, t_position=3)
    mask, annotations = drawn(saved(tmp_path / "7.zip", kept, arrow, slice_2, frame_3))
    assert mask.sum() == 4
    assert len(annotations.notes) == 2


@pytest.mark.parametrize(
    "name", ["7.zip", "7_RoiSet.zip", "RoiSet_7.zip", "7.tif.roi", "7-rois.zip"]
)
def test_the_file_names_the_image(tmp_path, name):
    roi = box(ROI_TYPE.RECT, 0, 0, 2, 2)
    if name.endswith(".roi"):
        roi.tofile(tmp_path / name)
    else:
        saved(tmp_path / name, roi)
    (image,) = open_annotations(tmp_path / name).images
    assert image.name == ("7.tif" if ".tif" in name else "7")


def test_a_set_without_a_name_is_refused(tmp_path):
    path = saved(tmp_path / "RoiSet.zip", box(ROI_TYPE.RECT, 0, 0, 2, 2))
    with pytest.raises(InputError, match="does not tell its image: name it as the image is"):
        open_annotations(path)


def test_imagej_s_own_reader_sees_the_objects_that_are_written(tmp_path, masks, classes):
    write_annotations(
        "imagej", [MaskToWrite("7.png", masks["ü & #.jpg"])], classes, tmp_path / "out"
    )
    rois = roifile.roiread(tmp_path / "out/7.zip")
    assert [roi.name for roi in rois] == ["sky-1", "sky-2", f"{classes[1].name}-1"]
    assert [roi.composite for roi in rois] == [True, False, True]
    assert rois[0].hexcolor(rois[0].stroke_color) == "#56b4e9"
    outer, hole = rois[0].coordinates(multi=True)
    assert outer.min(axis=0).tolist() == [3, 2]
    assert outer.max(axis=0).tolist() == [28, 18]
    assert hole.max(axis=0).tolist() == [20, 12]
    assert (rois[0].left, rois[0].top, rois[0].right, rois[0].bottom) == (3, 2, 28, 18)


def test_damaged_rois_are_refused(tmp_path):
    whole = roi_of(ROI_TYPE.POLYGON, [(2, 3), (5, 3), (5, 7)]).tobytes()
    for data in (whole[:70], whole[:63], whole[:16] + b"\xff\xff" + whole[18:]):
        (tmp_path / "7.roi").write_bytes(data)
        with pytest.raises(InputError, match=r"7.roi' \(ImageJ\).* cannot be read as a ROI"):
            open_annotations(tmp_path / "7.roi")
    for path in ([0, 1], [7, 1, 1], [1, 2, 2], [0, np.nan, 1]):
        with pytest.raises(InputError, match=r"path of a ROI is damaged|not finite, or beyond"):
            drawn(saved(tmp_path / "7.zip", composite(path)))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(imagej, "MOST_BYTES", 2**20)
    path = tmp_path / "7.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", b"Iout" + bytes(2**24))
    with pytest.raises(InputError, match="more than 1 MiB of ROIs"):
        open_annotations(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 10, 99)  # a way of packing that nobody has
    path.write_bytes(data)
    with pytest.raises(InputError, match="cannot be unpacked"):
        open_annotations(path)

"""Which files of a folder are label maps, and of which images."""

import pytest
from dseg.classify.label_sets.files import find_label_files
from dseg.store.errors import InputError


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def test_stems_keep_their_sub_folder(folder):
    root = folder("a.png", "sub/a.npy", ".hidden.png", ".git/b.png", "classes.txt", "c.jpg")
    found = find_label_files(root).files
    assert found == {"a": root / "a.png", "sub/a": root / "sub" / "a.npy"}


def test_two_files_of_one_stem_are_named(folder):
    root = folder("a.npy", "a.png")
    with pytest.raises(InputError, match=r"two label maps for 'a'.*a\.npy' and .*a\.png'"):
        find_label_files(root)


def test_labels_may_stand_beside_their_images(folder):
    root = folder("a.npy", "a.png")
    assert find_label_files(root, [root / "a.png"]).files == {"a": root / "a.npy"}


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        find_label_files(tmp_path / "none")


@pytest.mark.parametrize("ending", ["_mask", "-labels", ".mask", " copy", "_gtFine_labelIds"])
def test_an_ending_of_their_own(folder, ending):
    root = folder(f"7{ending}.png", f"7_1{ending}.png", f"sub/8{ending}.png")
    found = find_label_files(root, (), ["7", "7_1", "sub/8", "9"])
    assert found.ending == ending
    assert {stem: path.name for stem, path in found.files.items()} == {
        "7": f"7{ending}.png",
        "7_1": f"7_1{ending}.png",
        "sub/8": f"8{ending}.png",
    }


def test_images_with_an_ending_of_their_own(folder):
    root = folder("a_1_gtFine_labelIds.png", "a_1_gtFine_color.png", "a_2_gtFine_labelIds.png")
    found = find_label_files(root, (), ["a_1_leftImg8bit", "a_2_leftImg8bit"])
    assert found.ending == "_gtFine_labelIds"
    assert set(found.files) == {"a_1_leftImg8bit", "a_2_leftImg8bit"}


def test_several_kinds_of_one_image_are_refused(folder):
    root = folder("7_mask.png", "7_overlay.png", "8_mask.png")
    with pytest.raises(InputError, match=r"several kinds .*\(2 '…_mask', 1 '…_overlay'"):
        find_label_files(root, (), ["7", "8"])


def test_an_exact_name_comes_first(folder):
    root = folder("7.png", "7_mask.png")
    assert set(find_label_files(root, (), ["7"]).files) == {"7", "7_mask"}  # as ever: one too many


def test_of_each_image_the_exact_file(folder):
    """Photographs' JPEGs and PNG masks in one folder."""
    root = folder("7.png", "7.jpg", "8.jpg")
    found = find_label_files(root, (), ["7", "8"])
    assert found.files == {"7": root / "7.png"}
    assert "1 .jpg (label maps of one kind are read, here .png" in found.skipped


def test_other_formats_where_there_is_no_png(folder):
    root = folder("7.tif", "8.bmp", "7.jpg")
    assert set(find_label_files(root, (), ["7", "8"]).files) == {"7", "8"}


def test_nothing_to_read(folder):
    found = find_label_files(folder("a.nii", ".b.png"), (), ["a"])
    assert not found.files
    assert found.skipped.endswith("1 .nii, 1 hidden")


def test_one_sub_folder_with_all_label_maps(folder):
    """As CVAT exports them; those of the objects lie beside."""
    root = folder("SegmentationClass/7.png", "SegmentationObject/7.png", "labelmap.txt")
    found = find_label_files(root, (), ["7", "8"])
    assert found.files == {"7": root / "SegmentationClass/7.png"}
    assert found.root == root / "SegmentationClass"


def test_two_sub_folders_of_which_either_may_be_meant(folder):
    root = folder("a/7.png", "b/7.png")
    assert set(find_label_files(root, (), ["7"]).files) == {"a/7", "b/7"}  # none of an image

"""Corruptions: each does more damage at 5 than at 1, draws alike each time, and keeps the shape."""

import sys
import threading

import numpy as np
import pytest
from dseg.demo.scenes import draw_scene
from dseg.pipelines.robustness.corruptions import (
    GROUPS,
    SEVERITIES,
    chosen,
    corrupt,
    corrupted,
    group_of,
    library,
    working_size,
)
from dseg.store.errors import InputError

pytest.importorskip("imagecorruptions", reason="corruptions need dseg[robustness]")

EVERY = chosen(["all"])
# Whose constants are steps of another kind: of glass blur 1 shuffles more often than 2, saturate 1
# and 2 take colour away where 3 to 5 add it, spatter is water to 3 and then mud, and snow, frost
# and fog whiten where they also darken.
NOT_STEP_BY_STEP = {"glass_blur", "snow", "frost", "fog", "saturate", "spatter"}


@pytest.fixture(scope="module")
def image():
    return draw_scene(0).image


def damage(image, name, severity):
    return np.abs(corrupt(image, name, severity).astype(float) - image).mean()


@pytest.mark.parametrize("name", EVERY)
def test_each_severity_does_more_damage(image, name):
    by_severity = [damage(image, name, severity) for severity in SEVERITIES]
    assert by_severity[0] > 0.1
    if name not in NOT_STEP_BY_STEP:
        assert by_severity == sorted(by_severity)
        assert len(set(by_severity)) == 5
    elif name != "saturate":
        assert by_severity[4] > by_severity[0]


@pytest.mark.parametrize("name", EVERY)
def test_shape_and_type_stay_and_the_image_too(name):
    for height, width in ((32, 32), (33, 71), (90, 40)):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        before = image.copy()
        for severity in (1, 5):
            result = corrupt(image, name, severity)
            assert (result.shape, result.dtype) == (image.shape, np.uint8)
        assert np.array_equal(image, before)


@pytest.mark.parametrize("name", EVERY)
def test_it_is_a_function_of_what_it_is_given(image, name):
    small = image[:48, :64]
    np.random.seed(5)  # noqa: NPY002
    first = corrupt(small, name, 3, 1, "a")
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert np.random.random() == drawn, "the global generator is not as it was"  # noqa: NPY002
    assert np.array_equal(corrupt(small, name, 3, 1, "a"), first)
    others = [corrupt(small, name, 3, 1, "b"), corrupt(small, name, 3, 2, "a")]
    drawn_at_random = name not in {
        *("defocus_blur", "zoom_blur", "gaussian_blur", "brightness", "saturate"),
        *("contrast", "pixelate", "jpeg_compression"),
    }
    assert [np.array_equal(other, first) for other in others] == [not drawn_at_random] * 2


def test_threads_do_not_disturb_each_other(image):
    small, names = image[:40, :40], ("gaussian_noise", "motion_blur", "spatter", "fog")
    alone = {name: corrupt(small, name, 4) for name in names}
    differ = []

    def work(name):
        differ.extend(
            name for _ in range(20) if not np.array_equal(corrupt(small, name, 4), alone[name])
        )

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert differ == []


def test_noise_is_as_strong_as_published():
    """ImageNet-C's constants for Gaussian noise, on grey, where nothing is cut off at first."""
    grey = np.full((256, 256, 3), 128, np.uint8)
    for severity, scale in ((1, 0.08), (2, 0.12)):
        noise = corrupt(grey, "gaussian_noise", severity).astype(float) - 128
        assert noise.std() / 255 == pytest.approx(scale, rel=0.02)


def test_severities_share_what_is_drawn():
    grey = np.full((64, 64, 3), 128, np.uint8)
    one, two = (
        corrupt(grey, "gaussian_noise", severity).astype(float) - 128 for severity in (1, 2)
    )
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.99


def test_a_small_image_that_no_drop_falls_on_stays_as_it_is():
    grey = np.full((32, 32, 3), 128, np.uint8)
    results = [corrupt(grey, "spatter", 1, seed) for seed in range(400)]
    spared = [result for result in results if np.array_equal(result, grey)]
    assert spared
    assert len(spared) < 40
    assert all(result.mean() >= 127 for result in results)


def test_what_is_refused(image):
    for severity in (0, 6, -1):
        with pytest.raises(
            InputError, match=f"a severity must be a whole number from 1 to 5, got {severity}"
        ):
            corrupt(image, "fog", severity)
    with pytest.raises(InputError, match="'rain' is not a corruption"):
        corrupt(image, "rain", 1)
    with pytest.raises(
        InputError, match="31×40 is too small for the corruptions: each side needs at least 32"
    ):
        corrupt(image[:40, :31], "fog", 1)
    with pytest.raises(InputError, match="corruptions take RGB images"):
        corrupt(image[..., 0], "fog", 1)


def test_names_and_groups():
    common = chosen(["noise", "blur", "weather", "digital"])
    assert len(common) == 15
    assert chosen(["all"]) == (*common, *GROUPS["extra"])
    assert chosen(["fog", "fog"]) == ("fog",)
    assert group_of("spatter") == "extra"
    with pytest.raises(
        InputError, match="--corruptions has 'rain', which is not a corruption: choose"
    ):
        chosen(["fog", "rain"])
    with pytest.raises(InputError, match="--corruptions names no corruption"):
        chosen([])


def test_the_library_is_the_one_that_names_come_from():
    import imagecorruptions

    assert library().startswith("imagecorruptions-imaug 1.")
    assert set(imagecorruptions.get_corruption_names("all")) == set(EVERY)
    common = [name for group in list(GROUPS)[:4] for name in GROUPS[group]]
    assert imagecorruptions.get_corruption_names() == common


def test_large_images_are_corrupted_at_the_size_that_the_constants_are_for():
    assert working_size((1200, 1600), (128, 128), 256) == (256, 341)
    assert working_size((200, 300), (128, 128), 256) == (200, 300)  # never enlarged
    assert working_size((1200, 1600), (1200, 1600), 256) == (1200, 1600)  # tiles see all of it
    assert working_size((100, 4000), (64, 512), 64) == (64, 2560)
    large = np.random.default_rng(0).integers(0, 256, (300, 500, 3)).astype(np.uint8)
    assert corrupted(large, "fog", 2, 0, "a", (64, 107)).shape == (64, 107, 3)


def test_a_library_that_does_not_import_says_what_is_missing(monkeypatch, tmp_path):
    words = "libGL.so.1: cannot open shared object file"
    (tmp_path / "imagecorruptions.py").write_text(f"raise ImportError({words!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imagecorruptions")
    with pytest.raises(InputError, match=f"cannot be imported: {words}. If a system library such"):
        library()

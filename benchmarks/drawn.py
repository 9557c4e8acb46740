"""Drawn scenes for benchmarks, some of them with label maps."""

from pathlib import Path

from dseg.demo.scenes import TRAINING_SEEDS_FROM, draw_scene
from PIL import Image

__all__ = ["write_job"]


def write_job(folder: Path, side: int, images: int, labelled: int) -> None:
    """Write ``photos/`` and, of the first few, ``labels/``.

    Parameters
    ----------
    folder : path
        There already, without either.
    side : int
        Pixels, of square scenes.
    images, labelled : int
        How many of each.
    """
    for part in ("photos", "labels"):
        (folder / part).mkdir()
    for number in range(images):
        scene = draw_scene(TRAINING_SEEDS_FROM + number, (side, side))
        Image.fromarray(scene.image).save(folder / "photos" / f"{number:05}.png")
        if number < labelled:
            Image.fromarray(scene.label).save(folder / "labels" / f"{number:05}.png")

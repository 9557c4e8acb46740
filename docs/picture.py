"""Make docs/picture.png: drawn scenes, an untrained network, the three commands.

python docs/picture.py
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from dseg.classify.masks import read_mask
from dseg.pipelines.extract import ExtractConfig, extract
from dseg.pipelines.fit import FitConfig, fit
from dseg.pipelines.predict import PredictConfig, predict
from PIL import Image

COLOURS = np.array([[30, 30, 40], [230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0]])
SIZE, LABELLED, SHOWN = (144, 192), 3, (3, 4)
GAP = 8


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A house by a lake: sky, sun, lake, meadow, house; and its label map."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    y, x = np.mgrid[:height, :width]
    horizon = height * rng.uniform(0.4, 0.55) + 6 * np.sin(x / rng.uniform(15, 40))
    label = np.where(y < horizon, 0, 3)
    cy, cx = height * rng.uniform(0.12, 0.3), width * rng.uniform(0.1, 0.9)
    label[(y - cy) ** 2 + (x - cx) ** 2 < 14**2] = 1
    shore = height * rng.uniform(0.7, 0.8) + 4 * np.sin(x / 12 + rng.uniform(0, 6))
    label[y > shore] = 2
    left, top = int(width * rng.uniform(0.1, 0.7)), int(height * rng.uniform(0.45, 0.55))
    label[top : top + 34, left : left + 44] = 4
    label[(y > top - 20) & (y <= top) & (abs(x - left - 22) < 1.3 * (y - top + 20))] = 4
    paint = np.array(
        [[150, 190, 230], [250, 220, 90], [60, 110, 170], [90, 140, 60], [170, 90, 70]]
    )
    texture = rng.normal(0, 1, (height, width, 3)) * np.array([8, 10, 14, 26, 12])[label][..., None]
    light = 0.75 + 0.5 * x / width
    return (paint[label] * light[..., None] + texture).clip(0, 255).astype(np.uint8), label


def make_network(folder: Path) -> None:
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=128,
        block_out_channels=(32, 32, 64, 64),
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        norm_num_groups=8,
    )
    unet.save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for folder in ("photos", "labels"):
            (work / folder).mkdir()
        scenes = [scene(seed) for seed in range(LABELLED + len(SHOWN))]
        for i, (image, label) in enumerate(scenes):
            Image.fromarray(image).save(work / f"photos/{i}.png")
            if i < LABELLED:
                Image.fromarray(label.astype(np.uint8)).save(work / f"labels/{i}.png")
        make_network(work / "ddpm")
        extract(ExtractConfig(work / "photos", work / "feats.zarr", str(work / "ddpm")))
        fit(FitConfig(work / "feats.zarr", work / "labels", work / "model", max_steps=2000))
        predict(
            PredictConfig(work / "feats.zarr", work / "model", work / "masks", uncertainty=True)
        )
        rows = [picture(*scenes[i], work / "masks", i) for i in SHOWN]
    Image.fromarray(np.vstack(rows)).save(Path(__file__).with_name("picture.png"), optimize=True)


def picture(image: np.ndarray, label: np.ndarray, masks: Path, number: int) -> np.ndarray:
    """One row: image, truth, mask, uncertainty (white is certain, up to log 5 nats)."""
    uncertainty = np.load(masks / f"uncertainty/{number}.npy")
    grey = 255 * (1 - uncertainty / uncertainty.max())
    panels = [image, COLOURS[label], COLOURS[read_mask(masks / f"{number}.png")], grey[..., None]]
    gap = np.full((SIZE[0], GAP, 3), 255)
    row = [part for panel in panels for part in (np.broadcast_to(panel, (*SIZE, 3)), gap)][:-1]
    return np.pad(np.hstack(row), ((0, GAP), (0, 0), (0, 0)), constant_values=255).astype(np.uint8)


if __name__ == "__main__":
    main()

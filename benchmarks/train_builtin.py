"""Train the checkpoint that comes with dseg, on photographs of clothing and on drawn scenes.

    python benchmarks/train_builtin.py data/clothing work/ --minutes 75
    python benchmarks/train_builtin.py data/clothing work/ --minutes 25 --size 128 --batch-size 64 \
        --init builtin:dseg-64

The first folder holds ``images/`` and ``test.txt``, whose images stay out. An interrupted
run is continued by the same command; at its end the checkpoint replaces the built-in one
(``extract/builtin_checkpoints/dseg-64``), as float16. It runs on a GPU without changes; longer
training at a higher resolution belongs there.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from dseg.demo.scenes import TRAINING_SEEDS_FROM, write_scenes
from dseg.extract.checkpoints.builtin import BUILTIN, builtin_path
from dseg.extract.images.files import list_images
from dseg.extract.networks.diffusion.unet import recommended_layers
from dseg.extract.registry import load_unet
from dseg.pipelines.console.progress import Console
from dseg.pipelines.pretrain.config import PretrainConfig
from dseg.pipelines.pretrain.run import pretrain
from dseg.pretrain.data.images import Augmentation
from dseg.pretrain.network.folder import write_network
from dseg.pretrain.train.precision import PRECISIONS
from dseg.pretrain.train.recipe import Recipe

SCENES = 500
CARD = {
    "trained_on": (
        "photographs of Clothing Co-Parsing (Yang, Luo, Lin, CVPR 2014; "
        "github.com/bearpaw/clothing-co-parsing, Apache License 2.0 as that project states; the "
        "photographs show real people and were collected from street-style pages: treat as "
        f"research data), of which none is in the test list, and {SCENES} scenes that dseg draws "
        f"(seeds from {TRAINING_SEEDS_FROM}). images.sha256 lists each"
    ),
    "good_for": (
        "trying dseg without a checkpoint of one's own; a beginning for `dseg pretrain --init`; "
        "classes that texture, colour and coarse form tell apart"
    ),
    "not_good_for": (
        "fine parts of objects that it has not seen, and any figure that is to be compared with "
        "the published ones: it is a small network, trained briefly on few images of one kind"
    ),
}


def gather(clothing: Path, photos: Path) -> None:
    """Put the images to learn from into one folder: photographs and scenes, none of a test."""
    held_back = set((clothing / "test.txt").read_text(encoding="utf-8").split())
    target = photos / "clothing"
    target.mkdir(parents=True, exist_ok=True)
    for path in list_images(clothing / "images"):
        if path.stem not in held_back:
            shutil.copyfile(path, target / path.name)
    seeds = range(TRAINING_SEEDS_FROM, TRAINING_SEEDS_FROM + SCENES)
    write_scenes(photos / "scenes", seeds, (128, 128))


def pack(trained: Path, size: int) -> Path:
    """Write a trained checkpoint as float16 in place of the built-in one; return its folder."""
    target = builtin_path(BUILTIN)
    loaded = load_unet(trained)
    facts = json.loads((trained / "dseg.json").read_text(encoding="utf-8"))
    layers = recommended_layers(loaded.unet, loaded.schedule.timesteps)
    card = {**facts, **CARD, **layers, "size": size, "weights": "float16"}
    scheduler = DDPMScheduler.from_pretrained(trained / "scheduler")
    write_network(loaded.unet, scheduler, target, card, torch.float16)
    shutil.copyfile(trained / "images.sha256", target / "images.sha256")
    return target


def main() -> None:
    """Gather, train, pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clothing", type=Path, help="folder with images/ and test.txt")
    parser.add_argument("work", type=Path, help="folder for images and the run")
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=8e-4)
    parser.add_argument("--crop", type=float, default=0.4, help="least side of cut-outs")
    parser.add_argument("--init", help="checkpoint to begin from")
    parser.add_argument("--precision", choices=list(PRECISIONS))
    parser.add_argument("--row-size", type=int, default=128, help="for the card")
    parser.add_argument("--device")
    given = parser.parse_args()
    photos, out = given.work / "photos", given.work / f"ddpm-{given.size}"
    if not photos.exists():
        gather(given.clothing, photos)
    config = PretrainConfig(
        images=photos,
        out=out,
        size=given.size,
        init=given.init,
        network=None if given.init else "small",
        seconds=given.minutes * 60,
        augmentation=Augmentation(crop=given.crop, flip=True),
        recipe=Recipe(batch_size=given.batch_size, learning_rate=given.learning_rate),
        precision=given.precision,
        device=given.device,
    )
    print(pretrain(config, Console()))
    print(pack(out, given.row_size))


if __name__ == "__main__":
    main()

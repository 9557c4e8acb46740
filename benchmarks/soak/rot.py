"""Damage what dseg wrote, again and again: all is found, repaired, and then as it was, bit for bit.

    python benchmarks/soak/rot.py --damages 300 --seed 0

Two stores (lz4, uint8 in tiles), a model, masks, drawn images, synthetic images as folders and as a
Zarr store are made once, small. Then, for each damage, a file of one of them is chosen by the seed,
and a bit of it flipped, its end cut off, the file removed, or one put beside it that belongs to
nothing.
`dseg verify` must find it and name the file or its image; `dseg verify --repair`, for a store with
`--images`, and the command that made it must then bring back every byte. A model cannot be made
again without training it: there, that it is found is all. The last line is the result; exit code 1
if something was not found or did not come back.
"""

import argparse
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dseg.generate.sampler import SamplerSettings
from dseg.pipelines.extract.config import ExtractConfig
from dseg.pipelines.extract.run import extract
from dseg.pipelines.fit.config import FitConfig
from dseg.pipelines.fit.run import fit
from dseg.pipelines.predict.config import PredictConfig
from dseg.pipelines.predict.run import predict
from dseg.pipelines.sample.config import SampleConfig
from dseg.pipelines.sample.run import sample
from dseg.pipelines.synthesize.config import SynthesizeConfig
from dseg.pipelines.synthesize.run import synthesize
from dseg.pipelines.verify.config import VerifyConfig, VerifySummary
from dseg.pipelines.verify.run import verify
from dseg.store.errors import DsegError
from PIL import Image

# What says of a folder what it is, and is in it once: where it is gone, the folder is made anew.
ONCE = {
    "masks": "predictions.jsonl",
    "drawn": "samples.json",
    "synthetic": "synthetic.json",
    "synthetic.zarr": "zarr.json",
}
FOREIGN = ("notes.txt", "features/8x8/c/77/0/0/0", "complete/c/99", "stray.png", "a.partial")


@dataclass
class Subject:
    """Something that dseg wrote, and what makes again what is missing in it.

    ``again`` is None where only a training would; with its argument True it begins anew.
    """

    name: str
    path: Path
    again: Callable[[bool], object] | None
    images: Path | None = None
    content: dict[str, bytes] = field(default_factory=dict)

    def remember(self) -> None:
        self.content = contents(self.path)

    def restore(self) -> None:
        shutil.rmtree(self.path)
        for name, data in self.content.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def make(root: Path, only: tuple[str, ...] = ()) -> list[Subject]:
    """Make what is damaged: a few small images, and all that follows from them."""
    photos, labels = root / "photos", root / "labels"
    photos.mkdir(parents=True)
    labels.mkdir()
    for number in range(5):
        rng = np.random.default_rng(number)
        height = 40 + 24 * (number % 2)
        pixels = rng.integers(0, 255, (height, 48, 3)).astype(np.uint8)
        label = np.zeros((height, 48), np.uint8)
        label[10:30, 10 + number : 30] = 1
        pixels[label == 1] //= 3
        Image.fromarray(pixels).save(photos / f"p{number}.png")
        if number < 3:
            Image.fromarray(label).save(labels / f"p{number}.png")

    def stored(name: str, codec: str, fit_: str) -> Subject:
        config = ExtractConfig(
            photos, root / name, ("builtin:filters",), ((32, 32),), codec=codec, fit=fit_
        )
        return Subject(name, root / name, lambda anew: extract(config), photos)

    subjects = [stored("lz4.zarr", "lz4", "squash"), stored("uint8.zarr", "uint8", "tile")]
    subjects[0].again(False)
    training = FitConfig(
        (subjects[0].path,), labels, root / "model", members=2, max_steps=20, memory=10**9
    )
    fit(training)
    subjects.append(Subject("model", root / "model", None))
    masks = {"model": root / "model", "out": root / "masks", "uncertainty": True}

    def predicted(anew: bool) -> object:
        return predict(PredictConfig((subjects[0].path,), overwrite=anew, **masks))

    subjects.append(Subject("masks", root / "masks", predicted))
    drawing = {"count": 3, "settings": SamplerSettings(respacing="2", size=(32, 32))}

    def sampled(anew: bool) -> object:
        if anew:
            shutil.rmtree(root / "drawn")
        return sample(SampleConfig(root / "drawn", **drawing))

    subjects.append(Subject("drawn", root / "drawn", sampled))
    for name in ("synthetic", "synthetic.zarr"):

        def made(anew: bool, out: Path = root / name) -> object:
            if anew:
                shutil.rmtree(out)
            config = SynthesizeConfig(root / "model", out, checkpoint="builtin:dseg-64", **drawing)
            return synthesize(config)

        subjects.append(Subject(name, root / name, made))
    chosen = [one for one in subjects if not only or one.name in only]
    for subject in chosen:
        if subject.again is not None:
            subject.again(False)
        subject.remember()
    return chosen


def damage(subject: Subject, dice: random.Random) -> tuple[str, str]:
    """Do one thing to one file; return what, and the file."""
    names = sorted(subject.content)
    folders = Counter(name.split("/")[0] for name in names)
    # Chunks are many: half of the damages are to the other files.
    few = [name for name in names if folders[name.split("/")[0]] < 40]
    name = dice.choice(few if few and dice.random() < 0.5 else names)
    how = dice.choice(("flip", "flip", "cut", "remove", "foreign"))
    file = subject.path / name
    data = bytearray(file.read_bytes())
    if how == "foreign" and subject.name != "model":
        return how, foreign(subject, dice)
    if how == "flip" and data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        file.write_bytes(data)
        return how, name
    if how == "cut" and data:
        file.write_bytes(data[: dice.randrange(len(data))])
        return how, name
    file.unlink()
    return "remove", name


def foreign(subject: Subject, dice: random.Random) -> str:
    """Put a file that belongs to nothing where dseg would look."""
    places = {
        "masks": ["stray.png", "uncertainty/stray.npy", f".{32 * 'a'}.part"],
        "drawn": ["000099.png", f".{32 * 'b'}.part"],
        "synthetic": ["labels/000099.png", "uncertainty/000099.npy", f".{32 * 'c'}.part"],
        "synthetic.zarr": ["labels/c/99/0/0", "x.partial", "seed/c/notes"],
    }
    name = dice.choice(places.get(subject.name, list(FOREIGN)))
    file = subject.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dice.randbytes(100))
    return name


def names_it(found: VerifySummary, name: str, subject: Subject) -> bool:
    """Whether a report names a file, its array, or its image."""
    told = " ".join(f"{one['file']} {one['image'] or ''} {one['words']}" for one in found.faults)
    stem = Path(name).stem
    array = name.split("/c/")[0].removesuffix("/zarr.json")
    by_image = any(one["image"] for one in found.faults) and "/c/" in name
    return any(part in told for part in (name, array, stem)) or by_image


def problem(subject: Subject, dice: random.Random, seen: Counter[str]) -> str | None:
    """Damage, find, repair, compare; return what went wrong, if anything."""
    how, name = damage(subject, dice)
    what = f"{subject.name}: {how} {name}"
    if contents(subject.path) == subject.content:
        return None
    seen[how] += 1
    aside = subject.path.with_name(f"{subject.path.name}.set-aside")
    try:
        found = verify(VerifyConfig(subject.path))
        if found.whole:
            return f"{what}: not found"
        if not names_it(found, name, subject):
            return f"{what}: not named: {found.faults}"
        repaired = verify(VerifyConfig(subject.path, repair=True, images=subject.images))
    except DsegError as error:  # a folder of masks is not to be recognised any more, which it says
        if (how, name) != ("remove", "predictions.jsonl"):
            return f"{what}: {error}"
        repaired = None
    if subject.again is None:
        return None
    if repaired is None or not repaired.whole:
        seen["begun anew"] += 1
        if name != ONCE.get(subject.name):
            return f"{what}: not repaired: {repaired and repaired.faults}"
        try:
            subject.again(True)
        except DsegError as error:
            return f"{what}: cannot be made anew: {error}"
    elif subject.images is None:
        subject.again(False)
    shutil.rmtree(aside, ignore_errors=True)
    after = contents(subject.path)
    if after != subject.content:
        differ = [n for n in {*after, *subject.content} if after.get(n) != subject.content.get(n)]
        return f"{what}: not as it was: {sorted(differ)[:5]}"
    again = verify(VerifyConfig(subject.path))
    return None if again.whole else f"{what}: still wrong: {again.faults}"


def soak(root: Path, damages: int, seed: int, only: tuple[str, ...] = ()) -> list[str]:
    """Damage so many files; return what went wrong."""
    subjects, dice, seen, wrong = make(root, only), random.Random(seed), Counter[str](), list[str]()
    for number in range(damages):
        subject = subjects[number % len(subjects)]
        why = problem(subject, dice, seen)
        if why is not None:
            wrong.append(why)
            print(why, flush=True)
        subject.restore()
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.items()))
    print(f"{damages} damages of {len(subjects)} things ({kinds}): {len(wrong)} went wrong")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--damages", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=(), help="such as lz4.zarr masks")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        wrong = soak(Path(folder) / "work", given.damages, given.seed, tuple(given.only))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

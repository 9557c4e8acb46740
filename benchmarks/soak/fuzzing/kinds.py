"""The kinds of input: good ones to begin with, how each file is changed, and what reads it.

A reader is what the commands use; whatever it raises but a message for people is a finding.
"""

import io
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from .mutations import (
    Mutation,
    mutate_bytes,
    mutate_chunk,
    mutate_json,
    mutate_npy,
    mutate_png,
    mutate_safetensors,
    mutate_text,
    mutate_zip,
)

__all__ = ["KINDS", "Kind", "Sample"]

Sample = Mapping[str, bytes]
"""Content of each file by its path within the input's folder."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Parameters
    ----------
    seeds : callable
        Makes good samples, given a folder with small files (the tests' data) and one to work in.
    read : callable
        Reads the files of a folder, as a command would.
    mutations : mapping of str to function
        By the end of a file's name, the first that fits; the rest has its bytes changed.
    shape : callable, optional
        Changes a whole sample in another way than file by file.
    """

    seeds: Callable[[Path, Path], list[Sample]]
    read: Callable[[Path], object]
    mutations: Mapping[str, Mutation]
    shape: Callable[[random.Random, Sample], Sample] | None = None

    def mutate(self, rng: random.Random, sample: Sample) -> Sample:
        """Return a changed sample."""
        if self.shape is not None and rng.random() < 0.4:
            return self.shape(rng, sample)
        name = rng.choice(list(sample))
        how = next((m for end, m in self.mutations.items() if name.endswith(end)), mutate_bytes)
        return {**sample, name: how(rng, sample[name])}


def _files_of(folder: Path, most: int = 10**7) -> Sample:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in files if p.stat().st_size < most
    }


# ---- checkpoints ----


def _saved(state: Any, old: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


def _checkpoint_files(data: Path, work: Path) -> list[Sample]:
    from dseg.extract.checkpoints.state_dict import load_state_dict

    golden = data / "golden"
    found = [golden / "lucidrains/grey.pt", golden / "stylegan2/generator.pt"]
    samples: list[Sample] = [{"net.pt": path.read_bytes()} for path in found]
    state = load_state_dict(found[0])
    few = {"model": {"a.weight": torch.zeros(3, 2), "a.bias": torch.zeros(3)}, "step": 7}
    samples += [{"net.pt": _saved(few)}, {"net.pt": _saved(few, old=True)}]
    samples += [{"net.pt": _saved({"model": few["model"], "ema": few["model"]})}]
    return [*samples, {"net.safetensors": save(state)}]


def _other_state(rng: random.Random, sample: Sample) -> Sample:
    """Change names, shapes and types of tensors; some are larger than what is stored of them."""
    from dseg.extract.checkpoints.state_dict import load_state_dict

    (name, content), path = next(iter(sample.items())), Path("state.tmp")
    path.write_bytes(content)
    try:
        state = dict(load_state_dict(path))
    except Exception:
        return sample
    for _ in range(rng.choice((1, 1, 2, 4))):
        key = rng.choice(list(state))
        tensor, kind = state[key], rng.randrange(8)
        if kind == 0:
            del state[key]
        elif kind == 1:
            number = str(rng.choice((0, 1, 99, 10**9)))
            state["".join(number if c.isdigit() else c for c in key)] = tensor
        elif kind == 2:
            state[key] = torch.zeros(1).expand(
                *(rng.choice((0, 1, 3, 60000)) for _ in tensor.shape)
            )
        elif kind == 3 and tensor.ndim:
            state[key] = tensor.transpose(0, -1).contiguous()
        elif kind == 4:
            state[key] = tensor[..., None] if rng.random() < 0.5 else tensor.flatten()
        elif kind == 5:
            types = (torch.float16, torch.bfloat16, torch.int8, torch.complex64, torch.bool)
            state[key] = tensor.to(rng.choice(types))
        elif kind == 6:
            state[key] = torch.zeros([rng.choice((0, 1, 2, 5, 64)) for _ in tensor.shape])
        else:
            state[rng.choice(("ema.", "module.", "model.", "")) + key] = state.pop(key)
        if not state:
            break
    if name.endswith(".pt"):
        return {name: _saved(state if rng.random() < 0.7 else {"model": state, "ema": dict(state)})}
    return {name: save({key: one.contiguous().clone() for key, one in state.items()})}


def _checkpoint_folders(data: Path, work: Path) -> list[Sample]:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DModel
    from transformers import (
        ConvNextConfig,
        ConvNextModel,
        Dinov2Config,
        Dinov2Model,
        ViTMAEConfig,
        ViTMAEModel,
    )

    unet = {
        "block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1,
        "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
    }  # fmt: skip
    samples = []
    UNet2DModel(sample_size=16, **unet).save_pretrained(work / "ddpm/unet")
    DDPMScheduler().save_pretrained(work / "ddpm/scheduler")
    card = {"steps": [5, 50], "blocks": [0, 1], "size": 16, "filters": True, "pixels": True}
    (work / "ddpm/dseg.json").write_text(json.dumps(card))
    UNet2DModel(sample_size=8, in_channels=4, out_channels=4, **unet).save_pretrained(
        work / "latent/unet", safe_serialization=False
    )
    DDPMScheduler().save_pretrained(work / "latent/scheduler")
    autoencoder = {
        "block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }  # fmt: skip
    AutoencoderKL(**autoencoder).save_pretrained(work / "latent/vae")
    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16,
             "patch_size": 4, "intermediate_size": 16}  # fmt: skip
    ViTMAEModel(ViTMAEConfig(**small)).save_pretrained(work / "mae")
    Dinov2Model(Dinov2Config(**small, mlp_ratio=2)).save_pretrained(work / "dino")
    convnext = ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, image_size=16)
    ConvNextModel(convnext).save_pretrained(work / "convnext")
    (work / "mae/preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": 1}'
    )
    for name in ("ddpm", "latent", "mae", "dino", "convnext"):
        samples.append(_files_of(work / name))
    return samples


def _read_checkpoint(where: Path) -> object:
    from dseg.extract.networks.options import BackboneOptions, CheckpointOptions
    from dseg.extract.registry import load_network

    loaded = load_network(where, CheckpointOptions())
    size = 32 if loaded.size is None and loaded.card.size is None else None
    return loaded.backbone(BackboneOptions(size=size, device="cpu"))


# ---- stores, models, records ----


def _read_store(folder: Path) -> object:
    from dseg import FeatureStore

    store = FeatureStore.open(folder)
    for image in store.images[:3]:
        if image.complete:
            store.verify(image.index)
            _ = image.sha256
    return [store.spec.to_dict(), store.spec.hash, repr(store)]


def _read_model(folder: Path) -> object:
    from dseg.classify.ensemble.model_files import read_model

    return read_model(folder)


def _sealed(rng: random.Random, sample: Sample) -> Sample:
    """Change tensors or facts of a model, its seal right."""
    import hashlib

    tensors = sample["members.safetensors"]
    if rng.random() < 0.7:
        tensors = mutate_safetensors(rng, tensors)
    try:
        facts = dict(json.loads(sample["model.json"]))
    except (ValueError, TypeError):  # changed before
        return {**sample, "members.safetensors": tensors}
    facts["sha256"] = hashlib.sha256(tensors).hexdigest()
    return {"members.safetensors": tensors, "model.json": json.dumps(facts).encode()}


def _records(data: Path, work: Path) -> list[Sample]:
    facts = {
        "format": "dseg-samples", "version": 1, "checkpoint": "net", "checkpoint_sha256": "0" * 64,
        "kind": "diffusers", "sampler": "ddim", "first_seed": 0,
    }  # fmt: skip
    line = json.dumps({"name": "000000.png", "seed": 0, "sha256": "0" * 64}) + "\n"
    masks = (data / "format-1/masks/predictions.jsonl").read_bytes()
    return [
        {"samples.json": json.dumps(facts).encode(), "samples.jsonl": line.encode() * 3},
        {"predictions.jsonl": masks},
    ]


def _read_records(folder: Path) -> object:
    from dseg.extract.images.sample_records import sample_records
    from dseg.generate.folder import read_drawn
    from dseg.pipelines.masks.manifest import Manifest

    found: list[object] = []
    if (folder / "samples.jsonl").is_file():
        found.append(list(sample_records((folder / "samples.jsonl").read_bytes())))
        found.append(read_drawn(folder))
    if (folder / "predictions.jsonl").is_file():
        manifest = Manifest(folder)
        manifest.refresh()
        found.append(manifest.records)
    return found


# ---- labels, lists, settings ----


def _encoded(array: Any, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **how)
    return file.getvalue()


def _label_files(data: Path, work: Path) -> list[Sample]:
    label = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    file = io.BytesIO()
    np.save(file, label)
    palette = Image.fromarray(label, "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    coloured = io.BytesIO()
    palette.save(coloured, "PNG")
    return [
        {"label.png": _encoded(label, "PNG")},
        {"label.png": _encoded(label.astype(np.uint16), "PNG")},
        {"label.png": coloured.getvalue()},
        {"label.npy": file.getvalue()},
        *({f"label.{kind}": _encoded(label, kind)} for kind in ("TIFF", "BMP", "GIF", "WEBP")),
        {"label.png": _encoded(np.stack([label, label * 9, label], axis=2), "PNG")},
        {"label.jpg": _encoded(np.where(label > 0, 255, 0).astype(np.uint8), "JPEG")},
    ]


def _read_label(folder: Path) -> object:
    from dseg.classify.label_sets.opening import open_label_set

    found = open_label_set(folder)
    return [entry.read_with_palette() for entry in found.entries.values()]


def _annotations(data: Path, work: Path) -> list[Sample]:
    folder = data / "annotations"
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".xml"))
    return [{path.name: path.read_bytes()} for path in files]


def _read_annotations(folder: Path) -> object:
    from dseg.classify.annotations.rasterise import rasterise
    from dseg.classify.annotations.registry import open_annotations

    found, told = open_annotations(folder), list[object]()
    for image in found.images[:3] if found else ():
        size = image.size if image.size and image.size[0] * image.size[1] < 10**6 else (14, 18)
        ids = {name: k for k, (name, _) in enumerate(found.classes)} if found else {}
        told.append([image.name, rasterise(image, ids, size, background=0, ignored=255).sum()])
    return told


def _class_lists(data: Path, work: Path) -> list[Sample]:
    coloured = [{"name": "sky", "colour": [0, 0, 9]}, {"name": "sea", "color": "#00ff00", "id": 1}]
    texts = (
        "sky\nsea\nboat\n",
        "__ignore__\n_background_\ncat\n",
        "0: sky\n1: sea\n",
        "# a\nsky\nsea 1\n",
    )
    plain: list[Any] = [
        coloured,
        ["sky", "sea"],
        [{"id": 0, "name": "sky"}, {"id": 1, "name": "sea"}],
    ]
    return [
        *({"classes.txt": text.encode()} for text in texts),
        *({"classes.json": json.dumps(one).encode()} for one in plain),
    ]


def _read_classes(folder: Path) -> object:
    from dseg.classify.labels.classes import load_classes

    notes: list[str] = []
    found = load_classes(folder, notes.append)
    return None if found is None else [found.to_list(), *notes]


def _settings(data: Path, work: Path) -> list[Sample]:
    texts = (
        '[extract]\nimages = "photos"\nsteps = [50, 150]\ntile = true\nsize = 256\n',
        '[fit]\nmembers = 10\nbalance = false\n[predict]\noverlay = true\nout = "masks"\n',
        '[pretrain]\ntime = "10m"\n[sample]\ncount = 3\n',
    )
    return [{"dseg.toml": text.encode()} for text in texts]


def _read_settings(folder: Path) -> object:
    from dseg.pipelines.console.settings_file import read_settings
    from dseg.pipelines.main import cli

    told: list[str] = []
    return [read_settings(folder / "dseg.toml", cli, "fit", told.append), told]


def _lists(data: Path, work: Path) -> list[Sample]:
    texts = ("p0\np1\n", "photos/p0.png\nphotos/p1.png\n", "# some\n\nphotos\\p0.jpg\n", "a/p2\n")
    return [{"list.txt": text.encode()} for text in texts]


def _read_list(folder: Path) -> object:
    from dseg.pipelines.inputs.image_list import read_list, select

    known = [f"p{k}" for k in range(20)] + ["a/p2", "b/p2", "n" * 200]
    return select(known, read_list(folder / "list.txt"), "images")


# ---- images and names ----


def _images(data: Path, work: Path) -> list[Sample]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 9, 3), np.uint8)
    grey16 = rng.integers(0, 4096, (12, 9), np.uint16)
    kinds: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "a.png": (rgb, "PNG", {}),
        "b.png": (grey16, "PNG", {}),
        "c.jpg": (rgb, "JPEG", {}),
        "d.tif": (rgb, "TIFF", {}),
        "e.tif": (grey16, "TIFF", {"compression": "tiff_lzw"}),
        "f.tif": (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "g.gif": (rgb[..., 0], "GIF", {}),
        "h.bmp": (rgb, "BMP", {}),
        "i.webp": (rgb, "WEBP", {}),
        "j.pgm": (rgb[..., 0], "PPM", {}),
    }
    exif = Image.Exif()
    exif[274] = 6
    samples = [{n: _encoded(a, kind, **how)} for n, (a, kind, how) in kinds.items()]
    return [
        *samples,
        {"k.jpg": _encoded(rgb, "JPEG", exif=exif)},
        {"l.png": _encoded(rgb, "PNG", exif=exif)},
    ]


def _read_image(folder: Path) -> object:
    from dseg.extract.images.files import list_images
    from dseg.extract.images.reading import brightest_of, image_facts, read_image

    (path,) = list_images(folder)
    facts, image = image_facts(path), read_image(path)
    if image.shape[:2] != facts.size:
        raise AssertionError(f"{facts.size} stated, {image.shape} decoded")
    return brightest_of([path])


def _names(data: Path, work: Path) -> list[Sample]:
    return [{"name": name.encode()} for name in ("p0.png", "a/b/p0.png", "é.png", "a.front.png")]


def _read_name(folder: Path) -> object:
    """Names that pass are paths within a folder, whatever ending is put on them."""
    from dseg.store.names import stem_of, why_unsafe

    name = (folder / "name").read_bytes().decode(errors="surrogateescape")
    if (why := why_unsafe(name)) is not None:
        return why
    root = folder / "out"
    for path in (root / name, root / f"{stem_of(name)}.png", root / f"{stem_of(name)}.npy"):
        if not Path(path.as_posix()).resolve().is_relative_to(root.resolve()):
            raise AssertionError(f"{name!r} leads to {path}")
    return None


def _at(*names: str) -> Callable[[Path, Path], list[Sample]]:
    return lambda data, work: [_files_of(data.joinpath(*names))]


def _read_file(folder: Path) -> object:
    (path,) = (path for path in folder.iterdir() if path.is_file())
    return _read_checkpoint(path)


_JSON = {".json": mutate_json}
_STORE = {"zarr.json": mutate_json, "": mutate_chunk}
_PICKLES = {".pt": mutate_zip, ".bin": mutate_zip, ".safetensors": mutate_safetensors}

KINDS: Mapping[str, Kind] = {
    "checkpoint-files": Kind(_checkpoint_files, _read_file, _PICKLES, _other_state),
    "checkpoint-folders": Kind(_checkpoint_folders, _read_checkpoint, {**_JSON, **_PICKLES}),
    "stores": Kind(_at("format-1", "features"), _read_store, _STORE),
    "models": Kind(_at("format-1", "model"), _read_model, {**_JSON, **_PICKLES}, _sealed),
    "records": Kind(_records, _read_records, {**_JSON, ".jsonl": mutate_text}),
    "labels": Kind(_label_files, _read_label, {".png": mutate_png, ".npy": mutate_npy}),
    "annotations": Kind(_annotations, _read_annotations, {**_JSON, ".xml": mutate_text}),
    "classes": Kind(_class_lists, _read_classes, {**_JSON, ".txt": mutate_text}),
    "settings": Kind(_settings, _read_settings, {".toml": mutate_text}),
    "lists": Kind(_lists, _read_list, {".txt": mutate_text}),
    "images": Kind(_images, _read_image, {".png": mutate_png}),
    "names": Kind(_names, _read_name, {"": mutate_text}),
}

"""Files from others that ask for too much: one plain message, little memory, little time.

Each case is a command line in a process of its own, with a bound on its address space; what used to
take gigabytes or minutes must end within them.
"""

import io
import json
import pickle
import resource
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg import FeatureStore
from dseg.store.format.layout import open_group
from PIL import Image

GIB = 2**30
MEMORY = 2 * GIB
"""Beyond what the process has once everything is imported."""
SECONDS = 30
"""Of processor time; 0.1 to 3 on an idle machine. What is tested for took minutes."""


@pytest.fixture
def hostile(forked, tmp_path):
    """Run a command line within the bounds; it must be refused, with these words."""

    def run(*words, says, code=2):
        made = forked(tmp_path, *words)
        resource.prlimit(made.pid, resource.RLIMIT_CPU, (SECONDS, SECONDS))
        held = 4096 * int(Path(f"/proc/{made.pid}/statm").read_text().split()[0])
        resource.prlimit(made.pid, resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        result = made.result()
        assert result.code == code, (result.code, result.out, result.err)
        assert says in result.err
        assert "Traceback" not in result.err
        assert "unexpected error" not in result.err

    return run


def extract(world, checkpoint, *more):
    words = ("extract", "--images", world.photos, "--out", "f.zarr", "--checkpoint", checkpoint)
    return (*words, *more)


# ---- checkpoint files ----


def archive(path, pickled, packed=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", packed) as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/version", "3")
        file.writestr("a/byteorder", "little")


def stride_0(path):
    """28 GB in float32, of 2 bytes."""
    torch.save({"a.weight": torch.zeros(1, dtype=torch.float16).expand(60_000, 60_000)}, path)


def many_views(path):
    """A hundred times the whole of one storage."""
    one = torch.zeros(1000, 1000, dtype=torch.float16)
    torch.save({f"a.{n}": one for n in range(100)}, path)


def deflated(path):
    text = b"\x80\x02X" + struct.pack("<I", 10**8) + bytes(10**8)
    archive(path, text, zipfile.ZIP_DEFLATED)


def large_pickle(path):
    archive(path, b"\x80\x02]" + b"]a" * 5_000_000 + b".")


def bytearray_of_10_gb(path):
    number = b"\x8a\x05" + (10**10).to_bytes(5, "little")
    archive(path, b"\x80\x02}X\x01\0\0\0acbuiltins\nbytearray\n" + number + b"\x85Rs.")


def empty_tensor(path):
    number = b"\x8a\x05" + (10**10).to_bytes(5, "little")
    archive(path, b"\x80\x02}X\x01\0\0\0actorch\nTensor\n" + number + b"\x85Rs.")


def tuples_in_tuples(path):
    """As a key it has 2^60 parts to hash."""
    doubled = b"".join(b"q\x01h\x01h\x01\x86" for _ in range(60))
    archive(path, b"\x80\x02})" + doubled + b"K\x01s.")


def dicts_in_dicts(path):
    inner = {f"k{n}": torch.zeros(1) for n in range(2000)}
    for _ in range(3):
        inner = {f"k{n}": inner for n in range(2000)}
    torch.save({"model": inner, "ema": inner}, path)


def dict_in_itself(path):
    state = {"x": torch.zeros(1)}
    state["state"] = state
    torch.save({"model": {"x": torch.zeros(2)}, "ema": state}, path)


def old_and_large(path):
    """From before PyTorch 1.6: a mere pickle."""
    path.write_bytes(b"\x80\x02X" + struct.pack("<I", 5_000_000) + b"a" * 5_000_000 + b".")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (stride_0, "a tensor of shape 60000x60000, but only"),
        (many_views, "its values are not in the file"),
        (deflated, "torch.save compresses nothing"),
        (large_pickle, "the most that dseg reads is 4194304"),
        (bytearray_of_10_gb, "it calls for builtins.bytearray"),
        (empty_tensor, "it calls for torch.Tensor"),
        (tuples_in_tuples, "its tuples within tuples have too many parts"),
        (dicts_in_dicts, "has more than 1000000 entries within entries"),
        (dict_in_itself, "holds no network that dseg knows"),
        (old_and_large, "its pickle has more than 4194304 bytes"),
    ],
)
def test_a_file_that_asks_for_more_than_it_has(hostile, world, tmp_path, make, says):
    make(tmp_path / "net.pt")
    assert (tmp_path / "net.pt").stat().st_size < 11_000_000
    hostile(*extract(world, "net.pt"), says=says)


def test_a_published_ensemble_of_stride_0(hostile, store, tmp_path):
    (tmp_path / "model").mkdir()
    state = {
        f"module.layers.{i}.{kind}": torch.zeros(1, dtype=torch.float16).expand(30_000, 30_000)
        for i in (0, 2, 3, 5, 6)
        for kind in ("weight", "bias", "running_mean", "running_var")
    }
    torch.save({"model_state_dict": state}, tmp_path / "model/model_0.pth")
    hostile("predict", store, "--model", "model", says="is not a member of a published ensemble")


def test_nothing_of_a_pickle_runs(hostile, world, tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("open('ran', 'w')",)

    for number, protocol in enumerate((0, 2, 4)):
        path = tmp_path / f"net{number}.pt"
        path.write_bytes(pickle.dumps({"a": Evil()}, protocol))
        hostile(*extract(world, path.name), says=f"'{path}'")
    torch.save({"a": Evil()}, tmp_path / "net.pt")
    hostile(*extract(world, "net.pt"), says="would run code when read")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "diffusion_pytorch_model.bin"])
def test_pickled_weights_of_a_folder(hostile, world, ddpm, tmp_path, name):
    folder = tmp_path / "net"
    if name.startswith("diffusion"):
        shutil.copytree(ddpm, folder)
        (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
        stride_0(folder / "unet" / name)
    else:
        make_mae(folder)
        (folder / "model.safetensors").unlink()
        stride_0(folder / name)
    hostile(*extract(world, folder), says="a tensor of shape 60000x60000, but only")


# ---- checkpoint folders ----


def make_mae(folder, **changes):
    from transformers import ViTMAEConfig, ViTMAEModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTMAEConfig(**sizes, intermediate_size=32, image_size=32, patch_size=8)
    ViTMAEModel(config).save_pretrained(folder)
    change(folder / "config.json", **changes)


def make_dino(folder, **changes):
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=14)).save_pretrained(folder)
    change(folder / "config.json", **changes)


def change(path, **changes):
    plain = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(plain | changes))


UNET, SCHEDULER, CARD = "unet/config.json", "scheduler/scheduler_config.json", "dseg.json"


@pytest.mark.parametrize(
    ("file", "changes", "says"),
    [
        (UNET, {"layers_per_block": 10**7}, "has 10000000 for layers_per_block"),
        (UNET, {"layers_per_block": 10**6}, "whose network has more than 10000 tensors"),
        (UNET, {"block_out_channels": [10**6] * 4}, "has more than the values that they hold"),
        (UNET, {"block_out_channels": [8192] * 4}, "has more than the values that they hold"),
        (UNET, {"sample_size": 10**5}, "states a sample_size of 100000"),
        (SCHEDULER, {"num_train_timesteps": 2 * 10**8}, "got 200000000; 100000 is the most"),
        (SCHEDULER, {"num_train_timesteps": "many"}, "got 'many'; 100000 is the most"),
        (SCHEDULER, {"num_train_timesteps": -3}, "at least 1 timestep, got -3"),
        (SCHEDULER, {"num_train_timesteps": float("inf")}, "at least 1 timestep, got inf"),
        (SCHEDULER, {"trained_betas": ["a", "b"]}, "must be a list of numbers from 0 to 1, got"),
        (SCHEDULER, {"trained_betas": [0.1] * 200_000}, "at least 1 timestep, got 200000"),
        (SCHEDULER, {"beta_end": float("nan")}, "expected numbers from 0 to 1"),
        (SCHEDULER, {"beta_start": "x"}, "expected numbers from 0 to 1"),
        (SCHEDULER, {"beta_schedule": ["linear"]}, "the noise schedule ['linear'] of"),
        (CARD, {"size": 10**5}, "'size' must be a side or [height, width] in pixels, got 100000"),
        (CARD, {"steps": list(range(1000))}, "'steps' must be a list of whole numbers, got"),
    ],
)
def test_numbers_of_a_diffusers_folder(hostile, world, ddpm, tmp_path, file, changes, says):
    shutil.copytree(ddpm, tmp_path / "net")
    change(tmp_path / "net" / file, **changes)
    hostile(*extract(world, "net"), says=says)


@pytest.mark.parametrize("file", [UNET, SCHEDULER, CARD])
@pytest.mark.parametrize("depth", [101, 100_000])
def test_json_nested_deeply(hostile, world, ddpm, tmp_path, file, depth):
    shutil.copytree(ddpm, tmp_path / "net")
    (tmp_path / "net" / file).write_text('{"a":' + "[" * depth + "]" * depth + "}")
    hostile(*extract(world, "net"), says="it is nested deeper than 100 lists and objects")


def test_json_of_more_than_a_bound(hostile, world, ddpm, tmp_path):
    shutil.copytree(ddpm, tmp_path / "net")
    (tmp_path / "net/dseg.json").write_text('{"a": "' + "a" * 2**25 + '"}')
    hostile(*extract(world, "net"), says="more than 32 MiB, the most that dseg reads")


@pytest.mark.parametrize(
    ("make", "changes", "says"),
    [
        (make_mae, {"num_hidden_layers": 10**6}, "whose network has more than 10000 tensors"),
        (make_mae, {"num_hidden_layers": 10**9}, "has 1000000000 for num_hidden_layers"),
        (make_mae, {"hidden_size": 20_000}, "has more than the values that they hold"),
        (make_dino, {"image_size": 10**6}, "has more than the values that they hold"),
    ],
)
def test_numbers_of_a_transformers_folder(hostile, world, tmp_path, make, changes, says):
    make(tmp_path / "net", **changes)
    hostile(*extract(world, "net"), says=says)


# ---- what a file names ----


def test_nothing_is_fetched_because_a_model_names_it(hostile, world, model, tmp_path):
    shutil.copytree(model, tmp_path / "m")
    plain = json.loads((tmp_path / "m/model.json").read_text())
    plain["spec"]["source"] = "evil/network@main"  # not of the hash
    (tmp_path / "m/model.json").write_text(json.dumps(plain))
    says = "is not downloaded because a file names it: give it with --checkpoint evil/network@main"
    hostile("predict", world.photos, "--model", "m", says=says)


# ---- stores ----


def changed_store(store, tmp_path, **attributes):
    shutil.copytree(store, tmp_path / "s.zarr")
    path = tmp_path / "s.zarr/zarr.json"
    plain = json.loads(path.read_text())
    plain["attributes"] |= attributes
    path.write_text(json.dumps(plain))
    return tmp_path / "s.zarr"


@pytest.mark.parametrize("what", ["images", "rows"])
def test_a_store_of_10_to_the_15(hostile, store, model, tmp_path, what):
    runs = [{"drawn_by": {"checkpoint": "a"}, "runs": [[0, 0, 10**15]]}]
    folder = changed_store(store, tmp_path, **{what: 10**15, "synthetic": runs})
    for path in folder.glob("*/*/zarr.json"):
        plain = json.loads(path.read_text())
        plain["shape"][0] = 10**15 if plain["shape"][0] > 3 else plain["shape"][0]
        path.write_text(json.dumps(plain))
    hostile("info", folder, says="its attributes state 1000000000000000 entries", code=1)
    words = ("predict", folder, "--model", model)
    hostile(*words, says="its attributes state 1000000000000000 entries", code=1)


def test_metadata_of_a_store_nested_deeply(hostile, store, tmp_path):
    folder = changed_store(store, tmp_path)
    (folder / "images/name/zarr.json").write_text("[" * 100_000)
    hostile("info", folder, says="nested deeper than 100 lists and objects", code=1)
    (folder / "zarr.json").write_text("[" * 100_000)
    hostile("info", folder, says="nested deeper than 100 lists and objects", code=1)


def packed_chunk(content):
    """Return what dseg writes of a chunk of a table."""
    import google_crc32c
    from numcodecs import Zstd

    packed = bytes(Zstd(level=1).encode(content))
    return packed + google_crc32c.value(packed).to_bytes(4, "little")


def on_disk_and_zipped(folder):
    return folder, shutil.make_archive(folder.with_suffix(""), "zip", folder)


def test_a_table_that_unpacks_to_gigabytes(hostile, store, tmp_path):
    folder = changed_store(store, tmp_path)
    (folder / "images/size/c/0/0").write_bytes(packed_chunk(bytes(10**9)))
    for place in on_disk_and_zipped(folder):
        hostile("info", place, says="'images/size'", code=1)


def test_a_table_that_states_billions_of_names(hostile, store, tmp_path):
    folder = changed_store(store, tmp_path)
    path = folder / "images/name/c/0"
    content = (3_500_000_000).to_bytes(4, "little") + bytes(1000)
    path.write_bytes(packed_chunk(content))
    for place in on_disk_and_zipped(folder):
        hostile("info", place, says="'images/name'", code=1)


def test_a_zip_file_with_an_image_of_gigabytes(hostile, model, world, tmp_path):
    """What a directory states is believed before anything is unpacked."""
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("p0.png", "p1.png"):
            made.write(world.photos / name, name)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    hostile("predict", path, "--model", model, says="it unpacks to 2147483648 bytes", code=3)


def test_codecs_that_dseg_does_not_write(hostile, store, tmp_path):
    folder = changed_store(store, tmp_path)
    path = folder / "images/size/zarr.json"
    plain = json.loads(path.read_text())
    plain["codecs"][1] = {"name": "gzip", "configuration": {"level": 1}}
    path.write_text(json.dumps(plain))
    hostile("info", folder, says="its codec GzipCodec is none that dseg writes", code=1)


def test_an_image_larger_than_any(hostile, store, tmp_path):
    folder = changed_store(store, tmp_path)
    group = open_group(folder, write=True)
    group["images/size"][1] = (60_000, 60_000)
    hostile("info", folder, says="no image has more than 1073741824", code=1)


# ---- labels, lists, settings, images ----


def test_class_lists_without_end(hostile, store, own_world):
    path = own_world.labels / "classes.txt"
    path.write_text("\n".join(f"n{n}x" for n in range(200_000)))
    hostile("fit", store, own_world.labels, says="names 200000 classes: 65535 are the most")
    path.write_text("a" + " ;" * 100_000 + "b\nq\n")
    hostile("fit", store, own_world.labels, says="characters in line 1: 1000 are the most")


def test_a_label_map_of_300_gb(hostile, store, own_world):
    (own_world.labels / "p0.png").unlink()
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (3 * 10**10, 10)}
    np.lib.format.write_array_header_1_0(header, shape)
    (own_world.labels / "p0.npy").write_bytes(header.getvalue() + b"123")
    hostile("fit", store, own_world.labels, says="p0.npy' cannot be read: mmap length is greater")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("members = 0x" + "f" * 20_000, "to what cannot be shown"),
        ("members." + ".".join(["a"] * 50_000) + " = 1", "a line has more than 100 dots"),
        ("x = " + "[" * 100_000, "cannot be read"),
    ],
)
def test_settings_without_end(hostile, store, world, tmp_path, text, says):
    (tmp_path / "dseg.toml").write_text(f"[fit]\n{text}\n")
    hostile("fit", store, world.labels, says=says)


def test_a_list_with_a_line_without_end(hostile, store, model, tmp_path):
    (tmp_path / "list.txt").write_text("p0/" * 100_000)
    words = ("predict", store, "--model", model, "--list", "list.txt")
    hostile(*words, says="has a line that is too long")


def test_an_image_of_10_to_the_9_pixels(hostile, tmp_path):
    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32_000, 32_000, 8, 2, 0, 0, 0))
    (tmp_path / "photos").mkdir()
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99)))
    (tmp_path / "photos/a.png").write_bytes(content + chunk(b"IEND", b""))
    words = ("extract", "--images", "photos", "--out", "f.zarr", "--checkpoint", "builtin:filters")
    hostile(*words, says="is larger than the limit against decompression bombs", code=1)


# ---- names ----

STRANGE = (
    "a\nb",
    "\x1b[31mred",
    "e\u0301",
    "tab\tname",
    " leading",
    "-v",
    "'q\"",
    "$(ls)",
)


def test_names_that_a_terminal_or_a_path_would_obey(dseg, own_world, ddpm, model, tmp_path):
    """They are names like any other; nothing lands outside, and no message has a raw escape."""
    for number, name in enumerate(STRANGE):
        Image.new("RGB", (32, 32), (9 * number, 0, 0)).save(own_world.photos / f"{name}.png")
    (own_world.photos / "\x1b]0;title.png").write_text("no picture")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    words = ("extract", "--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    extracted = dseg(*words)
    predicted = dseg("predict", "f.zarr", "--model", model)
    assert (extracted.code, predicted.code) == (3, 0), (extracted, predicted)
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"f.zarr", "masks"}
    assert len(list((tmp_path / "masks").glob("*.png"))) == 6 + len(STRANGE)
    for result in (extracted, predicted):
        assert "\x1b" not in result.out + result.err
    assert r"\x1b]0;title.png" in extracted.err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("n" * 300 + ".png", "it has a part of 304 characters, 255 are the most"),
        ("a/" * 2000 + "x.png", "it has 2001 parts, 100 are the most"),
        ("../x.png", "which leads out of its folder"),
        ("/tmp/x.png", "so it is not a path within a folder"),
        ("a/...png", "which leads out of its folder"),
    ],
)
def test_names_in_a_store_that_cannot_be_those_of_masks(dseg, store, model, tmp_path, name, says):
    folder = changed_store(store, tmp_path)
    names = open_group(folder, write=True)["images/name"]
    names[2] = name
    refused = dseg("predict", folder, "--model", model)
    assert (refused.code, says in refused.err) == (1, True), refused
    assert not (tmp_path / "masks").exists()


def test_two_forms_of_one_name(dseg, own_world, ddpm):
    for name in ("e\u0301", "\u00e9"):
        Image.new("RGB", (32, 32)).save(own_world.photos / f"{name}.png")
    words = ("extract", "--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    refused = dseg(*words)
    assert refused.code == 2
    assert "the Unicode form of their names" in refused.err


def test_links_that_lead_out_of_a_folder_are_read_as_images_only(dseg, own_world, ddpm, tmp_path):
    """What is written is named after the link, in the output folder, and follows no link there."""
    (own_world.photos / "link.png").symlink_to(own_world.photos / "p0.png")
    (own_world.photos / "passwd.png").symlink_to("/etc/passwd")
    (own_world.photos / "loop.png").symlink_to("loop.png")
    words = ("extract", "--images", own_world.photos, "--out", "f.zarr", "--checkpoint", ddpm)
    made = dseg(*words)
    assert made.code == 3, made.err
    assert "passwd.png' is not an image" in made.err
    assert FeatureStore.open(tmp_path / "f.zarr").image("link").complete

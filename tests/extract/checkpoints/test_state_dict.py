import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.state_dict import digest, load_state_dict
from dseg.store.errors import InputError
from PIL import Image
from safetensors.torch import save_file


class Runs:
    """Unpickled, it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize(
    ("writer", "words"),
    [
        ("torch", r"would run code when read \(it calls for posix.system\)"),
        ("pickle 2", r"would run code when read \(it calls for posix.system\)"),
        ("pickle 4", "contains other objects than tensors"),
    ],
)
def test_code_in_a_checkpoint_is_refused_and_does_not_run(
    writer: str, words: str, tmp_path: Path
) -> None:
    evil, trace = tmp_path / "evil.pt", tmp_path / "trace"
    content = {"weight": torch.zeros(2), "state": Runs(f"touch '{trace}'")}
    if writer.startswith("pickle"):
        evil.write_bytes(pickle.dumps(content["state"], protocol=int(writer[-1])))
    else:
        torch.save(content, evil)
    with pytest.raises(InputError, match=words):
        load_backbone(evil)
    assert not trace.exists()
    pickle.loads(pickle.dumps(content["state"]))  # the trap works where it is let
    assert trace.exists()


def write_foreign(kind: str, path: Path) -> None:
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme", "hello")
    elif kind in ("PNG", "JPEG", "GIF"):
        Image.new("RGB", (4, 4)).save(path, kind)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        contents = {"text": "größer\n".encode(), "empty": b"", "xz": b"\xfd7zXZ\x00\x00\x04"}
        path.write_bytes(contents[kind])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("PNG", r"an image \(PNG\)"),
        ("JPEG", r"an image \(JPEG\)"),
        ("GIF", r"an image \(GIF\)"),
        ("zip", "a ZIP archive"),
        ("npy", "a NumPy array"),
        ("text", "text"),
        ("empty", "empty"),
        ("xz", "compressed with xz"),
    ],
)
def test_another_kind_of_file_is_named(kind: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    write_foreign(kind, path)
    with pytest.raises(
        InputError, match=rf"model.pt' is {words}.*: expected the weights of a network"
    ):
        load_backbone(path)


@pytest.mark.parametrize("left", [100, 5000])
def test_a_file_cut_short_is_refused(left: int, guided_file: Path) -> None:
    guided_file.write_bytes(guided_file.read_bytes()[:left])
    with pytest.raises(InputError, match=r"damaged or cut short.*Was the download complete"):
        load_state_dict(guided_file)


def test_bytes_of_no_known_form_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(bytes(range(128, 256)) * 8)
    with pytest.raises(
        InputError, match="is damaged, or contains other objects than tensors: expected"
    ):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(3), "contains a Tensor, not a state dict"),
        ({"epoch": 3, "weight": torch.zeros(2)}, "entries such as 'epoch', not tensors by name"),
        ({}, "holds nothing, not tensors by name"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match=words):
        load_state_dict(tmp_path / "x.pt")


@pytest.mark.parametrize("wrapper", ["state_dict", "ema"])
def test_a_wrapped_half_precision_state_dict_is_read_as_float32(
    wrapper: str, tmp_path: Path
) -> None:
    state = {"weight": torch.tensor([0.1, 2.0]).half(), "count": torch.tensor(3)}
    torch.save({wrapper: state, "epoch": 3}, tmp_path / "x.pt")
    read = load_state_dict(tmp_path / "x.pt")
    assert read["weight"].dtype == torch.float32
    assert torch.equal(read["weight"], state["weight"].float())
    assert read["count"].dtype == torch.int64


def test_a_safetensors_file_is_read_as_a_torch_file_is(guided_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(load_state_dict(guided_file), path)
    rows = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    found, expected = (load_backbone(p, [5], [1], size=32)(rows) for p in (path, guided_file))
    assert torch.equal(found[0], expected[0])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"damaged or cut short.*Was the download complete"):
        load_state_dict(path)


def test_digest_depends_on_roles_and_bytes_not_on_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
        (tmp_path / folder / "weights").write_bytes(b"123")
    one = {"config": tmp_path / "a/config.json", "weights": tmp_path / "a/weights"}
    other = {"weights": tmp_path / "b/weights", "config": tmp_path / "b/config.json"}
    assert digest(one) == digest(other)
    assert digest({"weights": one["weights"]}) == hashlib.sha256(b"123").hexdigest()
    assert digest({**one, "config": one["weights"]}) != digest(one)
    (tmp_path / "b/weights").write_bytes(b"124")
    assert digest(one) != digest(other)

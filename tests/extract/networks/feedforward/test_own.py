"""Networks of one's own: a factory, or an installed entry point; nothing runs unasked."""

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.feedforward import own
from dseg.store.errors import InputError, SpecMismatchError

DOCS = Path(__file__).parents[4] / "docs" / "own-network.md"
ROWS = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
FAULTY = """
import torch
from torch import nn

class Fails(nn.Module):
    size = 32
    def forward(self, x):
        raise ValueError("no")

class NoMaps(Fails):
    def forward(self, x):
        return [x.mean(dim=(2, 3))]

class OddSize(Fails):
    size = "large"

def refuses(checkpoint): raise OSError("no weights")
def fails(checkpoint): return Fails()
def no_maps(checkpoint): return NoMaps()
def odd_size(checkpoint): return OddSize()
def no_module(checkpoint): return 3
three = 3
"""
BROKEN = "def f(:\n"
KEPT = """
import torch
from torch import nn

class Kept(nn.Module):
    size = 32
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
    def get_extra_state(self):
        return {"version": 1}
    def set_extra_state(self, state):
        pass
    def forward(self, x):
        return [self.first(x)]

torch.manual_seed(0)
kept = Kept()

def factory(checkpoint): return kept
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the example of the documentation as a module."""
    (example,) = re.findall(r"```python\n# my_network.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(example.strip().splitlines()) <= 25
    (tmp_path / "my_network.py").write_text(example)
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "kept.py").write_text(KEPT)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("my_network", "faulty", "kept"):
        sys.modules.pop(name, None)


@pytest.fixture
def weights(folder: Path) -> Path:
    import importlib

    sys.path.insert(0, str(folder))
    torch.manual_seed(3)
    module = importlib.import_module("my_network").MyNetwork()
    sys.path.remove(str(folder))
    torch.save(module.state_dict(), folder / "weights.pt")
    return folder / "weights.pt"


def test_the_example_gives_its_maps(weights: Path) -> None:
    backbone = load_backbone(
        "weights.pt", backbone="my_network:factory", size=(48, 64), pixels=True, device="cpu"
    )
    module = sys.modules["my_network"].factory(str(weights))
    with torch.inference_mode():
        expected = module(ROWS)
    found = backbone(ROWS)
    assert [layer.name for layer in backbone.layers] == ["0", "1", "pixels"]
    assert backbone.source == str(weights)
    for layer, got, one in zip(backbone.layers, found, expected, strict=False):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, atol=1e-5, rtol=1e-5)
    assert sys.path[0] != str(weights.parent)


def test_its_hash_is_that_of_its_weights(weights: Path) -> None:
    def spec() -> Any:
        backbone = load_backbone("weights.pt", backbone="my_network:factory", device="cpu")
        return feature_spec(backbone, "squash")

    first = spec()
    assert spec().hash == first.hash
    state = torch.load(weights, weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, weights)
    assert spec().hash != first.hash
    with pytest.raises(SpecMismatchError, match="is not the checkpoint"):
        restore_backbone(first, factory="my_network:factory")


def test_a_spec_does_not_choose_what_runs(weights: Path) -> None:
    backbone = load_backbone("weights.pt", backbone="my_network:factory", blocks=[1], device="cpu")
    plain = feature_spec(backbone, "squash")
    spec = type(plain).from_dict(json.loads(json.dumps(plain.to_dict())))
    words = "'my_network:factory', which is not imported unasked: name it with --backbone my_"
    with pytest.raises(InputError, match=words):
        restore_backbone(spec)
    with pytest.raises(InputError, match="and --backbone os:system is another"):
        restore_backbone(spec, factory="os:system")
    again = restore_backbone(spec, factory="my_network:factory", device="cpu")
    rows = torch.rand(1, 3, *backbone.row_shape)
    assert torch.equal(again(rows)[0], backbone(rows)[0])


def test_an_installed_entry_point_is_found_by_its_name(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real distribution's metadata, as pip leaves it next to the package."""
    site = weights.parent / "site"
    metadata = site / "my_network-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-network\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{own.GROUP}]\nmine = my_network:factory\n")
    (site / "my_network.py").write_text((weights.parent / "my_network.py").read_text())
    monkeypatch.syspath_prepend(site)
    assert own.factory_names() == ("mine",)
    (entry,) = (EntryPoint("mine", "my_network:factory", own.GROUP),)
    assert own.is_factory(entry.name)
    one = load_backbone("weights.pt", backbone="mine", device="cpu")
    spec = feature_spec(one, "squash")
    again = restore_backbone(spec, device="cpu")  # installed, so it needs no word
    rows = torch.rand(1, 3, *one.row_shape)
    assert torch.equal(again(rows)[0], one(rows)[0])
    with pytest.raises(InputError, match=r"unknown backbone 'other': use one of .*, mine, or"):
        load_backbone("weights.pt", backbone="other")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("faulty:refuses", "failed for checkpoint None: OSError: no weights"),
        ("faulty:fails", "failed for an image of 32x32 pixels: ValueError: no"),
        ("faulty:no_maps", r"returned \[\(1, 3\)\] for one image: expected a list of maps"),
        ("faulty:odd_size", "has the attribute size, 'large': expected a side in pixels"),
        ("faulty:no_module", "returned a int: expected a torch.nn.Module"),
        ("faulty:three", "is a int: expected a function"),
        ("faulty:nothing", r"cannot be imported: .*module 'faulty' has no attribute 'nothing'"),
        ("nowhere:at_all", "cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("broken:f", "cannot be imported: SyntaxError"),
        (".relative:f", "cannot be imported: TypeError"),
        ("faulty:", "cannot be imported"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_faulty_factory_is_told(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(name, backbone=name, device="cpu")


@pytest.mark.usefixtures("folder")
def test_a_module_that_the_factory_keeps_is_not_changed() -> None:
    def spec(**told: Any) -> Any:
        backbone = load_backbone("kept:factory", backbone="kept:factory", device="cpu", **told)
        backbone(torch.zeros(1, 3, 32, 32))
        return feature_spec(backbone, "squash")

    halves, plain = spec(precision="bfloat16"), spec()
    assert halves.backbone["sha256"] == plain.backbone["sha256"]
    assert all(p.requires_grad for p in sys.modules["kept"].kept.parameters())


def test_a_model_of_two_networks(weights: Path) -> None:
    from dseg.store.read.joined_spec import joined_spec

    specs = [
        feature_spec(load_backbone(at, backbone=name, size=32, device="cpu"), "squash")
        for at, name in (("weights.pt", "my_network:factory"), ("kept:factory", "kept:factory"))
    ]
    both = joined_spec(specs)
    with pytest.raises(InputError, match="--backbone kept:factory,my_network:factory if you trust"):
        restore_backbone(both, factory="kept:factory")
    assert restore_backbone(both, factory="kept:factory,my_network:factory").layers == both.layers
    with pytest.raises(InputError, match="the features are not of such a network; leave it out"):
        restore_backbone(specs[1], factory="kept:factory,my_network:factory")


@pytest.mark.usefixtures("folder")
def test_options_of_other_networks_are_refused() -> None:
    with pytest.raises(InputError, match=r"heads cannot be set.*read by its factory"):
        load_backbone("x", backbone="my_network:factory", heads=3)
    with pytest.raises(InputError, match=r"weights cannot be set.*read by its factory"):
        load_backbone("x", backbone="my_network:factory", weights="ema")

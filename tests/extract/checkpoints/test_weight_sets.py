"""Of several sets of weights the averaged one is taken, and told; old specs keep theirs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.checkpoints.state_dict import load_weights
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.options import UnsupportedOptionError
from dseg.store.errors import InputError, SpecMismatchError
from dseg.store.spec import FeatureSpec
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

ROWS = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def states(guided_state: Callable[..., State]) -> tuple[State, State]:
    """Weights of a network, and their average."""
    raw = guided_state()
    generator = torch.Generator().manual_seed(1)
    return raw, {k: v + 0.1 * torch.randn(v.shape, generator=generator) for k, v in raw.items()}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def taken(path: Path, **told: Any) -> Tensor:
    return load_backbone(path, [5], [1], device="cpu", **told)(ROWS)[0]


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


# names of the two sets, as training programs write them
PAIRS = [
    ("model", "ema"),
    ("state_dict", "state_dict_ema"),
    ("state_dict", "ema_state_dict"),
    ("model", "model_ema"),
    ("model", "ema_model"),
    ("params", "params_ema"),
    ("student", "teacher"),
    ("net", "ema_0.9999"),
]


@pytest.mark.parametrize(("of_raw", "of_average"), PAIRS)
def test_the_averaged_weights_of_a_file(
    of_raw: str, of_average: str, states: tuple[State, State], tmp_path: Path
) -> None:
    raw, average = states
    optimiser = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    content = {of_raw: raw, of_average: average, "optimizer": optimiser, "step": 3, "args": {}}
    both = saved(content, tmp_path / "both.pt")
    plain = {name: saved(s, tmp_path / name) for name, s in (("r.pt", raw), ("a.pt", average))}
    assert torch.equal(taken(both), taken(plain["a.pt"]))
    assert torch.equal(taken(both, weights=of_average), taken(plain["a.pt"]))
    assert torch.equal(taken(both, weights=of_raw), taken(plain["r.pt"]))
    words = load_backbone(both).weights
    assert words == (
        f"the averaged weights, '{of_average}' (also available: '{of_raw}', --weights {of_raw})"
    )
    assert load_backbone(plain["r.pt"]).weights is None


@pytest.mark.parametrize("prefix", ["module.", "model.", "ema_model.module.", "_orig_mod.net."])
def test_names_before_those_of_a_network_are_left_out_and_told(
    prefix: str, states: tuple[State, State], tmp_path: Path
) -> None:
    raw, _ = states
    alone = saved(raw, tmp_path / "alone.pt")
    wrapped = saved(
        {"state_dict": prefixed(prefix, raw) | {"loss.scale": torch.ones(1)}, "epoch": 3},
        tmp_path / "wrapped.ckpt",
    )
    assert torch.equal(taken(wrapped), taken(alone))
    assert load_backbone(wrapped).weights == f"the weights under '{prefix}' (1 left out)"


def test_the_averages_of_latent_diffusion_lack_dots(
    states: tuple[State, State], tmp_path: Path
) -> None:
    """Its ``LitEma`` keeps ``model.diffusion_model.a.b`` as ``model_ema.diffusion_modelab``."""
    raw, average = states
    prefix = "diffusion_model."
    undotted = {f"{prefix}{key}".replace(".", ""): value for key, value in average.items()}
    whole = {
        **prefixed(f"model.{prefix}", raw),
        **prefixed("model_ema.", undotted),
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.num_updates": torch.tensor(5),
        "betas": torch.ones(1000),
    }
    both = saved({"state_dict": whole, "global_step": 3}, tmp_path / "both.ckpt")
    assert torch.equal(taken(both), taken(saved(average, tmp_path / "a.pt")))
    assert torch.equal(taken(both, weights="state_dict.model"), taken(saved(raw, tmp_path / "r")))
    assert "the averaged weights, 'state_dict.model_ema'" in str(load_backbone(both).weights)


def test_specs_of_the_two_differ_and_each_finds_its_own_again(
    states: tuple[State, State], tmp_path: Path
) -> None:
    both = saved({"model": states[0], "ema": states[1]}, tmp_path / "both.pt")
    average, raw = load_backbone(both, [5], [1]), load_backbone(both, [5], [1], weights="model")
    specs = [feature_spec(backbone, "squash") for backbone in (average, raw)]
    assert specs[0].backbone["weights"] == "ema"
    assert specs[0].hash != specs[1].hash
    words = specs[0].differences(specs[1], ("a", "b"))
    assert 'backbone weights: "ema" in a, not given in b' in words
    moved = both.rename(tmp_path / "moved.pt")
    for spec, told in zip(specs, ("ema", "model"), strict=True):
        again = restore_backbone(FeatureSpec.from_dict(spec.to_dict()), moved, "cpu")
        assert torch.equal(again(ROWS)[0], taken(moved, weights=told))


def test_what_was_taken_before_has_the_spec_that_it_had(
    states: tuple[State, State], tmp_path: Path
) -> None:
    """Of these, dseg took the first of state_dict, model, ema, and recorded nothing of it."""
    raw, average = states
    for number, (content, name) in enumerate(
        (
            ({"model": raw, "ema": average}, "model"),
            ({"ema": average}, "ema"),
            ({"net": raw, "ema": average}, "ema"),
            ({"state_dict": raw, "model": average}, "state_dict"),
            ({"state_dict": {"model": raw}, "ema": average}, "state_dict"),
        )
    ):
        path = saved(content, tmp_path / f"{number}.pt")
        backbone = load_backbone(path, [5], [1], weights=name, device="cpu")
        spec = feature_spec(backbone, "squash")
        assert "weights" not in spec.backbone
        assert torch.equal(restore_backbone(spec, device="cpu")(ROWS)[0], backbone(ROWS)[0])


def test_an_average_as_pytorch_keeps_it(tmp_path: Path, states: tuple[State, State]) -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(model)
    with torch.no_grad():
        model[0].weight.zero_()
    path = saved(
        {"model": model.state_dict(), "model_ema": average.state_dict()}, tmp_path / "x.pt"
    )
    state, choice = load_weights(path)
    assert choice.name == "model_ema"
    assert torch.equal(state["0.weight"], average.module[0].weight)
    assert set(state) == {"0.weight", "0.bias"}


def test_an_average_within_an_entry(tmp_path: Path, states: tuple[State, State]) -> None:
    """As ema-pytorch writes it: both networks in one state dict, with a counter."""
    raw, average = states
    ema = {
        "initted": torch.tensor([True]),
        "step": torch.tensor([9]),
        **prefixed("online_model.", raw),
        **prefixed("ema_model.", average),
    }
    path = saved({"step": 9, "model": raw, "opt": {}, "ema": ema}, tmp_path / "x.pt")
    state, choice = load_weights(path)
    assert torch.equal(state["out.2.weight"], average["out.2.weight"])
    assert choice.name == "ema.ema_model"
    again, choice = load_weights(path, "ema.online_model")
    assert torch.equal(again["out.2.weight"], raw["out.2.weight"])
    assert torch.equal(taken(path, weights="model"), taken(saved(raw, tmp_path / "raw.pt")))


def test_a_state_dict_that_holds_a_network_twice(
    tmp_path: Path, states: tuple[State, State]
) -> None:
    raw, average = states
    path = saved({**raw, **prefixed("model_ema.", average)}, tmp_path / "x.pt")
    state, choice = load_weights(path)
    assert set(state) == set(raw)
    assert torch.equal(state["out.2.weight"], average["out.2.weight"])
    assert choice.name == "model_ema"
    assert torch.equal(load_weights(path, "raw")[0]["out.2.weight"], raw["out.2.weight"])


@pytest.mark.parametrize(
    ("content", "weights", "words"),
    [
        (lambda r, a: {"model": r, "ema": a}, "best", "has no weights 'best': it has 'model', 'em"),
        (lambda r, a: {"model": r}, "ema", "has no weights 'ema': it has 'model'"),
        (lambda r, a: r, "ema", "has no weights 'ema': it has one set, without a name"),
        (
            lambda r, a: {"ema_0.999": r, "ema_0.9999": a, "model": a},
            None,
            r"'ema_0.999', 'ema_0.9999', 'model': choose one with --weights",
        ),
        (lambda r, a: {"a": r, "b": a}, None, "several sets of weights, 'a', 'b': choose one"),
        (
            lambda r, a: {"state_dict": r, "model": a},
            None,
            "several sets of weights, 'state_dict', 'model'",
        ),
        (
            lambda r, a: {"model": r, "ema": {"decay": 0.9, "shadow_params": list(a.values())}},
            None,
            "has averaged weights, 'ema', but as a list without names.*or give --weights model",
        ),
    ],
)
def test_what_does_not_show_which_is_meant_is_refused(
    content: Callable[..., object],
    weights: str | None,
    words: str,
    states: tuple[State, State],
    tmp_path: Path,
) -> None:
    path = saved(content(*states), tmp_path / "x.pt")
    with pytest.raises(InputError, match=words):
        load_backbone(path, weights=weights)


def test_what_is_no_network_beside_one_is_no_choice(
    tmp_path: Path, states: tuple[State, State]
) -> None:
    few = {"center": torch.zeros(1, 8)}
    beside = {"loss": few, "loss_ema": few, "optimizer": prefixed("a.", states[0]), "ema": 0.999}
    path = saved({"model": states[0], **beside}, tmp_path / "x.pt")
    assert torch.equal(taken(path), taken(saved(states[0], tmp_path / "raw.pt")))


# --- folders


@pytest.fixture
def training_folder(diffusers_folder: Path, tmp_path: Path) -> Path:
    """A folder as diffusers' training examples leave it, ``unet_ema`` beside ``unet``."""
    from diffusers import UNet2DModel
    from diffusers.training_utils import EMAModel

    folder = tmp_path / "run/checkpoint-100"
    shutil.copytree(diffusers_folder / "unet", folder / "unet")
    shutil.copytree(diffusers_folder / "scheduler", folder.parent / "scheduler")
    unet = UNet2DModel.from_pretrained(folder / "unet")
    ema = EMAModel(unet.parameters(), decay=0.5, model_cls=UNet2DModel, model_config=unet.config)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.mul_(1.1)
    ema.step(unet.parameters())
    ema.step(unet.parameters())
    ema.save_pretrained(str(folder / "unet_ema"))
    return folder


def test_the_averaged_weights_of_a_folder(training_folder: Path) -> None:
    backbone = load_backbone(training_folder, [5], [1], device="cpu")
    assert "'unet_ema' (also available: 'unet', --weights unet)" in str(backbone.weights)
    assert backbone.describe()["weights"] == "unet_ema"
    assert backbone.describe()["schedule"]["name"] == "scaled_linear"
    alone = training_folder.parent / "alone"
    shutil.copytree(training_folder / "unet_ema", alone / "unet")
    shutil.copytree(training_folder.parent / "scheduler", alone / "scheduler")
    rows = ROWS[..., :16, :16]
    assert torch.equal(backbone(rows)[0], load_backbone(alone, [5], [1], device="cpu")(rows)[0])
    raw = load_backbone(training_folder, [5], [1], weights="unet", device="cpu")
    assert "weights" not in raw.describe()
    assert not torch.equal(raw(rows)[0], backbone(rows)[0])
    for one in (backbone, raw):
        again = restore_backbone(feature_spec(one, "squash"), device="cpu")
        assert torch.equal(again(rows)[0], one(rows)[0])


def test_a_spec_of_the_raw_weights_is_not_taken_for_the_averaged(training_folder: Path) -> None:
    raw = load_backbone(training_folder, [5], [1], weights="unet")
    spec = feature_spec(raw, "squash")
    shutil.rmtree(training_folder / "unet")
    with pytest.raises(SpecMismatchError, match="checkpoint sha256: "):
        restore_backbone(spec)


def test_a_folder_without_a_choice(diffusers_folder: Path, training_folder: Path) -> None:
    with pytest.raises(UnsupportedOptionError, match="has no weights 'unet_ema': it has 'unet'"):
        load_backbone(diffusers_folder, weights="unet_ema")
    with pytest.raises(UnsupportedOptionError, match="it has no sub-folder unet or unet_ema"):
        load_backbone(training_folder / "unet", weights="ema")
    with pytest.raises(InputError, match="has no weights 'ema': it has 'unet', 'unet_ema'"):
        load_backbone(training_folder, weights="ema")
    assert load_backbone(diffusers_folder, weights="unet").weights is None


def test_weights_that_lie_there_twice_are_refused(diffusers_folder: Path, tmp_path: Path) -> None:
    """diffusers loads the shards, though a single file lies beside them."""
    folder = Path(shutil.copytree(diffusers_folder / "unet", tmp_path / "unet"))
    single = folder / "diffusion_pytorch_model.safetensors"
    shutil.copy(single, folder / "diffusion_pytorch_model-00001-of-00001.safetensors")
    index = {
        "metadata": {},
        "weight_map": {"x": "diffusion_pytorch_model-00001-of-00001.safetensors"},
    }
    (folder / f"{single.name}.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"holds its weights twice, as .* remove the one that is"):
        load_backbone(folder)

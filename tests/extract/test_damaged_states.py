"""A file of which any one tensor is missing or is a number is refused in words, or does without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.store.errors import InputError
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
State = dict[str, Tensor]


def monai(classes: int | None) -> State:
    from monai.networks.nets import DiffusionModelUNet

    made = DiffusionModelUNet(
        spatial_dims=2,
        in_channels=3,
        out_channels=3,
        num_res_blocks=1,
        channels=(8, 8),
        attention_levels=(False, True),
        norm_num_groups=4,
        num_head_channels=4,
        num_class_embeds=classes,
    )
    return dict(made.state_dict())


def told(kind: str) -> dict[str, Any]:
    if kind == "monai":
        return {"head_channels": 4, "norm_groups": 4, "class_number": 1}
    if kind in ("sam", "stylegan2"):
        return {"size": 32}
    return {"guided": {"class_number": 1}, "lucidrains": {}}[kind]


@pytest.fixture(scope="module")
def states(
    guided_state: Callable[..., State], published_sam: Callable[[str], State]
) -> dict[str, State]:
    torch.manual_seed(0)
    guided = guided_state()
    classes = torch.zeros(3, len(guided["time_embed.0.weight"]))
    return {
        "guided": {**guided, "label_emb.weight": classes},
        "monai": monai(classes=3),
        "lucidrains": torch.load(GOLDEN / "lucidrains" / "grey.pt", weights_only=True)["model"],
        "sam": published_sam("image_encoder."),
        "stylegan2": torch.load(GOLDEN / "stylegan2" / "generator.pt", weights_only=True)["g_ema"],
    }


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    "damage", ["missing", pytest.param("number", marks=pytest.mark.slow), "empty"]
)
@pytest.mark.parametrize(
    "kind",
    [
        *("guided", "sam", "stylegan2"),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("monai", "lucidrains")),
    ],
)
def test_any_damage_is_refused_in_words(
    kind: str, damage: str, states: dict[str, State], tmp_path: Path
) -> None:
    state, refused = states[kind], list[str]()
    options = {"size": 16, "device": "cpu", **told(kind)}
    blocks = [0] if kind == "sam" else [1]
    steps = None if kind in ("sam", "stylegan2") else [5]
    every = list(state)
    for key in every[:6] + every[6:-6:7] + every[-6:]:
        changed = dict(state)
        if damage == "missing":
            del changed[key]
        else:
            changed[key] = torch.zeros(()) if damage == "number" else torch.zeros(0)
        torch.save(changed, tmp_path / "x.pt")
        try:
            load_backbone(tmp_path / "x.pt", steps, blocks, **options)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert all(refused)
    torch.save(state, tmp_path / "whole.pt")
    load_backbone(tmp_path / "whole.pt", steps, blocks, **options)

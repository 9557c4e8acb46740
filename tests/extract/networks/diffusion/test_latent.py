"""Diffusion U-Nets of latents: equal to diffusers' own forward, block by block."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.feature_spec import feature_spec
from dseg.extract.from_spec import restore_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from dseg.extract.protocol import Backbone
from dseg.extract.registry import load_unet
from dseg.store.errors import InputError, SpecMismatchError
from safetensors.torch import load_file, save_file
from torch import Tensor

TOLERANCE = {"atol": 1e-4, "rtol": 1e-5}
WORDS = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "a": 3}


def save_text_encoder(folder: Path, channels: int, number: str = "", pooled: int = 0) -> None:
    """Save a random CLIP text encoder of 7 tokens, and a tokenizer of hardly any words."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=channels,
        intermediate_size=2 * channels,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=7,
        bos_token_id=0,
        eos_token_id=1,
        projection_dim=pooled,
    )
    encoder = (CLIPTextModelWithProjection if pooled else CLIPTextModel)(config)
    for parameter in encoder.parameters():  # fresh ones hardly tell one layer from the next
        torch.nn.init.normal_(parameter, std=0.3)
    encoder.save_pretrained(folder / f"text_encoder{number}")
    tokenizer = folder / f"tokenizer{number}"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(WORDS))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    (tokenizer / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": 7,
                "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
            }
        )
    )


@pytest.fixture(scope="session")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pipeline of Stable Diffusion's form, of 64-pixel images."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    folder = tmp_path_factory.mktemp("stable")
    torch.manual_seed(4)
    UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.5,
        shift_factor=0.3,
    ).save_pretrained(folder / "vae")
    DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    ).save_pretrained(folder / "scheduler")
    save_text_encoder(folder, 16)
    return folder


@pytest.fixture(scope="session")
def xl(stable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pipeline of Stable Diffusion XL's form: two text encoders, an image's size."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("xl")
    for part in ("vae", "scheduler"):
        shutil.copytree(stable / part, folder / part)
    torch.manual_seed(6)
    UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        cross_attention_dim=16 + 20,
        attention_head_dim=2,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=12 + 6 * 8,
    ).save_pretrained(folder / "unet")
    save_text_encoder(folder, 16)
    save_text_encoder(folder, 20, "_2", pooled=12)
    return folder


@pytest.fixture(scope="session")
def unconditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pipeline of latents of a VQ model, that listens to nothing."""
    from diffusers import DDIMScheduler, UNet2DModel, VQModel

    folder = tmp_path_factory.mktemp("ldm")
    torch.manual_seed(5)
    UNet2DModel(
        sample_size=16,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
    ).save_pretrained(folder / "unet")
    VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        num_vq_embeddings=16,
        norm_num_groups=4,
    ).save_pretrained(folder / "vqvae")
    DDIMScheduler().save_pretrained(folder / "scheduler")
    return folder


def rows(backbone: Backbone) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, *backbone.row_shape, generator=generator) * 2 - 1


def recorded(unet: Any, x_t: Tensor, t: int, **told: Any) -> list[Tensor]:
    """Run the whole U-Net as diffusers does; return what its decoder's blocks put out."""
    found: list[Tensor] = []

    def keep(module: Any, inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output.clone())

    hooks = []
    for level in unet.up_blocks:
        attentions = getattr(level, "attentions", None) or [None] * len(level.resnets)
        for place, parts in enumerate(zip(level.resnets, attentions, strict=True)):
            last = level.upsamplers and place == len(level.resnets) - 1
            module = level.upsamplers[0] if last else parts[1] or parts[0]
            hooks.append(module.register_forward_hook(keep))
    with torch.inference_mode():
        unet(x_t, t, **told)
    for hook in hooks:
        hook.remove()
    return found


def test_every_block_of_a_text_to_image_network_equals_diffusers_own(stable: Path) -> None:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextModel

    backbone = load_backbone(stable, [20, 600], range(6), seed=3, device="cpu")
    assert backbone.describe()["kind"] == "latent-diffusion"
    assert backbone.row_shape == (64, 64)
    x = rows(backbone)
    vae = AutoencoderKL.from_pretrained(stable / "vae").eval()
    unet = UNet2DConditionModel.from_pretrained(stable / "unet").eval()
    encoder = CLIPTextModel.from_pretrained(stable / "text_encoder").eval()
    tokens = AutoTokenizer.from_pretrained(stable / "tokenizer")(
        "", padding="max_length", return_tensors="pt"
    )
    assert tokens.input_ids.shape == (1, 7)
    with torch.inference_mode():
        latents = (vae.encode(x).latent_dist.mode() - 0.3) * 0.5
        text = encoder(tokens.input_ids)[0].half().float()  # as the spec holds it
    scheduler = DDPMScheduler.from_pretrained(stable / "scheduler")
    schedule = NoiseSchedule.from_diffusers(scheduler.config)
    maps = iter(zip(backbone.layers, backbone(x), strict=True))
    for t in (20, 600):
        x_t = q_sample(latents, [t], shared_noise(3, (16, 16), 4), schedule)[0]
        for number, expected in enumerate(
            recorded(unet, x_t, t, encoder_hidden_states=text.expand(2, -1, -1))
        ):
            layer, got = next(maps)
            assert layer.name == f"{t}:{number}"
            assert got.shape[1:] == (layer.channels, layer.height, layer.width)
            torch.testing.assert_close(got, expected, **TOLERANCE)


def test_every_block_of_stable_diffusion_xl_equals_diffusers_own(xl: Path) -> None:
    from diffusers import StableDiffusionXLPipeline
    from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

    parts: dict[str, Any] = {
        "text_encoder": CLIPTextModel.from_pretrained(xl / "text_encoder"),
        "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(xl / "text_encoder_2"),
        "tokenizer": AutoTokenizer.from_pretrained(xl / "tokenizer"),
        "tokenizer_2": AutoTokenizer.from_pretrained(xl / "tokenizer_2"),
    }
    pipeline = load_pipeline(StableDiffusionXLPipeline, xl, parts)
    backbone = load_backbone(xl, [20, 600], range(6), size=(64, 96), seed=3, device="cpu")
    x = rows(backbone)
    with torch.inference_mode():
        tokens, _, pooled, _ = pipeline.encode_prompt("", do_classifier_free_guidance=False)
        latents = (pipeline.vae.encode(x).latent_dist.mode() - 0.3) * 0.5
    assert tokens.shape == (1, 7, 36)
    assert pooled.shape == (1, 12)
    ids = torch.tensor([[64.0, 96, 0, 0, 64, 96]])
    rounded = [one.half().float().expand(2, *one.shape[1:]) for one in (tokens, pooled)]
    told = {"text_embeds": rounded[1], "time_ids": ids.expand(2, -1)}
    schedule = NoiseSchedule.from_diffusers(pipeline.scheduler.config)
    maps = iter(backbone(x))
    for t in (20, 600):
        x_t = q_sample(latents, [t], shared_noise(3, (16, 24), 4), schedule)[0]
        whole = {"encoder_hidden_states": rounded[0], "added_cond_kwargs": told}
        for expected in recorded(pipeline.unet, x_t, t, **whole):
            torch.testing.assert_close(next(maps), expected, **TOLERANCE)
    spec = feature_spec(backbone, "squash")
    assert [part.partition(":")[0] for part in spec.backbone["prompt"].split(";")] == [
        "7x36",
        "1x12",
    ]
    again = restore_backbone(spec, xl, device="cpu")
    torch.testing.assert_close(again(x)[0], backbone(x)[0], atol=0, rtol=0)


def load_pipeline(kind: Any, folder: Path, parts: dict[str, Any]) -> Any:
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    return kind(
        vae=AutoencoderKL.from_pretrained(folder / "vae").eval(),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
        scheduler=DDPMScheduler.from_pretrained(folder / "scheduler"),
        **{name: part.eval() if hasattr(part, "eval") else part for name, part in parts.items()},
    )


def test_every_block_of_an_unconditional_network_equals_diffusers_own(unconditional: Path) -> None:
    from diffusers import DDIMScheduler, UNet2DModel, VQModel

    backbone = load_backbone(unconditional, [20], range(6), size=(32, 48), device="cpu")
    x = rows(backbone)
    autoencoder = VQModel.from_pretrained(unconditional / "vqvae").eval()
    unet = UNet2DModel.from_pretrained(unconditional / "unet").eval()
    with torch.inference_mode():
        latents = autoencoder.encode(x).latents * autoencoder.config.scaling_factor
    schedule = NoiseSchedule.from_diffusers(DDIMScheduler().config)
    x_t = q_sample(latents, [20], shared_noise(0, (16, 24)), schedule)[0]
    for got, expected in zip(backbone(x), recorded(unet, x_t, 20), strict=True):
        torch.testing.assert_close(got, expected, **TOLERANCE)


def test_one_block_at_each_size_is_taken_unless_told(stable: Path) -> None:
    backbone = load_backbone(stable, device="cpu")
    assert [layer.height for layer in backbone.layers] == [8, 16] * 3


def test_the_prompt_stands_in_the_spec_so_that_no_text_encoder_is_needed_later(
    stable: Path, tmp_path: Path
) -> None:
    backbone = load_backbone(stable, [20], [1], device="cpu")
    spec = feature_spec(backbone, "squash")
    assert spec.backbone["prompt"].startswith("7x16:")
    bare = shutil.copytree(
        stable, tmp_path / "bare", ignore=shutil.ignore_patterns("text_encoder", "tokenizer")
    )
    with pytest.raises(InputError, match="lacks text_encoder and tokenizer, to embed the empty"):
        load_backbone(bare)
    again = restore_backbone(spec, bare, device="cpu")
    torch.testing.assert_close(again(rows(again))[0], backbone(rows(again))[0], atol=0, rtol=0)


def changed(folder: Path, part: str, to: Path, **config: Any) -> Path:
    copy = shutil.copytree(folder, to)
    path = copy / part / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return copy


def test_another_autoencoder_makes_other_features(stable: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    spec = feature_spec(load_backbone(stable, [20], [1], device="cpu"), "squash")
    copy = shutil.copytree(stable, tmp_path / "copy")
    torch.manual_seed(9)
    AutoencoderKL.from_config(AutoencoderKL.load_config(copy / "vae")).save_pretrained(copy / "vae")
    with pytest.raises(SpecMismatchError, match="checkpoint sha256"):
        restore_backbone(spec, copy, device="cpu")


@pytest.mark.parametrize(
    ("part", "config", "words"),
    [
        ("unet", {"addition_embed_type": "image"}, r"a timestep \(addition_embed_type\)"),
        ("unet", {"addition_embed_type": "text_time"}, "lacks text_encoder_2 and tokenizer_2"),
        ("unet", {"down_block_types": ["SimpleCrossAttnDownBlock2D"] * 2}, "blocks of type Simple"),
        ("unet", {"in_channels": 9}, "takes 9 channels, but the latents have 4"),
        ("unet", {"down_block_types": [1, "a"]}, "blocks of type 1, a: expected only"),
        ("unet", {"sample_size": "16"}, "states a sample_size of '16': expected a side"),
        ("unet", {"sample_size": [16, 8, 1]}, r"states a sample_size of \[16, 8, 1\]"),
        ("vae", {"scaling_factor": "x"}, "states a scaling_factor of 'x': expected a number"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "is a AutoencoderTiny: expected a"),
        ("text_encoder", {"hidden_size": 32}, "cannot be loaded|are not those"),
    ],
)
def test_pipelines_of_another_form_are_refused(
    part: str, config: dict[str, Any], words: str, stable: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        load_backbone(changed(stable, part, tmp_path / "copy", **config))


def test_a_network_that_is_told_other_sizes_than_xls_is_refused(xl: Path, tmp_path: Path) -> None:
    other = {"projection_class_embeddings_input_dim": 12 + 5 * 8}  # the refiner's: five numbers
    folder = changed(xl, "unet", tmp_path / "copy", **other)
    with pytest.raises(InputError, match=r"adds 52 channels .* make 12 \+ 48: it is no Stable"):
        load_backbone(folder)


def test_a_network_of_latents_without_its_autoencoder_is_refused(
    stable: Path, tmp_path: Path
) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/config.json").write_text("{}")  # of something else, beside many networks
    shutil.copytree(stable / "unet", tmp_path / "net")
    with pytest.raises(InputError, match="its folder has no autoencoder that makes them: give"):
        load_backbone(tmp_path / "net")
    with pytest.raises(
        InputError, match="with their autoencoder: expected an unconditional diffusion"
    ):
        load_unet(stable)


def test_latents_of_three_channels_are_not_taken_for_colours(
    unconditional: Path, tmp_path: Path
) -> None:
    """Half a download: the index names the autoencoder, and it is not there."""
    folder = shutil.copytree(
        unconditional, tmp_path / "half", ignore=shutil.ignore_patterns("vqvae")
    )
    index = {"_class_name": "LDMPipeline", "vqvae": ["diffusers", "VQModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    for given in (folder, folder / "unet"):
        with pytest.raises(InputError, match="its folder has no autoencoder that makes them"):
            load_backbone(given)


def test_the_averaged_weights_beside_the_raw_ones(stable: Path, tmp_path: Path) -> None:
    """Its autoencoder, text encoder and schedule are the pipeline's."""
    folder = Path(shutil.copytree(stable, tmp_path / "pipeline"))
    shutil.move(folder / "unet", folder / "unet_ema")
    only = load_backbone(folder, [5], [0], device="cpu")
    assert "weights" not in only.describe()
    shutil.copytree(stable / "unet", folder / "unet")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.1 for key, value in load_file(weights).items()}, weights)
    both = load_backbone(folder, [5], [0], device="cpu")
    x = rows(both)
    assert torch.equal(both(x)[0], only(x)[0])
    raw = load_backbone(folder, [5], [0], weights="unet", device="cpu")
    assert not torch.equal(raw(x)[0], only(x)[0])
    for one in (both, raw):
        again = restore_backbone(feature_spec(one, "squash"), device="cpu")
        assert torch.equal(again(x)[0], one(x)[0])


def test_two_autoencoders_are_refused(stable: Path, unconditional: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(stable, tmp_path / "pipeline"))
    shutil.copytree(unconditional / "vqvae", folder / "vqvae")
    with pytest.raises(InputError, match="are two autoencoders, vae and vqvae: remove the one"):
        load_backbone(folder)


def test_trained_betas_of_a_pipeline(stable: Path, tmp_path: Path) -> None:
    betas = torch.linspace(0.03, 0.11, 50, dtype=torch.float64).square().tolist()
    folder = Path(shutil.copytree(stable, tmp_path / "pipeline"))
    path = folder / "scheduler/scheduler_config.json"
    config = {"trained_betas": betas, "num_train_timesteps": 50}
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    backbone = load_backbone(folder, [9], [0], device="cpu")
    described = backbone.describe()["schedule"]
    assert (described["name"], described["timesteps"]) == ("trained", 50)
    again = restore_backbone(feature_spec(backbone, "squash"), device="cpu")
    x = rows(backbone)
    assert torch.equal(again(x)[0], backbone(x)[0])

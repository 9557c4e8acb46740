"""What is written opens in diffusers and in dseg, with the same numbers."""

import json

import numpy as np
import pytest
import torch
from dseg.extract.backbone import load_backbone
from dseg.extract.networks.diffusion.noise import NoiseSchedule, q_sample, shared_noise
from dseg.extract.networks.options import CheckpointOptions
from dseg.extract.registry import load_unet
from dseg.pretrain.network.folder import scheduler_of, write_network
from dseg.pretrain.network.start import begin
from dseg.store.errors import DsegError

SCHEDULES = {
    "linear": NoiseSchedule.named("linear"),
    "linear of 400 steps": NoiseSchedule.named("linear", 400),
    "cosine": NoiseSchedule.named("cosine"),
    "cosine of 4000 steps": NoiseSchedule.named("cosine", 4000),
    "linear with its own ends": NoiseSchedule.from_diffusers(
        {
            "beta_schedule": "linear",
            "beta_start": 0.0015,
            "beta_end": 0.0195,
            "num_train_timesteps": 1000,
        }
    ),
    "scaled": NoiseSchedule.from_diffusers(
        {
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "num_train_timesteps": 500,
        }
    ),
    "trained": NoiseSchedule.from_diffusers({"trained_betas": [0.01, 0.02, 0.05, 0.4]}),
}


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_schedule_written_is_the_one_read(unet, tmp_path, name):
    schedule = SCHEDULES[name]
    scheduler = scheduler_of(schedule)
    np.testing.assert_allclose(scheduler.betas.numpy(), schedule.betas, rtol=2e-6)
    np.testing.assert_allclose(
        scheduler.alphas_cumprod.numpy(), schedule.alphas_cumprod, rtol=2e-4, atol=1e-9
    )
    write_network(unet(), scheduler, tmp_path, {})
    read = load_unet(tmp_path).schedule
    assert np.array_equal(read.betas, schedule.betas)
    again = scheduler_of(read)
    assert torch.equal(again.betas, scheduler.betas)


def test_diffusers_and_dseg_open_it_with_the_same_numbers(unet, tmp_path):
    from diffusers import DDPMPipeline

    network = unet(4).eval()
    scheduler = scheduler_of(SCHEDULES["cosine"])
    card = {"size": 8, "steps": [7, 300], "blocks": [1, 2]}
    write_network(network, scheduler, tmp_path, card)
    pipeline = DDPMPipeline.from_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, device="cpu")
    assert backbone.row_shape == (8, 8)
    assert (backbone.steps, backbone.blocks) == (tuple(card["steps"]), tuple(card["blocks"]))

    level = pipeline.unet.up_blocks[0]
    wanted = level.upsamplers[0]  # the end of block 1
    seen = []
    wanted.register_forward_hook(lambda module, given, out: seen.append(out))
    x = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    t = backbone.steps[1]
    x_t = q_sample(x, [t], shared_noise(0, (8, 8)), SCHEDULES["cosine"])[0]
    with torch.inference_mode():
        output = pipeline.unet(x_t, t).sample
        torch.testing.assert_close(output, network(x_t, t).sample)
    maps = dict(zip(((la.timestep, la.block) for la in backbone.layers), backbone(x), strict=True))
    torch.testing.assert_close(maps[t, 1], seen[0], atol=1e-5, rtol=1e-5)

    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 8, 8, 3)
    assert np.isfinite(drawn).all()


def test_nothing_odd_is_said_while_writing(unet, tmp_path, caplog, capfd):
    for dtype in (torch.float32, torch.float16):
        write_network(unet(), scheduler_of(SCHEDULES["linear"]), tmp_path, {}, dtype)
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_an_older_network_is_replaced_whole(unet, tmp_path):
    scheduler = scheduler_of(SCHEDULES["linear"])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".new/unet").mkdir(parents=True)  # of a killed run
    for seed in (1, 2):
        network = unet(seed).train()
        write_network(network, scheduler, tmp_path, {"seed": seed})
        assert network.training
        there = load_unet(tmp_path).unet.state_dict()
        assert all(torch.equal(there[key], value) for key, value in network.state_dict().items())
        assert json.loads((tmp_path / "dseg.json").read_text()) == {"seed": seed}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"unet", "scheduler", "model_index.json", "dseg.json", "notes.txt"}


def test_half_precision_on_request(unet, tmp_path):
    network = unet(1)
    write_network(network, scheduler_of(SCHEDULES["linear"]), tmp_path, {}, torch.float16)
    there = load_unet(tmp_path).unet.state_dict()
    for key, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(there[key], value.half().float())


def test_a_folder_that_cannot_be_written(unet, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DsegError, match=r"cannot be written to .*Repeat the command"):
        write_network(unet(), scheduler_of(SCHEDULES["linear"]), tmp_path / "file/in", {})


def test_init_without_a_step_changes_nothing_of_a_published_checkpoint(golden_checkpoint, tmp_path):
    told = {
        "adm64": CheckpointOptions(head_channels=16),
        "improved64": CheckpointOptions(heads=4, attention_order="new", schedule="cosine"),
    }
    x, t = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64), torch.tensor([150])
    for variant, init_options in told.items():
        path = golden_checkpoint(variant)
        start = begin(
            init=str(path),
            init_options=CheckpointOptions(**{**vars(init_options), "schedule": None}),
            preset=None,
            n_images=5,
            size=None,
            schedule=init_options.schedule,
            seed=0,
        )
        assert start.size == 64
        assert start.network.config.out_channels == 6
        assert start.scheduler.config.variance_type == "learned_range"
        folder = tmp_path / variant
        write_network(start.network, start.scheduler, folder, {})
        before, after = load_unet(path, init_options), load_unet(folder)
        weights = after.unet.state_dict()
        assert all(torch.equal(weights[k], v) for k, v in before.unet.state_dict().items())
        with torch.inference_mode():
            outputs = [loaded.unet(x, t).sample for loaded in (after, before)]
        torch.testing.assert_close(*outputs, atol=5e-5, rtol=0)  # alignment in memory rounds
        assert np.array_equal(after.schedule.betas, before.schedule.betas)


def test_init_without_a_step_changes_nothing_of_a_folder(unet, tmp_path):
    schedule = SCHEDULES["scaled"]
    write_network(unet(3), scheduler_of(schedule), tmp_path / "a", {})
    start = begin(
        init=str(tmp_path / "a"),
        init_options=CheckpointOptions(),
        preset=None,
        n_images=5,
        size=16,
        schedule=None,
        seed=0,
    )
    write_network(start.network, start.scheduler, tmp_path / "b", {})
    read = load_unet(tmp_path / "b")
    assert read.size == (16, 16)
    assert np.array_equal(read.schedule.betas, schedule.betas)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 400])
    with torch.inference_mode():
        assert torch.equal(read.unet(x, t).sample, unet(3).eval()(x, t).sample)


def test_it_does_not_tell_from_where_it_was_loaded(unet, tmp_path):
    scheduler = scheduler_of(SCHEDULES["linear"])
    write_network(unet(), scheduler, tmp_path / "first", {})
    loaded = load_unet(tmp_path / "first")
    assert "_name_or_path" in loaded.unet.config
    write_network(loaded.unet, scheduler, tmp_path / "second", {})
    first, second = ((tmp_path / n / "unet/config.json").read_text() for n in ("first", "second"))
    assert first == second
    assert str(tmp_path) not in second

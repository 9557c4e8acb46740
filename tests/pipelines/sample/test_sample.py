"""``dseg sample``: one seed an image, whatever is drawn with it, and runs that go on."""

import json
import resource
import signal
import time

import numpy as np
import pytest
from dseg.generate.sampler import SamplerSettings
from dseg.pipelines.sample.config import SampleConfig
from dseg.pipelines.sample.run import sample
from PIL import Image

_RECORDS = ("samples.json", "samples.jsonl")
QUICK = ("--steps", "3", "--device", "cpu")


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def images(folder):
    return {name: content for name, content in files(folder).items() if name.endswith(".png")}


@pytest.fixture(scope="module")
def whole(ddpm, tmp_path_factory):
    """Five images drawn at once; read only."""
    out = tmp_path_factory.mktemp("whole") / "drawn"
    settings = SamplerSettings(respacing="3", device="cpu")
    sample(SampleConfig(out, 5, str(ddpm), settings=settings))
    return out


def test_images_with_what_drew_them_and_a_sheet(dseg, ddpm, whole, tmp_path):
    done = dseg("sample", "--checkpoint", ddpm, "--count", 5, "--out", "drawn", *QUICK)
    assert done.code == 0, done.err
    assert done.out.startswith("drawn: 5 images drawn, 0 unchanged")
    assert "Contact sheet: drawn-sheet.png" in done.out
    assert done.out.endswith("Next: dseg extract --images drawn --out feats.zarr\n")
    assert files(tmp_path / "drawn") == files(whole)
    assert sorted(files(whole)) == [*(f"00000{k}.png" for k in range(5)), *_RECORDS]
    facts = json.loads((whole / "samples.json").read_text())
    wanted = {"checkpoint": str(ddpm), "sampler": "ddim", "respacing": "3", "eta": 0, "height": 32}
    assert {name: facts[name] for name in wanted} == wanted
    assert facts["first_seed"] == 0
    lines = [json.loads(line) for line in (whole / "samples.jsonl").read_text().splitlines()]
    assert [(line["name"], line["seed"]) for line in lines] == [
        (f"00000{k}.png", k) for k in range(5)
    ]
    with Image.open(tmp_path / "drawn-sheet.png") as sheet:
        assert sheet.size == (3 * 34, 2 * 34)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_parts_draw_what_the_whole_draws(dseg, ddpm, whole, batch, tmp_path):
    for shard in ("1/2", "0/2"):
        words = ("--count", 5, "--out", "parts", "--shard", shard, "--batch-size", batch)
        assert dseg("sample", "--checkpoint", ddpm, *words, *QUICK).code == 0
    assert files(tmp_path / "parts") == files(whole)


def test_any_seed_draws_its_image(dseg, ddpm, whole, tmp_path):
    words = ("--count", 1, "--seed", 3, "--out", "one")
    assert dseg("sample", "--checkpoint", ddpm, *words, *QUICK).code == 0
    assert (tmp_path / "one/000000.png").read_bytes() == (whole / "000003.png").read_bytes()


def test_more_images_are_added_and_missing_ones_drawn_again(dseg, ddpm, whole, tmp_path):
    words = ("sample", "--checkpoint", ddpm, "--out", "drawn", *QUICK, "--count")
    assert dseg(*words, 2).code == 0
    (tmp_path / "drawn/000000.png").unlink()
    assert "4 images drawn, 1 unchanged" in dseg(*words, 5).out
    assert files(tmp_path / "drawn") == files(whole)
    assert "0 images drawn, 2 unchanged" in dseg(*words, 2).out
    assert files(tmp_path / "drawn") == files(whole)


def test_other_settings_are_refused_and_overwritten(dseg, ddpm, other_ddpm, whole, tmp_path):
    words = ("sample", "--checkpoint", ddpm, "--count", 2, "--out", "drawn")
    assert dseg(*words, *QUICK).code == 0
    before = files(tmp_path / "drawn")
    other = dseg(*words, "--steps", "2", "--sampler", "ddpm", "--device", "cpu")
    assert other.code == 2
    assert "respacing (3 before, 2 now); sampler (ddim before, ddpm now)" in other.err
    checkpoint = dseg("sample", "--checkpoint", other_ddpm, *words[3:], *QUICK)
    assert checkpoint.code == 2
    assert "differ in the checkpoint: give another --out" in checkpoint.err
    assert files(tmp_path / "drawn") == before
    ddpm_words = ("--steps", "2", "--sampler", "ddpm", "--device", "cpu", "--overwrite")
    assert dseg(*words, *ddpm_words).code == 0
    after = images(tmp_path / "drawn")
    assert after.keys() == {"000000.png", "000001.png"}
    assert not after.items() & before.items()
    refused = dseg(*words, *ddpm_words, "--shard", "0/2")
    assert refused.code == 2
    assert "--shard adds a part" in refused.err


def test_a_dry_run_writes_nothing(dseg, ddpm, tmp_path):
    words = ("--count", 1000, "--out", "drawn", "--dry-run", *QUICK)
    done = dseg("sample", "--checkpoint", ddpm, *words)
    assert done.code == 0, done.err
    assert done.out.startswith("1000 images to draw: about ")
    assert "nothing written" in done.out
    told = json.loads(dseg("sample", "--checkpoint", ddpm, *words, "--json").out)
    assert (told["images"], told["n_bytes"] > 1000 * 32 * 32 * 3) == (1000, True)
    assert list(tmp_path.iterdir()) == []


def test_json_tells_of_the_run(dseg, ddpm):
    words = ("--count", 1, "--out", "drawn", "--json", "--quiet", *QUICK)
    done = dseg("sample", "--checkpoint", ddpm, *words)
    told = json.loads(done.out)
    assert (told["drawn"], told["sheet"], done.err) == (1, "drawn-sheet.png", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "builtin:filters"), "cannot draw images: it is no network"),
        (("--checkpoint", "builtin:efficientnet-lite0"), "cannot draw images: it is an Efficien"),
        (("--checkpoint", "nowhere.pt"), "'nowhere.pt' does not exist"),
        (("--steps", "ddim300"), "no whole number spaces 300 of 1000 timesteps"),
        (("--steps", "fifty"), "does not say which timesteps to take"),
        (("--size", "30"), "both sides must be multiples of 8"),
        (("--sampler", "ddpm", "--eta", "1"), "--eta has no effect here"),
        (("--class-number", "2"), "leave out --class-number 2"),
        (("--seed", 2**63 - 1), "seeds end at"),
        (("--device", "nothing"), "there is no device 'nothing' here"),
    ],
)
def test_wrong_calls_end_in_one_line(dseg, tmp_path, words, said):
    ended = dseg("sample", "--count", 2, "--out", "drawn", *words)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_masked_autoencoder_cannot_draw(dseg, tmp_path):
    from transformers import ViTMAEConfig, ViTMAEModel

    config = ViTMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    ViTMAEModel(config).save_pretrained(tmp_path / "mae")
    ended = dseg("sample", "--checkpoint", "mae", "--count", 2, "--out", "drawn")
    assert ended.code == 2
    assert "checkpoint 'mae' cannot draw images: it is a" in ended.err
    assert not (tmp_path / "drawn").exists()


def test_latents_cannot_be_drawn(dseg, ddpm, tmp_path):
    (tmp_path / "latent").mkdir()
    for part in ("unet", "scheduler"):
        (tmp_path / "latent" / part).symlink_to(ddpm / part)
    (tmp_path / "latent/model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKL"]}')
    ended = dseg("sample", "--checkpoint", "latent", "--count", 2, "--out", "drawn")
    assert ended.code == 2
    assert "and drawing latents is not supported" in ended.err


def test_folders_of_other_things_are_refused(dseg, ddpm, world, tmp_path):
    words = ("sample", "--checkpoint", ddpm, "--count", 2, *QUICK, "--out")
    for overwrite in ((), ("--overwrite",)):
        ended = dseg(*words, world.photos, *overwrite)
        assert ended.code == 2
        assert "contains files that are not of `dseg sample`" in ended.err
    (tmp_path / "file").write_text("")
    assert "is a file" in dseg(*words, "file").err


def test_a_foreign_picture_beside_the_folder_stays(dseg, ddpm, tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "drawn-sheet.png")
    before = (tmp_path / "drawn-sheet.png").read_bytes()
    done = dseg("sample", "--checkpoint", ddpm, "--count", 1, "--out", "drawn", *QUICK)
    assert done.code == 0
    assert "Warning: no contact sheet" in done.err
    assert (tmp_path / "drawn-sheet.png").read_bytes() == before


def test_a_full_disk_is_said_and_the_run_goes_on_later(dseg, ddpm, tmp_path):
    words = ("sample", "--checkpoint", ddpm, "--count", 2, "--size", 128, "--out", "drawn", *QUICK)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))  # less than an image
    try:
        ended = dseg(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.code == 1
    assert "cannot write 'drawn/000000.png': File too large. What is drawn is kept" in ended.err
    assert files(tmp_path / "drawn").keys() == {"samples.json"}
    assert "2 images drawn, 0 unchanged" in dseg(*words).out


def test_killed_runs_end_with_the_same_files(forked, ddpm, tmp_path):
    """Killed twice while it draws; two processes then share what is left."""
    words = ("--checkpoint", ddpm, "--count", 8, "--sampler", "ddpm", "--steps", 5)
    words = ("sample", *words, "--device", "cpu", "--out")
    drawn = tmp_path / "drawn"
    for wanted in (1, 4):
        run = forked(tmp_path, *words, "drawn")
        ended = run.kill_when(
            lambda n=wanted: drawn.is_dir() and len(list(drawn.glob("0*.png"))) >= n
        )
        assert ended.code == -signal.SIGKILL
        for path in drawn.glob("0*.png"):
            with Image.open(path) as image:
                assert np.asarray(image).shape == (32, 32, 3)
    with (drawn / "samples.jsonl").open("a") as file:
        file.write('{"name": "0000')  # what a power cut may leave
    runs = [forked(tmp_path, *words, "drawn", "--shard", f"{i}/2") for i in range(2)]
    assert [run.result().code for run in runs] == [0, 0]
    finished = forked(tmp_path, *words, "unbroken").result()
    assert finished.code == 0, finished.err
    assert files(drawn) == files(tmp_path / "unbroken")
    assert len(files(drawn)) == 10


def test_runs_that_draw_other_images_wait(forked, ddpm, tmp_path):
    words = ("sample", "--checkpoint", ddpm, "--device", "cpu", "--out", "drawn", "--steps")
    first = forked(tmp_path, *words, 100, "--count", 1000)
    second = []

    def drawing():
        return (tmp_path / "drawn/samples.json").is_file() and not time.sleep(0.1)

    def refused():
        if drawing() and not second:
            second.append(forked(tmp_path, *words, 2, "--count", 1).result())
        return bool(second)

    first.kill_when(refused)
    assert second[0].code == 2
    assert "is writing into 'drawn'" in second[0].err

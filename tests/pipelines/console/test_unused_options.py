"""No option is taken and then passed over: what a call would not use is refused if typed."""

import json

import pytest

REFUSED = [
    (("fit", "{store}", "{labels}", "--recipe", "paper", "--max-steps", 5), "--max-steps"),
    (("curve", "{store}", "{labels}", "--recipe", "paper", "--max-steps", 5), "--max-steps"),
    (("fit", "{store}", "{labels}", "--recipe", "paper", "--reduce", 20), "--reduce"),
    (("select", "{store}", "{labels}", "--max-steps", 0, "--members", 3), "--members"),
    (("predict", "{store}", "--model", "{model}", "--checkpoint", "{ddpm}"), "--checkpoint"),
    (("predict", "--model", "{model}", "--batch-size", 4), "--batch-size"),
    (("predict", "{photos}", "--model", "{model}", "--images", "{photos}"), "--images"),
    (
        ("extract", "--images", "{photos}", "--checkpoint", "{ddpm}", "--overlap", 4),
        "--overlap",
    ),
    (
        ("extract", "--images", "{photos}", "--checkpoint", "{ddpm}", "--schedule", "linear"),
        "schedule",
    ),
    (
        (
            "extract",
            "--images",
            "{photos}",
            "--checkpoint",
            "{ddpm}",
            "--attention-order",
            "legacy",
        ),
        "attention_order",
    ),
]


@pytest.fixture
def places(world, store, model, ddpm):
    found = {"photos": world.photos, "labels": world.labels}
    return {**found, "store": store, "model": model, "ddpm": ddpm}


@pytest.mark.parametrize(("words", "option"), REFUSED)
def test_an_option_that_would_do_nothing_is_refused(dseg, places, tmp_path, words, option):
    told = dseg(*(str(word).format(**places) for word in words), "--out", "made")
    assert told.code == 2
    assert option in told.err.splitlines()[-1]
    assert not (tmp_path / "made").exists()


def test_the_words_say_why(dseg, places):
    words = ("fit", places["store"], places["labels"], "--recipe", "paper", "--max-steps", 5)
    assert (
        "--max-steps has no effect here: --recipe paper trains as published, up to 100 epochs"
        in dseg(*words).err
    )
    told = dseg("predict", places["store"], "--model", places["model"], "--batch-size", 4).err
    assert "--batch-size has no effect here: the features come from a store" in told


def test_defaults_of_the_settings_yield(dseg, places, tmp_path):
    """They stand there for other calls, which use them."""
    settings = "[fit]\nmax-steps = 3\nmembers = 2\n[predict]\nbatch-size = 4\n"
    (tmp_path / "dseg.toml").write_text(settings)
    told = dseg(
        "fit", places["store"], places["labels"], "--recipe", "paper", "--dry-run", "--json"
    )
    assert told.code == 0, told.err
    assert json.loads(told.out)["steps"] > 1000
    told = dseg("fit", places["store"], places["labels"], "--dry-run", "--json")
    assert json.loads(told.out)["steps"] == 3
    assert dseg("predict", places["store"], "--model", places["model"]).code == 0


def test_what_is_used_is_not_refused(dseg, places):
    predict = ("predict", "--model", places["model"])
    images = (places["photos"], "--batch-size", 2, "--checkpoint", places["ddpm"])
    assert dseg(*predict, *images, "--out", "a").code == 0
    overlays = (places["store"], "--overlay", "--images", places["photos"])
    assert dseg(*predict, *overlays, "--out", "b").code == 0
    extract = ("extract", "--images", places["photos"], "--checkpoint", places["ddpm"])
    assert dseg(*extract, "--out", "t.zarr", "--tile", "--overlap", 4).code == 0

"""Values in ``dseg.toml`` become what the command line would have given."""

import click
import pytest
from dseg.pipelines.console.settings_file import read_settings
from dseg.pipelines.console.values import NUMBERS


@click.group()
def group():
    pass


@group.command()
@click.option("--steps", type=NUMBERS)
@click.option("--max-steps", type=int)
@click.option("--overwrite", is_flag=True)
@click.option("--squash", "fit", flag_value="squash", default=True)
@click.option("--tile", "fit", flag_value="tile")
@click.option("--images", multiple=True)
@click.option("--out")
def run(**given):
    pass


@group.command("other-run")
@click.option("--out")
def other_run(out):
    pass


@pytest.fixture
def settings(tmp_path):
    def read(text, command="run"):
        path, told = tmp_path / "dseg.toml", []
        path.write_text(text, encoding="utf-8")
        return read_settings(path, group, command, told.append), told

    return read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max-steps = 5", {"max_steps": "5"}),
        ("max-steps = '5'", {"max_steps": "5"}),
        ("steps = [50, 150]", {"steps": "50,150"}),
        ("steps = '50,150'", {"steps": "50,150"}),
        ("overwrite = true", {"overwrite": True}),
        ("overwrite = false", {"overwrite": False}),
        ("tile = true", {"fit": "tile"}),
        ("tile = false", {}),
        ("images = 'a'", {"images": ["a"]}),
        ("images = ['a', 'b']", {"images": ["a", "b"]}),
        ("out = 'm'\nmax-steps = 1", {"out": "m", "max_steps": "1"}),
    ],
)
def test_values_are_those_of_the_command_line(settings, text, expected):
    assert settings(f"[run]\n{text}\n") == ({"run": expected}, [])


@pytest.mark.parametrize(
    "text",
    [
        "overwrite = 1",
        "tile = 'yes'",
        "images = [1]",
        "max-steps = true",
        "out = ['a']",
        "outt = 1",
    ],
)
def test_a_wrong_value_stops_its_own_command_and_warns_others(settings, text):
    key = text.split(" ")[0]
    with pytest.raises(click.UsageError, match=rf"{key}'? .*\[run\]"):
        settings(f"[run]\n{text}\n")
    found, told = settings(f"[run]\n{text}\n[other-run]\nout = 'm'\n", "other-run")
    assert found == {"other-run": {"out": "m"}}
    assert len(told) == 1
    assert key in told[0]


def test_a_table_that_looks_like_a_command_is_taken_for_a_misspelling(settings):
    with pytest.raises(click.UsageError, match="other-run"):
        settings("[other_run]\nout = 'm'\n", "other-run")
    found, told = settings("[other_run]\nout = 'm'\n", "run")
    assert (found, len(told)) == ({}, 1)


def test_no_file_means_no_settings(tmp_path):
    assert read_settings(tmp_path / "dseg.toml", group, "run", pytest.fail) == {}

"""dseg.toml stops only the command that its mistakes are of, and is read as people save it."""

import pytest


def fit(dseg, store, world, *more):
    return dseg("fit", store, world.labels, "--max-steps", 5, *more)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_nothing_apart(dseg, store, world, tmp_path, encoding):
    text = "[fit]\r\nmembers = 2\r\n"
    (tmp_path / "dseg.toml").write_text(text, encoding=encoding, newline="")
    told = fit(dseg, store, world)
    assert told.code == 0, told.err
    assert "2 members" in told.err


def test_class_names_with_a_byte_order_mark(dseg, store, own_world):
    path = own_world.labels / "classes.txt"
    path.write_text(path.read_text(), encoding="utf-16")
    told = fit(dseg, store, own_world)
    assert told.code == 0, told.err
    assert "3 classes" in told.err


def test_an_unknown_key_stops_its_own_command_alone(dseg, store, world, model, tmp_path):
    (tmp_path / "dseg.toml").write_text("[fit]\nmax_steps = 5\n[predict]\nout = 'there'\n")
    refused = fit(dseg, store, world)
    assert refused.code == 2
    assert "sets 'max_steps' in [fit]" in refused.err
    assert "did you mean 'max-steps'?" in refused.err
    told = dseg("predict", store, "--model", model)
    assert told.code == 0, told.err
    assert "6 masks written" in told.out
    assert (tmp_path / "there/p0.png").is_file()
    assert told.err.count("'max_steps' in [fit]") == 1
    assert "Warning: 'dseg.toml'" in told.err


def test_a_value_of_a_wrong_type_stops_its_own_command_alone(dseg, store, world, tmp_path):
    (tmp_path / "dseg.toml").write_text("[predict]\noverlay = 3\n")
    told = fit(dseg, store, world)
    assert told.code == 0
    assert "overlay in [predict] to 3: expected true or false (`dseg fit` continues" in told.err
    assert dseg("predict", store).code == 2


def test_a_value_that_an_option_refuses_is_told_with_its_file(dseg, store, world, tmp_path):
    (tmp_path / "dseg.toml").write_text("[fit]\nmembers = 'x'\n")
    refused = fit(dseg, store, world)
    assert refused.code == 2
    assert "'--members': 'x' is not a valid integer range (from 'dseg.toml')" in refused.err
    typed = fit(dseg, store, world, "--members", "y")
    assert "'y' is not a valid integer" in typed.err
    assert "dseg.toml" not in typed.err


def test_a_misspelt_table_stops_the_command_that_it_looks_like(dseg, store, world, tmp_path):
    (tmp_path / "dseg.toml").write_text("[Predit]\nout = 'there'\n")
    refused = dseg("predict", store)
    assert refused.code == 2
    assert "'Predit', but dseg has no such command; did you mean '[predict]'?" in refused.err
    told = fit(dseg, store, world)
    assert told.code == 0
    assert "Warning: 'dseg.toml' has a table 'Predit', but dseg has no such command" in told.err


def test_a_table_that_looks_like_none_is_told(dseg, store, world, tmp_path):
    (tmp_path / "dseg.toml").write_text("[tool.black]\nline-length = 100\n")
    told = fit(dseg, store, world)
    assert told.code == 0
    assert "has a table 'tool', but dseg has no such command: use [convert], [curve]" in told.err


@pytest.mark.parametrize("text", ["[fit]\nmembrs = 2\n", "[fit\n", "[fitt]\nmembers = 2\n"])
def test_help_is_always_there(dseg, tmp_path, text):
    (tmp_path / "dseg.toml").write_text(text)
    for words in (("fit", "--help"), ("fit", "-h"), ("--help",)):
        told = dseg(*words)
        assert told.code == 0
        assert told.out.startswith("Usage:")
    assert "Warning: 'dseg.toml'" in dseg("fit", "--help").err

import hashlib
import json

import pytest
from dseg.store.errors import InputError
from dseg.store.sealed_folder import SealedFolder

KIND = SealedFolder("box", "dseg-box", 3, "box.json", "box.bin", "dseg pack", "pack again")
DATA = b"tensors"
FACTS = {
    "format": "dseg-box",
    "version": 3,
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "sides": [1, 2],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "box.json").write_text(json.dumps(FACTS))
    (tmp_path / "box.bin").write_bytes(DATA)
    return tmp_path


def read(folder, build=lambda facts, data: (facts["sides"], data)):
    facts = KIND.facts(folder)
    with KIND.reading(folder, facts) as data:
        return build(facts, data)


def test_what_was_sealed_is_read(folder):
    assert KIND.is_at(folder)
    assert KIND.files(folder) == (folder / "box.bin", folder / "box.json")
    assert read(folder) == ([1, 2], DATA)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: (f / "box.json").unlink(), "is not a box: it has no .* of `dseg pack`"),
        (lambda f: (f / "box.json").write_text("{"), "the box .* is damaged: .* not valid JSON"),
        (lambda f: (f / "box.json").write_text("[" * 10**5), "is not valid JSON"),
        (lambda f: (f / "box.json").write_bytes(b"\xff"), "is not valid JSON"),
        (lambda f: (f / "box.json").write_text("[]"), "is not a box: .* does not say"),
        (lambda f: (f / "box.json").write_text('{"format": "dseg-box"}'), "version None, but"),
        (lambda f: (f / "box.bin").unlink(), "'box.bin' cannot be read"),
        (lambda f: (f / "box.bin").write_bytes(b"tensor"), "saved together .*, or pack again"),
    ],
)
def test_damage_is_said(folder, change, words):
    change(folder)
    with pytest.raises(InputError, match=words):
        read(folder)


@pytest.mark.parametrize(
    "build",
    [
        lambda facts, data: facts["none"],
        lambda facts, data: facts["sides"][2],
        lambda facts, data: facts["sides"] + 1,
        lambda facts, data: facts.none,
        lambda facts, data: int("one"),
    ],
)
def test_facts_of_another_form_are_damage(folder, build):
    with pytest.raises(InputError, match=r"'box\.json' does not have the expected form"):
        read(folder, build)

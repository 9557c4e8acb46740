"""Soft labels on disk are off by what they say at most."""

import numpy as np
import pytest
from dseg.distil.data.examples import SoftTarget
from dseg.distil.data.soft_labels import SoftLabel, read_soft_label, write_soft_label
from dseg.distil.student.view import View
from dseg.store.errors import DsegError


def test_what_is_read_is_what_was_written_to_8_bits(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([0.2] * 4, (9, 7)).transpose(2, 0, 1)
    certainty = rng.uniform(-0.1, 1.1, (9, 7))
    write_soft_label(tmp_path / "a.npz", SoftLabel.of(p, certainty))
    soft = read_soft_label(tmp_path / "a.npz")
    assert np.abs(soft.probabilities / 255 - p).max() <= 1 / 510 + 1e-6
    assert np.abs(soft.certainty / 255 - certainty.clip(0, 1)).max() <= 1 / 510 + 1e-6
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-30])


def other_arrays(path):
    np.savez(path, probabilities=np.zeros((2, 3, 4), np.float32), certainty=np.zeros((3, 4)))


@pytest.mark.parametrize("damage", [cut_short, other_arrays, lambda path: path.unlink()])
def test_what_cannot_be_read_is_refused(damage, tmp_path):
    path = tmp_path / "a.npz"
    write_soft_label(path, SoftLabel.of(np.ones((2, 3, 4)), np.ones((3, 4))))
    damage(path)
    with pytest.raises(DsegError, match="Remove it and repeat the command"):
        read_soft_label(path)


def test_one_of_another_size_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_soft_label(path, SoftLabel.of(np.ones((2, 3, 4)), np.ones((3, 4))))
    with pytest.raises(DsegError, match=r"has the shape \(3, 4\), expected \(32, 32\)"):
        SoftTarget(path).read(View(32).geometry((64, 64)), 0)

"""The loss equals a plain sum, pixel by pixel."""

import math

import numpy as np
import torch
from dseg.distil.train.loss import soft_cross_entropy


def plain(scores, targets, weights):
    total, count = 0.0, 0.0
    B, C, H, W = scores.shape
    for b in range(B):
        for y in range(H):
            for x in range(W):
                s, t = scores[b, :, y, x], targets[b, :, y, x]
                log_sum = math.log(sum(math.exp(v) for v in s))
                total += weights[b, y, x] * sum(t[c] * (log_sum - s[c]) for c in range(C))
                count += weights[b, y, x]
    return total / count


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (2, 4, 3, 5))
    targets = rng.dirichlet([0.3] * 4, (2, 3, 5)).transpose(0, 3, 1, 2)
    return scores, targets, rng.uniform(0, 1, (2, 3, 5)).round(1)


def test_it_equals_a_plain_sum():
    scores, targets, weights = drawn()
    found = soft_cross_entropy(*(torch.from_numpy(part).float() for part in drawn()))
    np.testing.assert_allclose(float(found), plain(scores, targets, weights), rtol=1e-5)


def test_of_hard_labels_it_is_the_cross_entropy_that_ignores():
    scores = torch.from_numpy(drawn()[0]).float()
    ids = torch.randint(0, 5, (2, 3, 5), generator=torch.Generator().manual_seed(0))  # 4: none
    one_hot = torch.nn.functional.one_hot(ids.clamp_max(3), 4).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.cross_entropy(scores, ids, ignore_index=4)
    torch.testing.assert_close(soft_cross_entropy(scores, one_hot, (ids < 4).float()), expected)


def test_without_a_pixel_that_counts_it_is_0():
    scores = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = soft_cross_entropy(scores, torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not scores.grad.any()

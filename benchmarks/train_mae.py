"""Train a small masked autoencoder on a set's images: a row to compare with diffusion models.

    python benchmarks/train_mae.py data/clothing nets/mae --minutes 15
    python benchmarks/train_mae.py data/camvid nets/camvid-mae --init nets/mae
    python benchmarks/train_mae.py data/neurites_em nets/neurites_em-mae --init nets/mae --crop 0.25
    python benchmarks/real_data.py data/ --also MAE=nets/{set}-mae
    python benchmarks/real_data.py data/ --also built-in+MAE=builtin:dseg-64+nets/{set}-mae

The folder is one of `real_data.py`'s sets; images of its ``test.txt`` stay out. For a fair
comparison with `dseg pretrain`, give it the same images, cut-outs and minutes, and let it begin, as
that does with ``--init builtin:dseg-64``, with a network trained on clothing's images.

The network is a ViT of 8-pixel patches (He et al., CVPR 2022: three quarters masked, the loss on
normalised patches), in transformers' form; its card asks for filters, colour and position as those
of dseg's own checkpoints do. Choose ``--crop`` so that objects have the size that they will have in
`dseg extract`: 0.25 for a network of 64 pixels if that shows images at 256. An interrupted training
is not continued.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from dseg.extract.checkpoints.card import CARD
from dseg.extract.images.reading import sha256_of
from dseg.extract.networks.devices import choose_device
from dseg.extract.networks.feedforward.trunk import IMAGENET_MEAN, IMAGENET_STD
from dseg.pretrain.data.images import Augmentation, TrainingImages
from real.layout import read_set
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining

WARM_UP = 0.05  # of the time
LISTING = "images.sha256"  # which images it has seen: those of `--init` too


def network(size: int) -> ViTMAEForPreTraining:
    """Return a ViT-Tiny with a small decoder, freshly initialised."""
    config = ViTMAEConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        decoder_hidden_size=128,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=512,
        image_size=size,
        patch_size=8,
        layer_norm_eps=1e-6,
        norm_pix_loss=True,
    )
    mae = ViTMAEForPreTraining(config)
    # transformers 5 leaves them at zero: the network would not know positions
    cells = size // config.patch_size
    for place in (mae.vit.embeddings.position_embeddings, mae.decoder.decoder_pos_embed):
        place.data.copy_(sine_cosine(cells, place.shape[-1]))
    for token in (mae.vit.embeddings.cls_token, mae.decoder.mask_token):
        torch.nn.init.normal_(token, std=config.initializer_range)
    return mae


def sine_cosine(cells: int, channels: int) -> Tensor:
    """Return He et al.'s fixed position embeddings, (1, 1 + cells², channels); the token's are 0.

    Of y and of x, sines and cosines of a quarter of the channels as frequencies, from 1 down to
    1/10000.
    """
    quarter = channels // 4
    frequency = 10000.0 ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.outer(torch.arange(cells, dtype=torch.float64), frequency)
    side = torch.cat([angle.sin(), angle.cos()], dim=1)  # (cells, channels / 2)
    y, x = side[:, None].expand(-1, cells, -1), side[None].expand(cells, -1, -1)
    place = torch.cat([x, y], dim=-1).flatten(0, 1).float()
    return torch.cat([torch.zeros(1, channels), place]).unsqueeze(0)


def normalised(x: Tensor) -> Tensor:
    """[-1, 1] to what the backbone gives the network."""
    mean, std = (
        torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return ((x + 1) / 2 - mean) / std


def rate_at(share: float) -> float:
    """Return the learning rate's factor at a share of the time: up, then down as half a cosine."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - WARM_UP) / (1 - WARM_UP))))


def train(images: TrainingImages, given: argparse.Namespace) -> tuple[ViTMAEForPreTraining, int]:
    device = choose_device(given.device)
    torch.manual_seed(0)
    mae = ViTMAEForPreTraining.from_pretrained(given.init) if given.init else network(given.size)
    mae = mae.to(device).train()
    optimiser = torch.optim.AdamW(
        mae.parameters(), lr=given.learning_rate, betas=(0.9, 0.95), weight_decay=0.05
    )
    start, seconds, step, shown = time.monotonic(), given.minutes * 60, 0, 0.0
    while (passed := time.monotonic() - start) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = given.learning_rate * rate_at(passed / seconds)
        batch = torch.from_numpy(images.batch(step * given.batch_size, given.batch_size))
        loss = mae(normalised(batch.to(device))).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mae.parameters(), 1.0)
        optimiser.step()
        step += 1
        if passed - shown > 60:
            shown = passed
            print(f"{passed:.0f} s, step {step}: loss {loss.item():.3f}", flush=True)
    return mae.eval().cpu(), step


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a set of real_data.py")
    parser.add_argument("out", type=Path, help="folder of the network")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--init", type=Path, help="a folder this script wrote, to begin with")
    parser.add_argument("--crop", type=float, default=0.5, help="least side of cut-outs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--device")
    given = parser.parse_args()
    data = read_set(given.data)
    paths = [data.paths[stem] for stem in data.pretraining]
    images = TrainingImages(paths, given.size, Augmentation(given.crop, flip=True), 0, 2**30)
    mae, steps = train(images, given)
    mae.save_pretrained(given.out)
    card = {
        "trained_on": f"{len(paths)} images of '{data.name}', none of its test images",
        "steps_trained": steps,
        "minutes": given.minutes,
        "size": list(images.whole(0).shape[1:]),
        "filters": True,
        "pixels": True,
    }
    (given.out / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    lines = {f"{sha256_of(path).hex()}  {path.name}\n" for path in paths}
    if given.init:
        lines |= set((given.init / LISTING).read_text(encoding="utf-8").splitlines(keepends=True))
    (given.out / LISTING).write_text("".join(sorted(lines)), encoding="utf-8")
    print(f"{given.out}: {steps} steps of {given.batch_size} images")


if __name__ == "__main__":
    main()

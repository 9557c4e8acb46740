"""Make checkpoints and outputs with denoising-diffusion-pytorch: python make.py, in this folder.

It was run once, with version 2.3.4, which needs a torchvision that fits the torch beside it.
"""

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA
from safetensors.torch import save_file

CASES = {
    "plain": {"dim": 4, "dim_mults": (1, 2, 3), "attn_dim_head": 4},
    "grey": {
        "dim": 4,
        "dim_mults": (1, 2),
        "channels": 1,
        "self_condition": True,
        "full_attn": (True, False),
        "attn_heads": (2, 3),
        "attn_dim_head": (4, 2),
    },
}

for name, options in CASES.items():
    torch.manual_seed(0)
    unet = Unet(**options)
    with torch.no_grad():
        for parameter in unet.parameters():  # norms and memories start as constants
            parameter.add_(0.1 * torch.randn_like(parameter))
    diffusion = GaussianDiffusion(unet, image_size=16, timesteps=50)
    ema = EMA(diffusion, beta=0.5, update_every=1, update_after_step=0, include_online_model=False)
    for _ in range(3):
        with torch.no_grad():
            for parameter in unet.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))
        ema.update()
    content = {"step": 3, "model": diffusion.state_dict(), "ema": ema.state_dict()}
    torch.save(content, f"{name}.pt", _use_new_zipfile_serialization=False)  # smaller
    averaged = ema.ema_model.model.eval()
    found = {}

    def keep(key, inputs=False, found=found):
        def hook(module, given, output):
            found[key] = given[0] if inputs else output

        return hook

    blocks = [(part, n) for n, up in enumerate(averaged.ups) for part in (0, 1)]
    for number, (part, n) in enumerate(blocks):
        up = averaged.ups[n]
        up[part].register_forward_hook(keep(f"input.{number}", inputs=True))
        up[3 if part else 0].register_forward_hook(keep(f"output.{number}"))
    averaged.final_res_block.register_forward_hook(keep(f"input.{len(blocks)}", inputs=True))
    averaged.final_res_block.register_forward_hook(keep(f"output.{len(blocks)}"))
    channels = averaged.channels
    x = torch.randn(2, channels, 16, 24)
    t = torch.tensor([7, 31])
    with torch.no_grad():
        averaged(x, t)
        noised = ema.ema_model.q_sample(x, t, noise=torch.ones_like(x))
    tensors = {"x": x, "t": t, "noised": noised, **found}
    save_file({key: value.contiguous() for key, value in tensors.items()}, f"{name}.safetensors")

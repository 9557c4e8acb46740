"""Make a checkpoint and outputs with rosinality/stylegan2-pytorch: python make.py, in its folder.

It was run once, at 7e46e47, with the native CPU functions of its ``op`` alone (``upfirdn2d_native``
and the CPU branch of ``fused_leaky_relu``), which need no compiler. Widths are made small.
"""

import re
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

widths = iter((8, 6, 6, 4))
source = re.sub(
    r"(4|8|16|32): 512,", lambda m: f"{m[1]}: {next(widths)},", Path("model.py").read_text()
)
model = ModuleType("model")
exec(compile(source, "model.py", "exec"), model.__dict__)

torch.manual_seed(0)
generators = {}
for name in ("g", "g_ema"):
    generators[name] = model.Generator(32, 16, 3)
    with torch.no_grad():
        for key, parameter in generators[name].named_parameters():  # noise and biases start at zero
            parameter.add_(
                0.3 * torch.randn_like(parameter) * (10 if key.startswith("style") else 1)
            )
g_ema = generators["g_ema"].eval()
with torch.no_grad():
    average = g_ema.mean_latent(100)[0]
states = {name: one.state_dict() for name, one in generators.items()}
torch.save({**states, "latent_avg": average}, "generator.pt", _use_new_zipfile_serialization=False)

found = {}


def keep(name):
    def hook(module, given, output):
        found[name] = output

    return hook


for number, part in enumerate((g_ema.input, g_ema.conv1, *g_ema.convs)):
    part.register_forward_hook(keep(f"layer.{number}"))
z = torch.randn(2, 16)
with torch.no_grad():
    image, styles = g_ema(
        [z],
        truncation=0.7,
        truncation_latent=average,
        randomize_noise=False,
        return_latents=True,
    )
tensors = {"z": z, "styles": styles, "image": image, **found}
save_file({key: value.contiguous() for key, value in tensors.items()}, "expected.safetensors")

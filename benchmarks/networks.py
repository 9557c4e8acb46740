"""A random network of the LSUN-256 architecture, of any width and size."""

import torch
from diffusers import DDPMScheduler, UNet2DModel
from dseg.extract.networks.diffusion.noise import NoiseSchedule

__all__ = ["lsun_network"]


def lsun_network(folder: str, width: int, size: int = 256) -> tuple[UNet2DModel, NoiseSchedule]:
    """Write the network to a folder, as diffusers does; return it and its schedule.

    Parameters
    ----------
    folder : str
    width : int
        Channels of the first level; 256 as published.
    size : int
        Pixels a side; 256 as published.
    """
    torch.manual_seed(0)
    attention = (False, False, False, True, True, True)
    unet = UNet2DModel(
        sample_size=size,
        block_out_channels=tuple(width * k for k in (1, 1, 2, 2, 4, 4)),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        layers_per_block=2,
        attention_head_dim=min(64, width),
        norm_eps=1e-5,
        attn_norm_num_groups=32,
        resnet_time_scale_shift="scale_shift",
        downsample_type="resnet",
        upsample_type="resnet",
    )
    unet.save_pretrained(f"{folder}/unet")
    DDPMScheduler().save_pretrained(f"{folder}/scheduler")
    return unet.eval(), NoiseSchedule.named("linear", 1000)

"""Checkpoints of guided-diffusion (Dhariwal & Nichol, NeurIPS 2021) as diffusers' U-Net.

The two libraries compute the same network under different names. The architecture is read off the
shapes; what shapes do not show has the value of the LSUN checkpoints unless an option sets it.

Where guided-diffusion counts n residual blocks a level and L levels, both its ``input_blocks`` and
its ``output_blocks`` number L·(n + 1): each level has n blocks and a downsampler (the first, the
input convolution instead), or n + 1 blocks, the last with an upsampler but at full resolution.
"""

from collections.abc import Mapping

from torch import Tensor

from ....store.errors import InputError
from ...checkpoints.opening import Checkpoint
from ...checkpoints.state_dict import digest, some_keys
from ..options import CheckpointOptions
from .class_embedding import choose_class
from .guided_diffusion_weights import Architecture, AttentionOrder, build
from .noise import NoiseSchedule
from .unet import LoadedUNet

__all__ = ["KINDS", "load", "matches", "read_architecture"]

KINDS: Mapping[str, str] = {"guided-diffusion": "a guided-diffusion U-Net"}

HEAD_CHANNELS = 64  # the LSUN and ImageNet checkpoints

FIRST_CONV = "input_blocks.0.0.weight"
FIRST_DECODER = "output_blocks.0.0.in_layers.0.weight"
FIRST_EMBEDDING = "input_blocks.1.0.emb_layers.1.weight"
SIGNS = (FIRST_CONV, FIRST_DECODER, FIRST_EMBEDDING, "time_embed.0.weight", "out.2.weight")


def matches(checkpoint: Checkpoint) -> str | None:
    """Return the kind if these are such weights, else None."""
    state = checkpoint.state or {}
    is_unet = FIRST_CONV in state or any(key.startswith("input_blocks.") for key in state)
    return "guided-diffusion" if is_unet else None


def load(checkpoint: Checkpoint, options: CheckpointOptions) -> LoadedUNet:
    """Load the U-Net of a file.

    Raises
    ------
    InputError
        If the weights are not those of such a network, or an option does not fit it.
    """
    options.refuse(("prompt", "norm_groups"), "it takes none")
    state = dict(checkpoint.state or {})
    table = state.pop("label_emb.weight", None)
    architecture = read_architecture(
        state,
        head_channels=options.head_channels,
        heads=options.heads,
        attention_order=options.attention_order or "legacy",
    )
    embedded = len(state["time_embed.0.weight"])
    classes, addition = choose_class(table, options.class_number, embedded)
    side = 8 * 2 ** (architecture.levels - 1)
    return LoadedUNet(
        kind="guided-diffusion",
        source=checkpoint.source,
        sha256=digest({"weights": checkpoint.path}),
        architecture=architecture.describe() | classes,
        size=(side, side),
        weights=checkpoint.weights,
        unet=build(state, architecture),
        schedule=NoiseSchedule.of_options(options.schedule, options.diffusion_steps),
        addition=addition,
        scheduler={"variance_type": "fixed_large"},  # its default where none is learned
    )


def read_architecture(
    state: Mapping[str, Tensor],
    *,
    head_channels: int | None = None,
    heads: int | None = None,
    attention_order: str = "legacy",
) -> Architecture:
    """Read the architecture off the shapes of a state dict.

    Parameters
    ----------
    state : mapping of str to tensor
        With guided-diffusion's key names.
    head_channels, heads : int, optional
        Channels of an attention head, or a fixed number of heads; by default 64 channels.
    attention_order : {"legacy", "new"}

    Returns
    -------
    Architecture

    Raises
    ------
    InputError
        If these are the weights of something else, of a U-Net that needs more input than an
        image, or of one that diffusers cannot express.
    """
    _refuse_other_networks(state)
    channels, per_level = _levels(state)
    width = state["time_embed.0.weight"].shape[1]
    if channels[0] != width:
        raise InputError(
            f"the checkpoint's first level has {channels[0]} channels where its base is {width}: "
            "a first channel multiplier other than 1 is not supported"
        )
    attention = tuple(
        f"input_blocks.{1 + level * per_level}.1.qkv.weight" in state
        for level in range(len(channels))
    )
    embedding = state[FIRST_EMBEDDING].shape[0]
    architecture = Architecture(
        channels=channels,
        res_blocks=per_level - 1,
        attention=attention,
        scale_shift=embedding == 2 * channels[0],
        resblock_updown=len(channels) > 1 and f"input_blocks.{per_level}.0.op.weight" not in state,
        out_channels=state["out.2.weight"].shape[0],
        head_channels=None if heads else (head_channels or HEAD_CHANNELS),
        heads=heads,
        attention_order=_parse_order(attention_order),
    )
    _refuse_heads(architecture, given_both=bool(heads and head_channels))
    return architecture


def _parse_order(order: str) -> AttentionOrder:
    if order == "legacy":
        return "legacy"
    if order == "new":
        return "new"
    raise InputError(f"attention order must be 'legacy' or 'new', got {order!r}")


def _refuse_other_networks(state: Mapping[str, Tensor]) -> None:
    expected = "expected the U-Net of guided-diffusion"
    if FIRST_CONV in state and FIRST_DECODER not in state:
        raise InputError(
            f"the checkpoint has an encoder but no decoder (a classifier?): {expected}"
        )
    if any(key not in state for key in SIGNS):
        raise InputError(
            f"the checkpoint is another network's, with keys such as {some_keys(state)}: {expected}"
            f", with keys such as {some_keys(SIGNS)}"
        )
    in_shape = tuple(state[FIRST_CONV].shape)
    if len(in_shape) != 4 or in_shape[1] != 3:
        raise InputError(
            f"the checkpoint's first convolution has the shape {in_shape}, so it takes no RGB "
            f"image alone (an upsampler takes 6 channels): {expected} with 3 input channels"
        )


def _levels(state: Mapping[str, Tensor]) -> tuple[tuple[int, ...], int]:
    """Return the channels of each level, and the output blocks of a level."""
    n_blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("output_blocks."))
    # A level's last output block ends in an upsampler: after the residual block (number 0) and,
    # where there is attention, after that. Either a convolution or a residual block.
    ends = {
        int(key.split(".")[1])
        for key in state
        if key.startswith("output_blocks.")
        and key.split(".")[2] != "0"
        and key.endswith((".conv.weight", ".in_layers.0.weight"))
    }
    levels = len(ends) + 1
    per_level = n_blocks // levels
    expected_ends = {level * per_level + per_level - 1 for level in range(levels - 1)}
    firsts = [f"input_blocks.{1 + i * per_level}.0.out_layers.3.weight" for i in range(levels)]
    if n_blocks % levels or ends != expected_ends or any(key not in state for key in firsts):
        raise InputError(
            f"the checkpoint's {n_blocks} output blocks with upsamplers at {sorted(ends)} are not "
            "those of a guided-diffusion U-Net with equally many blocks a level"
        )
    return tuple(state[key].shape[0] for key in firsts), per_level


def _refuse_heads(architecture: Architecture, given_both: bool) -> None:
    if given_both:
        raise InputError("give the channels of an attention head or the number of heads, not both")
    name, unit = (
        ("heads", architecture.heads)
        if architecture.heads
        else ("head channels", architecture.head_channels)
    )
    widths = [
        c for c, has in zip(architecture.channels, architecture.attention, strict=True) if has
    ]
    for width in (*widths, architecture.channels[-1]):
        if unit is None or unit < 1 or width % unit:
            raise InputError(
                f"attention over {width} channels cannot be split by {unit} {name}. A .pt does not "
                "show it: give --head-channels or --heads as the network was trained, "
                "num_head_channels or num_heads among its flags"
            )

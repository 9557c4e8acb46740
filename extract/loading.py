"""Checkpoints to whole networks: a guided-diffusion file, a diffusers folder, ours, the hub."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store.errors import InputError
from . import guided_diffusion
from .builtin import builtin_folder, is_builtin
from .checkpoint import digest, load_state_dict
from .diffusers_folder import Card, download, find_network, load_network
from .noise import NoiseSchedule

__all__ = ["Hints", "LoadedUNet", "load_unet"]


@dataclass(frozen=True)
class Hints:
    """What a guided-diffusion checkpoint cannot show; None where nobody told.

    Parameters
    ----------
    head_channels, heads : int, optional
        Channels of an attention head (default 64), or a fixed number of heads.
    attention_order : {"legacy", "new"}, optional
        Default "legacy".
    schedule : {"linear", "cosine"}, optional
        Default "linear". Of a diffusers folder, only if it states none.
    diffusion_steps : int, optional
        T, default 1000; goes with ``schedule``.
    """

    head_channels: int | None = None
    heads: int | None = None
    attention_order: str | None = None
    schedule: str | None = None
    diffusion_steps: int | None = None

    def noise_schedule(self) -> NoiseSchedule:
        """Return the noise schedule, with defaults for what was not told."""
        steps = 1000 if self.diffusion_steps is None else self.diffusion_steps
        return NoiseSchedule.named(self.schedule or "linear", steps)

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Raise `InputError` if one of the named hints was given."""
        given = [name for name in names if getattr(self, name) is not None]
        if given:
            raise InputError(f"{', '.join(given)} cannot be told of this checkpoint: {why}")


@dataclass(frozen=True)
class LoadedUNet:
    """A whole U-Net as loaded, with what is known of it.

    Parameters
    ----------
    unet : diffusers.UNet2DModel
        Evaluation mode, CPU, float32; ``unet(x_t, t).sample`` is its raw output.
    kind : {"guided-diffusion", "diffusers"}
    source : str
        Path of the checkpoint, ``builtin:name``, or ``organisation/name@commit``.
    sha256 : str
        Of the files that count.
    architecture : mapping
        Plain JSON values.
    schedule : NoiseSchedule
    size : tuple of int, optional
        Height and width that it was trained on, as far as known.
    card : Card
    """

    unet: Any
    kind: str
    source: str
    sha256: str
    architecture: Mapping[str, Any]
    schedule: NoiseSchedule
    size: tuple[int, int] | None
    card: Card


def load_unet(checkpoint: str | Path, hints: Hints | None = None) -> LoadedUNet:
    """Load a U-Net from a guided-diffusion file, a diffusers folder, dseg itself or the hub.

    Parameters
    ----------
    checkpoint : path or str
        A file, a folder, ``builtin:name``, or ``organisation/name`` on the Hugging Face hub.
    hints : Hints, optional

    Returns
    -------
    LoadedUNet

    Raises
    ------
    InputError
        If there is no such checkpoint, or it is something else than a U-Net for RGB images.
    """
    hints = hints or Hints()
    if is_builtin(str(checkpoint)):
        loaded = _load_folder(builtin_folder(str(checkpoint)), hints)
        return replace(loaded, source=str(checkpoint))
    path = Path(checkpoint)
    if path.is_file():
        return _load_file(path.resolve(), hints)
    if path.is_dir():
        return _load_folder(path.resolve(), hints)
    folder, exact = download(str(checkpoint))
    return replace(_load_folder(folder, hints), source=exact)


def _load_file(path: Path, hints: Hints) -> LoadedUNet:
    state = load_state_dict(path)
    architecture = guided_diffusion.read_architecture(
        state,
        head_channels=hints.head_channels,
        heads=hints.heads,
        attention_order=hints.attention_order or "legacy",
    )
    side = 8 * 2 ** (architecture.levels - 1)
    return LoadedUNet(
        unet=guided_diffusion.build(state, architecture),
        kind="guided-diffusion",
        source=str(path),
        sha256=digest({"weights": path}),
        architecture=architecture.describe(),
        schedule=hints.noise_schedule(),
        size=(side, side),
        card=Card(),
    )


def _load_folder(folder: Path, hints: Hints) -> LoadedUNet:
    states = "a diffusers folder states it itself"
    hints.refuse(("head_channels", "heads", "attention_order"), states)
    found = find_network(folder)
    schedule = found.schedule()
    if schedule is not None:
        hints.refuse(("schedule", "diffusion_steps"), states)
    side = found.config.get("sample_size")
    size = None if side is None else (side, side) if isinstance(side, int) else tuple(side)
    public = {k: v for k, v in found.config.items() if not k.startswith("_")}
    return LoadedUNet(
        unet=load_network(found),
        kind="diffusers",
        source=str(folder),
        sha256=digest(found.files),
        architecture={k: v for k, v in public.items() if k not in ("sample_size", "dropout")},
        schedule=schedule or hints.noise_schedule(),
        size=size,
        card=found.card,
    )

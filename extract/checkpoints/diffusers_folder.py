"""A folder of diffusers: its network, scheduler, autoencoder, card; and how models are loaded."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...store.errors import InputError
from .card import CARD, Card, read_json
from .network_size import bytes_of, read_config, refuse_larger
from .sizes import MOST_SIDE, two_sides
from .weight_files import are_safetensors, find_weights
from .weight_sets import AS_BEFORE, Choice, NoChoiceError, choose_name

__all__ = [
    "AUTOENCODERS",
    "NETWORKS",
    "SCHEDULER",
    "WEIGHTS",
    "DiffusersFolder",
    "find_autoencoder",
    "choose_network",
    "load_model",
    "pipeline_of",
    "read_folder",
]

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
SCHEDULER = "scheduler_config.json"
NETWORKS = ("unet", "unet_ema")
"""The sub-folders that hold a U-Net; training leaves the averaged weights in the second."""
AUTOENCODERS = {"vae": "AutoencoderKL", "vqvae": "VQModel"}
"""The sub-folders of a pipeline that make latents, and what must be in them."""


@dataclass(frozen=True)
class DiffusersFolder:
    """The parts of a network in a folder.

    Parameters
    ----------
    network : Path
        Folder with the network's ``config.json`` and weights.
    config : mapping
        Its configuration.
    files : mapping of str to Path
        The files that count, by role: ``config``, those of `find_weights`, and ``scheduler`` if
        there is one.
    scheduler : mapping, optional
        The configuration of its scheduler.
    card : Card
    """

    network: Path
    config: Mapping[str, Any]
    files: Mapping[str, Path]
    scheduler: Mapping[str, Any] | None
    card: Card

    @property
    def prediction(self) -> str:
        """What the network was trained to predict, as diffusers names it."""
        return str((self.scheduler or {}).get("prediction_type", "epsilon"))

    def sample_size(self) -> tuple[int, int] | None:
        """Return height and width of what the network was trained on, if it says so.

        Raises
        ------
        InputError
            If it says so in another form.
        """
        stated = self.config.get("sample_size")
        size = two_sides(stated)
        if size is None and stated is not None:
            raise InputError(
                f"the network in '{self.network}' states a sample_size of "
                f"{textwrap.shorten(repr(stated), 100)}: expected a side, or [height, width], up "
                f"to {MOST_SIDE}"
            )
        return size

    def architecture(self) -> dict[str, Any]:
        """Return what of the configuration changes activations."""
        public = {key: value for key, value in self.config.items() if not key.startswith("_")}
        return {k: v for k, v in public.items() if k not in ("sample_size", "dropout")}


def choose_network(folder: Path, weights: str | None = None) -> tuple[Path | None, Choice]:
    """Return the folder of a folder's network: in a sub-folder of `NETWORKS` or in itself.

    Parameters
    ----------
    folder : Path
    weights : str, optional
        Which sub-folder, or `weight_sets.AS_BEFORE`; by default that of the averaged weights.

    Returns
    -------
    network : Path, optional
        None if there is no network.
    choice : Choice

    Raises
    ------
    InputError
        If there is no such sub-folder.
    """
    names = [name for name in NETWORKS if (folder / name / "config.json").is_file()]
    if not names:
        if weights not in (None, AS_BEFORE):
            has = f"it has no sub-folder {' or '.join(NETWORKS)}"
            raise NoChoiceError(f"'{folder}' has no weights '{weights}': {has}")
        return (folder if (folder / "config.json").is_file() else None), Choice()
    before = names[0]
    name = before if weights == AS_BEFORE else choose_name(names, weights, str(folder))
    return folder / name, Choice.of([name], [n for n in names if n != name], [before])


def pipeline_of(network: Path) -> Path:
    """Return the folder of the pipeline that a U-Net's folder is part of, else that itself."""
    return network.parent if network.name in NETWORKS else network


def find_autoencoder(network: Path) -> Path | None:
    """Return the folder of a pipeline's autoencoder, given its U-Net's; None if there is none.

    Raises
    ------
    InputError
        If there are two.
    """
    folders = [pipeline_of(network) / part for part in AUTOENCODERS]
    found = [folder for folder in folders if (folder / "config.json").is_file()]
    if len(found) > 1:
        raise InputError(
            f"next to the U-Net in '{network}' are two autoencoders, "
            f"{found[0].name} and {found[1].name}: remove the one that is not the U-Net's"
        )
    return found[0] if found else None


def read_folder(folder: Path, network: Path, config: Mapping[str, Any]) -> DiffusersFolder:
    """Find the files of a folder's U-Net, which may be a pipeline's part.

    Parameters
    ----------
    folder : Path
    network : Path
        Where in the folder the U-Net is, as `choose_network` says.
    config : mapping
        Its ``config.json``.

    Raises
    ------
    InputError
        If weights are missing, or a file is not readable JSON.
    """
    files = {"config": network / "config.json", **find_weights(network, WEIGHTS)}
    folders = (folder / "scheduler", folder, folder.parent / "scheduler")
    path = next((f / SCHEDULER for f in folders if (f / SCHEDULER).is_file()), None)
    if path is None:
        scheduler = None
    else:
        files["scheduler"], scheduler = path, read_json(path)
    return DiffusersFolder(network, config, files, scheduler, Card.read(folder / CARD))


def load_model(name: str, folder: Path) -> Any:
    """Load a model of diffusers, by the name of its class: evaluation mode, CPU, float32.

    Raises
    ------
    InputError
        If the weights cannot be read or are not those that the configuration asks for.
    """
    import diffusers
    import torch
    from diffusers.utils import logging

    files = find_weights(folder, WEIGHTS)
    index = folder / f"{files['weights'].name}.index.json"
    if index.is_file():  # diffusers would load the shards, whatever the single file holds
        raise InputError(
            f"'{folder}' holds its weights twice, as {files['weights'].name} and in the shards of "
            f"{index.name}: remove the one that is out of date"
        )
    kind, config = getattr(diffusers, name), read_config(folder / "config.json")
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        what = f"the weights in '{folder}'"
        refuse_larger(lambda: kind.from_config(config), bytes_of(files), what)
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            torch_dtype=torch.float32,
            use_safetensors=are_safetensors(files),
        )
    except InputError:
        raise
    except Exception as error:  # diffusers, safetensors and torch each raise their own
        raise InputError(
            f"the weights in '{folder}' cannot be loaded: "
            f"{textwrap.shorten(str(error), 200)}. Was the download complete, and is the "
            "config.json theirs?"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    faults = {what: len(keys) for what, keys in report.items() if keys}
    if faults:
        counts = ", ".join(f"{what.replace('_', ' ')}: {n}" for what, n in faults.items())
        raise InputError(f"the weights in '{folder}' are not those of its config.json ({counts})")
    return model.eval().requires_grad_(False)

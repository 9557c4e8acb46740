"""Networks on the Hugging Face hub: which files are needed of them, and their download."""

import re
from pathlib import Path

from ...store.errors import InputError
from . import diffusers_folder, transformers_folder
from .card import CARD
from .weight_files import patterns_of

__all__ = ["download", "is_hub_id"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
PARTS = (*diffusers_folder.NETWORKS, "vae", "vqvae", "text_encoder", "text_encoder_2")
# What of a repository on the hub is needed besides the weights.
SMALL = (
    "model_index.json",
    CARD,
    diffusers_folder.SCHEDULER,
    f"scheduler/{diffusers_folder.SCHEDULER}",
    "config.json",
    transformers_folder.PROCESSOR,
    *(f"{part}/config.json" for part in PARTS),
    "tokenizer/*",
    "tokenizer_2/*",
)


def is_hub_id(checkpoint: str) -> bool:
    """Say whether a text has the form ``organisation/name``, perhaps with ``@revision``.

    Examples
    --------
    >>> is_hub_id("google/ddpm-cat-256"), is_hub_id("models/cat.pt"), is_hub_id("./cat")
    (True, False, False)
    """
    return HUB_ID.fullmatch(checkpoint) is not None and not checkpoint.endswith(
        (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
    )


def download(hub_id: str, *, fetch: bool = True) -> tuple[Path, str]:
    """Return the local copy of a hub's network, downloaded if need be, and its exact id.

    Parameters
    ----------
    hub_id : str
        ``organisation/name`` or ``organisation/name@revision``.
    fetch : bool
        Whether it may be downloaded; else it must be in the hub's cache. What a store or a model
        names is not fetched: a file from elsewhere must not choose what is downloaded.

    Returns
    -------
    folder : Path
    exact : str
        ``organisation/name@commit``.

    Raises
    ------
    InputError
        If it is neither in the local cache nor can be downloaded.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = hub_id.partition("@")
    try:
        # many have both forms: the second only where the first lacks
        for names in zip(diffusers_folder.WEIGHTS, transformers_folder.WEIGHTS, strict=True):
            weights = patterns_of(names)
            files = [*weights, *(f"{part}/{name}" for part in PARTS for name in weights)]
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision or None,
                    allow_patterns=[*SMALL, *files],
                    etag_timeout=5,
                    local_files_only=not fetch,
                )
            )
            if any(any(folder.glob(file)) for file in files):
                break
    except Exception as error:  # the hub's client lets errors of several HTTP libraries through
        if not fetch:
            raise InputError(
                f"checkpoint '{hub_id}' is not in the hub's cache, and is not downloaded because a "
                f"file names it: give it with --checkpoint {hub_id} if you trust it"
            ) from error
        raise InputError(
            f"checkpoint '{hub_id}' is no local file or folder, and could not be downloaded from "
            f"the Hugging Face hub ({type(error).__name__}). Check the name and the network, give "
            f"a local folder, or download it first with: hf download {name}"
        ) from error
    return folder, f"{name}@{folder.name}"

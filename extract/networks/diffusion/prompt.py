"""The empty prompt, as the text encoders of a pipeline embed it."""

import base64
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....store.errors import InputError

__all__ = ["Prompt", "embed_empty_prompt"]


@dataclass(frozen=True)
class Prompt:
    """A prompt's embedding, rounded to float16 so that a spec holds it exactly.

    Parameters
    ----------
    tokens : tensor of shape (1, tokens, channels), float32
        What the U-Net attends to.
    pooled : tensor of shape (1, channels), float32, optional
        What Stable Diffusion XL adds to the timestep's embedding.
    """

    tokens: Tensor
    pooled: Tensor | None = None

    def to(self, device: torch.device) -> "Prompt":
        """Move it to a device."""
        pooled = None if self.pooled is None else self.pooled.to(device)
        return Prompt(self.tokens.to(device), pooled)

    def as_text(self) -> str:
        """Return it as text, the parts apart by ``;``.

        Each is ``<tokens>x<channels>:<base64 of float16, little-endian>``.
        """
        parts = [self.tokens[0], *([] if self.pooled is None else [self.pooled])]
        return ";".join(map(_as_text, parts))

    @classmethod
    def from_text(cls, text: str) -> "Prompt":
        """Return what `as_text` was called on."""
        tokens, *pooled = map(_from_text, text.split(";"))
        return cls(tokens.unsqueeze(0), *pooled)


def embed_empty_prompt(folder: Path, *, two: bool) -> Prompt:
    """Let a pipeline's text encoders embed the empty prompt, as diffusers does.

    Parameters
    ----------
    folder : Path
        Of the pipeline.
    two : bool
        Whether there are two, as Stable Diffusion XL has: their second-last hidden states are
        concatenated, the second's projection is the pooled embedding (Podell et al., ICLR 2024).

    Raises
    ------
    InputError
        If an encoder or a tokenizer is missing, damaged or of another form.
    """
    numbers = ("", "_2") if two else ("",)
    parts = [f"{part}{number}" for number in numbers for part in ("text_encoder", "tokenizer")]
    lacking = [part for part in parts if not (folder / part).is_dir()]
    if lacking:
        raise InputError(
            f"the U-Net attends to a text, but '{folder}' lacks {' and '.join(lacking)}, to embed "
            "the empty one with: give the whole pipeline's folder"
        )
    first = _encoded(folder, "", "CLIPTextModel")
    if not two:
        return Prompt.from_text(Prompt(first.last_hidden_state).as_text())
    second = _encoded(folder, "_2", "CLIPTextModelWithProjection")
    if first.hidden_states[-2].shape[1] != second.hidden_states[-2].shape[1]:
        raise InputError(f"the two text encoders in '{folder}' take texts of different lengths")
    tokens = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return Prompt.from_text(Prompt(tokens, second.text_embeds).as_text())


@torch.inference_mode()
def _encoded(folder: Path, number: str, kind: str) -> Any:
    """Return what a text encoder gives for the empty prompt, with all its hidden states."""
    import transformers

    from ...checkpoints.transformers_folder import loaded_quietly

    part = folder / f"text_encoder{number}"
    encoder = loaded_quietly(
        getattr(transformers, kind),
        f"the weights in '{part}'",
        part,
        local_files_only=True,
    )
    tokenizer_folder = folder / f"tokenizer{number}"
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            tokenizer_folder, local_files_only=True
        )
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        tokens = tokenizer(
            "", padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
    except Exception as error:  # transformers and tokenizers each raise their own
        raise InputError(
            f"the tokenizer in '{tokenizer_folder}' cannot be used: "
            f"{textwrap.shorten(str(error), 200)}"
        ) from error
    return encoder(tokens.input_ids, output_hidden_states=True)


def _as_text(embedding: Tensor) -> str:
    values = embedding.cpu().numpy().astype("<f2")
    shape = "x".join(map(str, values.shape))
    return f"{shape}:{base64.b64encode(values.tobytes()).decode()}"


def _from_text(text: str) -> Tensor:
    shape, _, coded = text.partition(":")
    values = np.frombuffer(base64.b64decode(coded), "<f2")
    tokens, channels = map(int, shape.split("x"))
    return torch.from_numpy(values.reshape(tokens, channels).astype(np.float32))

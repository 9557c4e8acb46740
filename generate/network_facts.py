"""What is kept of the network that draws."""

from typing import Any

from ..extract.networks.base import LoadedNetwork

__all__ = ["network_facts", "with_weights"]


def network_facts(loaded: LoadedNetwork) -> dict[str, Any]:
    """Return which network it is, in plain JSON values."""
    return {
        "checkpoint": loaded.source,
        "checkpoint_sha256": loaded.sha256,
        "kind": loaded.kind,
        "weights": loaded.weights.name,
        "architecture": dict(loaded.architecture),
    }


def with_weights(words: str, loaded: LoadedNetwork) -> str:
    """Return words about a network, with a line on which of several sets of weights it has."""
    chosen = loaded.weights.words
    return words if chosen is None else f"{words}\n  weights: {chosen}"

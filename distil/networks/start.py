"""What a kind of student is, and where a training of it begins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Start", "StudentKind"]

# Of the channels of ImageNet's images, as torchvision's and most other networks take them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Start:
    """A network that is about to be trained.

    Parameters
    ----------
    network : nn.Module
        (B, 3, H, W) float32 in [0, 1] → scores (B, C, H, W), for any H and W.
    origin : str
        Where its weights come from, in words.
    trained : str, optional
        Name of the part of the network that has trained weights already; None if all are random.
    """

    network: nn.Module
    origin: str
    trained: str | None = None


@dataclass(frozen=True)
class StudentKind:
    """A kind of student.

    Parameters
    ----------
    name : str
        As ``--network`` takes it.
    title : str
        What it is, for messages.
    mean, std : sequence of float
        Of the channels, by which the network itself normalises its input.
    begin : callable
        Number of classes → `Start`.
    blank : callable
        Number of classes → the network whatever its weights, to load others into.
    needs : str, optional
        A package that is not always installed.
    """

    name: str
    title: str
    mean: Sequence[float]
    std: Sequence[float]
    begin: Callable[[int], Start]
    blank: Callable[[int], nn.Module]
    needs: str | None = None

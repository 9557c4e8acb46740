"""What an extraction says before it starts: its networks, and folders that look like labels."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from ...extract.concatenated import ConcatenatedBackbone
from ...extract.latent_rows import takes_latents
from ...extract.protocol import Backbone
from ...extract.registry import words_of
from ...store.spec import FeatureSpec
from ...store.urls.location import Location
from ..console.progress import Progress
from ..inputs.image_list import named

__all__ = ["describe_features", "warn_of_label_folders"]

_LABEL_FOLDERS = {"annotations", "labels", "masks", "overlays"}


def describe_features(backbone: Backbone, spec: FeatureSpec, progress: Progress) -> None:
    """Say which networks run, on what, and which features they make."""
    several = backbone.backbones if isinstance(backbone, ConcatenatedBackbone) else (backbone,)
    for one, part in zip(several, spec.parts or (spec,), strict=True):
        _describe_network(one, part, progress)
    if spec.parts:
        progress.say(
            f"  together {spec.dims} channels per pixel, {spec.bytes_per_row / 1e6:.1f} MB per pass"
        )


def _describe_network(backbone: Backbone, spec: FeatureSpec, progress: Progress) -> None:
    height, width = spec.row_shape
    at = f" at steps {', '.join(map(str, spec.steps))}" if spec.steps else ""
    blocks = f", blocks {', '.join(map(str, spec.blocks))}{at}" if spec.blocks else ""
    seen = "of its own images," if takes_latents(spec) else "network input"
    progress.say(
        f"{backbone.source}: "
        f"{words_of(spec.backbone['kind'])}{blocks}{''.join(f', {name}' for name in spec.extras)}; "
        f"{spec.dims} channels per pixel; {seen} {height}x{width}, "
        f"{spec.bytes_per_row / 1e6:.1f} MB per pass; on {backbone.device}"
    )
    network, settings = backbone.describe(), []
    architecture, schedule = network["architecture"], network.get("schedule")
    if schedule is not None:
        settings.append(f"{schedule['name']} schedule of {schedule['timesteps']} steps")
        # what a file cannot show
        for key in ("head_channels", "heads", "attention_order", "norm_groups", "class_number"):
            if architecture.get(key) is not None:
                settings.append(f"{key.replace('_', ' ')} {architecture[key]}")
    if backbone.weights is not None:
        settings.append(backbone.weights)
    if settings:
        progress.say(f"  settings: {', '.join(settings)}")


def warn_of_label_folders(found: Mapping[str, Location], progress: Progress) -> None:
    """Warn where label maps or masks are about to be taken for photographs."""
    suspects = [name for name in found if _LABEL_FOLDERS & set(PurePosixPath(name).parts[:-1])]
    if suspects:
        progress.warn(
            f"{len(suspects)} of {len(found)} images are in folders named like label maps or "
            f"masks, such as {named(suspects[:1])}: is --images the right folder?"
        )

"""Which seeds of `scenes.draw_scene` serve what: nobody is tested on what a network was shown."""

__all__ = ["DEMO_SEEDS", "TRAINING_SEEDS_FROM"]

DEMO_SEEDS = range(72)
"""Scenes of ``dseg demo``: the first 12 labelled, the others to predict."""

TRAINING_SEEDS_FROM = 100_000
"""The built-in checkpoint has seen scenes from this seed on, and none below."""

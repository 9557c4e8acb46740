"""Pixels to classes: labels, the ensemble, its training, its masks, its scores."""

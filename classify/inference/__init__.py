"""Masks from activations: the factorised ensemble, and the files of a prediction."""

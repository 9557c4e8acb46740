"""Masks of images, and the folder they are written to."""

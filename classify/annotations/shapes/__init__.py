"""Shapes on images, of whatever format: what they are, and between them and pixels."""

"""Pairs of image and target: read, varied, put together to batches."""

"""Checkpoints: found, downloaded and read safely, whatever network they hold."""

"""Activations of images, for all commands: from a store, or through the network."""

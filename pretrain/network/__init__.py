"""The network that is trained: presets, where it begins, its folder and card."""

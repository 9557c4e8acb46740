"""``dseg evaluate``: how well masks agree with label maps."""

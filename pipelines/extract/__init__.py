"""``dseg extract``: the network's pass over images, into a feature store."""

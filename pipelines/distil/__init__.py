"""``dseg distil``: a small network that learns what an ensemble says of many images."""

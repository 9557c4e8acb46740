"""``dseg synthesize``: images that a generator draws, with masks and uncertainty."""

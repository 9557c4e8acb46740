"""Images in, activations out: checkpoints, noise, networks."""
